"""From what a panel says to events."""

import pytest

from edge_agent.model import KINDS, Kind
from edge_agent.points.panel import MAX_ENTRIES
from edge_agent.points.vocabulary import MEANINGS, Effect
from tests.points.table_bench import Make, say, told


def test_a_repeated_fire_is_one_event_until_the_panel_is_reset(table: Make) -> None:
    points = table(names={"panel1/1-027": "三楼东走廊"})
    (fire,) = say(points, "fire", raw=b"\xaa\x15", loop=1)
    assert (fire.name, fire.grade, fire.raw, fire.source) == ("三楼东走廊", 1, b"\xaa\x15", "panel1")
    assert say(points, "fire") == [] and say(points, "fire") == []
    events = say(points, "reset", "panel1", at_ns=5)
    assert told(events) == [("reset", "panel1", True), ("fire", "panel1/1-027", False)]
    assert events[1].fields == {"by": "reset", "count": 3}
    assert told(say(points, "fire")) == [("fire", "panel1/1-027", True)]


def test_feedback_start_and_fault_of_the_same_point_do_not_end_its_fire(table: Make) -> None:
    points = table()
    say(points, "fire")
    for word in ("feedback", "start", "fault", "fault_restore", "normal", "stop", "feedback_restore"):
        assert ("fire", "panel1/1-027", False) not in told(say(points, word))
    assert [row["active"] for row in points.snapshot() if row["kind"] == "fire"] == ["fire"]


def test_a_point_shows_the_gravest_that_is_active_and_all_the_rest_beside_it(table: Make) -> None:
    points = table()
    for word in ("isolate", "start", "feedback"):
        say(points, word)
    (row,) = points.snapshot()
    assert (row["active"], row["also"]) == ("disabled", ["start", "feedback"])
    say(points, "stop")
    say(points, "feedback_restore")
    (row,) = points.snapshot()
    assert (row["active"], row.get("also")) == ("disabled", None)


def test_reset_ends_the_points_of_that_panel_only_and_keeps_what_is_disabled(table: Make) -> None:
    points = table()
    say(points, "fire", "panel1/1-001")
    say(points, "isolate", "panel1/1-002")
    say(points, "fire", "panel2/1-001")
    say(points, "fire", "panel10/1-001")
    assert told(say(points, "reset", "panel1")) == [("reset", "panel1", True), ("fire", "panel1/1-001", False)]
    assert points.counts() == {"total": 4, "active": 3, "faulty": 0}


def test_a_reset_ends_nothing_the_panel_says_is_as_it_was(table: Make) -> None:
    points = table()
    for word, point in (("fire", "panel1/1-001"), ("fault", "panel1/1-001"), ("fault", "panel1/1-002")):
        say(points, word, point)
    still = (("panel1/1-001", "fault"),)
    (reset, *ended) = say(points, "reset", "panel1", still=still)
    assert "still" not in reset.fields  # it is for us, not for the centre
    assert told(ended) == [("fire", "panel1/1-001", False), ("fault", "panel1/1-002", False)]


@pytest.mark.parametrize("word", ["fire_restore", "fire_cancel"])
def test_the_panel_may_take_a_fire_back(table: Make, word: str) -> None:
    points = table()
    say(points, "fire")
    assert told(say(points, word)) == [("fire", "panel1/1-027", False)]
    assert say(points, word) == []


def test_a_restore_of_what_was_never_seen_active_is_told_once(table: Make) -> None:
    points = table()
    assert told(say(points, "fault_restore")) == [("fault", "panel1/1-027", False)]
    assert say(points, "fault_restore") == []
    assert say(points, "normal", "panel1/2-001") == []


def test_a_fault_that_ends_does_not_bring_the_mains_back(table: Make) -> None:
    points = table()
    say(points, "mains_fault", "panel1/panel")
    say(points, "fault", "panel1/panel")
    assert told(say(points, "fault_restore", "panel1/panel")) == [("fault", "panel1/panel", False)]
    assert told(say(points, "mains_ok", "panel1/panel")) == [("mains_fault", "panel1/panel", False)]


def test_each_text_that_does_not_parse_is_an_alarm_of_its_own_with_its_bytes(table: Make) -> None:
    points = table()
    (first,) = say(points, "unknown", "panel1", raw="火警 ???".encode("gbk"))
    (second,) = say(points, "unknown", "panel1", raw=b"FIRE 99")
    assert (first.kind, first.grade, second.raw) == (Kind.UNKNOWN, 1, b"FIRE 99")
    assert say(points, "unknown", "panel1", raw=b"FIRE 99") == []


def test_a_second_trouble_of_the_same_point_is_told_too(table: Make) -> None:
    points = table()
    say(points, "fault")
    (dirty,) = say(points, "dirty")
    assert (dirty.kind, dirty.active, dirty.fields["word"]) == (Kind.FAULT, True, "dirty")
    assert told(say(points, "fault_restore")) == [("fault", "panel1/1-027", False)]


def test_after_its_end_each_trouble_is_told_anew(table: Make) -> None:
    points = table()
    for _ in range(2):
        assert told(say(points, "fault") + say(points, "dirty")) == [("fault", "panel1/1-027", True)] * 2
        assert told(say(points, "fault_restore")) == [("fault", "panel1/1-027", False)]


@pytest.mark.parametrize("fields", [{"manual": True}, {"event_text": "手动火警"}, {"device_type_text": "手动报警按钮"}])
def test_a_fire_from_a_manual_call_point_is_a_manual_alarm(table: Make, fields: dict[str, object]) -> None:
    assert say(table(), "fire", **fields)[0].kind is Kind.FIRE_MANUAL


def test_the_panels_own_text_names_the_point_if_the_site_does_not(table: Make) -> None:
    points = table()
    assert say(points, "fire", location_text="5#楼西")[0].name == "5#楼西"
    assert say(points, "fire_restore")[0].name == "5#楼西"


def test_a_word_nobody_listed_is_a_fault_that_names_it(table: Make) -> None:
    (event,) = say(table(), "quench_gas_low", loop=3)
    assert (event.kind, event.active, event.fields) == (Kind.FAULT, True, {"loop": 3, "word": "quench_gas_low"})


def test_every_word_of_the_drivers_is_listed() -> None:
    from drivers.vocabulary import EVENTS

    assert set(EVENTS) - set(MEANINGS) == set()
    for word, said in EVENTS.items():
        meaning = MEANINGS[word]
        ended = meaning.effect is Effect.CLEAR or not meaning.active
        assert (meaning.kind.value, not ended) == (said.kind, said.active), word


def test_every_latched_kind_is_ended_only_by_restores_that_name_it_and_by_reset() -> None:
    for word, meaning in MEANINGS.items():
        ends = [kind for kind in meaning.clears if KINDS[kind].latched]
        assert not ends or "restore" in word or word in ("fire_cancel", "alarm_clear", "readable"), word
        assert meaning.effect is not Effect.SET or not meaning.clears


def test_a_panel_that_names_points_without_end_is_bounded_and_every_fire_is_told(table: Make) -> None:
    points = table()
    extra = 500
    fires = 0
    for number in range(MAX_ENTRIES + extra):
        fires += len(say(points, "fire" if number % 2 else "fault", f"panel1/{number}"))
    assert fires == MAX_ENTRIES + extra
    assert points.counts()["total"] == MAX_ENTRIES
    assert points.counters()["forgotten"] == extra
