"""The life of alarms: what sounds, what shines, what is raised, what survives."""

from dataclasses import replace

import pytest

from edge_agent.alarm import machine as machine_module
from edge_agent.alarm.alarm import State
from edge_agent.alarm.machine import DELIVERY, MAX_UNSENT, UNCONFIRMED_NS
from edge_agent.alarm.patterns import FAULT_SOUND, FIRE_SOUND, LINK_SOUND, OFF, PAST, SENDING, STEADY
from edge_agent.config.model import Zone
from edge_agent.model import Event, Kind
from tests.alarm.site import FLOOR3, S, Site

# --- life ---------------------------------------------------------------------------------------------------------------


def test_a_fire_leaves_the_list_only_after_it_returned_and_was_acknowledged() -> None:
    for order in ("ack first", "return first"):
        site = Site()
        site.say("fire")
        if order == "ack first":
            site.ack()
            assert site.states() == {"p1/1": "acknowledged"}
            site.say("fire", active=False)
        else:
            site.say("fire", active=False)
            assert site.states() == {"p1/1": "returned"}
            site.ack()
        assert site.states() == {}


def test_a_fire_sounds_until_a_person_acts_even_if_it_returned_meanwhile() -> None:
    site = Site()
    site.say("fire")
    assert site.buzzer == FIRE_SOUND
    site.say("fire", active=False)
    assert site.buzzer == FIRE_SOUND
    site.ack()
    assert site.buzzer == OFF


def test_a_fault_sounds_only_while_it_is_there_and_stays_listed_until_seen() -> None:
    site = Site()
    site.say("fault")
    assert (site.buzzer, site.machine.annunciation().fault_lamp) == (FAULT_SOUND, STEADY)
    site.say("fault", active=False)
    assert (site.buzzer, site.machine.annunciation().fault_lamp) == (OFF, PAST)
    site.ack()
    assert site.machine.annunciation().fault_lamp == OFF


def test_silence_stops_the_sound_the_lamp_stays_and_a_new_fire_sounds_again() -> None:
    site = Site()
    site.say("fire")
    (record,) = site.machine.silence("button", site.now_ns)
    assert (record.kind, record.fields["who"], record.fields["alarms"]) == (Kind.SILENCE, "button", 1)
    assert (site.buzzer, site.fire_lamp, site.machine.silenced) == (OFF, STEADY, 1)
    assert site.machine.silence("button", site.now_ns) == []
    site.say("fire", "p1/2")
    assert site.buzzer == FIRE_SOUND


def test_the_same_point_again_sounds_again_and_wants_a_person_again() -> None:
    site = Site()
    site.say("fire")
    site.ack()
    site.say("fire")
    (alarm,) = site.machine.alarms()
    assert (alarm.state, alarm.count, alarm.event_id) == (State.ACTIVE, 2, site.last.id)
    assert site.buzzer == FIRE_SOUND


def test_each_acknowledgement_is_an_event_that_names_the_alarm_and_the_person() -> None:
    site = Site()
    site.say("fire")
    fire = site.last
    site.say("fault", "p1/2")
    first = site.machine.alarms()[0]
    (record,) = site.ack(first.id)
    assert (record.kind, record.point) == (Kind.ACKNOWLEDGE, "p1/1")
    assert record.fields == {"alarm": first.id, "event_id": fire.id, "of": "fire", "who": "duty"}
    assert site.ack("no such id") == []
    assert len(site.ack()) == 1  # the other one; nobody acknowledges twice


@pytest.mark.parametrize(
    ("kinds", "sound"),
    [
        (["link"], LINK_SOUND), (["link", "fault"], FAULT_SOUND), (["link", "fault", "fire"], FIRE_SOUND),
        (["start", "feedback", "disabled", "boot", "test"], OFF), (["unknown"], FIRE_SOUND), (["gas"], FIRE_SOUND),
        (["store"], FAULT_SOUND), (["prealarm"], FAULT_SOUND),
    ],
)  # fmt: skip
def test_the_gravest_kind_gives_the_sound(kinds: list[str], sound: object) -> None:
    site = Site()
    for kind in kinds:
        site.say(kind, f"p1/{kind}")
    assert site.buzzer == sound


def test_when_the_fire_is_acknowledged_the_fault_beneath_is_heard() -> None:
    site = Site()
    site.say("fault", "p1/9")
    site.say("fire")
    site.ack(site.machine.alarms()[0].id)
    assert site.buzzer == FAULT_SOUND


