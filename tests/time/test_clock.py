"""Steps, 1970 boots, time zones, 2038: nothing but the label changes, and it changes within bounds (matrix T1)."""

import itertools
import json
import os
import time
from pathlib import Path

import pytest

from edge_agent.boot_times import BOOTS_KEPT, BootTimes
from edge_agent.china_time import china_time
from edge_agent.clock import VOUCHED_NS, LabelClock, SystemClock, kernel_synced
from edge_agent.discipline import AGREE_NS, FRESH_NS, SANE_FROM_NS, SANE_TO_NS, STEP_NS, Change
from edge_agent.model import Clock, Event, Instant, Kind, encode_event, encode_instant, read_instant

S = 1_000_000_000
DAY = 86_400 * S
NOON = 1_795_492_800 * S  # 2026-11-24 12:00:00 in China


class Kernel:
    """A scripted TimeSource: monotonic time moves with `later`, the wall clock also with `step`."""

    def __init__(self, wall_ns: int = NOON, *, synced: bool = False, boot: str = "b1", mono_ns: int = 5 * S) -> None:
        self.boot, self.mono_ns, self.wall_ns, self.synced = boot, mono_ns, wall_ns, synced

    def later(self, ns: int) -> "Kernel":
        self.mono_ns += ns
        self.wall_ns += ns
        return self

    def step(self, ns: int) -> "Kernel":
        self.wall_ns += ns
        return self

    def now(self) -> Instant:
        return self.at(self.mono_ns)

    def at(self, mono_ns: int) -> Instant:
        sane = SANE_FROM_NS <= self.wall_ns <= SANE_TO_NS
        state = Clock.UNSET if not sane else Clock.SYNCED if self.synced else Clock.HOLDOVER
        return Instant(self.boot, mono_ns, self.wall_ns - (self.mono_ns - mono_ns), state)


def clock_over(kernel: Kernel) -> LabelClock:
    clock = LabelClock(kernel)
    clock.take_changes()
    return clock


