"""A panel and its relays: one source of truth."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.messages import PointSpec
from edge_agent.alarm.machine import AlarmMachine
from edge_agent.model import Event, Kind
from edge_agent.points.taps import Tapped
from tests.points.conftest import make_table
from tests.points.table_bench import Make, told
from tests.points.taps_site import HOLD, Site

RELAY = Tapped(ports=("panel1",), contacts={"relay1": Kind.FIRE}, hold_s=HOLD)


@pytest.fixture
def relay(table: Make) -> Site:
    return Site(table([relay_spec()], tapped=[RELAY], names={"relay1": "火警继电器"}))


def relay_spec() -> PointSpec:
    return PointSpec(id="relay1", name_zh="继电器", name_en="relay", kind="fire", limits={"off_delay_s": 0.0})


def test_a_relay_with_no_word_from_the_panel_is_a_fire_and_the_silent_port_a_fault(relay: Site) -> None:
    (fire,) = relay.relay(0, True)
    assert (fire.kind, fire.point, fire.grade, fire.source, fire.name) == (
        Kind.FIRE,
        "relay1",
        1,
        "contacts",
        "火警继电器",
    )
    assert fire.fields["samples"] == [[0.0, True]]
    assert relay.run(HOLD).faults == [("panel1/tap", True)]
    assert told(relay.relay(100, False)) == [("fire", "relay1", False)]


def test_the_panels_own_words_take_the_place_of_its_relay_without_a_second_alarm(relay: Site) -> None:
    relay.relay(0, True)
    events = relay.say(2, "panel1/1-27")
    assert told(events) == [("fire", "relay1", False), ("fire", "panel1/1-27", True)]
    assert events[0].fields == {"by": "tap", "same_as": "panel1/1-27"}
    assert [(alarm.point, alarm.first) for alarm in relay.machine.alarms()] == [("panel1/1-27", True)]
    assert relay.run(1000).faults == []


def test_a_relay_and_its_panel_in_one_zone_do_not_confirm_each_other(
    new_event: Callable[..., Event], table: Make
) -> None:
    from edge_agent.config.model import Zone

    site = Site(table([relay_spec()], tapped=[RELAY]))
    site.machine = AlarmMachine([Zone(id="z", points=("*",))], new_event=new_event)
    site.relay(0, True)
    site.say(2, "panel1/1-27")
    assert [alarm.grade for alarm in site.machine.alarms()] == [1]
    site.say(3, "panel1/1-28")
    assert {alarm.grade for alarm in site.machine.alarms()} == {2}


def test_a_relay_that_closes_after_the_panel_spoke_is_evidence(relay: Site) -> None:
    relay.say(0, "panel1/1-27")
    assert told(relay.relay(1, True)) == [("evidence", "panel1/1-27", True)]
    assert relay.relay(50, False) == []
    assert relay.run(1000).faults == []


def test_a_relay_that_stays_open_while_the_panel_reports_a_fire_is_a_fault(relay: Site) -> None:
    relay.say(0, "panel1/1-27")
    assert relay.run(HOLD).faults == [("relay1/tap", True)]
    relay.relay(60, True)
    assert relay.faults == [("relay1/tap", True), ("relay1/tap", False)]


def test_a_relay_that_stays_closed_after_the_reset_is_believed(relay: Site) -> None:
    relay.say(0, "panel1/1-27")
    relay.relay(1, True)
    relay.say(100, "panel1/panel", "reset")
    assert relay.fires == []
    relay.run(100 + HOLD)
    assert relay.fires == ["relay1"]
    assert relay.events[-1].fields == {"why": "tap_alone"}
    assert relay.run(100 + 2 * HOLD).faults == [("panel1/tap", True)]


def test_a_relay_that_opens_soon_after_the_reset_is_nothing(relay: Site) -> None:
    relay.say(0, "panel1/1-27")
    relay.relay(1, True)
    relay.say(100, "panel1/panel", "reset")
    relay.relay(103, False)
    assert relay.run(1000).fires == []
    assert relay.raised == ["panel1/1-27"]


@pytest.mark.parametrize("reset", [False, True])
def test_a_closed_relay_is_remembered_through_a_power_cut(relay: Site, table: Make, reset: bool) -> None:
    relay.say(0, "panel1/1-27")
    relay.relay(1, True)
    if reset:
        relay.say(2, "panel1/panel", "reset")  # and the power goes before its relay opens
    kept = {key: body for key, body in relay.table.dump().items() if body is not None}
    again = Site(table([relay_spec()], tapped=[RELAY]))
    again.table.restore(kept)
    again.relay(0, True)
    again.run(100)
    assert again.raised == (["relay1"] if reset else [])


def test_a_relay_that_was_alone_at_the_power_cut_is_no_news_and_ends_as_it_began(relay: Site, table: Make) -> None:
    relay.relay(0, True)
    kept = {key: body for key, body in relay.table.dump().items() if body is not None}
    again = Site(table([relay_spec()], tapped=[RELAY]))
    again.table.restore(kept)
    assert again.relay(0, True) == []
    assert told(again.say(1, "panel1/1-27")) == [("fire", "relay1", False), ("fire", "panel1/1-27", True)]


def test_a_fault_relay_is_one_with_the_faults_the_panel_prints(table: Make) -> None:
    tapped = Tapped(ports=("panel1",), contacts={"relay1": Kind.FAULT}, hold_s=HOLD)
    spec = PointSpec(id="relay1", name_zh="故障", name_en="fault", kind="fault", limits={"off_delay_s": 0.0})
    site = Site(table([spec], tapped=[tapped]))
    site.relay(0, True)
    assert told(site.say(1, "panel1/1-30", "fault")) == [("fault", "relay1", False), ("fault", "panel1/1-30", True)]
    assert told(site.say(2, "panel1/1-27")) == [
        ("fire", "panel1/1-27", True)
    ]  # another class: the fault relay says nothing of it


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 60), st.sampled_from(["close", "open", "reset", "1-1", "1-2"])), max_size=14))
def test_a_closed_relay_is_always_a_fire_of_somebody_once_things_have_settled(moves: list[tuple[int, str]]) -> None:
    site, now_s, closed = Site(make_table([relay_spec()], tapped=[RELAY])), 0, False
    for gap_s, what in moves:
        now_s += gap_s
        if what in ("close", "open"):
            opened, closed = not closed, what == "close"
            site.relay(now_s, closed)
            if closed and opened:
                assert site.fires
        elif what == "reset":
            site.say(now_s, "panel1/panel", "reset")
        else:
            site.say(now_s, f"panel1/{what}")
            assert f"panel1/{what}" in site.fires
    site.run(now_s + 10 * HOLD)
    assert not closed or site.fires
    assert "relay1" not in site.fires or len(site.fires) == 1  # never beside a detailed one
