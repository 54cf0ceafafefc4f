"""Duty checks: answered in time, late, missed; kept over a restart; never before a fire."""

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from edge_agent.alarm.buzzer_test import BuzzerTest
from edge_agent.alarm.duty import OPEN_MAX, DutyChecks
from edge_agent.alarm.machine import AlarmMachine
from edge_agent.alarm.patterns import DUTY_LAMP, DUTY_SOUND, FIRE_SOUND, OFF, TEST_SOUND, Annunciation, overlay
from edge_agent.model import Clock, Event, Instant, Kind

S = 1_000_000_000
MINUTE = 60 * S
WALL = 1_800_000_000 * S


def at(mono_ns: int, *, boot: str = "b1", wall_ns: int | None = None, clock: Clock = Clock.SYNCED) -> Instant:
    return Instant(boot, mono_ns, WALL + mono_ns if wall_ns is None else wall_ns, clock)


_numbers = itertools.count(1)


def new_event(kind: Kind, point: str, active: bool, at_ns: int, /, **more: Any) -> Event:
    return Event(id=f"e{next(_numbers)}", kind=kind, point=point, active=active, at=at(at_ns), **more)


def results(events: list[Event]) -> list[tuple[object, object]]:
    return [(event.fields["dest"], event.fields.get("result", "asked")) for event in events]


def restored(state: Mapping[str, bytes | None], now: Instant) -> DutyChecks:
    twin = DutyChecks(new_event=new_event)
    twin.restore({key: value for key, value in state.items() if value is not None}, now)
    return twin


def test_a_check_answered_in_time_is_answered_once_with_its_operator() -> None:
    duty = DutyChecks(new_event=new_event)
    [asked] = duty.ask("county", "c1", 10, at(0))
    assert (asked.kind, asked.active, asked.fields) == (
        Kind.DUTY_CHECK,
        True,
        {"dest": "county", "check": "c1", "minutes": 10},
    )
    assert duty.next_deadline_ns() == 10 * MINUTE
    [answered] = duty.answer(7, "button", 9 * MINUTE)
    assert (answered.active, answered.fields["result"], answered.fields["operator"]) == (False, "answered", 7)
    assert duty.answer(7, "button", 9 * MINUTE) == []
    assert (duty.waiting, duty.next_deadline_ns()) == (False, None)


def test_a_check_nobody_answers_is_missed_at_its_deadline_and_can_still_be_answered_late() -> None:
    duty = DutyChecks(new_event=new_event)
    duty.ask("county", "c1", 1, at(0))
    assert duty.tick(MINUTE - 1) == []
    [missed] = duty.tick(MINUTE + 3 * S)
    assert (missed.at.mono_ns, missed.active, missed.fields["result"]) == (MINUTE, False, "missed")
    assert duty.tick(2 * MINUTE) == []
    assert duty.sounding, "it sounds until a person acts"
    assert results(duty.answer(0, "button", 3 * MINUTE)) == [("county", "late")]
    assert not duty.waiting


def test_a_press_that_beats_the_timer_to_a_passed_deadline_is_late_all_the_same() -> None:
    duty = DutyChecks(new_event=new_event)
    duty.ask("county", "c1", 1, at(0))
    assert results(duty.answer(0, "button", MINUTE)) == [("county", "missed"), ("county", "late")]


def test_a_repeat_of_the_same_command_does_not_start_it_again() -> None:
    duty = DutyChecks(new_event=new_event)
    duty.ask("county", "c1", 1, at(0))
    assert duty.ask("county", "c1", 1, at(50 * S)) == []
    assert duty.next_deadline_ns() == MINUTE


def test_several_centres_ask_at_once_and_one_press_answers_them_all() -> None:
    duty = DutyChecks(new_event=new_event)
    duty.ask("county", "c1", 1, at(0))
    duty.ask("city", "c1", 5, at(S))
    duty.tick(MINUTE)
    assert results(duty.answer(1, "cli:duty", 2 * MINUTE)) == [("county", "late"), ("city", "answered")]


def test_a_new_check_of_the_same_centre_ends_the_one_it_was_told_as_missed() -> None:
    duty = DutyChecks(new_event=new_event)
    duty.ask("county", "c1", 1, at(0))
    duty.tick(MINUTE)
    duty.ask("county", "c2", 1, at(2 * MINUTE))
    assert results(duty.answer(0, "button", 2 * MINUTE + S)) == [("county", "answered")]


def test_there_is_room_for_so_many_and_no_more() -> None:
    duty = DutyChecks(new_event=new_event)
    for n in range(OPEN_MAX):
        assert duty.room(f"d{n}")
        duty.ask(f"d{n}", "c", 1, at(0))
    assert not duty.room("one-more")


def test_silence_stops_the_sound_and_not_the_lamp_and_the_next_check_sounds_again() -> None:
    duty = DutyChecks(new_event=new_event)
    duty.ask("county", "c1", 5, at(0))
    assert duty.silence() == 1
    assert (duty.sounding, duty.waiting) == (False, True)
    assert duty.silence() == 0
    duty.ask("city", "c1", 5, at(S))
    assert duty.sounding


def test_within_one_boot_a_restart_keeps_the_deadline_and_what_was_missed() -> None:
    duty = DutyChecks(new_event=new_event)
    duty.ask("county", "c1", 1, at(0))
    duty.ask("city", "c2", 5, at(0))
    duty.tick(MINUTE)
    twin = restored(duty.dump(), at(2 * MINUTE))
    assert twin.next_deadline_ns() == 5 * MINUTE
    assert results(twin.answer(0, "button", 3 * MINUTE)) == [("county", "late"), ("city", "answered")]


