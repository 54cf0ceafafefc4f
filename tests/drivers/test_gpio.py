"""The GPIO suite against the fake and against stand-ins of the two libraries, as strict as a board."""

import asyncio
import errno
import importlib.util
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import gpiod
import gpiod.line
import pytest

from drivers.gpio import GpioError, InputSpec, libgpiod, open_gpio
from drivers.gpio.fake import FakeGpio

SUITE = Path(__file__).parents[2] / "hardware-tests" / "gpio_suite.py"
_spec = importlib.util.spec_from_file_location("gpio_suite", SUITE)
assert _spec and _spec.loader
suite = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(suite)
globals().update({name: test for name, test in vars(suite).items() if name.startswith("test_")})

Value, Direction = gpiod.line.Value, gpiod.line.Direction


# --- a stand-in for the kernel's chip behind the real gpiod binding -------------------------------------------------------


class ChipState:
    """One chip: pin levels (electrical) and who holds which line."""

    def __init__(self, label: str, lines: int = 54) -> None:
        self.label, self.lines = label, lines
        self.pins = [True] * lines  # pulled up
        self.held: dict[int, object] = {}
        self.requests: list[FakeRequest] = []
        self.consumers: list[str | None] = []

    def drive(self, line: int, pin: bool) -> None:
        if self.pins[line] != pin:
            self.pins[line] = pin
            for request in self.requests:
                request.on_pin(line)


class FakeRequest:
    def __init__(self, state: ChipState, config: dict[int, gpiod.LineSettings]) -> None:
        self.state, self.config = state, config
        self.fd, self._poke = os.pipe()
        os.set_blocking(self.fd, False)
        self.events: list[gpiod.EdgeEvent] = []
        self.seqno = 0
        self.fail: OSError | None = None
        for line, settings in config.items():
            if settings.direction is Direction.OUTPUT:
                state.pins[line] = settings.output_value is Value.ACTIVE

    def on_pin(self, line: int) -> None:
        settings = self.config.get(line)
        if settings is None or settings.edge_detection is not gpiod.line.Edge.BOTH:
            return
        self.seqno += 1
        active = self.state.pins[line] != settings.active_low
        kind = gpiod.EdgeEvent.Type.RISING_EDGE if active else gpiod.EdgeEvent.Type.FALLING_EDGE
        self.events.append(gpiod.EdgeEvent(kind.value, time.monotonic_ns(), line, self.seqno, self.seqno))
        os.write(self._poke, b"!")

    def read_edge_events(self, max_events: int | None = None) -> list[gpiod.EdgeEvent]:
        os.read(self.fd, 4096)
        if self.fail:
            raise self.fail
        events, self.events = self.events, []
        return events

    def get_value(self, line: int) -> gpiod.line.Value:
        if self.fail:
            raise self.fail
        settings = self.config[line]
        return Value.ACTIVE if self.state.pins[line] != settings.active_low else Value.INACTIVE

    def set_value(self, line: int, value: gpiod.line.Value) -> None:
        if self.fail:
            raise self.fail
        if self.config[line].direction is not Direction.OUTPUT:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        self.state.pins[line] = value is Value.ACTIVE

    def release(self) -> None:
        self.state.requests.remove(self)
        for line in self.config:
            del self.state.held[line]
        os.close(self.fd)
        os.close(self._poke)


