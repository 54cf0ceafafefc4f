"""Lines through anything that answers to `import RPi.GPIO`: a card's own library, or the distribution's python3-rpi-lgpio.

Its callbacks come from a thread of the library, so an edge only wakes the loop, and the loop takes what came. The real
RPi.GPIO cannot detect edges on kernels from 6.6 on ("Failed to add edge detection"): such lines are polled instead.
"""

import asyncio
import collections
import contextlib
import time
from types import ModuleType

from drivers.gpio.port import GpioError, Lines, log

POLL_S = 0.01  # of lines without edge detection: the delay this adds to an alarm
LINES = 28  # BCM numbers on the 40-pin header


class RpiGpio(Lines):
    """BCM-numbered lines of the 40-pin header."""

    def __init__(self) -> None:
        super().__init__()
        try:
            import RPi.GPIO
        except (ImportError, RuntimeError) as fault:  # RuntimeError: "This module can only be run on a Raspberry Pi!"
            raise GpioError("no_library", library="RPi.GPIO", reason=str(fault)) from fault
        self._gpio: ModuleType = RPi.GPIO
        self._taken: list[int] = []
        self._polled: dict[int, bool] = {}
        self._poll: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # The thread appends, the loop takes; a chattering line may fill it, and then the oldest edges are the ones to lose.
        self._edges: collections.deque[tuple[int, bool, int]] = collections.deque(maxlen=1024)

    def _request(self) -> None:
        gpio = self._gpio
        for number in (*self._inputs, *self._outputs):
            if not 0 <= number < LINES:
                raise GpioError("bad_line", line=number, count=LINES)
        if not self._inputs and not self._outputs:
            return
        self._loop = asyncio.get_running_loop()
        number = -1
        try:
            gpio.setwarnings(False)
            gpio.setmode(gpio.BCM)
            for number, level in self._outputs.items():
                gpio.setup(number, gpio.OUT, initial=gpio.HIGH if level else gpio.LOW)
                self._taken.append(number)
            pulls = {"up": gpio.PUD_UP, "down": gpio.PUD_DOWN, "none": gpio.PUD_OFF}
            for number, spec in self._inputs.items():
                gpio.setup(number, gpio.IN, pull_up_down=pulls[spec.bias])
                self._taken.append(number)
        except Exception as fault:  # RPi.GPIO raises RuntimeError and ValueError, rpi-lgpio an `error` of its own
            raise _explain(fault, number) from fault
        for number in self._inputs:
            try:
                gpio.add_event_detect(number, gpio.BOTH, callback=self._on_edge_thread)
            except Exception as fault:  # noqa: BLE001 - as above
                log.warning("gpio line=%d is polled: %s", number, fault)
                self._polled[number] = self._get(number)
        if self._polled:
            self._poll = self._loop.call_later(POLL_S, self._poll_lines)

    def _release(self) -> None:
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        self._polled.clear()
        self._loop = None
        taken, self._taken = self._taken, []
        for number in taken:
            with contextlib.suppress(Exception):  # the board may be gone; letting go must not fail
                if number in self._inputs:
                    self._gpio.remove_event_detect(number)
        with contextlib.suppress(Exception):  # as above
            if taken:
                self._gpio.cleanup(taken)

    def _set(self, line: int, level: bool) -> None:
        try:
            self._gpio.output(line, self._gpio.HIGH if level else self._gpio.LOW)
        except Exception as fault:  # as in `_request`
            raise _explain(fault, line) from fault

    def _get(self, line: int) -> bool:
        try:
            return bool(self._gpio.input(line)) != self._inputs[line].active_low
        except Exception as fault:  # as in `_request`
            raise _explain(fault, line) from fault

    def _on_edge_thread(self, line: int) -> None:
        """Runs in the library's thread. The level is read here: by the time the loop looks it may be another."""
        loop = self._loop
        if loop is None:
            return
        with contextlib.suppress(
            GpioError, KeyError, RuntimeError
        ):  # closing: released, forgotten, or the loop is closed
            edge = (line, self._get(line), time.monotonic_ns())
            wake = not self._edges
            self._edges.append(edge)
            if wake:  # else the loop was woken already
                loop.call_soon_threadsafe(self._take_edges)

    def _take_edges(self) -> None:
        while self._edges:
            line, level, at_ns = self._edges.popleft()
            if self._is_open:
                self._tell(line, level, at_ns)

    def _poll_lines(self) -> None:
        now_ns = time.monotonic_ns()
        try:
            for line, seen in self._polled.items():
                if (level := self._get(line)) != seen:
                    self._polled[line] = level
                    self._tell(line, level, now_ns)
        except GpioError as fault:
            log.error("gpio lost: %s", fault)
            self.close()
            return
        if self._loop is not None:
            self._poll = self._loop.call_later(POLL_S, self._poll_lines)


def _explain(fault: Exception, line: int) -> GpioError:
    if isinstance(fault, GpioError):
        return fault
    reason = str(fault)
    if isinstance(fault, PermissionError) or "permission" in reason.lower() or "No access to /dev/mem" in reason:
        return GpioError("denied", device="/dev/gpiomem", reason=reason)
    if "busy" in reason.lower():  # rpi-lgpio: lgpio.error('GPIO busy')
        return GpioError("busy", line=line, holder="?")
    return GpioError("io", line=line, reason=reason)