def test_the_first_fire_is_pinned_until_no_fire_is_left() -> None:
    site = Site()
    site.say("fault", "p1/0")
    site.say("fire", "p1/1")
    site.say("fire", "p1/2")
    assert [(alarm.point, alarm.first) for alarm in site.machine.alarms()] == [
        ("p1/1", True),
        ("p1/2", False),
        ("p1/0", False),
    ]
    site.ack()
    site.say("fire", "p1/1", active=False)
    first = site.machine.first_fire()
    assert first is not None and first.point == "p1/1"  # it left the list, and is still where it began
    site.say("fire", "p1/2", active=False)
    assert site.machine.first_fire() is None
    site.say("fire", "p1/2")
    assert site.machine.alarms()[0].first


def test_reset_of_the_panel_ends_its_alarms_without_a_person_here() -> None:
    site = Site()
    site.say("fire", "p1/1")
    site.say("fault", "p1/2")
    site.say("fire", "p2/1")
    site.say("reset", "p1")
    site.say("fire", "p1/1", active=False, by="reset")
    site.say("fault", "p1/2", active=False, by="reset")
    assert site.states() == {"p2/1": "active"}
    assert site.buzzer == FIRE_SOUND


def test_the_end_of_what_is_not_listed_is_nothing() -> None:
    site = Site()
    assert site.say("fire", active=False) == [] and site.states() == {}


# --- grades -------------------------------------------------------------------------------------------------------------


def test_two_points_of_a_zone_are_grade_2_both() -> None:
    site = Site([FLOOR3])
    assert site.say("fire", "p1/3-001") == []
    first_id = site.last.id
    follow = site.say("fire", "p1/3-002")
    assert [(event.point, event.grade, event.active, event.fields["why"]) for event in follow] == [
        ("p1/3-001", 2, True, "zone"),
        ("p1/3-002", 2, True, "zone"),
    ]
    assert follow[0].fields["escalates"] == first_id
    assert [alarm.grade for alarm in site.machine.alarms()] == [2, 2]


def test_one_point_twice_or_a_point_of_another_zone_is_no_second_witness() -> None:
    site = Site([FLOOR3])
    site.say("fire", "p1/3-001")
    assert site.say("gas", "p1/3-001") == []
    assert site.say("fire", "p1/4-001") == []
    assert site.say("fault", "p1/3-002") == []


def test_a_point_that_returned_is_no_witness() -> None:
    site = Site([FLOOR3])
    site.say("fire", "p1/3-001")
    site.say("fire", "p1/3-001", active=False)
    assert site.say("fire", "p1/3-002") == []


def test_a_manual_call_point_is_grade_2_alone() -> None:
    (follow,) = Site().say("fire_manual", "p1/9")
    assert (follow.kind, follow.grade, follow.fields["why"]) == (Kind.FIRE_MANUAL, 2, "manual")


def test_a_fire_nobody_acknowledged_in_time_is_grade_2_once() -> None:
    site = Site([FLOOR3])
    site.say("fire", "p1/3-001")
    assert site.wait(119.9) == []
    (follow,) = site.wait(0.2)
    assert (follow.grade, follow.fields["why"], follow.at.mono_ns) == (2, "unacknowledged", 120 * S)
    assert site.wait(10_000) == []


def test_a_fire_told_again_and_again_does_not_put_off_grade_2() -> None:
    site = Site([FLOOR3])
    site.say("unknown", "p1/3-001")
    events: list[Event] = []
    for _ in range(13):
        events += site.wait(10)
        site.say("unknown", "p1/3-001")
    assert [event.at.mono_ns for event in events] == [120 * S]


def test_one_that_returned_and_was_not_acknowledged_is_raised_as_no_longer_active() -> None:
    site = Site([FLOOR3])
    site.say("fire", "p1/3-001")
    site.say("fire", "p1/3-001", active=False)
    (follow,) = site.wait(121)
    assert (follow.grade, follow.active) == (2, False)


def test_acknowledging_in_time_keeps_grade_1_and_zero_seconds_is_never() -> None:
    site = Site([FLOOR3])
    site.say("fire", "p1/3-001")
    site.ack()
    assert site.wait(10_000) == []
    site = Site([replace(FLOOR3, unacknowledged_s=0.0)])
    site.say("fire", "p1/3-001")
    assert site.wait(10_000) == []


