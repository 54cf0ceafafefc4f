"""Lines through the kernel's character device, by the official libgpiod v2 binding (`gpiod` 2.x)."""

import asyncio
import errno
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from drivers.gpio.port import GpioError, InputSpec, Lines, log

DEVICES = Path("/dev")
CONSUMER = "edge-agent"
# The 40-pin header of every Pi. Never by number: a Pi 5's moved from gpiochip4 to gpiochip0 with a kernel update.
HEADER_LABELS = ("pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1")
EVENT_BUFFER = 1024  # edges the kernel keeps while the loop is busy; when it overflows the levels are read again


class LibGpiod(Lines):
    """Lines of the chip with `chip_label`, or of the header chip of any Pi when it is empty."""

    def __init__(self, chip_label: str = "") -> None:
        super().__init__()
        self._labels: Sequence[str] = (chip_label,) if chip_label else HEADER_LABELS
        self._gpiod = _import_gpiod()
        self._lines: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = -1
        self._seen: dict[int, bool] = {}
        self._seqno = 0

    def _request(self) -> None:
        gpiod, line_module = self._gpiod, self._gpiod.line
        chip = self._find_chip()
        with chip:
            count = chip.get_info().num_lines
            for number in (*self._inputs, *self._outputs):
                if not 0 <= number < count:
                    raise GpioError("bad_line", line=number, count=count)
            config: dict[Any, Any] = {number: self._input_settings(spec) for number, spec in self._inputs.items()}
            for number, level in self._outputs.items():
                value = line_module.Value.ACTIVE if level else line_module.Value.INACTIVE
                config[number] = gpiod.LineSettings(direction=line_module.Direction.OUTPUT, output_value=value)
            if not config:
                return
            try:
                lines = chip.request_lines(config, consumer=CONSUMER, event_buffer_size=EVENT_BUFFER)
            except (OSError, ValueError) as fault:
                raise self._explain(fault, chip) from fault
        self._lines, self._seqno = lines, 0
        self._seen = {number: self._get(number) for number in self._inputs}
        if self._inputs:
            self._loop, self._fd = asyncio.get_running_loop(), lines.fd
            self._loop.add_reader(self._fd, self._on_readable)

    def _input_settings(self, spec: InputSpec) -> Any:
        line = self._gpiod.line
        bias = {"up": line.Bias.PULL_UP, "down": line.Bias.PULL_DOWN, "none": line.Bias.DISABLED}[spec.bias]
        return self._gpiod.LineSettings(
            direction=line.Direction.INPUT,
            edge_detection=line.Edge.BOTH,
            bias=bias,
            active_low=spec.active_low,
            debounce_period=timedelta(microseconds=spec.debounce_us),
        )

    def _find_chip(self) -> Any:
        denied: str | None = None
        for path in sorted(DEVICES.glob("gpiochip*")):
            try:
                chip = self._gpiod.Chip(str(path))
            except PermissionError:
                denied = str(path)
                continue
            except OSError:  # gone between the listing and the open, or not a chip
                continue
            if chip.get_info().label in self._labels:
                return chip
            chip.close()
        if denied:
            raise GpioError("denied", device=denied)
        raise GpioError("no_chip", labels=",".join(self._labels))

    def _explain(self, fault: OSError | ValueError, chip: Any) -> GpioError:
        if not isinstance(fault, OSError) or fault.errno != errno.EBUSY:
            code = "denied" if isinstance(fault, PermissionError) else "io"
            return GpioError(code, device=chip.path, reason=str(fault))
        for number in (*self._inputs, *self._outputs):
            info = chip.get_line_info(number)
            if info.used:
                return GpioError("busy", line=number, holder=info.consumer or "kernel")
        return GpioError("busy", line="?", holder="?")  # let go of in the meantime: the next try may succeed

    def _release(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._loop = None
        if self._lines is not None:
            self._lines.release()
            self._lines = None

    def _set(self, line: int, level: bool) -> None:
        value = self._gpiod.line.Value
        try:
            self._lines.set_value(line, value.ACTIVE if level else value.INACTIVE)
        except (OSError, ValueError) as fault:
            raise GpioError("io", line=line, reason=str(fault)) from fault

    def _get(self, line: int) -> bool:
        try:
            return bool(self._lines.get_value(line) == self._gpiod.line.Value.ACTIVE)
        except (OSError, ValueError) as fault:
            raise GpioError("io", line=line, reason=str(fault)) from fault

    def _on_readable(self) -> None:
        """Edges are waiting. A read error closes the lines, so that the loop does not spin and readers see `not_open`."""
        try:
            events = self._lines.read_edge_events()
            overflow = bool(events) and events[-1].global_seqno != self._seqno + len(events)
            for event in events:
                level = event.event_type is event.Type.RISING_EDGE  # rising is "to active", also of an active-low line
                self._seen[event.line_offset] = level
                self._tell(event.line_offset, level, event.timestamp_ns)
            if events:
                self._seqno = events[-1].global_seqno
            if overflow:
                self._read_again()
        except (OSError, GpioError) as fault:
            log.error("gpio lost: %s", fault)
            self.close()

    def _read_again(self) -> None:
        """The kernel dropped edges: the level now is what counts."""
        now_ns = time.monotonic_ns()
        for number, seen in self._seen.items():
            if (level := self._get(number)) != seen:
                self._seen[number] = level
                self._tell(number, level, now_ns)


def _import_gpiod() -> ModuleType:
    try:
        import gpiod
        import gpiod.line

        found: ModuleType = gpiod
        if not hasattr(found, "request_lines"):  # Debian 12's python3-libgpiod is the v1 binding under the same name
            raise ImportError("libgpiod v1 binding")
    except ImportError as fault:
        raise GpioError("no_library", library="gpiod", reason=str(fault)) from fault
    return found
