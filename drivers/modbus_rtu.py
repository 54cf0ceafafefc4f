"""Modbus RTU master on one serial line.

An RTU answer names neither its question nor the register it holds: a slave that answers too late answers the next
question, unless somebody remembers. `Owed` remembers (docs/decisions/0004-modbus.md):

- Each slave's unanswered questions of the last `LATE_S` are kept. A slave answers in order, so once the answer to a
  later question is certain, the earlier ones are settled.
- Before a question whose answer would look like one still owed, the master asks for fewer registers: that answer's
  length tells it from all that is owed, and the line is in step again.
- Where there is nothing fewer to ask for (one register), the first frame is credited to nobody, and the slave is left
  alone until a second one must have come.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers.codecs.modbus import Answer, Frame, LineReader, ReadRequest, rtu_frame
from drivers.modbus_master import OnState, OnStray, Outcome, Result
from drivers.serial_link import LinkDown, SerialLink

LATE_S: Final = 5.0  # no answer is believed to be on its way for longer than this
QUIET_MAX_S: Final = 0.5  # a line that never falls silent is asked all the same, or its noise would stop the bus
_QUESTION_BYTES: Final = 8
_PAUSE_MIN_S: Final = 0.002  # less than this is not worth two system calls
_OWED_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class RtuLink:
    """A serial line: `timeout_s` is a slave's time to think, `gap_s` the silence before each question."""

    port: str
    baud: int = 9600
    framing: str = "8N1"
    timeout_s: float = 0.3
    gap_s: float = 0.02
    open_port: Callable[..., SerialLink] = SerialLink


class Owed:
    """Questions one slave has not answered yet, and so might answer late. Pure: times are arguments, seconds."""

    def __init__(self, late_s: float = LATE_S) -> None:
        self._late_s = late_s
        self._asked: deque[tuple[float, ReadRequest]] = deque(maxlen=_OWED_MAX)
        self._hold_until_s = 0.0

    def hold_s(self, now_s: float) -> float:
        """How long this slave must be left alone. When that is over nothing is owed any more."""
        if self._hold_until_s and now_s >= self._hold_until_s:
            self._settled()
        return max(0.0, self._hold_until_s - now_s)

    def confuses(self, request: ReadRequest, now_s: float) -> bool:
        """Whether an answer still owed would look like the answer to `request`."""
        while self._asked and now_s - self._asked[0][0] > self._late_s:
            self._asked.popleft()
        return any(_alike(earlier, request) for _, earlier in self._asked)

    def narrower(self, request: ReadRequest, step: int) -> ReadRequest | None:
        """A smaller read at the same place whose answer looks like none that is owed; None if there is none."""
        for count in range(step, request.count, step):
            smaller = ReadRequest(request.unit, request.function, request.start, count)
            if not any(_alike(earlier, smaller) for _, earlier in self._asked):
                return smaller
        return None

    def ask(self, request: ReadRequest, now_s: float) -> None:
        """`request` is being sent."""
        self._asked.append((now_s, request))

    def withdraw(self) -> None:
        """The question asked last never left."""
        self._asked.pop()

    def credit(self, answer: Answer, now_s: float) -> bool:
        """Whether `answer`, which fits the question asked last, can belong to it alone. Settles all if so.

        Else it is counted as the answer to the oldest question it fits, and the slave is held until the answer to the last
        one, if as late as that, must have come.
        """
        _, request = self._asked[-1]
        for index, (sent_s, earlier) in enumerate(self._asked):
            if index == len(self._asked) - 1:
                break
            if answer.exception or _alike(earlier, request):
                for _ in range(index + 1):
                    self._asked.popleft()
                self._hold_until_s = self._asked[-1][0] + 1.5 * (now_s - sent_s) + 0.05
                return False
        self._settled()
        return True

    def late(self, frame: Frame) -> bool:
        """Whether `frame`, which fits no question being asked, is an answer owed. It settles that one and all before."""
        if frame.request:
            return False
        for index, (_, earlier) in enumerate(self._asked):
            exception = frame.pdu[0] & 0x80
            if exception or (frame.pdu[0] == earlier.function and frame.pdu[1] == earlier.data_bytes):
                for _ in range(index + 1):
                    self._asked.popleft()
                if not self._asked:
                    self._hold_until_s = 0.0
                return True
        return False

    def _settled(self) -> None:
        self._asked.clear()
        self._hold_until_s = 0.0


