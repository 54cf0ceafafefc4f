"""One line of DL/T 645 meters, read only: asks them in turn, credits only their own answers.

A reply names its meter and its identifier, so unlike Modbus a late one is told from the wanted one by its content; what was
asked again within the time a meter may think is the same value either way. What is asked when is `drivers.schedule`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from drivers.codecs import dlt645
from drivers.codecs.dlt645 import Frame, LineReader, di_of, payload_of
from drivers.dlt645_map import MeterMemory, MeterProfile, Question
from drivers.messages import LinkState, Observation, PointSpec, Sink
from drivers.polling import Polling
from drivers.schedule import FAILURES, Job, Rank, Schedule, Turn
from drivers.serial_link import LinkDown, SerialLink

THINK_S: Final = 1.0  # a meter answers within 0.5 s (clause 5.3); radio and TCP bridges take longer
START_GAP_S: Final = 0.2  # no more than one question in this time, whatever the speed
QUIET_MAX_S: Final = 2.0  # a line that never falls silent is asked all the same
FOLLOWING_MAX: Final = 32  # frames of one answer
ANSWER_BYTES_MAX: Final = 4096
FRAMES_WAITING_MAX: Final = 64  # a line that babbles
NO_SUCH_DATA: Final = 0x02  # error word, bit 1 of 2007: no requested data; of 1997: wrong identifier
Fits = Callable[[Frame], bool]
_KINDS: Final = ("ok", "error", "timeout", "crc", "foreign", "echo")


@dataclass(frozen=True, slots=True)
class MeterLine:
    """The serial line. `timeout_s`: a meter's time to think, at least THINK_S."""

    port: str
    baud: int = 2400
    framing: str = "8E1"
    timeout_s: float = THINK_S
    open_port: Callable[..., SerialLink] = SerialLink


@dataclass(frozen=True, slots=True)
class BusMeter:
    """One meter. `address`: its 12 digits, or "" for the only one on the line, which is then asked for it."""

    id: str
    profile: MeterProfile
    address: str = ""
    period_s: float | None = None


@dataclass(slots=True)
class _Meter:
    id: str
    profile: MeterProfile
    memory: MeterMemory
    address: str
    given: bool  # the address stands in the configuration
    up: bool | None = None
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Reply:
    """How a question ended: ok, error (with the meter's word), timeout, crc, foreign, down."""

    result: str
    payload: bytes = b""
    error: int = 0


