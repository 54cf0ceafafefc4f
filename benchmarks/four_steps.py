"""The four steps of matrix row R4 on this machine: decode a frame, make the event's JSON, make it durable, encode the message.

    python -m benchmarks.four_steps DIRECTORY [--events 60]

Each step is the product's own code, called for each event by itself: the codec of the protocol (GST: all three copies of the
frame), `encode_event`, `Journal.append` (one durable commit an event; a centre's word and the pruning that follows from it every
tenth event are counted too), and `encode_batch` for a message of one record. What lies between them on a gateway (ports, points,
alarm, local API, outbox) is left out: `one_alarm.py` has all of it.

Prints one JSON object, nanoseconds an event, kernel included, for each protocol: `decode_ns`, `json_ns`, `kept_ns`, `encode_ns` and
their sum `event_ns`. Not in it: `latched_ns`, as `kept_ns` but with the latched state that a new alarm changes in the same commit;
`alarm_ns`, the sum with that; `handed_ns`, that commit by the journal's own thread, which is handed it and wakes us. They mean
little on a common machine; `benchmarks/instructions.py` runs this where one nanosecond is one instruction.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.one_alarm import GATEWAY, PROTOCOL, SWITCH_S, Spent, idle, turns_of
from buffer.journal import Journal, JournalSettings, Ticket
from buffer.records import Priority
from buffer.runner import StartRunner, ThreadRunner, Turn, Wake
from drivers.codecs import gb26875
from drivers.codecs.base import Codec, Frame
from drivers.codecs.gb26875.objects import ComponentStatus
from drivers.codecs.registry import build_codec
from drivers.profile import load_profiles
from edge_agent.alarm.alarm import alarm_of
from edge_agent.clock import SystemClock
from edge_agent.model import Event, Kind, encode_event, encode_instant
from edge_agent.points.state import Latches
from edge_agent.uplink.contract import Batch, encode_batch
from simulators.panel_talk import talk_of

HISTORY: Final = 20  # a small one, so that pruning has something to do
WARM: Final = 150  # events until the write-ahead log is as long as it gets, and is written over from then on
POINTS: Final = 10  # which alarm in turn: what is latched is changed and taken back, and does not grow
EACH: Final = 10  # events between two words of the centre
CENTRE: Final = "county"
APART_NS: Final = 1_500_000_000
AT: Final = datetime(2026, 11, 25, 12, 0, 0)
Fields = Mapping[str, object]


class OnCall:
    """A runner without a thread: whoever wakes it does its work."""

    def __init__(self, name: str, turn: Turn) -> None:
        self._turn = turn
        self._busy = False

    def start(self) -> None:
        """Nothing to start."""

    def wake(self) -> None:
        """Take turns until one has nothing more to do at once."""
        if self._busy:
            return
        self._busy = True
        while self._turn() == 0:
            pass
        self._busy = False

    def join(self, timeout_s: float) -> bool:
        """It is over with its last wake."""
        return True


# --- decode


def read_panel(codec: Codec, telegrams: Sequence[bytes]) -> Iterator[tuple[Fields, bytes]]:
    """A GST floor-display bus: the three copies of each frame, of which one is news."""
    for number, telegram in enumerate(telegrams):
        for item in codec.feed(telegram, number * APART_NS):
            if isinstance(item, Frame) and item.event is not None:
                yield item.fields, item.raw


def read_device(telegrams: Sequence[bytes]) -> Iterator[tuple[Fields, bytes]]:
    """GB/T 26875.3: packet, data unit, component, its address and its words."""
    reader = gb26875.FrameReader()
    for telegram in telegrams:
        for item in reader.feed(telegram, 0):
            assert isinstance(item, gb26875.Frame)
            for one in gb26875.decode_adu(item.adu, uplink=True).objects:
                assert isinstance(one, ComponentStatus)
                where = gb26875.split_component(one.address, "loop-point")
                fields: dict[str, object] = {
                    "system_type": one.system_type,
                    "system_address": one.system_address,
                    "component_type": one.component_type,
                    "status": one.status,
                    "loop": where.loop,
                    "point": where.point,
                    "location_text": gb26875.read_text(one.description),
                }
                yield fields, telegram


def panel_telegrams(count: int) -> list[bytes]:
    talk = talk_of(PROTOCOL)
    return [talk.event("fire", f"{number:06d}") * 3 for number in range(count)]


def device_telegrams(count: int) -> list[bytes]:
    telegrams = []
    for number in range(count):
        address = bytes((number & 0xFF, number >> 8, 2, 0))
        fire = ComponentStatus(1, 1, 42, address, 3, gb26875.write_description("门诊楼三层东侧走廊感烟"), AT)
        unit = gb26875.encode_adu(2, [fire])
        frame = gb26875.Frame(
            serial=number, sent=unit[-6:], source=bytes(6), target=bytes(6), command=gb26875.Command.SEND, adu=unit
        )
        telegrams.append(frame.encode())
    return telegrams


# --- JSON


def make_events(decoded: Sequence[tuple[Fields, bytes]]) -> list[Event]:
    """What points make of it on a gateway: named, dated."""
    clock = SystemClock()
    prefix = f"{clock.boot_id}-1f40"
    return [
        Event(
            id=f"{prefix}-{number:x}",
            kind=Kind.FIRE,
            point=f"panel1/{number % POINTS:06d}",
            active=True,
            at=clock.at(time.monotonic_ns()),
            grade=1,
            source="panel1",
            name=str(fields["location_text"]),
            fields=fields,
            raw=raw,
        )
        for number, (fields, raw) in enumerate(decoded)
    ]


# --- durable


def latched(events: Sequence[Event]) -> list[Mapping[str, bytes | None]]:
    """The pieces of state a new alarm changes: the alarm, their count, that the lamp waits for it, the panel's point; and that the
    centre has the one before.
    """
    pieces = []
    for number, event in enumerate(events):
        latches = Latches()
        point, kind = event.point, event.kind.value
        if number:
            latches.put(f"au:{events[number - 1].id}", None)
        latches.put("an", {"count": number})
        latches.put(f"aa:{kind}:{point}", alarm_of(event, str(number), point).as_dict())
        latches.put(f"au:{event.id}", {"point": point, "kind": kind, "at": encode_instant(event.at)})
        latches.put(f"pp:{kind}:{point}", {"words": ["fire"], "name": event.name})
        pieces.append(latches.take())
    return pieces


def keep(
    directory: Path,
    bodies: Sequence[bytes],
    states: Sequence[Mapping[str, bytes | None]],
    warm: int,
    runner: StartRunner,
) -> tuple[dict[str, float], list[Ticket]]:
    """One commit each, waited for; what it cost, and the tickets with their names."""
    settings = JournalSettings(
        reserve_bytes=1 << 20,
        history_events=HISTORY,
        history_alarm_days=0,
        mandatory=(CENTRE,),
        background_check=False,
    )
    journal = Journal.open(directory, settings, lambda fault: sys.exit(str(fault)), runner=runner)
    done, spent, tickets = Wake(), Spent(), list[Ticket]()

    def take(begin: int, end: int) -> None:
        for number in range(begin, end):
            ticket = journal.append(Priority.ALARM, bodies[number], states[number], lambda ticket: done.set())
            if runner is ThreadRunner:
                done.sleep(60.0)
            assert ticket.settled
            tickets.append(ticket)
        name = tickets[-1].name
        assert name is not None
        journal.confirm(CENTRE, name.epoch, name.priority, name.n)
        assert journal.flush(60.0)

    for begin in range(0, warm, EACH):
        take(begin, begin + EACH)
    spent.begin()
    for begin in range(warm, len(bodies), EACH):
        take(begin, begin + EACH)
    spent.end()
    store = journal.vital.store
    assert store is not None
    (left,) = store.db.execute("SELECT count(*) FROM alarm").fetchone() if runner is not ThreadRunner else (0,)
    assert left <= HISTORY + 2 * EACH, "nothing was pruned"
    journal.close()
    shutil.rmtree(directory)  # the disk is small
    return spent.each(len(bodies) - warm), tickets


# --- message


def batch_of(ticket: Ticket) -> Batch:
    """What the outbox makes of a fresh alarm."""
    name = ticket.name
    assert name is not None
    return Batch(epoch=name.epoch, priority=name.priority, first=name.n, last=name.n, records=((name.n, ticket.body),))


def spent_by(count: int, work: Callable[[], object]) -> float:
    """Nanoseconds an event of this process and its kernel."""
    spent = Spent()
    spent.begin()
    work()
    spent.end()
    return cost(spent.each(count))


def cost(each: Mapping[str, float]) -> float:
    return each["process_ns"] + each["jbd2_ns"]


def measure(
    directory: Path,
    telegrams: Sequence[bytes],
    read: Callable[[Sequence[bytes]], Iterator[tuple[Fields, bytes]]],
    planted: int,
    warm: int,
) -> dict[str, float]:
    count = len(telegrams) - EACH
    list(read(telegrams[:EACH]))  # in which things are imported and made
    telegrams = telegrams[EACH:]
    decoded: list[tuple[Fields, bytes]] = []
    decode_ns = spent_by(count, lambda: decoded.extend(read(telegrams)))
    assert len(decoded) == count
    events = make_events(decoded)
    bodies: list[bytes] = []
    json_ns = spent_by(count, lambda: bodies.extend(map(encode_event, events)))
    states = latched(events)
    kept, tickets = keep(directory / "kept", bodies, [{}] * count, warm, OnCall)
    latched_too, _ = keep(directory / "latched", bodies, states, warm, OnCall)
    handed, _ = keep(directory / "handed", bodies, states, warm, ThreadRunner)
    messages: list[bytes] = []
    batches, now = [batch_of(ticket) for ticket in tickets], SystemClock().now()
    encode_ns = spent_by(count, lambda: messages.extend(encode_batch(GATEWAY, batch, now) for batch in batches))
    planted_ns = spent_by(count, lambda: [idle(planted) for _ in range(count)])
    assert all(body[1:-1] in message for body, message in zip(bodies, messages, strict=True))
    steps = {"decode_ns": decode_ns, "json_ns": json_ns, "kept_ns": cost(kept), "encode_ns": encode_ns}
    event_ns = sum(steps.values()) + planted_ns
    return {
        **steps,
        "event_ns": event_ns,
        "latched_ns": cost(latched_too),
        "alarm_ns": event_ns - cost(kept) + cost(latched_too),
        "handed_ns": cost(handed),
        "bytes": sum(map(len, messages)) / count,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--events", type=int, default=60, help="after the first ones")
    parser.add_argument("--warm", type=int, default=WARM, help="first ones, that are not counted")
    parser.add_argument("--planted", type=int, default=0, help="ns of a loop in the way of each event, to be noticed")
    arguments = parser.parse_args()
    sys.setswitchinterval(SWITCH_S)
    planted, warm = turns_of(arguments.planted), arguments.warm
    count, place = arguments.events, arguments.directory
    codec = build_codec(load_profiles(()).get(PROTOCOL))
    panel = measure(place / "panel", panel_telegrams(EACH + warm + count), partial(read_panel, codec), planted, warm)
    device = measure(place / "device", device_telegrams(EACH + warm + count), read_device, planted, warm)
    print(json.dumps({PROTOCOL: panel, "gb26875": device}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