class FakeChip:
    """What `gpiod.Chip` gives, of the chips in `CHIPS` by path."""

    CHIPS: ClassVar[dict[str, ChipState | OSError]] = {}

    def __init__(self, path: str) -> None:
        found = self.CHIPS[path]
        if isinstance(found, OSError):
            raise found
        self.path, self.state, self.is_open = path, found, True

    def __enter__(self) -> "FakeChip":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.is_open = False

    def get_info(self) -> types.SimpleNamespace:
        assert self.is_open
        return types.SimpleNamespace(label=self.state.label, num_lines=self.state.lines)

    def get_line_info(self, line: int) -> types.SimpleNamespace:
        return types.SimpleNamespace(used=line in self.state.held, consumer=self.state.held.get(line) or "")

    def request_lines(
        self, config: dict[int, gpiod.LineSettings], consumer: str | None = None, event_buffer_size: int | None = None
    ) -> FakeRequest:
        assert self.is_open and config
        if any(line in self.state.held for line in config):
            raise OSError(errno.EBUSY, "Device or resource busy")
        request = FakeRequest(self.state, config)
        self.state.held.update(dict.fromkeys(config, consumer))
        self.state.requests.append(request)
        return request


@pytest.fixture
def chips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, ChipState | OSError]:
    found: dict[str, ChipState | OSError] = {}
    monkeypatch.setattr(FakeChip, "CHIPS", found)
    monkeypatch.setattr(gpiod, "Chip", FakeChip)
    monkeypatch.setattr(libgpiod, "DEVICES", tmp_path)
    return found


def add_chip(chips: dict[str, ChipState | OSError], tmp_path: Path, name: str, chip: ChipState | OSError) -> None:
    (tmp_path / name).touch()
    chips[str(tmp_path / name)] = chip


# --- a stand-in for RPi.GPIO: module-wide state, callbacks from a thread ---------------------------------------------------


def rpi_module(*, edges: bool) -> types.ModuleType:
    module = types.ModuleType("RPi.GPIO")
    state: dict[int, str] = {}
    pins = [True] * 28
    callbacks: dict[int, Callable[[int], None]] = {}
    mode: list[int] = []

    def need(line: int, direction: str) -> None:
        if state.get(line) != direction:
            raise RuntimeError(f"The GPIO channel has not been set up as an {direction}")

    def setup(line: int, direction: int, pull_up_down: int = 20, initial: int | None = None) -> None:
        if not mode:
            raise RuntimeError("Please set pin numbering mode using GPIO.setmode(GPIO.BOARD) or GPIO.setmode(GPIO.BCM)")
        if not 0 <= line < 28:
            raise ValueError("The channel sent is invalid on a Raspberry Pi")
        state[line] = "OUTPUT" if direction == 0 else "INPUT"
        if initial is not None:
            pins[line] = bool(initial)

    def output(line: int, level: int) -> None:
        need(line, "OUTPUT")
        pins[line] = bool(level)

    def read(line: int) -> int:
        if line not in state:
            raise RuntimeError("You must setup() the GPIO channel first")
        return int(pins[line])

    def add_event_detect(line: int, edge: int, callback: Callable[[int], None]) -> None:
        need(line, "INPUT")
        if not edges or line in callbacks:
            raise RuntimeError("Failed to add edge detection")
        callbacks[line] = callback

    def cleanup(lines: list[int]) -> None:
        for line in lines:
            state.pop(line, None)

    def drive(line: int, pin: bool) -> None:
        if pins[line] != pin:
            pins[line] = pin
            if (callback := callbacks.get(line)) is not None:
                thread = threading.Thread(target=callback, args=(line,))
                thread.start()
                thread.join()

    vars(module).update(
        BCM=11, OUT=0, IN=1, HIGH=1, LOW=0, PUD_OFF=20, PUD_DOWN=21, PUD_UP=22, BOTH=33,
        setwarnings=lambda _: None, setmode=mode.append, setup=setup, output=output, input=read,
        add_event_detect=add_event_detect, remove_event_detect=lambda line: callbacks.pop(line, None),
        cleanup=cleanup, drive=drive, pins=pins,
    )  # fmt: skip
    return module


def install_rpi(monkeypatch: pytest.MonkeyPatch, module: types.ModuleType) -> None:
    package = types.ModuleType("RPi")
    package.GPIO = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "RPi", package)
    monkeypatch.setitem(sys.modules, "RPi.GPIO", module)


# --- the benches ------------------------------------------------------------------------------------------------------------


