"""The life of alarms: what sounds, what shines, what is raised, what survives."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.alarm import machine as machine_module
from edge_agent.alarm.alarm import Alarm, State
from edge_agent.alarm.machine import DELIVERY, HOLD_NS, MAX_UNSENT, UNCONFIRMED_NS, AlarmMachine
from edge_agent.alarm.patterns import FAULT_SOUND, FIRE_SOUND, LINK_SOUND, OFF, PAST, SENDING, STEADY
from edge_agent.config.model import Zone
from edge_agent.model import KINDS, Clock, Event, Instant, Kind, Sound

S = 1_000_000_000


class Site:
    """A machine with a hand on its clock."""

    def __init__(self, zones: Sequence[Zone] = (), boot: str = "boot1", **more: object) -> None:
        self.ids = itertools.count(1)
        self.now_ns, self.boot = 0, boot
        self.machine = AlarmMachine(zones, new_event=self.new_event, **more)  # type: ignore[arg-type]

    def instant(self, at_ns: int) -> Instant:
        return Instant(self.boot, at_ns, at_ns, Clock.SYNCED)

    def new_event(
        self, kind: Kind, point: str, active: bool, at_ns: int, /, *, source: str = "", name: str = "",
        fields: Mapping[str, object] | None = None, raw: bytes = b"", grade: int = 0,
    ) -> Event:  # fmt: skip
        return Event(
            id=f"{self.boot}-{next(self.ids)}", kind=kind, point=point, active=active, at=self.instant(at_ns),
            source=source, name=name, fields=fields or {}, raw=raw, grade=grade,
        )  # fmt: skip

    def say(self, kind: str, point: str = "p1/1", active: bool = True, **fields: object) -> list[Event]:
        grade = 1 if active and KINDS[Kind(kind)].sound is Sound.FIRE else 0
        self.last = self.new_event(
            Kind(kind),
            point,
            active,
            self.now_ns,
            source=point.partition("/")[0],
            name=f"at {point}",
            fields=fields,
            grade=grade,
        )
        return self.machine.feed(self.last, self.now_ns)

    def wait(self, seconds: float) -> list[Event]:
        end_ns, events = self.now_ns + round(seconds * S), []
        while (due_ns := self.machine.next_deadline_ns()) is not None and due_ns <= end_ns:
            self.now_ns = max(self.now_ns, due_ns)
            events += self.machine.tick(self.now_ns)
        self.now_ns = end_ns
        return events

    def ack(self, alarm: str | None = None) -> list[Event]:
        return self.machine.acknowledge(alarm, "duty", self.now_ns)

    def states(self) -> dict[str, str]:
        return {alarm.point: alarm.state.value for alarm in self.machine.alarms()}

    @property
    def buzzer(self) -> object:
        return self.machine.annunciation().buzzer

    @property
    def fire_lamp(self) -> object:
        return self.machine.annunciation().fire_lamp


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

FLOOR3 = Zone(id="floor3", points=("p1/3-*", "pump-room"), unacknowledged_s=120.0)


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


# --- restarts -----------------------------------------------------------------------------------------------------------


class Kept:
    def __init__(self) -> None:
        self.pieces: dict[str, bytes] = {}

    def write(self, site: Site) -> None:
        for key, piece in site.machine.dump().items():
            if piece is None:
                self.pieces.pop(key, None)
            else:
                self.pieces[key] = piece


def restart(site: Site, kept: Kept, zones: Sequence[Zone], boot: str | None = None, *, now: bool = True) -> Site:
    again = Site(zones, boot or site.boot, uplinks=["county"])
    again.ids, again.now_ns = site.ids, site.now_ns if boot is None else 5 * S
    again.machine.restore(kept.pieces, again.instant(again.now_ns) if now else None)
    return again


@pytest.mark.parametrize("when", ["before it raised its own", "after"])
def test_an_alarm_of_a_boot_that_could_not_be_read_can_be_acknowledged_beside_those_raised_since(when: str) -> None:
    """The count of a boot on a dead medium begins anew: two alarms had one number, and the button saw only one of them."""
    before, kept = Site(uplinks=["county"]), Kept()
    before.say("fault", "p1/1")
    before.say("fire", "p1/2")
    kept.write(before)
    kept.pieces["an"] = b'{"count":0}'
    again = Site(boot="boot2", uplinks=["county"])
    if when == "after":
        again.say("fault", "p1/7")
        again.say("fault", "p1/8")
    again.machine.restore(kept.pieces, again.instant(again.now_ns))
    if when != "after":
        again.say("fault", "p1/7")
        again.say("fault", "p1/8")
    assert len({alarm.id for alarm in again.machine.alarms()}) == 4
    again.ack()
    assert set(again.states().values()) == {"acknowledged"}


points = st.sampled_from(["p1/3-1", "p1/3-2", "p1/4-1", "p2/1"])
kinds = st.sampled_from(["fire", "fire_manual", "fault", "link", "unknown", "prealarm"])
steps = st.one_of(
    st.tuples(st.just("say"), kinds, points, st.booleans()),
    st.tuples(st.just("ack")),
    st.tuples(st.just("silence")),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 1.0, 20.0, 31.0, 130.0, 301.0])),
    st.tuples(st.just("delivered"), st.integers(0, 5)),
    st.tuples(st.just("reset"), st.sampled_from(["p1", "p2"])),
)


def do(site: Site, step: tuple[object, ...], told: list[str]) -> list[Event]:
    match step:
        case ("say", str(kind), str(point), bool(active)):
            follow = site.say(kind, point, active)
            told.append(site.last.id)
        case ("ack",):
            follow = site.ack()
        case ("silence",):
            follow = site.machine.silence("duty", site.now_ns)
        case ("wait", float(seconds)):
            follow = site.wait(seconds)
        case ("delivered", int(back)):
            if back < len(told):
                site.machine.delivered(told[-1 - back], site.now_ns)
            follow = []
        case ("reset", str(panel)):
            follow = site.say("reset", panel)
        case _:
            raise AssertionError(step)
    told += [event.id for event in follow]
    return follow


def essence(events: Sequence[Event]) -> list[tuple[object, ...]]:
    return [(event.kind, event.point, event.active, event.grade, event.at.mono_ns) for event in events]


def shape(site: Site) -> list[Alarm]:
    return site.machine.alarms()


@settings(max_examples=300)
@given(st.lists(st.tuples(steps, st.booleans()), max_size=40))
def test_a_restart_at_any_moments_within_a_boot_changes_nothing(script: list[tuple[tuple[object, ...], bool]]) -> None:
    steady, other, kept = Site([FLOOR3], uplinks=["county"]), Site([FLOOR3], uplinks=["county"]), Kept()
    steady_told, other_told = list[str](), list[str]()
    for step, cut in script:
        assert essence(do(steady, step, steady_told)) == essence(do(other, step, other_told))
        kept.write(other)
        if cut:
            other = restart(other, kept, [FLOOR3])
        assert shape(steady) == shape(other)
        assert steady.machine.annunciation() == other.machine.annunciation()
        assert steady.machine.next_deadline_ns() == other.machine.next_deadline_ns()
        assert steady.machine.first_fire() == other.machine.first_fire()


@settings(max_examples=300)
@given(st.lists(steps, max_size=60))
def test_a_fire_sounds_from_its_event_until_acknowledged_silenced_or_reset(script: list[tuple[object, ...]]) -> None:
    site, told = Site([FLOOR3], uplinks=["county"]), list[str]()
    heard: set[tuple[str, str]] = set()
    for step in script:
        do(site, step, told)
        match step:
            case ("say", ("fire" | "fire_manual" | "unknown") as kind, str(point), True):
                heard.add((str(kind), point))
            case ("ack",) | ("silence",):
                heard.clear()
            case ("reset", str(panel)):
                heard = {one for one in heard if not one[1].startswith(panel)}
        assert (site.buzzer == FIRE_SOUND) == bool(heard)
        listed = {(alarm.kind.value, alarm.point) for alarm in site.machine.alarms()}
        assert heard <= listed


@settings(max_examples=100)
@given(st.lists(steps, max_size=40))
def test_the_totals_are_those_of_the_list(script: list[tuple[object, ...]]) -> None:
    site, told = Site([FLOOR3], uplinks=["county"]), list[str]()
    for step in script:
        do(site, step, told)
        alarms = site.machine.alarms()
        for sound in Sound:
            of_sound = [alarm for alarm in alarms if alarm.sound is sound]
            assert site.machine._listed[sound] == len(of_sound)
            assert site.machine._active[sound] == sum(alarm.active for alarm in of_sound)
            assert site.machine._sounding[sound] == sum(alarm.sounding for alarm in of_sound)
        assert site.machine.silenced == sum(alarm.silenced for alarm in alarms)
        assert len({alarm.id for alarm in alarms}) == len(alarms)


@pytest.mark.parametrize("now_known", [True, False])
def test_a_power_cut_silences_nothing_and_every_timer_begins_anew(now_known: bool) -> None:
    site, kept = Site([FLOOR3], uplinks=["county"]), Kept()
    site.now_ns = 1000 * S
    site.say("fire", "p1/3-1")
    fire = site.last.id
    kept.write(site)
    again = restart(site, kept, [FLOOR3], "boot2", now=now_known)
    assert (again.buzzer, again.fire_lamp) == (FIRE_SOUND, SENDING)
    again.machine.feed(again.new_event(Kind.BOOT, "gateway", True, again.now_ns), again.now_ns)
    events = again.wait(121)
    assert [(event.kind, event.at.mono_ns - 5 * S) for event in events] == [(Kind.LINK, 30 * S), (Kind.FIRE, 120 * S)]
    again.machine.delivered(fire, again.now_ns)
    assert again.machine.alarms()[0].delivered


def test_what_the_agent_said_of_itself_is_over_after_a_restart_unless_it_says_it_again() -> None:
    site, kept = Site(), Kept()
    for point in ("worker/panel1", "board"):
        event = site.new_event(Kind.FAULT, point, True, 0, source="gateway")
        site.machine.feed(event, 0)
    kept.write(site)
    again = restart(site, kept, [])
    again.machine.feed(again.new_event(Kind.FAULT, "board", True, 1, source="gateway"), 1)
    (over,) = again.wait(60)
    assert (over.point, over.active, over.fields) == ("worker/panel1", False, {"by": "restart"})
    assert again.states() == {"board": "active", "worker/panel1": "returned"}


def test_an_acknowledged_or_silenced_fire_stays_so_after_a_power_cut() -> None:
    site, kept = Site(uplinks=["county"]), Kept()
    site.say("fire", "p1/1")
    site.ack()
    site.say("fire", "p1/2")
    site.machine.silence("duty", site.now_ns)
    kept.write(site)
    again = restart(site, kept, [], "boot2")
    assert again.buzzer == OFF
    assert again.states() == {"p1/1": "acknowledged", "p1/2": "active"}
    first = again.machine.first_fire()
    assert first is not None and first.point == "p1/1"


def test_the_lamp_stays_five_minutes_after_a_power_cut_in_its_hold() -> None:
    site, kept = Site(uplinks=["county"]), Kept()
    site.say("fire")
    site.machine.delivered(site.last.id, site.now_ns)
    site.say("reset", "p1")
    kept.write(site)
    again = restart(site, kept, [], "boot2")
    again.wait(HOLD_NS / S - 1)
    assert again.fire_lamp == STEADY
    again.wait(2)
    assert again.fire_lamp == OFF


def test_ids_of_alarms_are_not_given_twice_across_restarts() -> None:
    site, kept = Site(), Kept()
    site.say("fire")
    first = site.machine.alarms()[0].id
    site.ack()
    site.say("fire", active=False)
    kept.write(site)
    again = restart(site, kept, [])
    again.say("fire")
    assert again.machine.alarms()[0].id != first


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"\xff", b'{"id": "1", "kind": "none", "at": {}}', b'{"at": 3, "count": "x"}']
)
def test_a_damaged_piece_of_state_does_not_keep_the_gateway_from_starting(body: bytes) -> None:
    site = Site(uplinks=["county"])
    site.machine.restore(dict.fromkeys(["aa:fire:p1/1", "af", "ah", "an", "au:e1", "x"], body), site.instant(0))
    site.say("fire")
    assert site.buzzer == FIRE_SOUND


def test_one_change_writes_a_few_small_pieces_whatever_the_list() -> None:
    site = Site(uplinks=["county"])
    for number in range(1000):
        site.say("fire", f"p1/{number}")
    site.machine.dump()
    site.say("fire", "p1/2000")
    pieces = site.machine.dump()
    assert len(pieces) <= 5
    assert sum(len(piece or b"") for piece in pieces.values()) < 2000
    assert site.machine.dump() == {}
