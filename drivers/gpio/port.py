"""The GPIO port: what every back end does, and the errors all of them raise alike."""

import abc
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

log = logging.getLogger("edge.gpio")

OnEdge = Callable[[int, bool, int], None]  # line, level, monotonic ns of the edge


class GpioError(Exception):
    """Why a line cannot be used: an ASCII `code` (the text is `alarm.gpio_<code>`) and its parameters.

    Codes: no_library, no_chip, no_backend, denied, busy, bad_line, not_open, not_requested, direction, io.
    """

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code, params)
        self.code, self.params = code, params

    def __str__(self) -> str:
        return " ".join([self.code, *(f"{key}={value}" for key, value in self.params.items())])


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input. The default is a dry contact between the line and ground: closed reads True, open reads False.

    `debounce_us` is the kernel's, where there is one. 1 ms only bounds how many edges a broken line can send; what counts
    as a change is decided per point, with the samples kept.
    """

    active_low: bool = True
    bias: str = "up"  # up | down | none
    debounce_us: int = 1000


class Gpio(Protocol):
    """Lines of one chip. A level is logical: of an input True is "asserted" (see `InputSpec`), of an output True is high."""

    def open(self, *, inputs: Mapping[int, InputSpec], outputs: Mapping[int, bool]) -> None:
        """Request these lines, outputs at the given levels. Called on the loop. Raise GpioError; it may be tried again."""
        ...

    def write(self, line: int, level: bool) -> None:
        """Drive one output. Raise GpioError."""
        ...

    def read(self, line: int) -> bool:
        """The present level of an input, or the last written one of an output. Raise GpioError."""
        ...

    def watch(self, on_edge: OnEdge) -> None:
        """Call `on_edge` on the loop for every edge of every input; each of several watchers is told."""
        ...

    def recover(self) -> None:
        """Release everything and request the same lines again, outputs at their last levels. Raise GpioError."""
        ...

    def close(self) -> None:
        """Release the lines. They fall back to inputs: the fail-safe state of a relay must be its wiring."""
        ...


def _foreign(fault: Exception, line: object) -> GpioError:
    """Whatever a library raises when a chip goes away, as the one error that everybody waits for."""
    return GpioError("io", line=line, reason=f"{type(fault).__name__}: {fault}")


class Lines(abc.ABC):
    """The book-keeping all back ends share, so that a fake is exactly as strict as a board."""

    def __init__(self) -> None:
        self._inputs: dict[int, InputSpec] = {}
        self._outputs: dict[int, bool] = {}
        self._watchers: list[OnEdge] = []
        self._is_open = False

    def open(self, *, inputs: Mapping[int, InputSpec], outputs: Mapping[int, bool]) -> None:
        """See `Gpio.open`."""
        if self._is_open:
            raise GpioError("busy", line="all", holder="edge-agent")
        if both := sorted(inputs.keys() & outputs.keys()):
            raise GpioError("direction", line=both[0])
        self._inputs, self._outputs = dict(inputs), dict(outputs)
        self._take()

    def write(self, line: int, level: bool) -> None:
        """See `Gpio.write`."""
        if line in self._inputs:
            raise GpioError("direction", line=line)
        if line not in self._outputs:
            raise GpioError("not_requested", line=line)
        self._outputs[line] = level  # kept even if the line fails now: recover() drives it
        if not self._is_open:
            raise GpioError("not_open")
        try:
            self._set(line, level)
        except GpioError:
            raise
        except Exception as fault:  # see _foreign
            raise _foreign(fault, line) from fault

    def read(self, line: int) -> bool:
        """See `Gpio.read`."""
        if line not in self._inputs and line not in self._outputs:
            raise GpioError("not_requested", line=line)
        if not self._is_open:
            raise GpioError("not_open")
        if line in self._outputs:
            return self._outputs[line]
        try:
            return self._get(line)
        except GpioError:
            raise
        except Exception as fault:  # see _foreign
            raise _foreign(fault, line) from fault

    def watch(self, on_edge: OnEdge) -> None:
        """See `Gpio.watch`."""
        self._watchers.append(on_edge)

    def recover(self) -> None:
        """See `Gpio.recover`."""
        self.close()
        self._take()

    def close(self) -> None:
        """See `Gpio.close`."""
        self._is_open = False
        self._release()

    def _take(self) -> None:
        try:
            self._request()
        except GpioError:
            self._release()
            raise
        except Exception as fault:  # see _foreign
            self._release()
            raise _foreign(fault, "all") from fault
        self._is_open = True

    def _tell(self, line: int, level: bool, at_ns: int) -> None:
        for on_edge in self._watchers:
            try:
                on_edge(line, level, at_ns)
            except Exception:  # the other watchers and the edges behind this one must not pay for it
                log.exception("gpio line=%d", line)

    @abc.abstractmethod
    def _request(self) -> None:
        """Take the lines of `_inputs` and `_outputs`, or take none and raise GpioError."""

    @abc.abstractmethod
    def _release(self) -> None:
        """Let go of what was taken. Never raises; may be called when nothing is."""

    @abc.abstractmethod
    def _set(self, line: int, level: bool) -> None: ...

    @abc.abstractmethod
    def _get(self, line: int) -> bool: ...
