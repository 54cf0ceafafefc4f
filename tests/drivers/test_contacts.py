"""The contacts driver on the strict fake."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from drivers import contacts as contacts_module
from drivers.contacts import ContactLine, Contacts
from drivers.gpio import InputSpec
from drivers.gpio.fake import FakeGpio
from drivers.messages import LinkState, Observation, PointFault, Reading
from tests.waiting import until

pytestmark = pytest.mark.asyncio
SMOKE, DOOR = 12, 13
LINES = [ContactLine(id="smoke", line=SMOKE), ContactLine(id="door", line=DOOR, normally="closed", kind="tamper")]


class Seen(list[Observation]):
    def take(self, observations: Sequence[Observation]) -> None:
        assert observations
        self.extend(observations)

    def readings(self) -> list[tuple[str, float | bool]]:
        return [(seen.point, seen.value) for seen in self if isinstance(seen, Reading)]


@pytest.fixture
def gpio() -> FakeGpio:
    gpio = FakeGpio()
    gpio.wire({DOOR: True})
    gpio.open(inputs={SMOKE: InputSpec(), DOOR: InputSpec()}, outputs={})
    return gpio


@asynccontextmanager
async def running(driver: Contacts, seen: Seen) -> AsyncIterator[None]:
    task = asyncio.create_task(driver.run(seen.take))
    await asyncio.sleep(0)
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_level_at_the_start_is_told_for_each_contact(gpio: FakeGpio) -> None:
    gpio.wire({SMOKE: True})
    seen = Seen()
    async with running(Contacts(gpio, LINES), seen):
        assert seen.readings() == [("smoke", True), ("door", False)]


async def test_an_edge_is_a_reading_before_the_call_that_told_it_returns(gpio: FakeGpio) -> None:
    seen = Seen()
    async with running(Contacts(gpio, LINES), seen):
        seen.clear()
        gpio.wire({SMOKE: True})
        assert seen.readings() == [("smoke", True)]  # nothing was awaited in between
        gpio.wire({DOOR: False})
        assert seen.readings() == [("smoke", True), ("door", True)]  # a cut wire of a closed contact is active too


async def test_a_missed_edge_is_found_by_reading_again(gpio: FakeGpio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts_module, "REREAD_S", 0.01)
    seen, driver = Seen(), Contacts(gpio, LINES)
    async with running(driver, seen):
        seen.clear()
        gpio._wired[SMOKE] = True
        await until(lambda: seen.readings() == [("smoke", True)])
        assert driver.counters()["missed"] == 1
        before = driver.progress()
        await until(lambda: driver.progress() > before + 3)
        assert seen.readings() == [("smoke", True)]  # told once


async def test_a_dead_port_is_told_once_and_mended_by_itself(gpio: FakeGpio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts_module, "REREAD_S", 0.01)
    seen, driver = Seen(), Contacts(gpio, LINES)
    async with running(driver, seen):
        seen.clear()
        gpio.break_down("io")
        before = driver.progress()
        await until(lambda: driver.progress() > before + 5)
        assert [type(each) for each in seen] == [LinkState, PointFault, PointFault]
        assert isinstance(seen[0], LinkState) and not seen[0].up and seen[0].source == "contacts"
        gpio.break_down(None)
        gpio.wire({SMOKE: True})
        seen.clear()
        await until(lambda: len(seen.readings()) >= 2)
        assert isinstance(seen[0], LinkState) and seen[0].up
        assert ("smoke", True) in seen.readings()


async def test_a_port_that_could_not_be_opened_at_the_start_is_opened_when_it_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contacts_module, "REREAD_S", 0.01)
    gpio = FakeGpio()
    gpio.break_down("no_chip")
    with pytest.raises(Exception, match="no_chip"):
        gpio.open(inputs={SMOKE: InputSpec(), DOOR: InputSpec()}, outputs={17: True})
    seen, driver = Seen(), Contacts(gpio, LINES)
    async with running(driver, seen):
        assert isinstance(seen[0], LinkState) and not seen[0].up
        gpio.break_down(None)
        await until(lambda: bool(seen.readings()))
        assert gpio.read(17) is True
        gpio.wire({SMOKE: True})
        assert seen.readings()[-1] == ("smoke", True)


async def test_a_second_run_after_a_bug_tells_everything_again_and_each_edge_once(gpio: FakeGpio) -> None:
    driver = Contacts(gpio, LINES)
    async with running(driver, Seen()):
        pass
    seen = Seen()
    async with running(driver, seen):
        assert len(seen.readings()) == 2
        gpio.wire({SMOKE: True})
        assert seen.readings()[2:] == [("smoke", True)]


async def test_the_specs_carry_kind_and_delays() -> None:
    line = ContactLine(id="pump", line=5, kind="supervisory", name="水泵", on_delay_s=1.5)
    (spec,) = Contacts(FakeGpio(), [line]).specs()
    assert (spec.id, spec.name_zh, spec.kind) == ("pump", "水泵", "supervisory")
    assert spec.limits == {"on_delay_s": 1.5, "off_delay_s": 0.5}
