"""Systems and the device: what a centre was told of them ends though no record of theirs says so; what the journal lost."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buffer.records import Priority
from drivers.codecs.gb26875 import STANDARD, decode_adu
from drivers.codecs.gb26875.objects import DeviceStatus, InformationObject, SystemStatus
from edge_agent.config.model import Config, Gateway
from edge_agent.model import Kind
from edge_agent.uplink.gb26875.downlink import Downlink
from edge_agent.uplink.gb26875.plan import Plan, Writer
from edge_agent.uplink.gb26875.session import GbSession
from edge_agent.uplink.gb26875.shared import GbSettings, Shared
from tests.uplink.gb26875.site import gb_centre, gb_config, gb_uplink
from tests.uplink.gb26875.test_plan import NOTHING, batch, event, objects, writer
from tests.uplink.gb26875.test_session import done, journal_of
from tests.uplink.site import CLOCK, running_uplink
from tests.waiting import until

BURNING = {"kind": "fire", "point": "panel1/1-027", "source": "panel1", "state": "active", "name": ""}
SNAPSHOT = {**NOTHING, "alarms": [BURNING]}
OVER = event(Kind.FIRE, active=False)


def wide(found: list[tuple[int, InformationObject]]) -> list[tuple[int, int]]:
    """Type and status of what is told of systems and of the device."""
    return [(kind, item.status) for kind, item in found if isinstance(item, SystemStatus | DeviceStatus)]


def show(made: Writer) -> None:
    """A connection begins while it burns, and the centre takes what it is shown."""
    for told in made.present(SNAPSHOT):
        made.taken(told.shown)


def test_a_system_that_was_shown_burning_is_shown_quiet_when_the_fire_of_its_component_is_over() -> None:
    """Else it burns on the centre's screen until the next connection: the end of a fire is a record of the component."""
    made = writer()
    show(made)
    plan = made.write(batch([OVER]))
    assert wide(objects(plan)) == [(1, 1)]
    assert (plan.units[-1].first, plan.units[-1].last) == (1, 0), "it settles nothing"
    assert made.taken(plan.shown) == []
    assert wide(objects(made.write(batch([OVER], first=2)))) == [], "once is enough"


def test_a_system_keeps_the_fire_of_another_component() -> None:
    made = writer()
    made.write(batch([event(Kind.FIRE, "panel1/1-028")]))
    show(made)
    assert wide(objects(made.write(batch([OVER], first=2)))) == [(1, 1)]
    assert wide(objects(made.write(batch([event(Kind.FIRE)], first=3)))) == [], "a fire is told of its component"


def test_a_device_that_was_told_with_a_fire_is_told_without() -> None:
    """A centre whose keep-alive is none, or has no status in it, would not hear of it."""
    made = writer()
    made.write(batch([event(Kind.FIRE)]))
    assert made.device().status == 0b11
    assert wide(objects(made.write(batch([OVER], first=2)))) == [(21, 1)]


def test_what_a_centre_asked_for_is_taken_back_too() -> None:
    made = writer()
    made.write(batch([event(Kind.FIRE)]))
    assert [system.status for system in made.systems_of(SNAPSHOT)] == [0b11, 1, 1]
    assert made.device_as_of(SNAPSHOT).status == 0b11
    assert sorted(wide(objects(made.write(batch([OVER], first=2))))) == [(1, 1), (21, 1)]


@pytest.mark.parametrize(("untold", "shown"), [({}, [0b101]), ({"untold": True}, [])])
def test_a_fault_whose_end_no_event_will_tell_is_not_shown(untold: dict[str, object], shown: list[int]) -> None:
    """Points of a source that is silent: the line is at fault (type 21), and they would be faulty until the next connection."""
    row = {"id": "pump-room", "active": None, "fault": "gpio", "source": "contacts", "name": "", **untold}
    told = [decode_adu(one.adu) for one in writer().present({**NOTHING, "points": [row], "points_loud": 1})]
    assert [item.status for adu in told if adu.type == 2 for item in adu.objects] == shown  # type: ignore[union-attr]


def store(active: bool) -> bytes:
    return event(Kind.STORE, "journal/vital.db", active, source="gateway")


@pytest.mark.parametrize(
    ("body", "replay", "unsure"),
    [(store(False), False, True), (store(True), False, False), (store(False), True, False), (OVER, False, False)],
)
def test_a_journal_that_is_back_leaves_the_picture_unsure(body: bytes, replay: bool, unsure: bool) -> None:
    """What it refused left no record. Of a replayed one the snapshot of this connection is younger."""
    assert writer().write(batch([body], Priority.FAULT, replay=replay)).unsure is unsure


def test_a_component_whose_correction_was_denied_is_shown_with_the_next_present() -> None:
    made = writer()
    made.doubt(made.write(batch([event(Kind.FIRE), OVER], replay=True)).shown)
    told = [decode_adu(one.adu) for one in made.present(NOTHING)]
    assert [item.status for adu in told if adu.type == 2 for item in adu.objects] == [1]  # type: ignore[union-attr]


def session_for(receiver: Any) -> GbSession:
    config = Config(gateway=Gateway(id="ZG-1234"))
    settings = GbSettings(source=bytes(6), target=bytes(6), resends=0)
    return GbSession(Shared(settings, writer(), CLOCK, Downlink(config, CLOCK, ())), receiver)


@pytest.mark.asyncio
async def test_a_present_that_is_denied_is_shown_again_and_ever_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A centre that denies now and then would keep what was over; one that denies always must not be asked all day."""
    monkeypatch.setattr("edge_agent.uplink.gb26875.session.DENIED_AGAIN_S", 0.001)
    asked: list[None] = []
    receiver: Any = SimpleNamespace(unsure=lambda: asked.append(None), state_denied=lambda code, detail: None)
    session = session_for(receiver)
    for times in (1, 2):
        session._state_denied()
        session._state_denied()
        await until(lambda times=times: len(asked) == times)  # type: ignore[misc]
    session._show_later()
    assert session._showing is not None
    assert session._shows_denied == 3
    await session.close()
    assert session._showing.cancelled()


@pytest.mark.asyncio
@pytest.mark.parametrize("unsure", [True, False])
async def test_a_session_asks_for_the_present_when_its_picture_is_unsure(unsure: bool) -> None:
    asked: list[None] = []
    receiver: Any = SimpleNamespace(unsure=lambda: asked.append(None))
    session = session_for(receiver)
    plan = session.encode(batch([store(not unsure)], Priority.FAULT))
    assert isinstance(plan, Plan)
    assert decode_adu(plan.units[0].adu, STANDARD, uplink=True).type == 21
    session.send(SimpleNamespace(batch=batch([], Priority.FAULT)), plan)  # type: ignore[arg-type]
    await session.close()
    assert len(asked) == unsure


@pytest.mark.asyncio
async def test_a_destination_that_is_unsure_tells_the_state_anew(tmp_path: Path) -> None:
    async with (
        gb_centre() as centre,
        running_uplink(gb_config(tmp_path, gb_uplink(centre.port)), journal_of(1)) as process,
    ):
        await until(done(process))
        destination = process.destinations[0]
        destination.settling.unsure()
        assert destination._state_owed
        await until(lambda: not destination._state_owed)