def test_our_own_events_told_to_us_again_change_nothing() -> None:
    site = Site([FLOOR3], uplinks=["county"])
    site.say("fire", "p1/3-001")
    follow = site.say("fire", "p1/3-002") + site.wait(40)
    assert [event.point for event in follow] == ["p1/3-001", "p1/3-002", DELIVERY]
    before, lit = site.machine.alarms(), site.machine.annunciation()
    assert [more for event in follow for more in site.machine.feed(event, site.now_ns)] == []
    assert (site.machine.alarms(), site.machine.annunciation()) == (before, lit)


# --- delivery -----------------------------------------------------------------------------------------------------------


def test_the_fire_lamp_flashes_until_the_centre_has_every_event_then_is_steady() -> None:
    site = Site(uplinks=["county"])
    site.say("fire", "p1/1")
    first = site.last.id
    site.say("fire", "p1/2")
    assert site.fire_lamp == SENDING
    site.machine.delivered(first, site.now_ns)
    assert site.fire_lamp == SENDING
    assert {alarm.point: alarm.delivered for alarm in site.machine.alarms()} == {"p1/1": True, "p1/2": False}
    site.machine.delivered(site.last.id, site.now_ns)
    site.machine.delivered("no such event", site.now_ns)
    assert site.fire_lamp == STEADY


def test_the_fire_lamp_stays_five_minutes_after_success_and_after_reset() -> None:
    site = Site(uplinks=["county"])
    site.say("fire")
    site.wait(10)
    site.machine.delivered(site.last.id, site.now_ns)
    site.say("reset", "p1")
    assert site.states() == {}
    site.wait(299)
    assert site.fire_lamp == STEADY
    site.wait(2)
    assert site.fire_lamp == OFF
    assert site.machine.next_deadline_ns() is None  # quiet: nothing wakes the loop


def test_a_fire_that_was_reset_before_the_centre_had_it_still_flashes() -> None:
    site = Site(uplinks=["county"])
    site.say("fire")
    site.say("reset", "p1")
    assert site.fire_lamp == SENDING


def test_without_a_centre_the_lamp_is_steady_and_nothing_is_missed() -> None:
    site = Site()
    site.say("fire")
    assert site.fire_lamp == STEADY
    site.ack()
    assert site.wait(1000) == []


def test_a_fire_not_confirmed_in_30_s_is_a_link_fault_here_until_it_is() -> None:
    site = Site(uplinks=["county"])
    site.say("fire")
    site.ack()
    (fault,) = site.wait(31)
    assert (fault.kind, fault.point, fault.active, fault.at.mono_ns) == (Kind.LINK, DELIVERY, True, UNCONFIRMED_NS)
    assert (site.buzzer, site.machine.annunciation().link_lamp) == (LINK_SOUND, STEADY)
    site.machine.delivered(site.last.id, site.now_ns)
    (restored,) = site.wait(0)
    assert (restored.kind, restored.active) == (Kind.LINK, False)
    assert site.buzzer == OFF


# --- floods -------------------------------------------------------------------------------------------------------------


def test_5000_fires_are_all_listed_and_all_of_grade_2_in_one_zone() -> None:
    site = Site([Zone(id="all", points=("p1/*",))], uplinks=["county"])
    follow = [event for number in range(5000) for event in site.say("fire", f"p1/{number}")]
    assert len(follow) == 5000
    assert len(site.machine.alarms()) == 5000
    assert site.machine.alarms()[0].point == "p1/0"
    assert len(site.ack()) == 5000
    for number in range(5000):
        site.say("fire", f"p1/{number}", active=False)
    assert site.states() == {}


def test_past_the_bound_alarms_share_one_and_no_fire_goes_unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "MAX_ALARMS", 10)
    site = Site()
    for number in range(10):
        site.say("fault", f"p1/{number}")
    site.ack()
    site.say("fire", "p1/77")
    assert site.buzzer == FIRE_SOUND
    site.ack()
    site.say("fire", "p1/78")
    assert site.buzzer == FIRE_SOUND
    shared = site.machine.alarms()[0]
    assert (shared.point, shared.kind, shared.count, shared.first) == ("p1/*", Kind.FIRE, 2, True)
    site.say("fire", "p1/77", active=False)
    assert site.machine.alarms()[0].active
    site.say("fire", "p1/78", active=False)
    assert site.machine.alarms()[0].state is State.RETURNED


def test_what_the_lamp_waits_for_is_bounded() -> None:
    site = Site(uplinks=["county"], unacknowledged_s=0)
    for _ in range(MAX_UNSENT + 100):
        site.say("fire")
    assert len(site.machine._unsent) == MAX_UNSENT
    assert site.fire_lamp == SENDING