@pytest.mark.parametrize(
    ("clock_before", "clock_after", "later_ns", "left_ns"),
    [
        (Clock.SYNCED, Clock.SYNCED, 2 * MINUTE, 3 * MINUTE),  # both clocks true: what is left of it is left
        (Clock.SYNCED, Clock.SYNCED, 9 * MINUTE, 0),  # it passed while the power was off: missed at once
        (Clock.UNSET, Clock.SYNCED, 9 * MINUTE, 5 * MINUTE),  # nobody knows how long it was: it begins anew
        (Clock.SYNCED, Clock.HOLDOVER, 9 * MINUTE, 5 * MINUTE),
        (
            Clock.SYNCED,
            Clock.SYNCED,
            -86400 * S,
            5 * MINUTE,
        ),  # a clock that went back gives no more than the whole time
    ],
)
def test_after_a_power_cut_the_deadline_is_kept_by_clocks_that_can_be_trusted(
    clock_before: Clock, clock_after: Clock, later_ns: int, left_ns: int
) -> None:
    duty = DutyChecks(new_event=new_event)
    duty.ask("county", "c1", 5, at(77 * MINUTE, clock=clock_before, wall_ns=WALL))
    now = at(20 * S, boot="b2", wall_ns=WALL + later_ns, clock=clock_after)
    assert restored(duty.dump(), now).next_deadline_ns() == now.mono_ns + left_ns


@pytest.mark.parametrize("piece", [b"", b"{}", b'{"at":1}', b'{"dest":"a","id":"b","minutes":"x","at":{}}', b"\xff"])
def test_a_damaged_piece_keeps_nothing_from_starting(piece: bytes) -> None:
    assert not restored({"dc:county:c1": piece, "aa:x": b"{}"}, at(0)).waiting


def test_a_fire_is_never_masked_and_a_fault_lamp_stays() -> None:
    quiet, fire = Annunciation(), Annunciation(buzzer=FIRE_SOUND)
    assert overlay(quiet, duty_sound=False, duty_lamp=False, test=False) == quiet
    assert overlay(fire, duty_sound=True, duty_lamp=True, test=True).buzzer == FIRE_SOUND
    both = overlay(quiet, duty_sound=True, duty_lamp=True, test=True)
    assert (both.buzzer, both.link_lamp, both.fire_lamp) == (DUTY_SOUND, DUTY_LAMP, OFF)
    assert overlay(quiet, duty_sound=False, duty_lamp=True, test=True).buzzer == TEST_SOUND


def test_a_buzzer_test_is_told_at_both_ends_and_a_second_one_lengthens_it() -> None:
    test = BuzzerTest(new_event=new_event)
    [begun] = test.start(3, "uplink/county", 0)
    assert (begun.kind, begun.active, begun.fields["seconds"]) == (Kind.TEST, True, 3)
    assert test.start(5, "uplink/city", S) == []
    assert test.tick(3 * S) == []
    [ended] = test.tick(6 * S)
    assert (ended.active, test.running, test.next_deadline_ns()) == (False, False, None)


def _life(chance: random.Random) -> Iterator[tuple[int, str]]:
    now_ns = 0
    for _ in range(200):
        now_ns += chance.randrange(20 * S)
        yield (
            now_ns,
            chance.choice(["fire", "manual", "over", "ack", "silence", "duty", "test", "answer", "tick", "tick"]),
        )


@pytest.mark.parametrize("seed", range(50))
def test_checks_tests_and_manual_alarms_beside_fires_fire_first_and_all_answered(seed: int) -> None:
    """Matrix A3."""
    chance = random.Random(seed)
    machine, duty = AlarmMachine(new_event=new_event), DutyChecks(new_event=new_event)
    test, asked, told = BuzzerTest(new_event=new_event), 0, []
    now_ns = 0
    for now_ns, what in _life(chance):
        if what in ("fire", "manual", "over"):
            kind = Kind.FIRE_MANUAL if what == "manual" else Kind.FIRE
            machine.feed(
                new_event(kind, f"panel1/{chance.randrange(5)}", what != "over", now_ns, source="panel1"), now_ns
            )
        elif what == "ack":
            machine.acknowledge(None, "button", now_ns)
        elif what == "silence":
            machine.silence("button", now_ns)
            duty.silence()
        elif what == "duty":
            asked += len(duty.ask(f"d{chance.randrange(3)}", f"c{now_ns}", chance.randint(1, 3), at(now_ns)))
        elif what == "answer":
            told += duty.answer(0, "button", now_ns)
        elif what == "test":
            test.start(3, "x", now_ns)
        told += duty.tick(now_ns)
        test.tick(now_ns)
        alarms = machine.annunciation()
        shown = overlay(alarms, duty_sound=duty.sounding, duty_lamp=duty.waiting, test=test.running)
        assert shown.fire_lamp == alarms.fire_lamp, f"seed {seed}"
        fire_sounds = any(alarm.sounding and alarm.sound == "fire" for alarm in machine.alarms())
        assert (shown.buzzer == FIRE_SOUND) == fire_sounds, f"seed {seed}"
        if duty.sounding and not fire_sounds:
            assert shown.buzzer == DUTY_SOUND, f"seed {seed}"
    told += duty.tick(now_ns + 10 * MINUTE)
    ended = {event.fields["check"] for event in told if event.fields["result"] in ("answered", "missed")}
    assert (len(ended), asked > 5) == (asked, True), f"seed {seed}"