class Dlt645Bus:
    """The driver of one line (docs/architecture.md, seams). Raises ValueError for a speed or framing that does not exist."""

    def __init__(self, *, id: str, line: MeterLine, meters: Sequence[BusMeter]) -> None:
        self.id = id
        self._port = line.open_port(line.port, baud=line.baud, framing=line.framing)
        self._timeout_s = max(line.timeout_s, THINK_S)
        self._meters = [
            _Meter(m.id, m.profile, MeterMemory(m.profile, m.id), m.address or dlt645.WILDCARD, bool(m.address))
            for m in meters
        ]
        self._schedule = Schedule(
            [
                Job(
                    device=index,
                    question=number,
                    period_s=meter.period_s or question.period_s,
                    rank=Rank.METER,
                    line_s=self._port.char_s(20 + 16 + question.size),
                )
                for index, meter in enumerate(meters)
                for number, question in enumerate(meter.profile.questions)
            ],
            timeout_s=self._timeout_s,
        )
        self._polling = Polling(self._schedule, is_up=lambda: self._port.up, take=self._take)
        self._reader = LineReader()
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._broken = 0
        self._more = False  # the last answer said that more frames follow
        self._heard_s = self._asked_s = 0.0
        self._line: Counter[str] = Counter()
        self._sink: Sink | None = None

    # -- the seam -----------------------------------------------------------------------------------------------------
    async def run(self, sink: Sink) -> None:
        """Poll until cancelled."""
        self._sink = sink
        self._port.on_bytes, self._port.on_state = self._bytes, self._state
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._port.run(), name=f"{self.id}: port")
                tasks.create_task(self._polling.run(), name=f"{self.id}: poll")
        finally:
            self._sink = None

    def progress(self) -> int:
        """Grows at least every few seconds while the bus's task lives."""
        return self._polling.progress

    def counters(self) -> dict[str, int]:
        """`kind` of the line, `meter.kind` of each meter."""
        out = {"opened": self._line["opened"], "lost": self._line["lost"], "noise": self._reader.noise_bytes}
        out["overrun"] = self._schedule.overruns
        for kind in _KINDS:
            out[kind] = sum(meter.counts[kind] for meter in self._meters)
        return out | {f"{meter.id}.{kind}": meter.counts[kind] for meter in self._meters for kind in _KINDS}

    def specs(self) -> list[PointSpec]:
        """The points all meters have before they speak."""
        return [spec for meter in self._meters for spec in meter.profile.specs(meter.id)]

    # -- polling ------------------------------------------------------------------------------------------------------
    async def _take(self, turn: Turn) -> None:
        meter, job = self._meters[turn.job.device], turn.job
        reply = await self._ask(meter, meter.profile.questions[job.question])
        now_s = asyncio.get_running_loop().time()
        at_ns = round(now_s * 1e9)
        if reply.result == "down":
            self._schedule.again(job, now_s)
            await self._polling.idle(0.05)
            return
        meter.counts[reply.result] += 1
        if reply.result == "ok":
            self._tell([*self._alive(meter, job, now_s), *meter.memory.feed(job.question, reply.payload, at_ns)])
        elif reply.result == "error":
            seen = self._alive(meter, job, now_s, refused=True)
            if reply.error & NO_SUCH_DATA:
                self._schedule.retire(job)  # it will not grow one: not asked again before the port is opened anew
            if reply.error & NO_SUCH_DATA or job.failures == FAILURES:
                seen += meter.memory.unknown("absent" if reply.error & NO_SUCH_DATA else "refused", at_ns, job.question)
            self._tell(seen)
        elif self._schedule.failed(job, now_s):
            meter.up = False
            state = LinkState(meter.id, False, at_ns, "no_answer", f"last={reply.result}")
            if not meter.given:
                meter.address = dlt645.WILDCARD  # another meter may hang there when it is back
            self._tell([state, *meter.memory.unknown(reply.result, at_ns)])

    def _alive(self, meter: _Meter, job: Job, now_s: float, *, refused: bool = False) -> list[Observation]:
        self._schedule.answered(job, now_s, refused=refused)
        if meter.up:
            return []
        meter.up = True
        return [LinkState(meter.id, True, round(now_s * 1e9), "answering", meter.address)]

    # -- one question -------------------------------------------------------------------------------------------------
    async def _ask(self, meter: _Meter, question: Question) -> _Reply:
        old = meter.profile.edition == 1997
        if meter.address == dlt645.WILDCARD and not old:
            await self._discover(meter)
        wire = (dlt645.read_1997 if old else dlt645.read_2007)(meter.address, question.di)
        reply = await self._exchange(meter, wire, question)
        payload, seq = reply.payload, 0
        while reply.result == "ok" and self._more:
            seq += 1
            if seq > FOLLOWING_MAX or len(payload) > ANSWER_BYTES_MAX:
                return _Reply("crc")  # an answer that never ends is none
            wire = (
                dlt645.following_1997(meter.address, question.di)
                if old
                else dlt645.following_2007(meter.address, question.di, seq)
            )
            reply = await self._exchange(meter, wire, question, following=True)
            part = reply.payload
            if reply.result == "ok" and not old:
                if part[-1:] != bytes((seq,)):
                    return _Reply("crc")  # frames out of order: the whole value is asked again
                part = part[:-1]
            payload += part
        return _Reply(reply.result, payload, reply.error)

    async def _discover(self, meter: _Meter) -> None:
        """Ask the only meter on the line who it is. Where it does not say, the wildcard itself is used."""
        frame = await self._round(meter, dlt645.ask_address(), lambda f: f.function == dlt645.READ_ADDRESS)
        if isinstance(frame, Frame) and not frame.abnormal and len(frame.data) == 6:
            meter.address = frame.data[::-1].hex().upper()

    async def _exchange(self, meter: _Meter, wire: bytes, question: Question, *, following: bool = False) -> _Reply:
        old = meter.profile.edition == 1997
        base = dlt645.READ_1997 if old else dlt645.READ_2007
        function = base + 1 if following else base

        def fits(frame: Frame) -> bool:
            return frame.function == function and (frame.abnormal or di_of(frame) == question.di)

        self._more = False
        frame = await self._round(meter, wire, fits)
        if isinstance(frame, str):
            return _Reply(frame)
        if frame.abnormal:
            return _Reply("error", error=frame.data[0] if frame.data else 0)
        if meter.address == dlt645.WILDCARD and "A" not in frame.address:
            meter.address = frame.address  # the old edition tells its address in any answer
        self._more = frame.more
        return _Reply("ok", payload_of(frame))

    async def _round(self, meter: _Meter, wire: bytes, fits: Fits) -> Frame | str:
        """Send and wait for the meter's own answer; else the reason as in _Reply."""
        loop = asyncio.get_running_loop()
        await self._quiet(loop)
        while not self._frames.empty():
            self._frames.get_nowait()
            meter.counts["foreign"] += 1
        self._reader.settle()
        broken, strange = self._broken, False
        self._asked_s = loop.time()
        try:
            self._port.write(wire)
        except LinkDown:
            return "down"
        deadline_s = self._asked_s + self._port.char_s(len(wire) + dlt645.HEAD_BYTES + 200) + self._timeout_s
        while True:
            try:
                async with asyncio.timeout_at(deadline_s):
                    frame = await self._frames.get()
            except TimeoutError:
                if not self._port.up:
                    return "down"
                return "crc" if self._broken > broken else "foreign" if strange else "timeout"
            self._polling.progress += 1
            if not frame.from_meter:
                meter.counts["echo"] += frame.raw.endswith(wire[len(dlt645.WAKE) :])
            elif fits(frame) and _same(meter.address, frame.address):
                return frame
            else:
                strange = True

    async def _quiet(self, loop: asyncio.AbstractEventLoop) -> None:
        give_up_s = loop.time() + QUIET_MAX_S
        gap_s = max(self._port.char_s(4), 0.02)
        while (wait_s := min(max(self._heard_s + gap_s, self._asked_s + START_GAP_S), give_up_s) - loop.time()) > 0:  # noqa: ASYNC110 - bytes move it
            await asyncio.sleep(wait_s)

    # -- in the loop turn in which bytes came --------------------------------------------------------------------------
    def _bytes(self, data: bytes, at_ns: int) -> None:
        self._heard_s = at_ns / 1e9
        for found in self._reader.feed(data):
            if isinstance(found, Frame) and self._frames.qsize() < FRAMES_WAITING_MAX:
                self._frames.put_nowait(found)
            else:
                self._broken += 1

    def _state(self, up: bool, reason: str, detail: str, at_ns: int) -> None:
        self._line["opened" if up else "lost"] += 1
        seen: list[Observation] = [LinkState(self.id, up, at_ns, reason, detail)]
        if up:
            self._schedule.start(at_ns / 1e9)
        else:
            for meter in self._meters:
                meter.up = None if meter.up is None else False
                seen += meter.memory.unknown("no_port", at_ns)
        self._polling.wake()
        self._tell(seen)

    def _tell(self, seen: Sequence[Observation]) -> None:
        if seen and self._sink is not None:
            self._sink(seen)


def _same(asked: str, answered: str) -> bool:
    """Whether an answer's address can be the asked one's: wildcards on either side match anything."""
    return all(a == b or "AA" in (a, b) for a, b in zip(_pairs(asked), _pairs(answered), strict=True))


def _pairs(address: str) -> list[str]:
    return [address[at : at + 2] for at in range(0, 12, 2)]
