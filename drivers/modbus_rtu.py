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
from dataclasses import dataclass, replace
from typing import Final

from drivers.codecs.modbus import Answer, Frame, LineReader, ReadRequest
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
        self.asked: deque[tuple[float, ReadRequest]] = deque(maxlen=_OWED_MAX)  # oldest first; empty: nothing is owed
        self._hold_until_s = 0.0

    def hold_s(self, now_s: float) -> float:
        """How long this slave must be left alone. When that is over nothing is owed any more."""
        if self._hold_until_s and now_s >= self._hold_until_s:
            self._settled()
        return max(0.0, self._hold_until_s - now_s)

    def confuses(self, request: ReadRequest, now_s: float) -> bool:
        """Whether an answer still owed would look like the answer to `request`."""
        while self.asked and now_s - self.asked[0][0] > self._late_s:
            self.asked.popleft()
        return any(_alike(earlier, request) for _, earlier in self.asked)

    def narrower(self, request: ReadRequest, step: int) -> ReadRequest | None:
        """A smaller read at the same place whose answer looks like none that is owed; None if there is none."""
        for count in range(step, request.count, step):
            smaller = ReadRequest(request.unit, request.function, request.start, count)
            if not any(_alike(earlier, smaller) for _, earlier in self.asked):
                return smaller
        return None

    def ask(self, request: ReadRequest, now_s: float) -> None:
        """`request` is being sent."""
        self.asked.append((now_s, request))

    def withdraw(self) -> None:
        """The question asked last never left."""
        self.asked.pop()

    def credit(self, answer: Answer, now_s: float) -> bool:
        """Whether `answer`, which fits the question asked last, can belong to it alone. Settles all if so.

        Else it is counted as the answer to the oldest question it fits, and the slave is held until the answer to the last
        one, if as late as that, must have come.
        """
        _, request = self.asked[-1]
        for index, (sent_s, earlier) in enumerate(self.asked):
            if index == len(self.asked) - 1:
                break
            if answer.exception or _alike(earlier, request):
                for _ in range(index + 1):
                    self.asked.popleft()
                self._hold_until_s = self.asked[-1][0] + 1.5 * (now_s - sent_s) + 0.05
                return False
        self._settled()
        return True

    def late(self, frame: Frame) -> bool:
        """Whether `frame`, which fits no question being asked, is an answer owed. It settles that one and all before."""
        if frame.request:
            return False
        for index, (_, earlier) in enumerate(self.asked):
            exception = frame.pdu[0] & 0x80
            if exception or (frame.pdu[0] == earlier.function and frame.pdu[1] == earlier.data_bytes):
                for _ in range(index + 1):
                    self.asked.popleft()
                if not self.asked:
                    self._hold_until_s = 0.0
                return True
        return False

    def _settled(self) -> None:
        self.asked.clear()
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
        self._char_s = self._port.char_s()
        # 3.5 characters, and not below 1.75 ms: Modbus over Serial Line 1.02, 2.5.1.1
        self._gap_s = max(link.gap_s, 4 * self._char_s, 0.00175)
        self._late_s = late_s
        self._owed: dict[int, Owed] = {}
        self._reader = LineReader()
        self._waiting: asyncio.Future[Outcome] | None = None
        self._unit = -1
        self._strange = False
        self._whole = 0  # how long the answer is that was paused for
        self._sent_s = 0.0
        self._busy_until_s = 0.0  # when the line falls silent, as far as is known
        # of the question: until it may be asked, then until its time is over
        self._timer: asyncio.TimerHandle | None = None
        self._settle_timer: asyncio.TimerHandle | None = None
        self._told_garbage = 0

    @property
    def up(self) -> bool:
        """Whether the port is open."""
        return self._port.up

    def line_s(self, request: ReadRequest) -> float:
        """Seconds the question, its answer and the gap occupy the line."""
        return (_QUESTION_BYTES + request.answer_bytes) * self._char_s + self._gap_s

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
        owed = self._owed.get(request.unit)
        if owed is None:
            owed = self._owed[request.unit] = Owed(self._late_s)
        if owed.asked:
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
        waiting: asyncio.Future[Outcome] = loop.create_future()
        self._waiting = waiting
        echoes = self._reader.echoes
        self._speak(loop, request, owed, limit_s, loop.time() + QUIET_MAX_S)
        try:
            outcome = await waiting
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._waiting = None
            self._reader.expect(None)
            self._take_strays()
        return replace(outcome, echoed=True) if self._reader.echoes > echoes else outcome

    # -- in the loop turn in which the line fell silent, or in which bytes or silence came -------------------------------
    def _speak(
        self, loop: asyncio.AbstractEventLoop, request: ReadRequest, owed: Owed, limit_s: float, give_up_s: float
    ) -> None:
        """Ask as soon as the line has been silent for the gap, so that no question is spoken into an answer."""
        self._timer = None
        if self._waiting is None or self._waiting.done():
            return  # the port went away meanwhile
        now_s = loop.time()
        quiet_s = min(self._busy_until_s + self._gap_s, give_up_s)
        if now_s < quiet_s:
            self._timer = loop.call_at(quiet_s, self._speak, loop, request, owed, limit_s, give_up_s)
            return
        try:
            self._put(loop, request, owed, limit_s, now_s)
        except Exception as bug:  # noqa: BLE001 - raised where the answer is awaited: nobody else would hear of it
            self._waiting.set_exception(bug)

    def _put(
        self, loop: asyncio.AbstractEventLoop, request: ReadRequest, owed: Owed, limit_s: float, now_s: float
    ) -> None:
        if self._reader.held:  # a late answer may have come just now
            self._reader.settle()
            self._take_strays()
        self._reader.expect(request)
        self._strange, self._whole = False, 0
        owed.ask(request, now_s)
        try:
            self._port.write(request.wire)
        except LinkDown:
            owed.withdraw()
            self._reader.expect(None)
            assert self._waiting is not None
            self._waiting.set_result(Outcome(Result.DOWN, round(now_s * 1e9)))
            return
        self._unit, self._sent_s = request.unit, now_s
        self._busy_until_s = now_s + _QUESTION_BYTES * self._char_s
        deadline_s = self._busy_until_s + request.answer_bytes * self._char_s + limit_s
        self._timer = loop.call_at(deadline_s, self._expire, self._reader.garbage_bytes)

    def _bytes(self, data: bytes, at_ns: int) -> None:
        reader, at_s = self._reader, at_ns / 1e9
        self._busy_until_s = at_s
        answer = reader.feed(data)
        held = reader.held
        if answer is not None:
            if self._settle_timer is not None and not held:
                self._settle_timer.cancel()
                self._settle_timer = None
            self._resolve(answer, at_ns)
        if not held:
            return
        missing = reader.missing
        rest_s = missing * self._char_s
        if rest_s > _PAUSE_MIN_S and held + missing > self._whole:
            self._whole = held + missing
            self._port.pause(at_s + rest_s, self._await_quiet)
        else:  # next to nothing is missing, or what a pause was for is overdue: hear it at once
            self._await_quiet()

    def _await_quiet(self) -> None:
        if self._reader.held and self._settle_timer is None:
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
        self._timer = None
        if self._waiting is None or self._waiting.done():
            return
        result = Result.TIMEOUT
        if self._reader.held or self._reader.garbage_bytes > garbage:
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