def _alike(one: ReadRequest, other: ReadRequest) -> bool:
    return one.function == other.function and one.data_bytes == other.data_bytes


class RtuMaster:
    """The master of one line. Raises ValueError for a baud rate or framing that does not exist."""

    def __init__(self, link: RtuLink, *, late_s: float = LATE_S) -> None:
        self.on_state: OnState = lambda up, reason, detail, at_ns: None
        self.on_stray: OnStray = lambda what, unit, count: None
        self.timeout_s = link.timeout_s
        self._port = link.open_port(link.port, baud=link.baud, framing=link.framing)
        # 3.5 characters, and not below 1.75 ms: Modbus over Serial Line 1.02, 2.5.1.1
        self._gap_s = max(link.gap_s, self._port.char_s(4), 0.00175)
        self._late_s = late_s
        self._owed: dict[int, Owed] = {}
        self._reader = LineReader()
        self._waiting: asyncio.Future[Outcome] | None = None
        self._unit = -1
        self._strange = False
        self._sent_s = 0.0
        self._busy_until_s = 0.0  # when the line falls silent, as far as is known
        self._settle_timer: asyncio.TimerHandle | None = None
        self._told_garbage = 0

    @property
    def up(self) -> bool:
        """Whether the port is open."""
        return self._port.up

    def line_s(self, request: ReadRequest) -> float:
        """Seconds the question, its answer and the gap occupy the line."""
        return self._port.char_s(_QUESTION_BYTES + request.answer_bytes) + self._gap_s

    async def run(self) -> None:
        """Keep the port open until cancelled."""
        self._port.on_bytes = self._bytes
        self._port.on_state = self._state
        try:
            await self._port.run()
        finally:
            if self._settle_timer is not None:
                self._settle_timer.cancel()
                self._settle_timer = None

    async def exchange(self, request: ReadRequest, *, limit_s: float, step: int = 1) -> Outcome:
        """Ask `request`; see Master."""
        loop = asyncio.get_running_loop()
        owed = self._owed.setdefault(request.unit, Owed(self._late_s))
        now_s = loop.time()
        if hold_s := owed.hold_s(now_s):
            return Outcome(Result.UNSURE, round(now_s * 1e9), wait_s=hold_s)
        if owed.confuses(request, now_s) and (smaller := owed.narrower(request, step)) is not None:
            outcome = await self._ask(smaller, owed, limit_s)
            if outcome.result is not Result.OK:
                return outcome
        return await self._ask(request, owed, limit_s)

    async def _ask(self, request: ReadRequest, owed: Owed, limit_s: float) -> Outcome:
        loop = asyncio.get_running_loop()
        await self._quiet(loop)
        now_s = loop.time()
        wire = rtu_frame(request.unit, request.pdu)
        self._reader.settle()  # a late answer may have come just now
        self._take_strays()
        echoes = self._reader.echoes
        self._reader.expect(request, wire)
        garbage = self._reader.garbage_bytes
        owed.ask(request, now_s)
        try:
            self._port.write(wire)
        except LinkDown:
            owed.withdraw()
            self._reader.expect(None)
            return Outcome(Result.DOWN, round(now_s * 1e9))
        self._unit, self._sent_s = request.unit, now_s
        self._busy_until_s = now_s + self._port.char_s(_QUESTION_BYTES)
        self._waiting = loop.create_future()
        self._strange = False
        deadline_s = now_s + self._port.char_s(_QUESTION_BYTES + request.answer_bytes) + limit_s
        timer = loop.call_at(deadline_s, self._expire, garbage)
        try:
            outcome = await self._waiting
        finally:
            timer.cancel()
            self._waiting = None
            self._reader.expect(None)
            self._take_strays()
        if self._reader.echoes > echoes:
            outcome = Outcome(
                outcome.result,
                outcome.at_ns,
                outcome.latency_s,
                outcome.values,
                outcome.exception,
                outcome.wait_s,
                True,
            )
        return outcome

    async def _quiet(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until the line has been silent for the gap, so that no question is spoken into an answer."""
        give_up_s = loop.time() + QUIET_MAX_S
        while (wait_s := min(self._busy_until_s + self._gap_s, give_up_s) - loop.time()) > 0:  # noqa: ASYNC110 - bytes move it
            await asyncio.sleep(wait_s)

    # -- in the loop turn in which bytes or silence came --------------------------------------------------------------
    def _bytes(self, data: bytes, at_ns: int) -> None:
        self._busy_until_s = at_ns / 1e9
        answer = self._reader.feed(data)
        if answer is not None:
            if self._settle_timer is not None and not self._reader.waiting:
                self._settle_timer.cancel()
                self._settle_timer = None
            self._resolve(answer, at_ns)
        if not self._reader.waiting:
            return
        rest_s = self._port.char_s(self._reader.missing)
        if rest_s > _PAUSE_MIN_S:
            self._port.pause(asyncio.get_running_loop().time() + rest_s, self._await_quiet)
        else:
            self._await_quiet()

    def _await_quiet(self) -> None:
        if self._reader.waiting and self._settle_timer is None:
            loop = asyncio.get_running_loop()
            self._settle_timer = loop.call_later(self._gap_s, self._settle, loop)

    def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        quiet_at_s = self._busy_until_s + self._gap_s
        if loop.time() < quiet_at_s:  # more came meanwhile
            self._settle_timer = loop.call_at(quiet_at_s, self._settle, loop)
            return
        self._settle_timer = None
        answer = self._reader.settle()
        self._take_strays()
        if answer is not None:
            self._resolve(answer, round(self._busy_until_s * 1e9))

    def _resolve(self, answer: Answer, at_ns: int) -> None:
        if self._waiting is None or self._waiting.done():
            return
        at_s = at_ns / 1e9
        owed = self._owed[self._unit]
        latency_s = at_s - self._sent_s
        if not owed.credit(answer, at_s):
            self._waiting.set_result(Outcome(Result.UNSURE, at_ns, latency_s, wait_s=owed.hold_s(at_s)))
        elif answer.exception:
            self._waiting.set_result(Outcome(Result.REFUSED, at_ns, latency_s, exception=answer.exception))
        else:
            self._waiting.set_result(Outcome(Result.OK, at_ns, latency_s, answer.values))

    def _expire(self, garbage: int) -> None:
        if self._waiting is None or self._waiting.done():
            return
        result = Result.TIMEOUT
        if self._reader.waiting or self._reader.garbage_bytes > garbage:
            result = Result.CRC
        elif self._strange:
            result = Result.FOREIGN
        self._reader.expect(None)  # from this turn on its answer is late
        self._waiting.set_result(Outcome(result, round(asyncio.get_running_loop().time() * 1e9)))

    def _take_strays(self) -> None:
        for frame in self._reader.strangers:
            self._strange = True
            owed = self._owed.get(frame.unit)
            self.on_stray("late" if owed is not None and owed.late(frame) else "foreign", frame.unit, 1)
        self._reader.strangers.clear()
        if garbage := self._reader.garbage_bytes - self._told_garbage:
            self._told_garbage += garbage
            self.on_stray("garbage", -1, garbage)

    def _state(self, up: bool, reason: str, detail: str, at_ns: int) -> None:
        if not up and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Outcome(Result.DOWN, at_ns))
        self.on_state(up, reason, detail, at_ns)
