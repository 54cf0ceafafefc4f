"""The pins of a board, with a machine made for the test: what a wire that is broken, a knock or a port that forgets looks like."""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PINS = {
    "smoke_percent": {"adc": 26, "scale": 100},
    "pressure_kpa": {"adc": 27, "scale": 2000, "offset": -250},
    "tamper": {"pin": 14, "on": 0},
    "button": {"pin": 13},
    "tilt_deg": {"i2c": 0, "scl": 5, "sda": 4, "address": 25},
    "sounder": {"pin": 15},
    "watchdog_ms": 8000,
    "wake": {"pin": 14},
}


class Machine:
    """What the pins of the board are connected to."""

    def __init__(self) -> None:
        self.adc, self.level = {26: 6554, 27: 32768}, {14: 1, 13: 1}
        self.axes: tuple[int, int, int] | None = (0, 0, 16384)
        self.fed = self.connects = self.slept_ms = self.resets = 0
        self.joined = False
        self.cause = 1
        self.set_to: tuple[int, ...] = ()
        self.wakes: list[int] = []
        self.watchdogs: list[int] = []

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """As MicroPython's modules."""
        world = self

        class Adc:
            def __init__(self, number: int) -> None:
                self.number = number

            def read_u16(self) -> int:
                return world.adc[self.number]

        class Pin:
            IN = OUT = PULL_UP = 0

            def __init__(self, number: int, *mode: int) -> None:
                self.number = number

            def value(self, *level: int) -> int:
                if level:
                    world.level[self.number] = level[0]
                return world.level[self.number]

        class I2C:
            def __init__(self, number: int, **pins: object) -> None:
                pass

            def writeto_mem(self, *what: object) -> None:
                if world.axes is None:
                    raise OSError(19)

            def readfrom_mem(self, *what: object) -> bytes:
                if world.axes is None:
                    raise OSError(19)
                return struct.pack("<3h", *world.axes)

        class Watchdog:
            def __init__(self, timeout: int) -> None:
                world.watchdogs.append(timeout)

            def feed(self) -> None:
                world.fed += 1

        class Station:
            def __init__(self, kind: int) -> None:
                pass

            def active(self, on: bool) -> None:
                pass

            def isconnected(self) -> bool:
                return world.joined

            def connect(self, ssid: str, password: str) -> None:
                world.connects += 1

        class Rtc:
            def datetime(self, when: tuple[int, ...]) -> None:
                world.set_to = when

        def reset() -> None:
            world.resets += 1
            raise KeyboardInterrupt

        modules: dict[str, dict[str, Any]] = {
            "machine": {
                "ADC": Adc, "Pin": Pin, "I2C": I2C, "WDT": Watchdog, "reset": reset,
                "RTC": Rtc, "PWRON_RESET": 1, "reset_cause": lambda: world.cause,
                "deepsleep": lambda ms: setattr(world, "slept_ms", ms),
            },
            "network": {"WLAN": Station, "STA_IF": 0},
            "esp32": {"wake_on_ext0": lambda pin, level: world.wakes.append(pin.number)},
        }  # fmt: skip
        for name, found in modules.items():
            module = ModuleType(name)
            module.__dict__.update(found)
            patch.setitem(sys.modules, name, module)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    made = Machine()
    made.install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "drivers.detector_node.board", raising=False)
    yield made
    sys.modules.pop("drivers.detector_node.board", None)


def board(**settings: object) -> Any:
    from drivers.detector_node.board import Board

    return Board({"pins": PINS, **settings})


def test_inputs_are_in_their_units_and_a_broken_or_shorted_wire_is_no_value(world: Machine) -> None:
    one = board()
    found = one.read()
    assert found["smoke_percent"] == pytest.approx(10, abs=0.01)
    assert found["pressure_kpa"] == pytest.approx(750, abs=0.1)
    assert (found["tamper"], found["button"], found["tilt_deg"]) == (False, False, 0)
    world.adc = {26: 0, 27: 65535}
    world.level |= {14: 0, 13: 0}
    found = one.read()
    assert found.keys() & {"smoke_percent", "pressure_kpa"} == set()
    assert (found["tamper"], found["button"]) == (True, True)


def test_a_hydrant_that_was_knocked_over_stays_so_through_a_start(world: Machine, tmp_path: Path) -> None:
    assert board().read()["tilt_deg"] == 0
    world.axes = (16384, 0, 0)
    assert board().read()["tilt_deg"] == pytest.approx(90)
    assert json.loads((tmp_path / "tilt.json").read_text()) == [0, 0, 1]
    for axes in (
        None,
        (0, 0, 0),
        (32767, 32767, 0),
    ):  # gone, falling, shaken: no angle, which the detector calls a fault
        world.axes = axes
        assert "tilt_deg" not in board().read()
    (tmp_path / "tilt.json").unlink()
    world.axes = (16384, 0, 0)
    assert board().read()["tilt_deg"] == 0, "put up anew"


def test_the_sounder_pulses_three_times_and_pauses(world: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    one = board()
    clock = sys.modules["drivers.detector_node.board"].time
    seen = ""
    for ms in range(0, 8000, 250):
        monkeypatch.setattr(clock, "ticks_ms", lambda ms=ms: ms, raising=False)
        one.sound(True)
        seen += str(world.level[15])
    assert seen == "11001100110000001100110011000000"
    one.sound(False)
    assert world.level[15] == 0


def test_a_lost_network_is_joined_again_and_a_good_one_left_alone(world: Machine) -> None:
    one = board(wifi={"ssid": "s", "password": "p"})
    one.join()
    assert world.connects == 2
    world.joined = True
    one.join()
    assert world.connects == 2
    one.feed_watchdog()
    one.sleep(60)
    assert (world.fed, world.slept_ms, world.wakes) == (1, 60_000, [14])


def test_a_clock_that_stood_still_is_set_to_the_day_of_setting_up_and_dates_no_old_record(world: Machine) -> None:
    assert board(date=[2026, 11, 26]).clock_kept() is False
    assert world.set_to == ()
    assert board(date=[2999, 1, 2]).clock_kept() is False
    assert world.set_to == (2999, 1, 2, 0, 0, 0, 0, 0)
    world.cause = 4
    assert board().clock_kept() is True


def test_the_loader_starts_the_watchdog_before_any_program_and_resets_after_one_that_failed(
    world: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drivers.detector_node import main

    (tmp_path / "node.json").write_text(json.dumps({"pins": PINS}))
    monkeypatch.setattr(main, "ROOT", str(tmp_path))
    monkeypatch.setattr(main.sys, "print_exception", print, raising=False)

    def program(root: str) -> None:
        assert world.watchdogs == [8000]
        raise SyntaxError("broken")

    monkeypatch.setattr(main, "start", program)
    with pytest.raises(KeyboardInterrupt):
        main._guarded()
    assert world.resets == 1
