"""One line of 京硅 (KS) breakers, read only: asks each for its state and its measures, and hears the faults they push.

A fault is told in the loop turn in which its last byte came, before it is acknowledged; the breaker repeats it until it is.
Every frame names its breaker, so a late answer is told from the wanted one by its content. What is asked when is
`drivers.schedule`; nothing is sent but the two questions and the two answers of the protocol.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from drivers.codecs import ks_breaker
from drivers.codecs.ks_breaker import Frame, LineReader
from drivers.ks_map import MEASURE, STATE, BreakerMemory, BreakerProfile
from drivers.messages import PanelEvent
from drivers.schedule import Job, Rank, Turn
from drivers.serial_bus import Line, SerialBus, Slave
from drivers.serial_link import LinkDown, SerialLink

QUIET_MAX_S: Final = 1.0  # a line that never falls silent is asked all the same
ECHO_NS: Final = 300_000_000  # a frame that comes back so soon is our own, on an adapter that hears itself
_ASK_BYTES, _ANSWER_BYTES = 22, (60, 120)
_ASK: Final = (ks_breaker.ask_state, ks_breaker.ask_measure)
_FITS: Final = (ks_breaker.is_state, ks_breaker.is_measure)
_KINDS: Final = ("ok", "timeout", "crc", "foreign", "faults", "acknowledged")


@dataclass(frozen=True, slots=True)
class BusBreaker:
    """One breaker. `address`: the 12 digits on it. `period_s` replaces both periods of its profile."""

    id: str
    profile: BreakerProfile
    address: str
    period_s: float | None = None


@dataclass(slots=True, kw_only=True)
class _Breaker(Slave):
    memory: BreakerMemory


class KsBus(SerialBus[_Breaker]):
    """The driver of one line of breakers."""

    def __init__(self, *, id: str, line: Line, breakers: Sequence[BusBreaker]) -> None:
        slaves = [
            _Breaker(id=b.id, points=b.profile.specs(b.id), memory=BreakerMemory(b.profile, b.id)) for b in breakers
        ]
        super().__init__(id, line, slaves, partial(_jobs, breakers))
        self._addresses = [b.address.upper() for b in breakers]
        self._by_address = dict(zip(self._addresses, slaves, strict=True))
        self._reader = LineReader()
        self._waiting: asyncio.Future[Frame] | None = None
        self._wanted: tuple[str, int] = ("", STATE)  # address and question
        self._strange = False
        self._powered = True
        self._said: tuple[int, bytes] = 0, b""  # when and what was answered last

    def counters(self) -> dict[str, int]:
        """`kind` of the line, `breaker.kind` of each breaker."""
        out = {kind: self._counts[kind] for kind in ("opened", "lost", "logins", "heartbeats", "unlisted")}
        out |= {"broken": self._reader.broken, "noise": self._reader.noise_bytes, "overrun": self._schedule.overruns}
        return out | self._counters(_KINDS)

    # -- polling ------------------------------------------------------------------------------------------------------
    async def _take(self, turn: Turn) -> None:
        job = turn.job
        breaker = self._slaves[job.device]
        result, frame = await self._ask(self._addresses[job.device], job.question, turn.limit_s)
        now_s = asyncio.get_running_loop().time()
        at_ns = round(now_s * 1e9)
        if result == "down":
            self._schedule.again(job, now_s)
            await self._polling.idle(0.05)  # the port's own task tells why
            return
        breaker.counts[result] += 1
        if frame is not None:
            self._schedule.answered(job, now_s)
            self._tell([*self._alive(breaker, at_ns), *breaker.memory.feed(frame, at_ns)])
        elif self._schedule.failed(job, now_s):
            self._tell(self._silent(breaker, result, at_ns))

    async def _ask(self, address: str, question: int, limit_s: float) -> tuple[str, Frame | None]:
        await self._quiet(QUIET_MAX_S)
        self._reader.clear()
        broken, self._strange = self._reader.broken, False
        self._wanted, self._waiting = (address, question), asyncio.get_running_loop().create_future()
        try:
            self._port.write(_ASK[question](address))
            async with asyncio.timeout(self._port.char_s(_ASK_BYTES + _ANSWER_BYTES[question]) + limit_s):
                return "ok", await self._waiting
        except LinkDown:
            return "down", None
        except TimeoutError:
            if not self._port.up:
                return "down", None
            return "crc" if self._reader.broken > broken else "foreign" if self._strange else "timeout", None
        finally:
            self._waiting = None

    # -- in the loop turn in which bytes came --------------------------------------------------------------------------
    def _bytes(self, data: bytes, at_ns: int) -> None:
        self._heard_s = at_ns / 1e9
        for frame in self._reader.feed(data):
            said_ns, said = self._said
            if frame.from_master or (frame.raw == said and at_ns - said_ns < ECHO_NS):
                continue  # another master, or our own bytes coming back
            self._frame(frame, at_ns)

    def _frame(self, frame: Frame, at_ns: int) -> None:
        breaker = self._by_address.get(frame.node)
        if frame.function == ks_breaker.FAULT:
            self._fault(frame, breaker, at_ns)
        elif frame.function in (ks_breaker.LOGIN, ks_breaker.HEARTBEAT):
            self._counts["logins" if frame.function == ks_breaker.LOGIN else "heartbeats"] += 1
            self._power(frame, at_ns, on=True)
        elif frame.function == ks_breaker.POWER_DOWN:
            self._power(frame, at_ns, on=False)
        elif self._waiting is not None and not self._waiting.done() and self._fits(frame):
            self._waiting.set_result(frame)
        else:
            self._strange = True
        answer = ks_breaker.answer_to(frame)
        if answer:
            self._answer(answer, breaker, at_ns)

    def _fits(self, frame: Frame) -> bool:
        address, question = self._wanted
        return frame.node == address and _FITS[question](frame)

    def _fault(self, frame: Frame, breaker: _Breaker | None, at_ns: int) -> None:
        if breaker is None:  # nobody listed it; a trip is a trip
            self._counts["unlisted"] += 1
            self._tell(
                [
                    PanelEvent(
                        f"{self.id}/{frame.node}",
                        ks_breaker.event_of(point, value),
                        at_ns,
                        {"reason": "unlisted", "trip": ks_breaker.trip_of(point)},
                        frame.raw,
                    )
                    for point, value in ks_breaker.points_of(frame).items()
                ]
            )
            return
        breaker.counts["faults"] += 1
        self._tell([*self._alive(breaker, at_ns), *breaker.memory.feed(frame, at_ns)])

    def _power(self, frame: Frame, at_ns: int, *, on: bool) -> None:
        """A concentrator tells with its last breath that its supply is gone; whatever it says later, it is back."""
        if on is self._powered:
            return
        self._powered = on
        event = "mains_ok" if on else "mains_fault"
        self._tell([PanelEvent(f"{self.id}/power", event, at_ns, {}, frame.raw)])

    def _answer(self, answer: bytes, breaker: _Breaker | None, at_ns: int) -> None:
        try:
            self._port.write(answer)
        except LinkDown:
            return  # the port's own task tells why
        self._said = at_ns, answer
        if breaker is not None:
            breaker.counts["acknowledged"] += 1

    def _state(self, up: bool, reason: str, detail: str, at_ns: int) -> None:
        if not up:
            self._reader.clear()
        super()._state(up, reason, detail, at_ns)


def _jobs(breakers: Sequence[BusBreaker], port: SerialLink) -> Iterator[Job]:
    for index, breaker in enumerate(breakers):
        for question in (STATE, MEASURE):
            yield Job(
                device=index,
                question=question,
                period_s=breaker.period_s or breaker.profile.period_s[question],
                rank=Rank.METER,
                line_s=port.char_s(_ASK_BYTES + _ANSWER_BYTES[question]),
            )
