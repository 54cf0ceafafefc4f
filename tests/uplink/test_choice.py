"""Which path, by what the centre answered: hysteresis, fail-over, return, and how soon a loss is known. A virtual clock."""

import math
import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.uplink import noticing
from edge_agent.uplink.choice import Choice, Rule

PROBE_LASTS_S = noticing.PROBE_TCP_S


def three(**changed: float) -> Choice:
    rules = [Rule(id="eth", **changed), Rule(id="4g", **changed), Rule(id="nb", probe_s=100.0, hold_s=60.0)]  # type: ignore[arg-type]
    return Choice(rules, random.Random(3))


def run(
    choice: Choice,
    start_s: float,
    until_s: float,
    alive: set[str],
    lasts_s: float = PROBE_LASTS_S,
    *,
    die_s: float = math.inf,
) -> list[tuple[float, str, bool]]:
    """Probe as the shell does; what is not alive costs a whole timeout. Return when which path changed."""
    changes, waiting, now_s = list[tuple[float, str, bool]](), list[tuple[float, str]](), start_s
    while now_s < until_s:
        alive = alive if now_s < die_s else set()
        for name in choice.due(now_s):
            waiting.append((now_s + (0.1 if name in alive else lasts_s), name))
        for probe in [probe for probe in waiting if probe[0] <= now_s]:
            waiting.remove(probe)
            (choice.answered if probe[1] in alive else choice.missed)(probe[1], now_s)
        changes += [(now_s, *change) for change in choice.take_changes()]
        if (better := choice.better(now_s)) is not None:
            choice.ended(str(choice.current), now_s, silent=False)
            choice.opened(better, now_s)
        now_s += 1.0
    return changes


def test_a_session_begins_on_the_best_path_and_nothing_is_probed_before_there_is_one() -> None:
    choice = three()
    assert choice.candidates(0.0) == ["eth", "4g", "nb"]
    assert choice.due(1e6) == []


def test_the_loss_of_a_path_that_stands_by_is_known_within_90_seconds_and_nbiot_within_180() -> None:
    choice = three()
    choice.opened("eth", 0.0)
    run(choice, 0.0, 200.0, {"4g", "nb"})
    lost = run(choice, 200.0, 400.0, set())
    when = {name: at_s - 200.0 for at_s, name, up in lost if not up}
    assert when["4g"] <= 90.0
    choice = three()
    choice.opened("eth", 0.0)
    run(choice, 0.0, 200.0, {"4g", "nb"}, 20.0)
    lost = run(choice, 200.0, 400.0, {"4g"}, 20.0)
    assert {name: at_s - 200.0 <= 180.0 for at_s, name, up in lost} == {"nb": True}


def known_after_s(probe_s: float, misses: int, narrow: bool, died_s: float, seed: int) -> float:
    """How long after a path that stands by died it is told as lost."""
    choice = Choice([Rule(id="eth"), Rule(id="by", probe_s=probe_s, misses=misses)], random.Random(seed))
    choice.opened("eth", 0.0)
    lasts_s = noticing.PROBE_PACKED_S if narrow else noticing.PROBE_TCP_S
    changes = run(choice, 0.0, died_s + 600.0, {"by"}, lasts_s, die_s=died_s)
    return next(at_s for at_s, name, up in changes if name == "by" and not up) - died_s


@settings(max_examples=40)
@given(st.floats(5.0, 300.0), st.integers(1, 8), st.booleans(), st.floats(200.0, 400.0), st.integers(0, 99))
def test_no_path_is_told_as_lost_later_than_config_check_reckons(
    probe_s: float, misses: int, narrow: bool, died_s: float, seed: int
) -> None:
    assert known_after_s(probe_s, misses, narrow, died_s, seed) <= noticing.standing_by_s(
        probe_s, misses, narrow=narrow
    )


def test_what_config_check_reckons_can_nearly_happen() -> None:
    for narrow, probe_s in ((False, noticing.PROBE_WIDE_S), (True, noticing.PROBE_NBIOT_S)):
        worst_s = max(known_after_s(probe_s, 3, narrow, died_s, 5) for died_s in range(300, 420, 3))
        assert worst_s > noticing.standing_by_s(probe_s, 3, narrow=narrow) - 10.0


def test_the_defaults_keep_the_promise() -> None:
    lost_s = noticing.mqtt_unconfirmed_s(20.0) + noticing.elsewhere_s(20.0) + noticing.ATTEMPTS_S
    assert noticing.elsewhere_s(20.0) == noticing.ELSEWHERE_S and lost_s <= noticing.WIDE_S
    assert [noticing.elsewhere_s(waits_s) for waits_s in (60.0, 89.0)] == [8.0, 0.0]
    assert noticing.standing_by_s(noticing.PROBE_WIDE_S, 3, narrow=False) <= noticing.WIDE_S
    assert noticing.standing_by_s(noticing.PROBE_NBIOT_S, 3, narrow=True) <= noticing.NARROW_S


