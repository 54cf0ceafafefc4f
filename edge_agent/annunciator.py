"""Drives buzzer and lamps of the board: at once when something changes, by a timer only while a pattern runs."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drivers.gpio.port import Gpio, GpioError
from edge_agent.alarm.patterns import OFF, Annunciation, Pattern

log = logging.getLogger("edge.annunciator")

ORDER = ("buzzer", "fire_lamp", "fault_lamp", "link_lamp")  # the buzzer before anything else
RETRY_S = 1.0


@dataclass(slots=True)
class _Output:
    line: int | None  # None: the board has no such output
    pattern: Pattern = OFF
    started_ns: int = 0
    level: bool = False  # as the line was last driven
    failed: bool = True  # not yet driven: the first apply() sets every line


class Annunciator:
    """Outputs of one board. `outputs` maps the names of `ORDER` to lines; the lines are requested already.

    `report` is told the GpioError once when a line cannot be driven, and None when all can be driven again. It is
    called from a fresh loop turn, because it may lead back here.
    """

    def __init__(self, gpio: Gpio, outputs: Mapping[str, int], report: Callable[[GpioError | None], None]) -> None:
        self._gpio, self._report = gpio, report
        self._outputs = {name: _Output(outputs.get(name)) for name in ORDER}
        self._timer: asyncio.TimerHandle | None = None
        self._retry_timer: asyncio.TimerHandle | None = None
        self._broken = False
        self._ahead_ns = 0  # the caller's clock minus the loop's

    def apply(self, annunciation: Annunciation, now_ns: int) -> None:
        """Drive every line in this loop turn. A pattern that runs already keeps its beat. Never raises."""
        self._ahead_ns = now_ns - _loop_ns()
        for name, output in self._outputs.items():
            pattern: Pattern = getattr(annunciation, name)
            if pattern != output.pattern:
                output.pattern, output.started_ns = pattern, now_ns
        self._drive(now_ns)

    def levels(self) -> dict[str, bool]:
        """What each output of the board is driven to."""
        return {name: output.level for name, output in self._outputs.items() if output.line is not None}

    def close(self) -> None:
        """Stop the patterns. The lines are released by whoever opened them."""
        for timer in (self._timer, self._retry_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._retry_timer = None

    def _drive(self, now_ns: int) -> None:
        wait_ns: int | None = None
        fault: GpioError | None = None
        for output in self._outputs.values():
            if output.line is None:
                continue
            elapsed_ns = now_ns - output.started_ns
            level = output.pattern.level(elapsed_ns)
            if level != output.level or output.failed:
                try:
                    self._gpio.write(output.line, level)
                    output.level, output.failed = level, False
                except GpioError as reason:
                    output.failed, fault = True, reason
            change_ns = output.pattern.next_change_ns(elapsed_ns)
            if change_ns is not None and (wait_ns is None or change_ns - elapsed_ns < wait_ns):
                wait_ns = change_ns - elapsed_ns
        self._judge(fault)
        self._arm(wait_ns)

    def _arm(self, wait_ns: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        if wait_ns is not None:
            self._timer = loop.call_later(wait_ns / 1e9, self._beat)
        if self._broken and self._retry_timer is None:
            self._retry_timer = loop.call_later(RETRY_S, self._retry)

    def _beat(self) -> None:
        self._drive(_loop_ns() + self._ahead_ns)

    def _retry(self) -> None:
        """Try the lines again, then the whole chip: it may have gone and come back."""
        self._retry_timer = None
        self._beat()
        if not self._broken:
            return
        try:
            self._gpio.recover()
        except GpioError as fault:
            log.debug("recover: %s", fault)
            return
        for output in self._outputs.values():
            output.failed = True
        self._beat()

    def _judge(self, fault: GpioError | None) -> None:
        if (fault is not None) == self._broken:
            return
        self._broken = fault is not None
        log.log(logging.ERROR if fault else logging.INFO, "outputs %s", fault or "restored")
        asyncio.get_running_loop().call_soon(self._report, fault)


def _loop_ns() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)
