"""Contacts and outputs behind one small port."""

from pathlib import Path

from drivers.gpio.port import Gpio, GpioError, InputSpec, OnEdge

__all__ = ["Gpio", "GpioError", "InputSpec", "OnEdge", "open_gpio"]


def open_gpio(backend: str, *, chip_label: str = "", fake_socket: Path | None = None) -> Gpio:
    """The port named `none`, `gpiod`, `rpigpio` or `fake`; no line is requested yet.

    Only the back end asked for is imported, so a gateway without GPIO starts without any GPIO library.
    Raise GpioError("no_library") if that import fails, ValueError for another name.
    """
    if backend == "none":
        from drivers.gpio.none import NoGpio

        return NoGpio()
    if backend == "gpiod":
        from drivers.gpio.libgpiod import LibGpiod

        return LibGpiod(chip_label)
    if backend == "rpigpio":
        from drivers.gpio.rpigpio import RpiGpio

        return RpiGpio()
    if backend == "fake":
        from drivers.gpio.fake import FakeGpio

        return FakeGpio(fake_socket)
    raise ValueError(backend)
