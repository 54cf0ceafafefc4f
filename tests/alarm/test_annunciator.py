"""The lines of the board follow the annunciation in the same loop turn."""

import asyncio

import pytest

from drivers.gpio.fake import FakeGpio
from edge_agent import annunciator as annunciator_module
from edge_agent.alarm.patterns import FIRE_SOUND, OFF, SENDING, STEADY, Annunciation, Pattern
from edge_agent.annunciator import Annunciator
from tests.waiting import until

pytestmark = pytest.mark.asyncio
LINES = {"buzzer": 17, "fire_lamp": 22, "fault_lamp": 23}


class Wire(FakeGpio):
    """Remembers the order of writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[tuple[int, bool]] = []
        self.recoveries = 0

    def recover(self) -> None:
        self.recoveries += 1
        super().recover()

    def _set(self, line: int, level: bool) -> None:
        super()._set(line, level)
        self.written.append((line, level))


def bench() -> tuple[Wire, Annunciator, list[str]]:
    gpio, reports = Wire(), list[str]()
    gpio.open(inputs={}, outputs=dict.fromkeys(LINES.values(), False))
    return gpio, Annunciator(gpio, LINES, lambda fault: reports.append(fault.code if fault else "")), reports


def now_ns() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


async def test_the_buzzer_is_driven_first_and_before_apply_returns() -> None:
    gpio, annunciator, _ = bench()
    annunciator.apply(Annunciation(), now_ns())
    gpio.written.clear()
    annunciator.apply(Annunciation(buzzer=FIRE_SOUND, fire_lamp=SENDING, fault_lamp=STEADY), now_ns())
    assert gpio.written == [(17, True), (22, True), (23, True)]
    assert annunciator.levels() == {"buzzer": True, "fire_lamp": True, "fault_lamp": True}
    annunciator.close()


async def test_a_pattern_runs_by_itself_and_ends_when_told() -> None:
    gpio, annunciator, _ = bench()
    annunciator.apply(Annunciation(buzzer=Pattern((5_000_000, 5_000_000))), now_ns())
    await until(lambda: [level for line, level in gpio.written if line == 17].count(True) >= 3)
    annunciator.apply(Annunciation(), now_ns())
    assert gpio.read(17) is False
    assert annunciator._timer is None, "nothing is left that could drive it"
    annunciator.close()


async def test_while_nothing_changes_nothing_wakes_the_loop() -> None:
    _, annunciator, _ = bench()
    annunciator.apply(Annunciation(fire_lamp=STEADY), now_ns())
    assert annunciator._timer is None and annunciator._retry_timer is None
    annunciator.close()


async def test_a_pattern_that_runs_keeps_its_beat_through_other_changes() -> None:
    gpio, annunciator, _ = bench()
    start_ns = now_ns()
    slow = Pattern((10_000_000_000, 10_000_000_000))
    annunciator.apply(Annunciation(buzzer=slow), start_ns)
    annunciator.apply(Annunciation(buzzer=slow, fault_lamp=STEADY), start_ns + 9_000_000_000)
    assert gpio.read(17) is True
    annunciator.apply(Annunciation(buzzer=slow), start_ns + 11_000_000_000)
    assert gpio.read(17) is False
    annunciator.close()


async def test_a_line_that_cannot_be_driven_is_told_once_and_mended_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annunciator_module, "RETRY_S", 0.01)
    gpio, annunciator, reports = bench()
    gpio.break_down("io")
    for _ in range(3):
        annunciator.apply(Annunciation(buzzer=FIRE_SOUND), now_ns())
    await until(lambda: gpio.recoveries >= 3)
    assert reports == ["io"]
    gpio.break_down(None)
    await until(lambda: reports == ["io", ""])
    assert (17, True) in gpio.written
    annunciator.close()


async def test_a_port_that_was_lost_is_opened_anew_at_the_levels_wanted_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annunciator_module, "RETRY_S", 0.01)
    gpio, annunciator, reports = bench()
    annunciator.apply(Annunciation(), now_ns())
    gpio.close()
    annunciator.apply(Annunciation(buzzer=STEADY), now_ns())
    await until(lambda: reports == ["not_open", ""])
    assert gpio.read(17) is True
    annunciator.close()


async def test_a_board_without_outputs_is_quiet_and_whole() -> None:
    gpio, reports = FakeGpio(), list[object]()
    gpio.open(inputs={}, outputs={})
    annunciator = Annunciator(gpio, {}, reports.append)
    annunciator.apply(Annunciation(buzzer=FIRE_SOUND), now_ns())
    assert (annunciator.levels(), reports) == ({}, [])
    assert annunciator._timer is None
    annunciator.close()


async def test_the_first_apply_drives_every_line_whatever_it_was() -> None:
    gpio, reports = Wire(), list[object]()
    gpio.open(inputs={}, outputs=dict.fromkeys(LINES.values(), True))
    Annunciator(gpio, LINES, reports.append).apply(Annunciation(buzzer=OFF), now_ns())
    assert sorted(gpio.written) == [(17, False), (22, False), (23, False)]
