"""The ladder by itself: which rung a reason enters, how long each is given, what is never reset, and how it ends."""

import pytest

from edge_agent.uplink.modem.ladder import ENTRY, HELD, RUNGS, STRONGER, Ladder, Waits

ALL = frozenset(rung.action for rung in RUNGS)


def climb(
    ladder: Ladder, until_s: float, now_s: float = 0.0, step_s: float = 1.0, *, tried: bool = False
) -> list[tuple[float, str]]:
    """Every action that comes due, and when. `tried`: somebody tries the path all the time, and loses the echo."""
    taken = []
    while now_s <= until_s:
        if tried:
            ladder.trouble("modem_echo_lost", now_s)
        if (action := ladder.due(now_s)) is not None:
            taken.append((now_s, action))
        now_s += step_s
    return taken


def test_a_lost_echo_climbs_every_rung_and_ends_with_giving_the_path_up() -> None:
    ladder = Ladder(enabled=ALL - {"host"})
    assert climb(ladder, 690, tried=True) == [
        (0, "reopen"),
        (30, "bearer"),
        (90, "radio"),
        (210, "restart"),
        (390, "power"),
        (690, "give_up"),
    ]
    assert ladder.given_up


def test_no_second_step_is_taken_for_a_lost_echo_before_the_path_was_tried_again() -> None:
    """A path that stands by is tried every 100 s; the first rung had mended it, and the others tore it down again."""
    ladder = Ladder()
    ladder.trouble("modem_echo_lost", 0.0)
    assert climb(ladder, 100) == [(0, "reopen")]
    assert ladder.due_s() is None
    ladder.trouble("modem_echo_lost", 100.0)
    assert climb(ladder, 300, now_s=100.0) == [(100, "bearer")]
    ladder.clear("modem_echo_lost")
    assert ladder.mended == {"bearer": 1}
    ladder.trouble("modem_pdp_lost", 400.0)  # the modem looks at everything else by itself
    ladder.trouble("modem_echo_lost", 400.0)
    assert [action for _, action in climb(ladder, 800, now_s=400.0)] == ["bearer", "radio", "restart", "power"]


def test_after_giving_up_it_keeps_trying_slowly_with_the_strongest_rung_it_has() -> None:
    ladder = Ladder(enabled=frozenset({"reopen", "power"}), waits=Waits(again_s=1000))
    ladder.trouble("modem_no_answer", 0.0)
    assert climb(ladder, 4000) == [(30, "power"), (330, "give_up"), (1330, "power"), (2330, "power"), (3330, "power")]
    ladder.clear("modem_no_answer")
    assert (ladder.given_up, ladder.due_s(), ladder.mended) == (False, None, {"power": 1})


@pytest.mark.parametrize(
    ("reason", "first_s", "first"),
    [
        ("modem_pdp_lost", 0, "bearer"),
        ("modem_detached", 60, "radio"),
        ("modem_sockets_leaked", 0, "restart"),
        ("modem_sim_error", 30, "restart"),
        ("modem_no_answer", 30, "power"),
        ("modem_no_port", 60, "power"),
    ],
)
def test_a_reason_enters_at_the_rung_that_can_mend_it_after_its_patience(reason: str, first_s: int, first: str) -> None:
    ladder = Ladder()
    ladder.trouble(reason, 0.0)
    assert climb(ladder, first_s) == [(first_s, first)]


@pytest.mark.parametrize("reason", sorted(HELD))
def test_what_a_person_has_to_mend_is_never_reset_and_asked_again_every_hour(reason: str) -> None:
    ladder = Ladder(enabled=ALL)
    ladder.trouble("modem_echo_lost", 0.0)
    ladder.trouble(reason, 0.0)
    assert climb(ladder, 3 * 3600, step_s=60) == [(3600, "retry"), (7200, "retry"), (10800, "retry")]
    ladder.clear(reason)
    assert ladder.due(3 * 3600) == "reopen"  # the lost echo is still there


@pytest.mark.parametrize("reason", sorted(STRONGER))
def test_a_modem_that_is_not_there_is_power_cycled_whatever_its_sim_was(reason: str) -> None:
    ladder = Ladder()
    ladder.trouble("modem_no_sim", 0.0)
    ladder.trouble(reason, 0.0)
    assert [action for _, action in climb(ladder, 60)] == ["power"]


def test_a_stronger_reason_skips_rungs_and_a_weaker_one_does_not_go_back() -> None:
    ladder = Ladder()
    ladder.trouble("modem_echo_lost", 0.0)
    assert ladder.due(0.0) == "reopen"
    ladder.trouble("modem_sockets_leaked", 1.0)
    assert ladder.due(1.0) == "restart"
    ladder.trouble("modem_pdp_lost", 2.0)
    assert climb(ladder, 180, now_s=2.0) == []
    assert ladder.due(181.0) == "power"


def test_the_same_trouble_told_again_changes_nothing_and_its_end_starts_anew() -> None:
    ladder = Ladder()
    for now_s in range(30):
        ladder.trouble("modem_echo_lost", float(now_s))
        assert ladder.due(float(now_s)) == ("reopen" if now_s == 0 else None)
    ladder.clear("modem_echo_lost")
    assert ladder.mended == {"reopen": 1}
    ladder.trouble("modem_echo_lost", 100.0)
    assert ladder.due(100.0) == "reopen"


def test_the_host_is_restarted_only_if_named_and_only_after_six_hours_of_uptime() -> None:
    def last(enabled: frozenset[str], start_s: float) -> list[str]:
        ladder = Ladder(enabled=enabled)
        ladder.trouble("modem_no_answer", start_s)
        return [action for _, action in climb(ladder, start_s + 1000, now_s=start_s)]

    assert last(ALL - {"host"}, 7 * 3600.0) == ["power", "give_up"]
    assert last(ALL, 600.0) == ["power", "give_up"]
    assert last(ALL, 7 * 3600.0) == ["power", "host", "give_up"]


def test_every_entry_is_a_rung() -> None:
    assert {entry for entry, _ in ENTRY.values()} <= ALL
    with pytest.raises(KeyError):
        Ladder().trouble("modem_bad_mood", 0.0)
