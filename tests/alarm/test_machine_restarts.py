"""What of the alarms survives a restart, in a boot and across power cuts; what holds in any order of what happens."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.alarm.alarm import Alarm
from edge_agent.alarm.machine import HOLD_NS
from edge_agent.alarm.patterns import FIRE_SOUND, OFF, SENDING, STEADY
from edge_agent.config.model import Zone
from edge_agent.model import Event, Kind, Sound
from tests.alarm.site import FLOOR3, S, Site


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