class StandInBench:
    input, output, unused = 27, 17, 5

    def __init__(self, gpio: object, drive: Callable[[int, bool], None], pin: Callable[[int], bool]) -> None:
        self.gpio, self._drive, self._pin = gpio, drive, pin

    def drive(self, level: bool) -> None:
        self._drive(self.input, not level)  # closed pulls to ground

    def seen(self) -> bool:
        return self._pin(self.output)


class FakeBench:
    input, output, unused = 27, 17, 5

    def __init__(self) -> None:
        self.gpio = FakeGpio()

    def drive(self, level: bool) -> None:
        self.gpio.wire({self.input: level})

    def seen(self) -> bool:
        return bool(self.gpio.levels()["outputs"][str(self.output)])


@pytest.fixture(params=["fake", "gpiod", "rpigpio", "rpigpio-polled"])
def bench(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    chips: dict[str, ChipState | OSError],
) -> Iterator[StandInBench | FakeBench]:
    made: StandInBench | FakeBench
    if request.param == "fake":
        made = FakeBench()
    elif request.param == "gpiod":
        header = ChipState("pinctrl-bcm2711")
        add_chip(chips, tmp_path, "gpiochip0", header)
        made = StandInBench(open_gpio("gpiod"), header.drive, lambda line: header.pins[line])
    else:
        module = rpi_module(edges=request.param == "rpigpio")
        install_rpi(monkeypatch, module)
        made = StandInBench(open_gpio("rpigpio"), module.drive, lambda line: module.pins[line])
    yield made
    made.gpio.close()


# --- gpiod's own ------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_header_chip_is_found_by_its_label_whatever_its_number(
    chips: dict[str, ChipState | OSError], tmp_path: Path
) -> None:
    add_chip(chips, tmp_path, "gpiochip0", ChipState("raspberrypi-exp-gpio", 8))
    header = ChipState("pinctrl-rp1")
    add_chip(chips, tmp_path, "gpiochip4", header)
    gpio = open_gpio("gpiod")
    gpio.open(inputs={}, outputs={17: True})
    assert header.held == {17: "edge-agent"}
    gpio.close()
    assert header.held == {}


@pytest.mark.asyncio
async def test_a_chip_can_be_named_by_its_label(chips: dict[str, ChipState | OSError], tmp_path: Path) -> None:
    add_chip(chips, tmp_path, "gpiochip0", ChipState("pinctrl-rp1"))
    other = ChipState("mcp23017")
    add_chip(chips, tmp_path, "gpiochip1", other)
    gpio = open_gpio("gpiod", chip_label="mcp23017")
    gpio.open(inputs={}, outputs={3: False})
    assert 3 in other.held
    gpio.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("chip", "code"),
    [
        (None, "no_chip"),
        (ChipState("something-else"), "no_chip"),
        (PermissionError(errno.EACCES, "Permission denied"), "denied"),
        (FileNotFoundError(errno.ENOENT, "No such device"), "no_chip"),
    ],
)
async def test_a_missing_or_forbidden_chip_is_told_by_its_code(
    chips: dict[str, ChipState | OSError], tmp_path: Path, chip: ChipState | OSError | None, code: str
) -> None:
    if chip is not None:
        add_chip(chips, tmp_path, "gpiochip0", chip)
    gpio = open_gpio("gpiod")
    assert suite.code_of(lambda: gpio.open(inputs={}, outputs={17: False})) == code


@pytest.mark.asyncio
async def test_a_line_in_other_hands_is_told_with_its_holder(
    chips: dict[str, ChipState | OSError], tmp_path: Path
) -> None:
    header = ChipState("pinctrl-bcm2711")
    header.held[27] = "onewire@1b"
    add_chip(chips, tmp_path, "gpiochip0", header)
    with pytest.raises(GpioError) as refused:
        open_gpio("gpiod").open(inputs={27: InputSpec()}, outputs={})
    assert (refused.value.code, refused.value.params) == ("busy", {"line": 27, "holder": "onewire@1b"})


