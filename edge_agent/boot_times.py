"""When the boots of this gateway began, as learned once its clock was right: dates what was recorded before. Pure.

A record keeps its boot and its monotonic time for ever, so its wall time can be put right whenever it is sent or shown.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from edge_agent.model import Clock, Instant, encode_instant, read_instant
from edge_agent.points.state import Latches, read_piece

BOOTS_KEPT: Final = 64  # power cuts of months; what is older than that has long been delivered
STATE_KEY: Final = "tb:"
_HOLDOVER: Final = b'"clock":"holdover"'
_UNSET: Final = b'"clock":"unset"'
_AT: Final = re.compile(rb'"at":\{"boot":"([!-~]{1,64}?)","mono_ns":([0-9]{1,19}),')


@dataclass(frozen=True, slots=True)
class BootTime:
    """Of one boot: wall minus monotonic, the monotonic moment from which on its records are right by themselves, and by whose word
    since when.
    """

    offset_ns: int
    from_ns: int
    source: str
    at_ns: int


class BootTimes:
    """Boot id -> what is known of it."""

    def __init__(self) -> None:
        self._boots: OrderedDict[str, BootTime] = OrderedDict()
        self._latches = Latches()
        self._count = 0

    def learn(self, boot_id: str, offset_ns: int, at_ns: int, source: str) -> None:
        """The clock of this boot is right, since `at_ns` if it was not before."""
        known = self._boots.get(boot_id)
        self._put(boot_id, BootTime(offset_ns, at_ns if known is None else known.from_ns, source, at_ns))

    def get(self, boot_id: str) -> BootTime | None:
        """What is known of a boot."""
        return self._boots.get(boot_id)

    def restamp(self, at: Instant) -> Instant:
        """The same moment with the wall time that is known by now; as it is if nothing better is known."""
        known = self._boots.get(at.boot_id)
        if known is None or at.clock is Clock.SYNCED or at.mono_ns >= known.from_ns:
            return at
        return Instant(at.boot_id, at.mono_ns, at.mono_ns + known.offset_ns, Clock.SYNCED, restamped=True)

    def restamp_body(self, body: bytes) -> bytes:
        """The same for a journal body. One that needs nothing, of a long backlog too, is not even parsed."""
        if not self._boots or (_HOLDOVER not in body and _UNSET not in body) or not self._could_be(body):
            return body
        try:
            record = json.loads(body)
        except (ValueError, RecursionError):
            return body
        restamped = self.restamp_record(record) if isinstance(record, dict) else record
        return (
            body if restamped is record else json.dumps(restamped, ensure_ascii=False, separators=(",", ":")).encode()
        )

    def _could_be(self, body: bytes) -> bool:
        """Whether something better is known of its boot at that moment, by a look at the bytes `encode_instant` makes."""
        found = _AT.search(body)
        known = self._boots.get(found[1].decode()) if found else None
        return found is not None and known is not None and int(found[2]) < known.from_ns

    def restamp_record(self, record: Mapping[str, object]) -> Mapping[str, object]:
        """The same for a decoded body; the very same mapping if nothing changes."""
        at = record.get("at")
        try:
            instant = read_instant(at) if isinstance(at, dict) else None
        except (KeyError, ValueError):
            return record
        if instant is None or (right := self.restamp(instant)) is instant:
            return record
        return {**record, "at": encode_instant(right)}

    def pieces(self) -> dict[str, str]:
        """All of it as `restore` takes it, for another process."""
        return {
            STATE_KEY + boot_id: json.dumps({"n": n, **asdict(boot)})
            for n, (boot_id, boot) in enumerate(self._boots.items())
        }

    def dump(self) -> dict[str, bytes | None]:
        """The pieces of lasting state that changed since the last call."""
        return self._latches.take()

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Take back what was learned; foreign keys are ignored. What is there already is newer and stays."""
        found: list[tuple[int, str, BootTime]] = []
        for key, body in state.items():
            piece = read_piece(body) if key.startswith(STATE_KEY) else None
            if piece is None:
                continue
            n, *numbers = (piece.get(name) for name in ("n", "offset_ns", "from_ns", "at_ns"))
            if type(n) is int and all(type(number) is int for number in numbers):
                offset_ns, from_ns, at_ns = map(int, map(str, numbers))
                boot = BootTime(offset_ns, from_ns, str(piece.get("source", "")), at_ns)
                found.append((n, key.removeprefix(STATE_KEY), boot))
        present, self._boots = self._boots, OrderedDict()
        for n, boot_id, boot in sorted(found, key=lambda entry: entry[0]):
            self._boots[boot_id] = boot
            self._count = max(self._count, n)
        for boot_id, boot in present.items():
            self._put(boot_id, boot)

    def _put(self, boot_id: str, boot: BootTime) -> None:
        self._boots[boot_id] = boot
        self._boots.move_to_end(boot_id)
        self._count += 1
        self._latches.put(STATE_KEY + boot_id, {"n": self._count, **asdict(boot)})
        while len(self._boots) > BOOTS_KEPT:
            forgotten, _ = self._boots.popitem(last=False)
            self._latches.put(STATE_KEY + forgotten, None)
