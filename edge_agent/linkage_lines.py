"""Drives the linkage outputs: beside the alarm, in a loop turn of its own, never in its way."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from drivers.gpio.port import Gpio, GpioError
from edge_agent.alarm.linkage import Linkage, Look
from edge_agent.local_api import ApiError
from edge_agent.model import Event

log = logging.getLogger("edge.linkage")

Tell = Callable[[Sequence[Event], Mapping[str, bytes | None]], None]


class LinkageLines:
    """`tell` keeps what was decided, `failed` is told of a line that cannot be driven (None: it can again)."""

    def __init__(
        self,
        gpio: Gpio,
        linkage: Linkage,
        look: Look,
        *,
        now_ns: Callable[[], int],
        tell: Tell,
        failed: Callable[[str, GpioError | None], None],
    ) -> None:
        self._gpio, self.linkage, self._look = gpio, linkage, look
        self._now_ns, self._tell, self._failed = now_ns, tell, failed
        self._driven = {name: output.rule.idle for name, output in linkage.outputs.items()}  # as the board was opened
        self._broken: set[str] = set()
        self._soon: asyncio.Handle | None = None

    def note(self, events: Iterable[Event]) -> None:
        """Take notice of what was told; decide in the next turn of the loop. Never raises."""
        try:
            now_ns = self._now_ns()
            concerns = [self.linkage.note(event, now_ns) for event in events]
        except Exception:  # a bug of linkage's must cost outputs only, never the alarm this was told of
            log.exception("note")
            return
        if any(concerns) and self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self.run)

    def run(self) -> None:
        """Decide and drive. Called each second too: time passes, interlocks change, a line that failed is tried again."""
        self._soon = None
        try:
            events = self.linkage.decide(self._now_ns(), self._look)
        except Exception:  # as above; asked again within the second
            log.exception("decide")
            events = []
        self._finish(events)

    def order(self, name: str, what: str, who: str) -> None:
        """A person's word: "release" or "auto". Raise ApiError: no_such_output, bad_request."""
        output = self.linkage.outputs.get(name)
        if output is None:
            raise ApiError("no_such_output", output=name[:40])
        orders = {"release": output.release, "auto": output.give_back}
        if what not in orders:
            raise ApiError("bad_request", detail="do")
        self._finish(orders[what](who, self._now_ns()))

    def close(self) -> None:
        """Release every output before the lines are let go."""
        for name, output in self.linkage.outputs.items():
            if self._driven[name] is not output.rule.idle:
                self._write(name, output.rule.line, output.rule.idle)

    def _finish(self, events: Sequence[Event]) -> None:
        for name, output in self.linkage.outputs.items():
            if self._driven[name] is not output.level:
                self._write(name, output.rule.line, output.level)
        state = self.linkage.dump()
        if events or state:
            self._tell(events, state)

    def _write(self, name: str, line: int, level: bool) -> None:
        try:
            self._gpio.write(line, level)
        except GpioError as fault:
            log.error("linkage output=%s %s", name, fault)
            if name not in self._broken:
                self._broken.add(name)
                self._failed(name, fault)
            return
        self._driven[name] = level
        if name in self._broken:
            self._broken.discard(name)
            self._failed(name, None)
