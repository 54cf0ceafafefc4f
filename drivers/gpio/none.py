"""A gateway without lines: it opens with nothing, and says so when somebody wants a line."""

from drivers.gpio.port import GpioError, Lines


class NoGpio(Lines):
    """No line at all."""

    def _request(self) -> None:
        for line in (*self._inputs, *self._outputs):
            raise GpioError("no_backend", line=line)

    def _release(self) -> None:
        """Nothing was taken."""

    def _set(self, line: int, level: bool) -> None:
        raise GpioError("not_open")

    def _get(self, line: int) -> bool:
        raise GpioError("not_open")
