"""One Modbus bus: asks its devices in turn and tells what they answered, and when they stopped.

A bus has one task and one port; a stuck bus delays no other. What is asked when is `drivers.schedule`, whose answer it is
`drivers.modbus_rtu` or `drivers.modbus_tcp`, what it means `drivers.modbus_map`.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from drivers.codecs.modbus import ReadRequest
from drivers.messages import LinkState, Observation, PointSpec, Sink
from drivers.modbus_map import DeviceMemory, ModbusProfile
from drivers.modbus_master import Master, Outcome, Result
from drivers.modbus_rtu import RtuLink, RtuMaster
from drivers.modbus_tcp import TcpLink, TcpMaster
from drivers.polling import Polling
from drivers.schedule import FAILURES, Job, Schedule, Turn

_LATENCIES: Final = 128
_KINDS: Final = ("ok", "exception", "timeout", "crc", "foreign", "unsure", "late", "echo", "unconfirmed")
_LINE_KINDS: Final = ("foreign", "late", "garbage", "opened", "lost", "overrun")

_Words = tuple[tuple[int, ...], int]  # an answer and when it was read, ns


@dataclass(frozen=True, slots=True)
class BusDevice:
    """One slave: `period_s` replaces the period of every question of its profile."""

    id: str
    profile: ModbusProfile
    address: int = 1
    period_s: float | None = None


@dataclass(slots=True)
class _Device:
    """What the bus knows of one slave."""

    id: str
    profile: ModbusProfile
    memory: DeviceMemory
    requests: list[ReadRequest]
    up: bool | None = None
    counts: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    suspicions: dict[int, _Words] = field(default_factory=dict)  # question: words read once, when
    refused: set[int] = field(default_factory=set)  # questions about a panel's points that it does not answer

    def took(self, latency_s: float) -> None:
        """Keep the last `_LATENCIES` of them."""
        place = self.counts["ok"] % _LATENCIES
        if place < len(self.latencies_s):
            self.latencies_s[place] = latency_s
        else:
            self.latencies_s.append(latency_s)


class ModbusBus:
    """The driver of one bus. Raises ValueError for a line that cannot be (baud, framing) or an address outside 0-255."""

    def __init__(self, *, id: str, link: RtuLink | TcpLink, devices: Sequence[BusDevice]) -> None:
        self.id = id
        self._master: Master = RtuMaster(link) if isinstance(link, RtuLink) else TcpMaster(link)
        self._master.on_state = self._state
        self._master.on_stray = self._stray
        self._devices = [_device(device) for device in devices]
        self._by_unit = {device.address: index for index, device in enumerate(devices)}
        self._schedule = Schedule(
            [
                Job(
                    device=index,
                    question=number,
                    period_s=device.period_s or question.period_s,
                    rank=device.profile.rank,
                    line_s=self._master.line_s(self._devices[index].requests[number]),
                )
                for index, device in enumerate(devices)
                for number, question in enumerate(device.profile.questions)
            ],
            timeout_s=link.timeout_s,
        )
        self._polling = Polling(self._schedule, is_up=lambda: self._master.up, take=self._take)
        self._line: Counter[str] = Counter()
        self._up: bool | None = None
        self._sink: Sink | None = None

    # -- the seam -----------------------------------------------------------------------------------------------------
    async def run(self, sink: Sink) -> None:
        """Poll until cancelled. One call of `sink` for each poll, with all it gave."""
        self._sink = sink
        self._up = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._master.run(), name=f"{self.id}: port")
                tasks.create_task(self._polling.run(), name=f"{self.id}: poll")
        finally:
            self._sink = None

    def progress(self) -> int:
        """Grows at least once a second while the bus's task lives (a question of a slow line takes a little longer)."""
        return self._polling.progress

    def counters(self) -> dict[str, int]:
        """`kind` of the line, `device.kind` of each device; `device.latency_*_us` over its last 128 answers."""
        out = {kind: self._line[kind] for kind in _LINE_KINDS}
        out["overrun"] = self._schedule.overruns
        for kind in ("ok", "exception", "timeout", "crc", "echo"):
            out[kind] = sum(device.counts[kind] for device in self._devices)
        for device in self._devices:
            out |= {f"{device.id}.{kind}": device.counts[kind] for kind in _KINDS}
            if device.latencies_s:
                ordered = sorted(device.latencies_s)
                last = device.latencies_s[(device.counts["ok"] - 1) % _LATENCIES]
                figures = {
                    "min": ordered[0],
                    "avg": sum(ordered) / len(ordered),
                    "p99": ordered[(len(ordered) * 99 - 1) // 100],
                    "last": last,
                }
                out |= {f"{device.id}.latency_{name}_us": round(1e6 * value) for name, value in figures.items()}
        return out

    def specs(self) -> list[PointSpec]:
        """The points all devices have before they speak."""
        return [spec for device in self._devices for spec in device.profile.specs(device.id)]

    # -- polling ------------------------------------------------------------------------------------------------------
    async def _take(self, turn: Turn) -> None:
        device, job = self._devices[turn.job.device], turn.job
        outcome = await self._ask(device, turn)
        now_s = asyncio.get_running_loop().time()
        if outcome.result is Result.OK:
            seen = self._revived(device, turn, outcome, refused=False)
            seen += await self._read(device, turn, outcome)
            self._tell(seen)
        elif outcome.result is Result.REFUSED:
            seen = self._revived(device, turn, outcome, refused=True)
            if job.failures == FAILURES:
                seen += self._refused(device, job.question, outcome)
            self._tell(seen)
        elif outcome.result is Result.UNSURE:
            self._schedule.hold(job, now_s, outcome.wait_s)
        elif outcome.result is Result.DOWN:
            self._schedule.again(job, now_s)
            await self._polling.idle(0.05)  # the port's own task tells why
        elif self._schedule.failed(job, now_s):
            self._tell(self._died(device, outcome))

    async def _ask(self, device: _Device, turn: Turn) -> Outcome:
        request = device.requests[turn.job.question]
        outcome = await self._master.exchange(request, limit_s=turn.limit_s, step=device.profile.step)
        device.counts[outcome.result.value] += 1
        if outcome.echoed:
            device.counts["echo"] += 1
        if outcome.result is Result.OK:
            device.took(outcome.latency_s)
        return outcome

    async def _read(self, device: _Device, turn: Turn, outcome: Outcome) -> list[Observation]:
        """Act on an answer; a word that changes an alarm is read a second time first, where the profile asks."""
        question, memory = turn.job.question, device.memory
        words, at_ns = outcome.values, outcome.at_ns
        if not memory.suspects(question, words):
            device.suspicions.pop(question, None)
            return memory.feed(question, words, at_ns)
        earlier = device.suspicions.pop(question, None)
        if earlier is not None:  # the second reading of last time failed: this is it
            return _agree(device, question, earlier, (words, at_ns))
        second = await self._ask(device, turn)
        if second.result is Result.OK:
            return _agree(device, question, (words, at_ns), (second.values, second.at_ns))
        device.suspicions[question] = words, at_ns  # should the device die now, its last word counts: see _died
        return []

    # -- who is there -------------------------------------------------------------------------------------------------
    def _revived(self, device: _Device, turn: Turn, outcome: Outcome, *, refused: bool) -> list[Observation]:
        self._schedule.answered(turn.job, outcome.at_ns / 1e9, refused=refused)
        if not refused:
            device.refused.discard(turn.job.question)
        if device.up or device.refused:
            return []
        device.up = True
        return [LinkState(device.id, True, outcome.at_ns, "answering")]

    def _refused(self, device: _Device, question: int, outcome: Outcome) -> list[Observation]:
        """It is there and will not answer this: what the question asks for is unknown."""
        at_ns = outcome.at_ns
        seen = device.memory.unknown("exception", at_ns, question)
        if device.profile.points[question]:  # a panel whose points cannot be seen is no panel that is watched
            device.refused.add(question)
            device.up = False
            request = device.requests[question]
            detail = f"fc={request.function} start={request.start} count={request.count} code={outcome.exception}"
            seen.append(LinkState(device.id, False, at_ns, "exception", detail))
        return seen

    def _died(self, device: _Device, outcome: Outcome) -> list[Observation]:
        at_ns = outcome.at_ns
        device.up = False
        seen: list[Observation] = []
        for question, (words, read_ns) in device.suspicions.items():
            # Its last good answer said something new and it never answered again: a fire that burnt the line looks so.
            seen += device.memory.feed(question, words, read_ns)
        device.suspicions.clear()
        seen.append(LinkState(device.id, False, at_ns, "no_answer", f"last={outcome.result.value}"))
        return seen + device.memory.unknown(outcome.result.value, at_ns)

    def _state(self, up: bool, reason: str, detail: str, at_ns: int) -> None:
        self._line["opened" if up else "lost"] += 1
        seen: list[Observation] = []
        if self._up is not up or not up:
            seen.append(LinkState(self.id, up, at_ns, reason, detail))
        if up:
            self._schedule.start(at_ns / 1e9)
        else:
            for device in self._devices:
                seen += device.memory.unknown("no_port", at_ns)
        self._up = up
        self._polling.wake()
        self._tell(seen)

    def _stray(self, what: str, unit: int, count: int) -> None:
        self._line[what] += count
        if what == "late" and unit in self._by_unit:
            index = self._by_unit[unit]
            self._devices[index].counts["late"] += count
            self._schedule.heard_late(index)

    def _tell(self, seen: Sequence[Observation]) -> None:
        if seen and self._sink is not None:
            self._sink(seen)


def _device(device: BusDevice) -> _Device:
    return _Device(
        id=device.id,
        profile=device.profile,
        memory=device.profile.memory(device.id),
        requests=[
            ReadRequest(device.address, question.function, question.start, question.count)
            for question in device.profile.questions
        ],
    )


def _agree(device: _Device, question: int, read_first: _Words, read_second: _Words) -> list[Observation]:
    """Act on two readings of words that change an alarm.

    The same twice: true. Back to what it was: not acted upon. Changed, and changed again: both are true, in this order.
    Changed in the second alone: not yet, its own second reading comes with the next poll.
    """
    (first, first_ns), (second, second_ns) = read_first, read_second
    memory = device.memory
    good = memory.good(question) or (0,) * len(first)
    suspects, after = memory.suspects(question, first), memory.suspects(question, second)
    before, sure, moved = list(second), list(second), False
    for offset in suspects | after:
        if offset not in suspects:
            before[offset] = sure[offset] = good[offset]
        elif second[offset] == good[offset]:
            before[offset] = good[offset]
            device.counts["unconfirmed"] += 1
        elif second[offset] != first[offset]:
            before[offset], moved = first[offset], True
    seen = memory.feed(question, tuple(before), first_ns) if moved else []
    return seen + memory.feed(question, tuple(sure), second_ns)
