"""The JSON of docs/contract.md, gateway side: batches out, acknowledgements in. Pure.

Bodies are spliced, never parsed: the journal holds them as the compact JSON objects they travel as.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from buffer.records import Priority
from edge_agent.compact_json import compact_encoder
from edge_agent.model import Instant, instant_text

VERSION: Final = 1
TOPIC_ROOT: Final = "zg119/v1"
STREAMS: Final = tuple(Priority)
BATCH_BYTES_MAX: Final = 512 * 1024  # what every centre must take; a journal body is at most half of it
ACK_BYTES_MAX: Final = 256 * 1024
_N_MAX: Final = 2**53  # what every JSON reader holds exactly
_ENCODE: Final = compact_encoder()
BY_STREAM: Final = {priority.stream: priority for priority in STREAMS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records first..last of one stream of one epoch. A number in the range is either a record or inside a gap."""

    epoch: str
    priority: Priority
    first: int
    last: int
    records: Sequence[tuple[int, bytes]]  # n, journal body
    gaps: Sequence[tuple[int, int, str]] = ()  # first, last, why: numbers that will never come
    replay: bool = False  # accepted before this connection was made
    dup: bool = False  # sent before in the life of this process, and not confirmed

    def half(self) -> "Batch":
        """The first half of it, for a wire that does not take so much. Raise ValueError for a batch that has no halves."""
        ends = sorted([n for n, _ in self.records] + [last for _, last, _ in self.gaps])
        if len(ends) < 2:
            raise ValueError("one record cannot be halved")
        last = ends[len(ends) // 2 - 1]
        return replace(
            self,
            last=last,
            records=[record for record in self.records if record[0] <= last],
            gaps=[gap for gap in self.gaps if gap[1] <= last],
        )


@dataclass(frozen=True, slots=True)
class StreamAck:
    """What the centre has committed of one stream: 1..through, and through+1..high without `missing`."""

    epoch: str
    priority: Priority
    through: int
    high: int
    missing: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record the centre will never take."""

    epoch: str
    priority: Priority
    n: int
    why: str


@dataclass(frozen=True, slots=True)
class Ack:
    """One message of the centre. `rejected` are whole batches it could not read, by their correlation data."""

    acks: tuple[StreamAck, ...]
    refused: tuple[Refusal, ...]
    rejected: tuple[tuple[str, str], ...]  # correlation, why


def topic_up(gateway: str, priority: Priority) -> str:
    """Where batches go."""
    return f"{TOPIC_ROOT}/{gateway}/up/{priority.stream}"


def topic_ack(gateway: str) -> str:
    """Where the centre answers."""
    return f"{TOPIC_ROOT}/{gateway}/ack"


def topic_state(gateway: str) -> str:
    """Birth, snapshot and last will, retained."""
    return f"{TOPIC_ROOT}/{gateway}/state"


def correlation(batch: Batch) -> str:
    """The batch's name, sent as MQTT correlation data so that even a batch nobody can read can be named."""
    return f"{batch.epoch}/{batch.priority.stream}/{batch.first}-{batch.last}"


def encode_batch(gateway: str, batch: Batch, sent: Instant) -> bytes:
    """One message of `up/{stream}`."""
    named, marked = head_of(gateway, batch)
    text = f'{_ENCODE(named)[:-1]},"sent":{instant_text(sent)}'
    if marked:
        text += f",{_ENCODE(marked)[1:-1]}"
    return b'%b,"records":[%b]}' % (text.encode(), b",".join([_splice(n, body) for n, body in batch.records]))


def head_of(gateway: str, batch: Batch) -> tuple[dict[str, object], dict[str, object]]:
    """A batch without its records: what stands before `sent`, and what behind."""
    named: dict[str, object] = {
        "v": VERSION,
        "gateway": gateway,
        "epoch": batch.epoch,
        "stream": batch.priority.stream,
        "first": batch.first,
        "last": batch.last,
    }
    marked: dict[str, object] = {}
    if batch.replay:
        marked["replay"] = True
    if batch.dup:
        marked["dup"] = True
    if batch.gaps:
        marked["gaps"] = [list(gap) for gap in batch.gaps]
    return named, marked


def packet_overhead(gateway: str) -> int:
    """Bytes of an MQTT packet that are not payload, at most: header, topic, properties."""
    return 300 + len(gateway)


def _splice(n: int, body: bytes) -> bytes:
    if len(body) > 2 and body[0] == 0x7B:  # {
        return b'{"n":%d,%b' % (n, body[1:])
    return b'{"n":%d,"raw":"%b"}' % (
        n,
        body.hex().encode(),
    )  # no object: the centre gets the bytes and will say what it thinks


def decode_ack(payload: bytes) -> Ack:
    """Raise ValueError, saying why, unless `payload` is a sound acknowledgement. Streams we do not know are left out."""
    if len(payload) > ACK_BYTES_MAX:
        raise ValueError("ack is too long")
    message = json.loads(payload)
    if not isinstance(message, dict) or message.get("v") != VERSION:
        raise ValueError("not an ack of version 1")
    acks = tuple(ack for item in _objects(message, "acks") if (ack := _stream_ack(item)) is not None)
    refused = tuple(
        Refusal(_text(item, "epoch"), priority, _number(item, "n"), _why(item))
        for item in _objects(message, "refused")
        if (priority := BY_STREAM.get(_text(item, "stream"))) is not None
    )
    rejected = tuple((_text(item, "batch"), _why(item)) for item in _objects(message, "rejected"))
    return Ack(acks, refused, rejected)


def _stream_ack(item: Mapping[str, object]) -> StreamAck | None:
    priority = BY_STREAM.get(_text(item, "stream"))
    if priority is None:
        return None
    through, missing = _number(item, "through"), []
    previous = through
    ranges = item.get("missing", [])
    if not isinstance(ranges, list):
        raise ValueError("missing is not a list")
    for pair in ranges:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError("a missing range is not a pair")
        first, last = (_whole(value, "missing") for value in pair)
        if not previous < first <= last:
            raise ValueError("missing ranges are not in order above through")
        missing.append((first, last))
        previous = last
    high = _number(item, "high") if "high" in item else previous
    if high < previous:
        raise ValueError("high is below a missing range")
    return StreamAck(_text(item, "epoch"), priority, through, high, tuple(missing))


def _objects(message: Mapping[str, object], key: str) -> list[dict[str, object]]:
    items = message.get(key, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"{key} is not a list of objects")
    return items


def _text(item: Mapping[str, object], key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError(f"{key} is not a short text")
    return value


def _why(item: Mapping[str, object]) -> str:
    """Words for people, kept in the ledger, which all centres share: half a pair of surrogates would stop its writing."""
    return str(item.get("why", ""))[:500].encode("utf-8", "backslashreplace").decode()


def _number(item: Mapping[str, object], key: str) -> int:
    return _whole(item.get(key), key)


def _whole(value: object, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _N_MAX:
        raise ValueError(f"{key} is not a whole number")
    return value