def test_a_session_that_fell_silent_moves_on_at_once_and_its_path_is_down_soon() -> None:
    choice = three()
    choice.opened("eth", 0.0)
    choice.ended("eth", 100.0, silent=True)
    assert choice.elsewhere("eth", 100.0)
    assert choice.candidates(100.0)[0] == "4g"
    choice.opened("4g", 101.0)
    changes = run(choice, 101.0, 160.0, {"4g", "nb"})
    assert [(name, up) for _, name, up in changes if name == "eth"] == [("eth", True), ("eth", False)]
    assert changes[-1][0] <= 130.0


def test_a_path_lost_in_silence_is_known_before_the_next_session_begins() -> None:
    choice = three()
    choice.opened("eth", 0.0)
    choice.ended("eth", 100.0, silent=True)
    now_s, tried = 100.0, list[str]()
    while now_s < 140.0:  # nobody has begun one yet
        for name in choice.due(now_s, between=True):
            tried.append(name)
            now_s += PROBE_LASTS_S
            choice.missed(name, now_s)
        now_s += 1.0
    assert tried == ["eth", "eth"], "what is not in doubt is left alone"
    assert ("eth", False) in choice.take_changes()
    assert choice.due(140.0) == []


def test_one_that_was_closed_in_order_is_not_the_paths_fault() -> None:
    choice = three()
    choice.opened("eth", 0.0)
    choice.ended("eth", 100.0, silent=False)
    assert choice.candidates(100.0)[0] == "eth"
    assert choice.states["eth"].lost == 0


def test_the_way_back_is_taken_only_after_the_better_path_has_held() -> None:
    choice = three(hold_s=60.0)
    choice.opened("eth", 0.0)
    choice.ended("eth", 10.0, silent=True)
    choice.opened("4g", 11.0)
    run(choice, 11.0, 100.0, {"4g", "nb"})
    assert choice.current == "4g"
    run(choice, 100.0, 150.0, {"eth", "4g", "nb"})
    assert choice.current == "4g", "it has answered, but not for long enough"
    run(choice, 150.0, 230.0, {"eth", "4g", "nb"})
    assert choice.current == "eth"
    assert choice.switches == 2


def test_a_county_whose_better_path_came_back_does_not_return_as_one() -> None:
    returns = Counter[int]()
    for seed in range(800):
        choice = Choice([Rule(id="eth"), Rule(id="4g")], random.Random(seed))
        choice.opened("eth", 0.0)
        choice.ended("eth", 10.0, silent=True)
        choice.opened("4g", 11.0)
        choice.answered("eth", 13.0)
        returns[next(now_s for now_s in range(13, 200) if choice.better(float(now_s)))] += 1
    assert min(returns) >= 13 + 60
    assert max(returns) <= 13 + 100 + 1
    assert max(returns.values()) <= 2 * 800 / 40


def test_a_loose_plug_moves_nothing_to_and_fro() -> None:
    choice = three(hold_s=60.0)
    choice.opened("eth", 0.0)
    choice.ended("eth", 1.0, silent=True)
    choice.opened("4g", 2.0)
    for turn in range(30):  # 40 s of cable, 40 s of none
        run(choice, 2.0 + 80 * turn, 42.0 + 80 * turn, {"eth", "4g", "nb"})
        run(choice, 42.0 + 80 * turn, 82.0 + 80 * turn, {"4g", "nb"})
    assert choice.current == "4g"
    assert choice.switches == 1


def test_with_every_path_down_an_attempt_tries_one_of_them_each_in_its_turn() -> None:
    choice = three()
    for name in ("eth", "4g", "nb"):
        for _ in range(3):
            choice.missed(name, 0.0)
    assert sorted(name for _ in range(6) for name in choice.candidates(1.0)) == ["4g", "4g", "eth", "eth", "nb", "nb"]


def test_the_better_of_two_that_both_came_back_is_preferred() -> None:
    choice = three(hold_s=30.0)
    choice.opened("eth", 0.0)
    for name in ("eth", "4g"):
        for _ in range(3):
            choice.missed(name, 1.0)
    choice.ended("eth", 1.0, silent=True)
    choice.opened("nb", 2.0)
    run(choice, 2.0, 200.0, {"eth", "4g", "nb"})
    assert choice.current == "eth"
