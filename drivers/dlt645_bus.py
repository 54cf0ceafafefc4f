"""One line of DL/T 645 meters, read only: asks them in turn, credits only their own answers.

A reply names its meter and its identifier, so unlike Modbus a late one is told from the wanted one by its content; what was
asked again within the time a meter may think is the same value either way. What is asked when is `drivers.schedule`.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from drivers.codecs import dlt645
from drivers.codecs.dlt645 import Frame, LineReader, di_of, payload_of
from drivers.dlt645_map import MeterMemory, MeterProfile, Question
from drivers.messages import Observation
from drivers.schedule import FAILURES, Job, Rank, Turn
from drivers.serial_bus import Line, SerialBus, Slave
from drivers.serial_link import LinkDown, SerialLink

START_GAP_S: Final = 0.2  # no more than one question in this time, whatever the speed
QUIET_MAX_S: Final = 2.0  # a line that never falls silent is asked all the same
FOLLOWING_MAX: Final = 32  # frames of one answer
ANSWER_BYTES_MAX: Final = 4096
FRAMES_WAITING_MAX: Final = 64  # a line that babbles
NO_SUCH_DATA: Final = 0x02  # error word, bit 1 of 2007: no requested data; of 1997: wrong identifier
Fits = Callable[[Frame], bool]
_KINDS: Final = ("ok", "error", "timeout", "crc", "foreign", "echo")


@dataclass(frozen=True, slots=True)
class BusMeter:
    """One meter. `address`: its 12 digits, or "" for the only one on the line, which is then asked for it."""

    id: str
    profile: MeterProfile
    address: str = ""
    period_s: float | None = None


@dataclass(slots=True, kw_only=True)
class _Meter(Slave):
    memory: MeterMemory
    profile: MeterProfile
    address: str
    given: bool  # the address stands in the configuration


@dataclass(frozen=True, slots=True)
class _Reply:
    """How a question ended: ok, error (with the meter's word), timeout, crc, foreign, down."""

    result: str
    payload: bytes = b""
    error: int = 0


class Dlt645Bus(SerialBus[_Meter]):
    """The driver of one line of meters."""

    def __init__(self, *, id: str, line: Line, meters: Sequence[BusMeter]) -> None:
        super().__init__(id, line, [_meter(meter) for meter in meters], partial(_jobs, meters))
        self._reader = LineReader()
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._broken = 0
        self._more = False  # the last answer said that more frames follow
        self._asked_s = 0.0

    def counters(self) -> dict[str, int]:
        """`kind` of the line, `meter.kind` of each meter."""
        out = {"opened": self._counts["opened"], "lost": self._counts["lost"], "noise": self._reader.noise_bytes}
        return out | {"overrun": self._schedule.overruns} | self._counters(_KINDS)

    # -- polling ------------------------------------------------------------------------------------------------------
    async def _take(self, turn: Turn) -> None:
        meter, job = self._slaves[turn.job.device], turn.job
        reply = await self._ask(meter, meter.profile.questions[job.question])
        now_s = asyncio.get_running_loop().time()
        at_ns = round(now_s * 1e9)
        if reply.result == "down":
            self._schedule.again(job, now_s)
            await self._polling.idle(0.05)
            return
        meter.counts[reply.result] += 1
        if reply.result == "ok":
            self._tell([*self._answered(meter, job, now_s), *meter.memory.feed(job.question, reply.payload, at_ns)])
        elif reply.result == "error":
            seen = self._answered(meter, job, now_s, refused=True)
            if reply.error & NO_SUCH_DATA:
                self._schedule.retire(job)  # it will not grow one: not asked again before the port is opened anew
            if reply.error & NO_SUCH_DATA or job.failures == FAILURES:
                why = "absent" if reply.error & NO_SUCH_DATA else "exception"
                seen += meter.memory.unknown(why, at_ns, job.question)
            self._tell(seen)
        elif self._schedule.failed(job, now_s):
            if not meter.given:
                meter.address = dlt645.WILDCARD  # another meter may hang there when it is back
            self._tell(self._silent(meter, reply.result, at_ns))

    def _answered(self, meter: _Meter, job: Job, now_s: float, *, refused: bool = False) -> list[Observation]:
        self._schedule.answered(job, now_s, refused=refused)
        return self._alive(meter, round(now_s * 1e9), meter.address)

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
            if reply.result == "error":  # it has lost its place; whether it has the value is what the first frame says
                return _Reply("error", error=reply.error & ~NO_SUCH_DATA)
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
        await self._quiet(QUIET_MAX_S, self._asked_s + START_GAP_S)
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

    # -- in the loop turn in which bytes came --------------------------------------------------------------------------
    def _bytes(self, data: bytes, at_ns: int) -> None:
        self._heard_s = at_ns / 1e9
        for found in self._reader.feed(data):
            if isinstance(found, Frame) and self._frames.qsize() < FRAMES_WAITING_MAX:
                self._frames.put_nowait(found)
            else:
                self._broken += 1


def _meter(meter: BusMeter) -> _Meter:
    return _Meter(
        id=meter.id,
        points=meter.profile.specs(meter.id),
        memory=MeterMemory(meter.profile, meter.id),
        profile=meter.profile,
        address=meter.address or dlt645.WILDCARD,
        given=bool(meter.address),
    )


def _jobs(meters: Sequence[BusMeter], port: SerialLink) -> Iterator[Job]:
    for index, meter in enumerate(meters):
        for number, question in enumerate(meter.profile.questions):
            yield Job(
                device=index,
                question=number,
                period_s=meter.period_s or question.period_s,
                rank=Rank.METER,
                line_s=port.char_s(20 + 16 + question.size),
            )


def _same(asked: str, answered: str) -> bool:
    """Whether an answer's address can be the asked one's: wildcards on either side match anything."""
    return all(a == b or "AA" in (a, b) for a, b in zip(_pairs(asked), _pairs(answered), strict=True))


def _pairs(address: str) -> list[str]:
    return [address[at : at + 2] for at in range(0, 12, 2)]
