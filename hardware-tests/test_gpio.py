"""The GPIO suite on this board. Nothing but the four named pins is touched.

Wiring: two jumpers of 1 kOhm. DRIVE (an output) to IN (an input); OUT (an output) to SEE (an input). Nothing else on them.
Run: EDGE_GPIO_WIRED="drive=17 in=27 out=22 see=23 unused=24" [EDGE_GPIO_BACKEND=rpigpio] pytest hardware-tests
"""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.gpio import Gpio, InputSpec, open_gpio

WIRED = os.environ.get("EDGE_GPIO_WIRED", "")
pytestmark = pytest.mark.skipif(
    not WIRED,
    reason="needs a Pi with pin 17 joined to 27 and 22 joined to 23, each through 1 kOhm; then set "
    'EDGE_GPIO_WIRED="drive=17 in=27 out=22 see=23 unused=24"',
)

_spec = importlib.util.spec_from_file_location("gpio_suite", Path(__file__).with_name("gpio_suite.py"))
assert _spec and _spec.loader
_suite = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_suite)
globals().update({name: test for name, test in vars(_suite).items() if name.startswith("test_")})


class WiredBench:
    """The hand is a second request of the same chip."""

    def __init__(self, gpio: Gpio, hand: Gpio, pins: dict[str, int]) -> None:
        self.gpio, self._hand = gpio, hand
        self.input, self.output, self.unused = pins["in"], pins["out"], pins["unused"]
        self._drive, self._see = pins["drive"], pins["see"]
        self._is_open = False

    def drive(self, level: bool) -> None:
        self._take_hand()
        self._hand.write(self._drive, not level)  # closed pulls to ground

    def seen(self) -> bool:
        self._take_hand()
        return self._hand.read(self._see)

    def _take_hand(self) -> None:
        if not self._is_open:  # not in the fixture: a port is opened on a running loop
            spec = InputSpec(active_low=False, bias="none")
            self._hand.open(inputs={self._see: spec}, outputs={self._drive: True})
            self._is_open = True


@pytest.fixture
def bench() -> Iterator[WiredBench]:
    pins = {name: int(pin) for name, pin in (pair.split("=") for pair in WIRED.split())}
    backend = os.environ.get("EDGE_GPIO_BACKEND", "gpiod")
    gpio, hand = open_gpio(backend), open_gpio(backend)
    yield WiredBench(gpio, hand, pins)
    gpio.close()
    hand.close()