def told(changes: list[Change]) -> list[tuple[str, str, str, int]]:
    return [(c.before.value, c.after.value, c.source, c.step_ns // S) for c in changes]


# --- the twelve cases of T1 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_ns", [DAY, -DAY, 400 * DAY, -400 * DAY, 3600 * S, -3600 * S])
def test_a_step_of_a_synchronised_kernel_moves_the_label_only_and_is_told(step_ns: int) -> None:
    kernel = Kernel(NOON + 500 * DAY, synced=True)
    clock = clock_over(kernel)
    before = clock.now()
    kernel.later(S).step(step_ns)
    after = clock.now()
    assert (after.boot_id, after.mono_ns - before.mono_ns) == (before.boot_id, S)
    assert after.wall_ns - before.wall_ns == S + step_ns
    assert told(clock.take_changes()) == [("synced", "synced", "ntp", step_ns // S)]
    assert clock.take_changes() == []


def test_a_boot_in_1970_is_unset_until_ntp_comes_and_then_its_records_are_dated() -> None:
    kernel = Kernel(7 * S, mono_ns=7 * S)
    clock = clock_over(kernel)
    early = clock.now()
    assert early.clock is Clock.UNSET
    kernel.later(60 * S).step(NOON)
    kernel.synced = True
    assert clock.now().clock is Clock.SYNCED
    assert told(clock.take_changes()) == [("unset", "synced", "ntp", NOON // S)]
    right = clock.restamp(early)
    assert (right.wall_ns, right.clock, right.restamped) == (NOON + 7 * S, Clock.SYNCED, True)
    assert (right.boot_id, right.mono_ns) == (early.boot_id, early.mono_ns)


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "UTC", "Pacific/Apia"])
def test_the_zone_and_the_summer_time_of_the_box_change_nothing(zone: str) -> None:
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        summer, winter = 1_783_000_000 * S, 1_795_492_800 * S
        assert china_time(summer) == "2026-07-02 21:46:40"
        assert china_time(winter) == "2026-11-24 12:00:00"
        kernel = Kernel(1_793_512_800 * S - 10 * S, synced=True)  # New York leaves summer time ten seconds on
        clock = clock_over(kernel)
        first = clock.now()
        kernel.later(20 * S)
        assert clock.now().wall_ns - first.wall_ns == 20 * S
        assert clock.take_changes() == []
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (2**31 - 1, "2038-01-19 11:14:07"),
        (2**31, "2038-01-19 11:14:08"),
        (2**32 + 5, "2106-02-07 14:28:21"),
        (3_000_000_000, "2065-01-24 13:20:00"),
    ],
)
def test_2038_and_beyond_are_times_like_any_other(seconds: int, shown: str) -> None:
    assert china_time(seconds * S) == shown
    at = Instant("b1", 1, seconds * S, Clock.SYNCED)
    assert read_instant(json.loads(json.dumps(encode_instant(at)))) == at
    if seconds * S <= SANE_TO_NS:
        kernel = Kernel(seconds * S - S, synced=True)
        clock = clock_over(kernel)
        kernel.later(2 * S)
        assert (clock.now().clock, clock.now().wall_ns) == (Clock.SYNCED, (seconds + 1) * S)


# --- sources -------------------------------------------------------------------------------------------------------------


def test_a_centre_sets_a_clock_that_was_never_set_at_once_and_the_kernel_does_not_move_it_again() -> None:
    kernel = Kernel(100 * S)
    clock = clock_over(kernel)
    verdict = clock.offer("centre", NOON, kernel.mono_ns, S)
    assert (verdict.taken, verdict.code) == (True, "stepped")
    assert (clock.now().wall_ns, clock.now().clock) == (NOON, Clock.SYNCED)
    assert told(clock.take_changes()) == [("unset", "synced", "centre", (NOON - 100 * S) // S)]
    kernel.step(-50 * S)
    assert clock.now().wall_ns == NOON
    assert clock.take_changes() == []


def test_a_synchronised_kernel_beats_a_centre_which_is_told_by_how_much_it_differs() -> None:
    kernel = Kernel(synced=True)
    clock = clock_over(kernel)
    verdict = clock.offer("centre", NOON + 3600 * S, kernel.mono_ns, S)
    assert (verdict.taken, verdict.code, verdict.difference_ns) == (False, "differs_from_ntp", 3600 * S)
    assert clock.now().wall_ns == NOON
    assert clock.offer("centre", NOON + AGREE_NS, kernel.mono_ns, S).code == "agrees"
    assert clock.now().wall_ns == NOON
    assert clock.source == "ntp"


def test_a_large_step_of_a_clock_that_runs_needs_two_samples_that_agree() -> None:
    kernel = Kernel()
    clock = clock_over(kernel)
    assert clock.now().clock is Clock.HOLDOVER, "a saved clock after a power cut"
    assert clock.offer("centre", NOON + 3 * DAY, kernel.mono_ns, S).code == "needs_second"
    kernel.later(60 * S)
    assert clock.offer("centre", NOON + 9 * DAY, kernel.mono_ns, S).code == "needs_second", "they do not agree"
    kernel.later(60 * S)
    assert clock.offer("centre", NOON + 9 * DAY + 62 * S, kernel.mono_ns, S).code == "stepped"
    assert clock.now().wall_ns == NOON + 9 * DAY + 62 * S
    kernel.later(S)
    assert clock.offer("centre", NOON, kernel.mono_ns, S).code == "needs_second"
    kernel.later(26 * 3600 * S)
    assert clock.offer("centre", NOON + 26 * 3600 * S, kernel.mono_ns, S).code == "needs_second", "the first is too old"


def test_a_centre_that_says_the_time_once_a_day_is_believed_on_the_second_day() -> None:
    """After a power cut of hours the saved clock is that much slow: it must not stay so for ever."""
    kernel = Kernel()
    clock = clock_over(kernel)
    assert clock.offer("centre", NOON + 5 * 3600 * S, kernel.mono_ns, S).code == "needs_second"
    kernel.later(DAY)
    assert clock.offer("centre", NOON + 5 * 3600 * S + DAY + 3 * S, kernel.mono_ns, S).code == "stepped"


def test_the_same_packet_sent_again_is_no_second_sample() -> None:
    kernel = Kernel()
    clock = clock_over(kernel)
    for _ in range(5):
        assert clock.offer("centre", NOON + DAY, kernel.mono_ns, S).code == "needs_second"
        kernel.later(S)
    assert clock.now().wall_ns == kernel.wall_ns


def test_a_step_within_the_bound_needs_one_sample() -> None:
    kernel = Kernel()
    clock = clock_over(kernel)
    assert clock.offer("centre", NOON + STEP_NS, kernel.mono_ns, S).code == "stepped"
    assert clock.now().wall_ns == NOON + STEP_NS


@pytest.mark.parametrize("difference_ns", [1_500_000_000, -1_500_000_000])
def test_a_small_difference_is_slewed_and_the_label_never_runs_backwards(difference_ns: int) -> None:
    kernel = Kernel()
    clock = clock_over(kernel)
    assert clock.offer("centre", NOON + difference_ns, kernel.mono_ns, 0).code == "slewed"
    walls = [clock.now().wall_ns]
    assert walls[0] == NOON
    for _ in range(400):
        kernel.later(S)
        walls.append(clock.now().wall_ns)
    steps = {after - before for before, after in itertools.pairwise(walls)}
    assert all(0 < step < 2 * S for step in steps)
    assert walls[-1] == kernel.wall_ns + difference_ns
    assert [change.step_ns for change in clock.take_changes()] == [0]


@pytest.mark.parametrize("wall_ns", [0, SANE_FROM_NS - 1, SANE_TO_NS + 1, 2**62])
def test_a_time_outside_of_2026_to_2100_is_no_time(wall_ns: int) -> None:
    kernel = Kernel(100 * S)
    clock = clock_over(kernel)
    assert clock.offer("centre", wall_ns, kernel.mono_ns, S).code == "out_of_range"
    assert clock.now().clock is Clock.UNSET


def test_a_network_does_not_move_what_a_centre_set_and_a_centre_moves_what_a_network_set() -> None:
    kernel = Kernel(100 * S)
    clock = clock_over(kernel)
    assert clock.offer("nitz", NOON, kernel.mono_ns, S).taken
    assert clock.offer("centre", NOON + 30 * S, kernel.mono_ns, S).code == "stepped"
    assert clock.offer("nitz", NOON, kernel.mono_ns, S).code == "outranked"
    assert (clock.now().wall_ns, clock.source) == (NOON + 30 * S, "centre")


def test_a_sample_is_good_for_a_day_then_the_clock_runs_on_in_holdover() -> None:
    kernel = Kernel(100 * S)
    clock = clock_over(kernel)
    clock.offer("centre", NOON, kernel.mono_ns, S)
    clock.take_changes()
    kernel.later(FRESH_NS)
    assert clock.now().clock is Clock.SYNCED
    kernel.later(1)
    assert clock.now() == Instant("b1", kernel.mono_ns, NOON + FRESH_NS + 1, Clock.HOLDOVER)
    assert told(clock.take_changes()) == [("synced", "holdover", "centre", 0)]


def test_a_kernel_that_lost_its_servers_keeps_its_label_though_somebody_steps_it() -> None:
    kernel = Kernel(synced=True)
    clock = clock_over(kernel)
    clock.now()
    kernel.later(S)
    kernel.synced = False
    assert clock.now() == Instant("b1", kernel.mono_ns, NOON + S, Clock.HOLDOVER)
    kernel.step(DAY)
    assert clock.now().wall_ns == NOON + S


def test_a_clock_nobody_vouched_for_follows_a_technician_who_sets_it_by_hand() -> None:
    kernel = Kernel(100 * S)
    clock = clock_over(kernel)
    kernel.step(NOON)
    assert clock.now().clock is Clock.HOLDOVER
    assert told(clock.take_changes()) == [("unset", "holdover", "kernel", NOON // S)]


def test_the_kernels_own_clock_says_something_sound() -> None:
    clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert second.mono_ns >= first.mono_ns
    assert abs(first.wall_ns - time.time_ns()) < 60 * S
    assert kernel_synced() in (True, False), "asking needs no privilege"
    if kernel_synced():
        assert first.clock is Clock.SYNCED
    assert len(first.boot_id) == 12
    assert Path("/proc/sys/kernel/random/boot_id").read_text("ascii").replace("-", "").startswith(first.boot_id)


# --- what was recorded before ---------------------------------------------------------------------------------------------


def test_records_of_three_boots_keep_their_order_and_each_gets_the_time_of_its_own_boot() -> None:
    state: dict[str, bytes] = {}
    early: list[Instant] = []
    for number in range(3):
        kernel = Kernel(3 * S, boot=f"b{number}", mono_ns=3 * S)
        clock = clock_over(kernel)
        clock.restore(state)
        early.append(clock.now())
        kernel.later(20 * S)
        clock.offer("centre", NOON + number * DAY + 20 * S, kernel.mono_ns, S)
        clock.take_changes()
        state |= {key: value for key, value in clock.boots.dump().items() if value is not None}
    right = [clock.restamp(at) for at in early]
    assert [at.wall_ns for at in right] == [NOON + number * DAY for number in range(3)]
    assert all(at.restamped for at in right)


def test_a_core_restarted_within_the_boot_still_knows_the_time_it_was_told() -> None:
    kernel = Kernel(100 * S)
    clock = clock_over(kernel)
    clock.offer("centre", NOON, kernel.mono_ns, S)
    clock.take_changes()
    state = {key: value for key, value in clock.boots.dump().items() if value is not None}
    kernel.later(9 * S)
    twin = LabelClock(kernel)
    twin.restore(state)
    assert twin.now() == Instant("b1", kernel.mono_ns, NOON + 9 * S, Clock.SYNCED)


def test_what_was_right_by_itself_is_never_touched() -> None:
    boots = BootTimes()
    boots.learn("b1", NOON, 100 * S, "ntp")
    for at in (
        Instant("b1", 50 * S, NOON + 49 * S, Clock.SYNCED),
        Instant("b1", 100 * S, 7, Clock.HOLDOVER),
        Instant("b2", 1, 7, Clock.UNSET),
    ):
        assert boots.restamp(at) is at


def test_a_body_is_dated_and_marked_and_nothing_else_of_it_changes() -> None:
    boots = BootTimes()
    boots.learn("b1", NOON, 100 * S, "centre")
    early = Event(
        id="e", kind=Kind.FIRE, point="p", active=True, at=Instant("b1", 7, 7, Clock.UNSET), name="走道", raw=b"\x01"
    )
    body = encode_event(early)
    record, dated = json.loads(body), json.loads(boots.restamp_body(body))
    assert dated.pop("at") == {"boot": "b1", "mono_ns": 7, "wall_ns": NOON + 7, "clock": "synced", "restamped": True}
    record.pop("at")
    assert dated == record
    assert boots.restamp_body(body).startswith(b'{"id":"e"'), "the uplink reads the id without parsing"


@pytest.mark.parametrize(
    "body", [b"", b'{"clock":"unset"', b'{"at":{"clock":"unset"}}', b'["clock":"unset"]', b"\xff" * 9]
)
def test_a_body_that_is_no_record_passes_as_it_is(body: bytes) -> None:
    boots = BootTimes()
    boots.learn("b1", NOON, 100 * S, "centre")
    assert boots.restamp_body(body) is body


def test_so_many_boots_are_remembered_and_damaged_pieces_are_left_out() -> None:
    boots, state = BootTimes(), dict[str, bytes]()
    for number in range(BOOTS_KEPT + 5):
        boots.learn(f"b{number}", NOON, 1, "ntp")
        for key, value in boots.dump().items():
            if value is None:
                del state[key]
            else:
                state[key] = value
    assert len(state) == BOOTS_KEPT
    twin = BootTimes()
    twin.restore({**state, "tb:x": b"{}", "tb:y": b"\xff", "tb:z": b'{"n":1,"offset_ns":"1"}'})
    assert [twin.get(name) is not None for name in ("b4", "b5", "x", "y", "z")] == [False, True, False, False, False]


def test_the_uplinks_word_that_the_kernel_is_synchronised_is_good_for_half_a_minute() -> None:
    kernel = Kernel()
    clock = clock_over(kernel)
    clock.vouch()
    assert clock.now().clock is Clock.SYNCED
    assert clock.offer("centre", NOON + 3600 * S, kernel.mono_ns, S).code == "differs_from_ntp"
    assert told(clock.take_changes()) == [("holdover", "synced", "ntp", 0)]
    kernel.later(VOUCHED_NS)
    assert clock.now() == Instant("b1", kernel.mono_ns, kernel.wall_ns, Clock.HOLDOVER)
