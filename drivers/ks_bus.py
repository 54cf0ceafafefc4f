"""One line of 京硅 (KS) breakers, read only: asks each for its state and its measures, and hears the faults they push.

A fault is told in the loop turn in which its last byte came, before it is acknowledged; the breaker repeats it until it is.
Every frame names its breaker, so a late answer is told from the wanted one by its content. What is asked when is
`drivers.schedule`; nothing is sent but the two questions and the two answers of the protocol.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from drivers.codecs import ks_breaker
from drivers.codecs.ks_breaker import Frame, LineReader
from drivers.ks_map import MEASURE, STATE, BreakerMemory, BreakerProfile
from drivers.messages import LinkState, Observation, PanelEvent, PointSpec, Sink
from drivers.polling import Polling
from drivers.schedule import Job, Rank, Schedule, Turn
from drivers.serial_link import LinkDown, SerialLink

THINK_S: Final = 1.0
QUIET_MAX_S: Final = 1.0  # a line that never falls silent is asked all the same
ECHO_NS: Final = 300_000_000  # a frame that comes back so soon is our own, on an adapter that hears itself
_ASK_BYTES, _ANSWER_BYTES = 22, (60, 120)
_ASK: Final = (ks_breaker.ask_state, ks_breaker.ask_measure)
_FITS: Final = (ks_breaker.is_state, ks_breaker.is_measure)
_KINDS: Final = ("ok", "timeout", "crc", "foreign", "faults", "acknowledged")


@dataclass(frozen=True, slots=True)
class BreakerLine:
    """The serial line. `timeout_s`: a breaker's time to think, at least THINK_S."""

    port: str
    baud: int = 9600
    framing: str = "8N1"
    timeout_s: float = THINK_S
    open_port: Callable[..., SerialLink] = SerialLink


@dataclass(frozen=True, slots=True)
class BusBreaker:
    """One breaker. `address`: the 12 digits on it. `period_s` replaces both periods of its profile."""

    id: str
    profile: BreakerProfile
    address: str
    period_s: float | None = None


@dataclass(slots=True)
class _Breaker:
    id: str
    profile: BreakerProfile
    memory: BreakerMemory
    up: bool | None = None
    counts: Counter[str] = field(default_factory=Counter)


class KsBus:
    """The driver of one line (docs/architecture.md, seams). Raises ValueError for a speed or framing that does not exist."""

    def __init__(self, *, id: str, line: BreakerLine, breakers: Sequence[BusBreaker]) -> None:
        self.id = id
        self._port = line.open_port(line.port, baud=line.baud, framing=line.framing)
        self._timeout_s = max(line.timeout_s, THINK_S)
        self._breakers = [_Breaker(b.id, b.profile, BreakerMemory(b.profile, b.id)) for b in breakers]
        self._addresses = [b.address.upper() for b in breakers]
        self._by_address = dict(zip(self._addresses, self._breakers, strict=True))
        self._schedule = Schedule(
            [
                Job(
                    device=index,
                    question=question,
                    period_s=breaker.period_s or breaker.profile.period_s[question],
                    rank=Rank.METER,
                    line_s=self._port.char_s(_ASK_BYTES + _ANSWER_BYTES[question]),
                )
                for index, breaker in enumerate(breakers)
                for question in (STATE, MEASURE)
            ],
            timeout_s=self._timeout_s,
        )
        self._polling = Polling(self._schedule, is_up=lambda: self._port.up, take=self._take)
        self._reader = LineReader()
        self._waiting: asyncio.Future[Frame] | None = None
        self._wanted: tuple[str, int] = ("", STATE)  # address and question
        self._strange = False
        self._heard_s = 0.0
        self._powered = True
        self._said: tuple[int, bytes] = 0, b""  # when and what was answered last
        self._line: Counter[str] = Counter()
        self._sink: Sink | None = None

    # -- the seam -----------------------------------------------------------------------------------------------------
    async def run(self, sink: Sink) -> None:
        """Poll and listen until cancelled."""
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
        """`kind` of the line, `breaker.kind` of each breaker."""
        out = {kind: self._line[kind] for kind in ("opened", "lost", "logins", "heartbeats", "unlisted")}
        out |= {"broken": self._reader.broken, "noise": self._reader.noise_bytes, "overrun": self._schedule.overruns}
        for kind in _KINDS:
            out[kind] = sum(breaker.counts[kind] for breaker in self._breakers)
        return out | {f"{breaker.id}.{kind}": breaker.counts[kind] for breaker in self._breakers for kind in _KINDS}

    def specs(self) -> list[PointSpec]:
        """The points all breakers have before they speak."""
        return [spec for breaker in self._breakers for spec in breaker.profile.specs(breaker.id)]

    # -- polling ------------------------------------------------------------------------------------------------------
    async def _take(self, turn: Turn) -> None:
        job = turn.job
        breaker = self._breakers[job.device]
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
            breaker.up = False
            state = LinkState(breaker.id, False, at_ns, "no_answer", f"last={result}")
            self._tell([state, *breaker.memory.unknown(result, at_ns)])

    def _alive(self, breaker: _Breaker, at_ns: int) -> list[Observation]:
        if breaker.up:
            return []
        breaker.up = True
        return [LinkState(breaker.id, True, at_ns, "answering")]

    async def _ask(self, address: str, question: int, limit_s: float) -> tuple[str, Frame | None]:
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + QUIET_MAX_S
        gap_s = max(self._port.char_s(4), 0.02)
        while (wait_s := min(self._heard_s + gap_s, give_up_s) - loop.time()) > 0:  # noqa: ASYNC110 - bytes move it
            await asyncio.sleep(wait_s)
        self._reader.clear()
        broken, self._strange = self._reader.broken, False
        self._wanted, self._waiting = (address, question), loop.create_future()
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
            self._line["logins" if frame.function == ks_breaker.LOGIN else "heartbeats"] += 1
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
            self._line["unlisted"] += 1
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
        self._line["opened" if up else "lost"] += 1
        seen: list[Observation] = [LinkState(self.id, up, at_ns, reason, detail)]
        if up:
            self._schedule.start(at_ns / 1e9)
        else:
            self._reader.clear()
            for breaker in self._breakers:
                breaker.up = None if breaker.up is None else False
                seen += breaker.memory.unknown("no_port", at_ns)
        self._polling.wake()
        self._tell(seen)

    def _tell(self, seen: Sequence[Observation]) -> None:
        if seen and self._sink is not None:
            self._sink(seen)
