"""What a table of points keeps through restarts and power cuts."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.messages import LinkState, Observation, PanelEvent, PointFault, Reading
from edge_agent.model import Kind
from edge_agent.points.table import PointTable
from tests.points.conftest import make_table
from tests.points.table_bench import Make, S, contact, replay, say, told, value


class Medium:
    """What the journal keeps of the pieces."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def write(self, table: PointTable) -> None:
        for key, piece in table.dump().items():
            if piece is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = piece


words = st.sampled_from(
    [
        "fire",
        "fire_manual",
        "fault",
        "fault_restore",
        "feedback",
        "fire_restore",
        "isolate",
        "unknown",
        "reset",
        "normal",
        "prealarm",
    ]
)
spoken = st.tuples(words, st.sampled_from(["panel1/1", "panel1/2", "panel2/1"]))
observed = st.one_of(
    spoken.map(lambda said: PanelEvent(said[1] if said[0] != "reset" else said[1][:6], said[0], 0)),
    st.tuples(st.sampled_from(["pump-room", "meter1/leak_ma"]), st.booleans()).map(
        lambda read: Reading(read[0], read[1] if read[0] == "pump-room" else 400.0 * read[1], 0)
    ),
    st.just(PointFault("meter1/leak_ma", "open", 0)),
    st.booleans().map(lambda up: LinkState("bus1", up, 0, "x")),
)
SITE = [contact(off_delay_s=0.0), value(alarm_high=300.0, prealarm_high=200.0)]


@settings(max_examples=300)
@given(st.lists(st.tuples(observed, st.booleans()), max_size=40))
def test_a_restart_at_any_moments_gives_the_events_of_no_restart(script: list[tuple[Observation, bool]]) -> None:
    steady, restarted, medium = make_table(SITE), make_table(SITE), Medium()
    active = set[tuple[str, str]]()
    for seen, cut in script:
        expected, got = told(steady.feed([seen], 0)), told(restarted.feed([seen], 0))
        # a restore of what is not active may be told again after a restart: it changes nothing
        assert [one for one in got if one[2] or one[:2] in active] == [
            one for one in expected if one[2] or one[:2] in active
        ]
        active |= {one[:2] for one in expected if one[2]}
        active -= {one[:2] for one in expected if not one[2]}
        medium.write(restarted)
        if cut:
            restarted = make_table(SITE)
            restarted.restore(medium.kept)
            assert restarted.tick(0) == []
        assert {row["id"]: row["active"] for row in steady.snapshot() if row["active"]} == {
            row["id"]: row["active"] for row in restarted.snapshot() if row["active"]
        }


@settings(max_examples=200)
@given(st.lists(spoken, max_size=60))
def test_no_order_of_words_loses_an_active_fire(script: list[tuple[str, str]]) -> None:
    points, active = make_table(), set[str]()
    for word, point in script:
        if word == "reset":
            active = {each for each in active if not each.startswith(point[:6])}
        elif word == "fire":
            active.add(point)
        elif word == "fire_restore":
            active.discard(point)
        points.feed([PanelEvent(point if word != "reset" else point[:6], word, 0)], 0)
        shown = {name for name, kind, _, _ in points._panels.active() if kind is Kind.FIRE}
        assert shown == active


def test_a_fire_repeated_after_a_power_cut_is_no_second_event_and_reset_ends_it(table: Make) -> None:
    before, after, medium = table(), table(), Medium()
    say(before, "fire", location_text="5#楼西")
    medium.write(before)
    after.restore(medium.kept)
    assert say(after, "fire") == []
    (_, end) = say(after, "reset", "panel1")
    assert (end.kind, end.active, end.name) == (Kind.FIRE, False, "5#楼西")


def test_what_is_no_longer_configured_is_ended_after_a_restart(table: Make) -> None:
    before, after, medium = table([contact(on_delay_s=0.0)]), table(sources={"panel2"}), Medium()
    before.feed([Reading("pump-room", True, 0), LinkState("bus1", False, 0, "x")], 0)
    say(before, "fire")
    medium.write(before)
    assert len(medium.kept) == 3
    after.restore(medium.kept)
    assert after.next_deadline_ns() == 0
    events = after.tick(0)
    assert sorted(told(events)) == [
        ("fire", "panel1/1-027", False),
        ("fire", "pump-room", False),
        ("link", "bus1", False),
    ]
    assert all(event.fields == {"by": "removed"} for event in events)
    medium.write(after)
    assert medium.kept == {}


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"words": 3}'])
def test_a_damaged_piece_of_state_does_not_keep_the_gateway_from_starting(table: Make, body: bytes) -> None:
    made = table([contact(), replace(contact(), id="door")])
    made.restore(
        {"pp:fire:panel1/1": body, "pp:nonsense:x": b"{}", "pc:fire:pump-room": body, "pl:bus1": body, "other": body}
    )
    assert ("fire", "door", True) in told(replay(made, [(0, True)], 10 * S, "door")), "the others are watched"