@pytest.mark.asyncio
async def test_edges_the_kernel_dropped_are_made_good_by_reading_again(
    chips: dict[str, ChipState | OSError], tmp_path: Path
) -> None:
    header = ChipState("pinctrl-bcm2711")
    add_chip(chips, tmp_path, "gpiochip0", header)
    gpio, edges = open_gpio("gpiod"), list[suite.Edge]()
    gpio.watch(lambda line, level, at_ns: edges.append((line, level, at_ns)))
    gpio.open(inputs={27: InputSpec(), 22: InputSpec()}, outputs={})
    header.drive(27, False)
    header.drive(22, False)
    del header.requests[0].events[0]  # the buffer was full: the oldest edge, of line 27, is gone
    await suite.until(lambda: len(edges) == 2)
    assert sorted((line, level) for line, level, _ in edges) == [(22, True), (27, True)]
    gpio.close()


@pytest.mark.asyncio
async def test_a_chip_that_goes_away_ends_the_reading_and_does_not_spin(
    chips: dict[str, ChipState | OSError], tmp_path: Path
) -> None:
    header = ChipState("pinctrl-bcm2711")
    add_chip(chips, tmp_path, "gpiochip0", header)
    gpio = open_gpio("gpiod")
    gpio.open(inputs={27: InputSpec()}, outputs={17: True})
    header.requests[0].fail = OSError(errno.ENODEV, "No such device")
    assert suite.code_of(lambda: gpio.write(17, False)) == "io"
    assert suite.code_of(lambda: gpio.read(27)) == "io"
    header.drive(27, False)
    await suite.until(lambda: not header.requests)  # released, so its descriptor is off the loop
    assert suite.code_of(lambda: gpio.read(27)) == "not_open"
    gpio.recover()
    assert (gpio.read(27), header.pins[17]) == (True, False)
    gpio.close()


@pytest.mark.asyncio
async def test_a_storm_from_the_librarys_thread_is_bounded_and_ends_at_the_true_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = rpi_module(edges=True)
    install_rpi(monkeypatch, module)
    gpio, edges = open_gpio("rpigpio"), list[suite.Edge]()
    gpio.watch(lambda line, level, at_ns: edges.append((line, level, at_ns)))
    gpio.open(inputs={27: InputSpec()}, outputs={})
    for _ in range(1001):
        module.drive(27, not module.pins[27])  # all while the loop is busy
    await suite.until(lambda: bool(edges))
    await asyncio.sleep(0)
    assert len(edges) <= 1024 and edges[-1][:2] == (27, not module.pins[27])
    gpio.close()


# --- which back end ---------------------------------------------------------------------------------------------------------


def test_a_missing_library_is_told_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "RPi", None)
    monkeypatch.setitem(sys.modules, "gpiod", None)
    assert suite.code_of(lambda: open_gpio("rpigpio")) == "no_library"
    assert suite.code_of(lambda: open_gpio("gpiod")) == "no_library"


def test_the_v1_binding_of_debian_12_is_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    old = types.ModuleType("gpiod")
    old.line = types.ModuleType("gpiod.line")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gpiod", old)
    monkeypatch.setitem(sys.modules, "gpiod.line", old.line)
    assert suite.code_of(lambda: open_gpio("gpiod")) == "no_library"


@pytest.mark.asyncio
async def test_a_gateway_without_gpio_opens_with_no_lines_and_refuses_any() -> None:
    gpio = open_gpio("none")
    gpio.open(inputs={}, outputs={})
    assert suite.code_of(lambda: gpio.write(17, True)) == "not_requested"
    gpio.close()
    assert suite.code_of(lambda: open_gpio("none").open(inputs={}, outputs={17: False})) == "no_backend"


def test_an_unknown_back_end_is_a_bug() -> None:
    with pytest.raises(ValueError, match="pigpio"):
        open_gpio("pigpio")
