"""One AT port: one command in flight, its answer, and everything the modem says unasked.

An answer that comes too late is never credited to the next command. Modems answer in order, so after a timeout ATI is sent until
its known first line comes back: whatever came before that was late. While that line is not known yet: silence, AT, exactly one
OK, silence.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from drivers.codecs.at.fields import Reading
from drivers.codecs.at.lines import Line, LineReader, Prompt, final_of
from drivers.codecs.at.readings import read
from drivers.serial_link import LinkDown, SerialLink

log = logging.getLogger("edge.modem")

ANSWER_LINES_MAX: Final = 64
QUIET_S: Final = 0.3  # silence after which a late answer is taken not to come any more
CLEAR_TRIES: Final = 3
ESCAPE: Final = b"\x1b\r"  # takes a modem out of its data prompt

OnUrc = Callable[[Reading, bytes | None], None]


class AtTimeout(Exception):
    """The modem did not answer a command in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `code`: of drivers.codecs.at.lines.Ending, or no_reading where the reading asked for was missing."""

    ok: bool
    code: str
    lines: tuple[Line, ...] = ()
    readings: tuple[Reading, ...] = ()

    def first(self, command: str) -> Reading | None:
        """The first reading of this name."""
        return next((one for one in self.readings if one.command == command), None)


@dataclass(slots=True)
class _Pending:
    command: str
    wants: str
    data: bytes | None
    done: asyncio.Future[Answer]
    lines: list[Line] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    sent_data: bool = False


class AtPort:
    """The commands of one modem over `link`, whose `on_bytes` it takes. `gap_s`: pause between two commands."""

    def __init__(self, link: SerialLink, *, on_urc: OnUrc) -> None:
        self.link, self._on_urc = link, on_urc
        self.gap_s = 0.0
        self.answer_s = 5.0  # how long an ordinary command may take
        self.identity = ""  # the first line ATI is answered with, once it is known
        self.answered = 0  # grows with every answer: progress
        self.timeouts = 0
        self.refused = 0  # lines that were noise
        self.stray = 0  # lines nobody asked for and nobody knows
        link.on_bytes = self._bytes
        self._reader = LineReader()
        self._lock = asyncio.Lock()
        self._pending: _Pending | None = None
        self._stale = False  # an answer may still come that belongs to nobody
        self._in_prompt = False
        self._identity_seen = False
        self._cleared: asyncio.Future[None] | None = None
        self._heard_s = 0.0
        self._finals = 0
        self._free_s = 0.0  # when the next command may go

    async def ask(self, command: str, *, timeout_s: float = 0.0, wants: str = "", data: bytes | None = None) -> Answer:
        """Send AT`command` and return its answer; an error is an answer too. Raise AtTimeout, or LinkDown when the port is closed.

        `timeout_s`: 0 is `answer_s`. `wants`: a reading it must have. `data` follows the prompt.
        """
        async with self._lock:
            if self._stale:
                await self._clear()
            loop = asyncio.get_running_loop()
            if (wait_s := self._free_s - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            pending = self._pending = _Pending(command, wants, data, loop.create_future())
            # Until it is answered: whoever waits for that may be cancelled.
            self._stale, self._in_prompt = True, data is not None
            try:
                self.link.write(f"AT{command}\r".encode("ascii", "replace"))
                async with asyncio.timeout(
                    (timeout_s or self.answer_s) + self.link.char_s(2 * len(command) + 2 * len(data or b""))
                ):
                    answer = await pending.done
            except TimeoutError:
                self.timeouts += 1
                self._reader.reset()
                log.info("timeout command=%s", command.partition("=")[0][:20])  # never its parameters: one may be a PIN
                raise AtTimeout(command.partition("=")[0]) from None
            finally:
                self._pending = None
            self._stale = self._in_prompt = False
            self.answered += 1
            self._free_s = loop.time() + self.gap_s
            return answer

    async def probe(self, timeout_s: float) -> bool:
        """Whether the modem answers AT by itself within `timeout_s`; asked every 300 ms, as after power-up."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        async with self._lock:
            self._stale = True
            self._leave_prompt()
            while loop.time() < until_s:
                self._finals = 0
                self.link.write(b"AT\r")
                await asyncio.sleep(0.3)
                if self._finals:
                    return True
        return False

    def closed(self) -> None:
        """The port went away: whoever waits is told, and what was begun is forgotten."""
        self._reader.reset()
        self.identity = ""  # another modem may be there next
        if self._pending is not None and not self._pending.done.done():
            self._pending.done.set_exception(LinkDown("hang_up", f"{self.link.path} went away"))

    def _leave_prompt(self) -> None:
        if self._in_prompt:
            self._in_prompt = False
            self.link.write(ESCAPE)

    async def _clear(self) -> None:
        self._leave_prompt()
        if self.identity:
            await self._until_identity()
            return
        for _ in range(CLEAR_TRIES):
            await self._until_quiet()
            self._finals = 0
            self.link.write(b"AT\r")
            await self._until_quiet(least_s=2 * QUIET_S)
            if self._finals == 1:
                self._stale = False
                return
        self.timeouts += 1
        raise AtTimeout("AT")

    async def _until_identity(self) -> None:
        self._cleared, self._identity_seen = asyncio.get_running_loop().create_future(), False
        try:
            self.link.write(b"ATI\r")
            async with asyncio.timeout(self.answer_s):
                await self._cleared
            self._stale = False
        except TimeoutError:
            self.timeouts += 1
            self.identity = ""  # perhaps it never was: what is not known any more is not waited for again
            raise AtTimeout("I") from None
        finally:
            self._cleared = None

    async def _until_quiet(self, least_s: float = 0.0) -> None:
        """Return when nothing has come for QUIET_S; a line that never rests is waited for 2 s."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        while loop.time() - started_s < 2.0:
            wait_s = max(self._heard_s + QUIET_S, started_s + max(least_s, QUIET_S)) - loop.time()
            if wait_s <= 0:
                return
            await asyncio.sleep(wait_s)

    # -- what comes in -------------------------------------------------------------------------------------------
    def _bytes(self, data: bytes, at_ns: int) -> None:
        self._heard_s = at_ns / 1e9
        for token in self._reader.feed(data):
            if isinstance(token, Line):
                self._line(token)
            elif isinstance(token, Prompt):
                self._prompt()
            else:
                self.refused += 1

    def _prompt(self) -> None:
        pending = self._pending
        if pending is None and self._stale:
            # Late: whoever had data for it has gone, and commands must not be taken for data.
            with contextlib.suppress(LinkDown):
                self.link.write(ESCAPE)
        if pending is None or pending.data is None or pending.sent_data:
            return
        pending.sent_data = True
        try:
            self.link.write(pending.data)
        except LinkDown as down:
            if not pending.done.done():
                pending.done.set_exception(down)

    def _line(self, line: Line) -> None:
        pending, text = self._pending, line.text
        if self._cleared is not None and self._clears(text, self._cleared):
            return
        if (ending := final_of(text)) is not None:
            self._finals += 1
            if pending is not None and (pending.data is None or pending.sent_data or not ending.ok):
                self._complete(pending, ending.ok, ending.code)
            return
        if text.startswith("AT") and pending is not None and text[2:] == pending.command:
            return  # its echo
        # Something is always "asked": a registration in the answer's form that nobody asked for is an announcement.
        got = read(text, pending.command.lstrip("+") if pending is not None else "-")
        if isinstance(got, Reading) and got.urc:
            self._on_urc(got, line.payload)
        elif pending is not None and len(pending.lines) < ANSWER_LINES_MAX:
            pending.lines.append(line)
            if isinstance(got, Reading):
                pending.readings.append(got)
        else:
            self.stray += 1

    def _clears(self, text: str, cleared: asyncio.Future[None]) -> bool:
        """Whether a line belongs to what is thrown away while the port is cleared."""
        if text == self.identity:
            self._identity_seen = True
        elif self._identity_seen and final_of(text) is not None and not cleared.done():
            cleared.set_result(None)
        got = read(text, "-")
        return not (isinstance(got, Reading) and got.urc)

    def _complete(self, pending: _Pending, ok: bool, code: str) -> None:
        if pending.done.done():
            return
        found = not pending.wants or any(one.command == pending.wants for one in pending.readings)
        answer = Answer(
            ok and found, code if found or not ok else "no_reading", tuple(pending.lines), tuple(pending.readings)
        )
        pending.done.set_result(answer)
