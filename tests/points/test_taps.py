"""Two ports on one panel, or a printer and its relays: one source of truth."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.messages import LinkState, PanelEvent
from edge_agent.model import Kind
from edge_agent.points.taps import WAITS_MAX, Naming, Tapped
from tests.points.conftest import make_table
from tests.points.table_bench import Make, S, told
from tests.points.taps_site import HOLD, Site

PORTS = Tapped(ports=("panel1", "printer1"), hold_s=HOLD)


@pytest.fixture
def ports(table: Make) -> Site:
    return Site(table(tapped=[PORTS]))


# --- a transmission device or a communicator beside the panel's printer

UTD = Tapped(ports=("panel1", "utd"), naming={"utd": Naming.SYSTEM}, hold_s=HOLD)
DIALLER = Tapped(ports=("panel1", "dialler"), naming={"dialler": Naming.ZONES}, hold_s=HOLD)


@pytest.fixture
def utd(table: Make) -> Site:
    return Site(table(tapped=[UTD]))


@pytest.mark.parametrize(("first", "second"), [("panel1/1-027", "utd/1-1-1-27"), ("utd/1-1-1-27", "panel1/1-027")])
def test_a_transmission_device_puts_its_system_in_front_of_what_the_panel_calls_a_point(
    utd: Site, first: str, second: str
) -> None:
    (fire,) = utd.say(0, first)
    assert [event.kind for event in utd.say(2, second)] == [Kind.EVIDENCE]
    assert utd.fires == [fire.point]
    other = second.replace("27", "28")
    assert [event.kind for event in utd.say(3, other)] == [Kind.FIRE], (
        "what can be compared and differs is another fire"
    )
    assert [event.kind for event in utd.say(4, first.replace("27", "28"))] == [Kind.EVIDENCE]
    assert len(utd.raised) == 2
    assert utd.run(100).faults == []


def test_two_systems_of_one_device_are_two_fires(utd: Site) -> None:
    utd.say(0, "panel1/1-27")
    utd.say(1, "utd/1-1-1-27")
    utd.say(2, "utd/2-1-1-27")
    assert utd.fires == ["panel1/1-27", "panel1/2-1-1-27"]


def test_a_device_that_first_sums_up_and_then_names_the_point_tells_one_fire(utd: Site) -> None:
    utd.say(0, "panel1/1-27")
    assert [event.kind for event in utd.say(1, "utd/1-1")] == [Kind.EVIDENCE]
    gives_way = PanelEvent("utd/1-1", "fire_restore", 2 * S, {"by": "1-1-1-27"})
    named = PanelEvent("utd/1-1-1-27", "fire", 2 * S)
    assert [event.kind for event in utd.feed(2, gives_way, named)] == [Kind.EVIDENCE]
    assert utd.run(1000).fires == ["panel1/1-27"], "and nobody took it back"
    assert utd.raised == ["panel1/1-27"]
    alone = Site(make_table(tapped=[UTD]))
    alone.say(0, "utd/1-1")
    alone.feed(2, gives_way, named)
    assert alone.fires == ["panel1/1-1-1-27"]


def test_all_well_of_a_device_that_never_said_otherwise_takes_no_fire_back(utd: Site) -> None:
    utd.say(0, "panel1/1-27")
    well = PanelEvent("utd/1-1-1-27", "fire_restore", S, is_state=True)
    assert utd.feed(1, well) == []
    assert utd.run(1000).fires == ["panel1/1-27"]
    assert utd.faults == [("utd/tap", True)], "they disagree"
    utd.say(1001, "utd/1-1-1-27")
    assert utd.faults[1:] == [("utd/tap", False)]
    utd.say(1100, "panel1/panel", "reset")
    utd.feed(1101, PanelEvent("utd/1-1-1-27", "fire_restore", 1101 * S, is_state=True))
    assert utd.fires == []


def test_a_communicators_zones_are_not_the_panels_numbers(table: Make) -> None:
    site = Site(table(tapped=[DIALLER]))
    site.say(0, "panel1/1-27")
    assert [event.kind for event in site.say(2, "dialler/00-129")] == [Kind.EVIDENCE], "and yet they are one fire"
    site.say(3, "panel1/1-28")
    assert site.say(4, "dialler/00-129") == [], "the same again is no word for the second one"
    site.say(5, "dialler/00-130")
    assert site.fires == ["panel1/1-27", "panel1/1-28"]
    clock = PanelEvent("dialler/clock", "fault", 6 * S, {"reason": "time"})
    assert told(site.feed(6, clock)) == [("fault", "dialler/clock", True)], "its clock is its own"
    assert site.run(1000).faults == [("dialler/clock", True)]


# --- two ports ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [("panel1", "printer1"), ("printer1", "panel1")])
def test_either_port_alone_raises_and_the_second_is_evidence(ports: Site, first: str, second: str) -> None:
    assert told(ports.say(0, f"{first}/1-027")) == [("fire", "panel1/1-027", True)]
    (evidence,) = ports.say(2, f"{second}/1-27", raw=b"FIRE 1-27", location_text="east")
    assert (evidence.kind, evidence.point, evidence.raw) == (Kind.EVIDENCE, "panel1/1-027", b"FIRE 1-27")
    assert {"tap": second, "of": "fire", "word": "fire", "location_text": "east"}.items() <= evidence.fields.items()
    assert ports.fires == ["panel1/1-027"]
    assert ports.run(100).faults == []


def test_what_can_be_compared_and_differs_is_another_fire(ports: Site) -> None:
    ports.say(0, "panel1/1-27")
    ports.say(1, "printer1/1-28")
    assert ports.fires == ["panel1/1-27", "panel1/1-28"]


def test_a_port_that_names_points_in_its_own_way_is_matched_in_order_and_one_to_one(ports: Site) -> None:
    ports.say(0, "panel1/1-27")
    ports.say(1, "panel1/1-28")
    assert [e.point for e in ports.say(2, "printer1/三楼走道")] == ["panel1/1-27"]
    assert [e.point for e in ports.say(3, "printer1/四楼走道")] == ["panel1/1-28"]
    assert ports.say(4, "printer1/三楼走道") == []  # the same again
    assert told(ports.say(5, "printer1/五楼走道")) == [
        ("fire", "panel1/五楼走道", True)
    ]  # a third that the bus has not said
    assert ports.raised == ["panel1/1-27", "panel1/1-28", "panel1/五楼走道"]


def test_an_address_that_comes_too_late_is_a_fire_of_its_own(ports: Site) -> None:
    ports.say(0, "panel1/1-27")
    assert told(ports.say(HOLD + 1, "printer1/三楼走道")) == [
        ("fire", "panel1/三楼走道", True),
        ("fault", "printer1/tap", False),
    ]


def test_a_text_nobody_can_parse_is_evidence_once_and_the_next_one_is_a_fire(ports: Site) -> None:
    ports.say(0, "panel1/1-27")
    assert told(ports.say(1, "printer1/panel", "unknown", b"F1RE")) == [("evidence", "panel1/1-27", True)]
    assert ports.say(2, "printer1/panel", "unknown", b"F1RE") == []
    assert told(ports.say(3, "printer1/panel", "unknown", b"F RE")) == [("unknown", "panel1/panel", True)]


def test_a_port_that_knows_it_for_a_manual_call_point_says_something_new(ports: Site) -> None:
    ports.say(0, "panel1/1-27")
    assert told(ports.say(1, "printer1/1-27", "fire_manual")) == [("fire_manual", "panel1/1-27", True)]
    other = Site(make_table(tapped=[PORTS]))
    other.say(0, "panel1/1-27", "fire_manual")
    assert told(other.say(1, "printer1/1-27")) == [("evidence", "panel1/1-27", True)]
    assert other.say(2, "printer1/1-27") == []


def test_a_reset_ends_a_fire_once_the_other_port_has_said_it_too(ports: Site) -> None:
    ports.say(0, "panel1/1-27")
    ports.say(1, "printer1/1-27")
    (reset,) = ports.say(100, "panel1/panel", "reset")
    assert (reset.kind, reset.fields["waits"]) == (Kind.RESET, ["printer1"])
    assert ports.fires == ["panel1/1-27"]
    assert told(ports.say(102, "printer1/panel", "reset")) == [("fire", "panel1/1-27", False)]
    assert ports.machine.alarms() == []


def test_a_port_that_never_says_reset_is_waited_for_only_so_long(ports: Site) -> None:
    ports.say(0, "panel1/1-27")
    ports.say(1, "printer1/1-27")
    ports.say(100, "panel1/panel", "reset")
    assert ports.run(100 + HOLD).machine.alarms() == []
    assert ports.events[-1].fields["by"] == "reset"


def test_a_port_that_is_offline_is_not_waited_for_and_not_blamed(ports: Site) -> None:
    ports.feed(0, LinkState("printer1", False, 0, "no_port"))
    ports.say(1, "panel1/1-27")
    assert told(ports.say(5, "panel1/panel", "reset")) == [
        ("reset", "panel1/panel", True),
        ("fire", "panel1/1-27", False),
    ]
    ports.run(1000)
    assert ports.faults == []


def test_a_fire_after_the_reset_stands_whatever_a_slow_printer_still_prints(ports: Site) -> None:
    ports.say(0, "panel1/1-27")
    ports.say(1, "panel1/panel", "reset")
    ports.say(2, "panel1/1-27")  # again, and really
    for at_s, point, word in (
        (20, "printer1/1-27", "fire"),
        (50, "printer1/panel", "reset"),
        (55, "printer1/1-27", "fire"),
    ):
        ports.say(at_s, point, word)
    ports.run(1000)
    assert ports.fires == ["panel1/1-27"]
    assert ports.raised == ["panel1/1-27", "panel1/1-27"]


def test_a_fire_that_only_the_slow_port_has_after_the_reset_stands(ports: Site) -> None:
    ports.say(0, "panel1/1-27")
    ports.say(5, "panel1/panel", "reset")
    ports.say(6, "printer1/1-28")
    ports.run(1000)
    assert ports.fires == ["panel1/1-28"]


def test_a_port_that_leaves_a_fire_out_is_a_fault_until_it_speaks_again(ports: Site) -> None:
    ports.say(0, "panel1/1-27")
    assert ports.run(HOLD - 1).faults == []
    assert ports.run(HOLD).faults == [("printer1/tap", True)]
    (fault,) = [event for event in ports.events if event.kind is Kind.FAULT]
    assert (fault.source, fault.fields) == ("printer1", {"reason": "tap_silent", "of": "panel1/1-27"})
    ports.say(100, "panel1/1-28")
    ports.say(101, "printer1/1-28")
    assert ports.faults == [("printer1/tap", True), ("printer1/tap", False)]


def test_faults_are_matched_too_and_nobody_is_blamed_for_leaving_one_out(ports: Site) -> None:
    ports.say(0, "panel1/1-30", "fault")
    ports.say(1, "printer1/1-30", "fault")
    ports.say(2, "panel1/1-31", "fault")
    ports.run(100)
    assert [e.point for e in ports.events if e.kind is Kind.FAULT] == ["panel1/1-30", "panel1/1-31"]
    ports.say(200, "printer1/1-30", "fault_restore")
    ports.say(201, "panel1/1-30", "fault_restore")
    assert [(e.point, e.active) for e in ports.events if e.kind is Kind.FAULT][2:] == [("panel1/1-30", False)]


def test_what_a_port_could_not_read_is_its_own_and_ends_with_its_own_reset(ports: Site) -> None:
    ports.say(0, "panel1/1-30", "fault")
    assert told(ports.say(1, "printer1/panel", "fault", b"??", reason="unparsed")) == [
        ("fault", "printer1/panel", True)
    ]
    assert ("fault", "printer1/panel", False) in told(ports.say(2, "printer1/panel", "reset"))


def test_what_happened_once_is_told_once(ports: Site) -> None:
    assert told(ports.say(0, "panel1/panel", "silence")) == [("silence", "panel1/panel", True)]
    assert ports.say(1, "printer1/panel", "silence") == []
    assert told(ports.say(HOLD + 2, "printer1/panel", "silence")) == [("silence", "panel1/panel", True)]


def test_what_is_disabled_stays_disabled_through_a_reset(ports: Site) -> None:
    ports.say(0, "panel1/1-9", "isolate")
    ports.say(1, "printer1/1-9", "isolate")
    ports.say(2, "panel1/panel", "reset")
    ports.say(3, "printer1/panel", "reset")
    ports.run(1000)
    assert [row["active"] for row in ports.table.snapshot()] == ["disabled"]


def test_panels_without_a_second_tap_are_as_they_were(ports: Site) -> None:
    ports.say(0, "panel2/1-1")
    assert told(ports.say(1, "panel2/panel", "reset")) == [
        ("reset", "panel2/panel", True),
        ("fire", "panel2/1-1", False),
    ]


scripts = st.lists(st.tuples(st.integers(1, 90), st.sampled_from(["reset", "1-1", "1-2", "2-1"])), max_size=12)


def play(site: Site, *taps: tuple[Sequence[tuple[float, str]], str, Callable[[str], str]]) -> Site:
    """The same or different scripts from several taps, merged by time; `name` is how a tap writes a point."""
    moves = sorted(
        (at_s, order, tap, what, name) for order, (script, tap, name) in enumerate(taps) for at_s, what in script
    )
    for at_s, _, tap, what, name in moves:
        if what == "reset":
            site.say(at_s, f"{tap}/panel", "reset")
        else:
            site.say(at_s, f"{tap}/{name(what)}")
    return site


def timed(script: Sequence[tuple[int, str]], lag_s: float = 0.0) -> list[tuple[float, str]]:
    now_s, found = 0.0, []
    for gap_s, what in script:
        now_s += gap_s
        found.append((now_s + lag_s, what))
    return found


@settings(max_examples=40)
@given(scripts, st.floats(0.1, HOLD - 1.0), st.booleans())
def test_two_ports_of_which_one_lags_give_the_alarms_of_one(
    script: list[tuple[int, str]], lag_s: float, words: bool
) -> None:
    one = play(Site(make_table()), (timed(script), "panel1", str))
    name: Callable[[str], str] = (lambda what: f"走道{what}") if words else str
    two = play(
        Site(make_table(tapped=[PORTS])), (timed(script), "panel1", str), (timed(script, lag_s), "printer1", name)
    ).run(10_000)
    if not words:
        assert two.raised == one.raised
    assert two.fires == one.fires
    assert [point for point, _ in two.faults] == []


@settings(max_examples=20)
@given(scripts, st.floats(0.1, HOLD - 1.0), st.booleans())
def test_a_printer_and_a_transmission_device_give_the_alarms_of_one(
    script: list[tuple[int, str]], lag_s: float, device_first: bool
) -> None:
    one = play(Site(make_table()), (timed(script), "panel1", str))
    printed, called = timed(script, lag_s * device_first), timed(script, lag_s * (not device_first))
    two = Site(make_table(tapped=[UTD]))
    play(two, (printed, "panel1", str), (called, "utd", lambda what: f"1-1-{what}")).run(10_000)
    assert [point.removeprefix("panel1/").removeprefix("1-1-") for point in two.raised] == [
        point.removeprefix("panel1/").removeprefix("1-1-") for point in one.raised
    ]
    assert two.faults == []


@settings(max_examples=40)
@given(scripts, scripts)
def test_whatever_two_ports_say_a_fire_said_stands_until_somebody_takes_one_back(
    first: list[tuple[int, str]], second: list[tuple[int, str]]
) -> None:
    """No word of one tap is lost to what the other says, in any order of any scripts."""
    site = Site(make_table(tapped=[PORTS]))
    moves = sorted(
        [(at, "panel1", what) for at, what in timed(first)]
        + [(at, "printer1", what) for at, what in timed(second, 0.5)]
    )
    since_reset: set[str] = set()
    for at_s, tap, what in moves:
        if what == "reset":
            site.say(at_s, f"{tap}/panel", "reset")
            since_reset.clear()
        else:
            site.say(at_s, f"{tap}/{what}")
            since_reset.add(f"panel1/{what}")
        assert since_reset <= set(site.fires), (at_s, tap, what)
    site.run(100_000)
    assert since_reset <= set(site.fires)


@settings(max_examples=20)
@given(scripts, st.integers(0, 12))
def test_a_restart_loses_no_fire_of_a_panel_with_two_ports(script: list[tuple[int, str]], cut: int) -> None:
    whole = Site(make_table(tapped=[PORTS]))
    moves = timed(script)
    play(whole, (moves[:cut], "panel1", str))
    kept = {key: body for key, body in whole.table.dump().items() if body is not None}
    again = Site(make_table(tapped=[PORTS]))
    again.table.restore(kept)
    shown = {str(row["id"]) for row in again.table.snapshot() if row["active"] == "fire"}
    assert shown == set(whole.fires)
    play(again, ([(1.0, "reset")], "printer1", str))
    again.run(100_000)
    assert [row["active"] for row in again.table.snapshot() if row["active"]] == []


def test_a_storm_is_bounded(ports: Site) -> None:
    for number in range(WAITS_MAX + 500):
        ports.say(0, f"panel1/1-{number}")
    assert len(ports.table._taps._deadlines) <= WAITS_MAX + 1
    assert len(ports.raised) == WAITS_MAX + 500
