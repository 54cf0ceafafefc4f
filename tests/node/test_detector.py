"""What the node's inputs mean: each kind, its hysteresis, the button, and what can go wrong with each."""

import pytest

from drivers.detector_node.detector import MUTE_MS, STUCK_MS, TEST_MS, Detector, Limit

QUIET = {"smoke_percent": 0, "gas_lel_percent": 0, "tilt_deg": 0, "battery_v": 3.0}


def test_a_limit_holds_and_comes_back_past_its_hysteresis() -> None:
    high, low = Limit(30, 24, 2), Limit(100, 110, 2, above=False)
    assert [high.feed(value) for value in (31, 29, 31, 31, 25, 25, 24, 24)] == [
        False, False, False, True, True, True, True, False,
    ]  # fmt: skip
    assert [low.feed(value) for value in (99, 99, 105, 109, 110, 110, None)] == [
        False, True, True, True, True, False, False,
    ]  # fmt: skip


def detector() -> Detector:
    return Detector({"smoke": 30, "gas": 10, "tilt": 15, "hold": 1})


def test_a_sensor_that_says_nothing_is_a_fault_and_ends_no_alarm() -> None:
    node = detector()
    node.feed({"smoke_percent": 50, "gas_lel_percent": 0, "tilt_deg": 0}, 0)
    assert (node.state["smoke"], node.state["fault"]) == (True, False)
    node.feed({"gas_lel_percent": 0, "tilt_deg": 20}, 1)
    assert (node.state["smoke"], node.state["fault"], node.state["tilt"]) == (True, True, True)


def test_a_node_that_starts_in_an_alarm_is_in_it_until_its_sensor_says_otherwise() -> None:
    node = Detector({"smoke": 30, "hold": 2})
    node.restore({"smoke": True, "test": True})
    assert not node.feed({"smoke_percent": None}, 0) or node.state["smoke"]
    assert node.state["smoke"]
    assert node.feed({"smoke_percent": 25}, 1), "the sensor is back"
    assert node.state["smoke"], "inside the hysteresis"
    node.feed({"smoke_percent": 1}, 2)
    assert node.feed({"smoke_percent": 1}, 3)
    assert not node.state["smoke"]


def test_the_button_tests_without_an_alarm_and_mutes_one_for_ten_minutes() -> None:
    node, quiet = detector(), {"smoke_percent": 0, "gas_lel_percent": 0, "tilt_deg": 0}
    fire = {**quiet, "smoke_percent": 50}
    node.feed(quiet, 0)
    assert node.feed({**quiet, "button": True}, 0)
    assert (node.state["test"], node.sounding()) == (True, True)
    node.feed(quiet, TEST_MS)
    assert (node.state["test"], node.sounding()) == (False, False)
    node.feed(fire, TEST_MS)
    assert node.sounding()
    node.feed({**fire, "button": True}, TEST_MS)
    assert (node.state["muted"], node.sounding(), node.state["smoke"]) == (True, False, True)
    node.feed(fire, TEST_MS + MUTE_MS - 1)
    assert not node.sounding()
    node.feed(fire, TEST_MS + MUTE_MS)
    assert node.sounding(), "muting ends by itself"
    node.feed({**fire, "button": True}, TEST_MS + MUTE_MS)
    assert not node.sounding()
    node.feed(quiet, TEST_MS + MUTE_MS + 1)
    node.feed(fire, TEST_MS + MUTE_MS + 2)
    assert node.sounding(), "a new alarm sounds though the old one was muted"


def test_a_button_that_is_stuck_mutes_nothing_tests_nothing_and_is_a_fault() -> None:
    node, held = detector(), {**QUIET, "button": True}
    node.feed(held, 0)  # it was held when the power came: nobody pressed it now
    assert not node.sounding()
    node.feed({**held, "smoke_percent": 50}, 1000)
    assert node.sounding(), "it must not mute an alarm nobody has heard"
    node.feed({**held, "smoke_percent": 50}, STUCK_MS)
    assert (node.sounding(), node.state["fault"]) == (True, True)
    node.feed(QUIET, STUCK_MS + 1)
    assert node.state["fault"] is False
    node.feed(held, STUCK_MS + 2)
    for at_ms in range(STUCK_MS + 2, STUCK_MS + 3 * TEST_MS, 1000):
        node.feed(held, at_ms)
    assert (node.sounding(), node.state["test"], node.state["fault"]) == (False, False, True), "one press is one test"


def test_a_mute_is_for_the_alarm_that_was_heard_and_another_one_sounds() -> None:
    node = detector()
    node.feed(QUIET, 0)
    node.feed({**QUIET, "smoke_percent": 50}, 1)
    node.feed({**QUIET, "smoke_percent": 50, "button": True}, 2)
    assert not node.sounding()
    node.feed({**QUIET, "smoke_percent": 50, "gas_lel_percent": 50}, 3)
    assert (node.sounding(), node.state["muted"]) == (True, False)


def test_a_gas_sensor_is_not_believed_until_it_is_warm_and_that_is_told() -> None:
    node = Detector({"smoke": 30, "gas": 10, "hold": 1, "gas_warmup_s": 60})
    node.feed({**QUIET, "gas_lel_percent": 90}, 5)
    assert (node.sounding(), node.state["fault"]) == (False, True)
    assert "gas_lel_percent" not in node.state
    node.feed({**QUIET, "smoke_percent": 50, "gas_lel_percent": 90}, 6)
    assert node.sounding(), "smoke is believed at once"
    node.feed({**QUIET, "gas_lel_percent": 90}, 60_005)
    assert (node.state["gas"], node.state["fault"]) == (True, False)
    again = Detector({"gas": 10, "hold": 1, "gas_warmup_s": 60})
    again.restore({"gas": True})
    again.feed({**QUIET, "gas_lel_percent": 0}, 0)
    assert again.state["gas"], "an alarm from before the power went does not end by warming up"


@pytest.mark.parametrize(("kind", "value", "at", "on", "off"), [
    ("smoke", "smoke_percent", 30, 31, 20), ("gas", "gas_lel_percent", 10, 11, 5), ("tilt", "tilt_deg", 15, 16, 10),
    ("pressure_low", "pressure_kpa", 100, 99, 120), ("pressure_high", "pressure_kpa", 900, 901, 700),
])  # fmt: skip
def test_each_kind_of_input_begins_and_ends(kind: str, value: str, at: float, on: float, off: float) -> None:
    node = Detector({kind: at, "hold": 2})
    seen = []
    for number, found in enumerate((off, on, off, on, on, None, off, on, off, off)):
        node.feed({value: found}, number)
        seen.append((node.state[kind], node.state["fault"]))
    flags = [flag for flag, _ in seen]
    assert flags == [False, False, False, False, True, True, True, True, True, False]
    assert [fault for _, fault in seen] == [number == 5 for number in range(10)]
    assert node.sounding() is False
    node.feed({value: on}, 10)
    node.feed({value: on}, 11)
    assert node.sounding() is (kind in ("smoke", "gas")), "a hydrant does not sound, it reports"


def test_tamper_dirt_and_a_low_battery_are_told_and_a_low_battery_does_not_flap_at_each_start() -> None:
    node = Detector({"smoke": 30, "hold": 1, "battery_low": 3.3})
    node.feed({**QUIET, "tamper": True, "contamination_percent": 80, "battery_v": 3.2}, 0)
    assert (node.state["tamper"], node.state["dirty"], node.state["battery_low"]) == (True, True, False)
    for at_ms in (1, 2):
        node.feed({**QUIET, "battery_v": 3.2}, at_ms)
    assert (node.state["tamper"], node.state["dirty"], node.state["battery_low"]) == (False, False, True)
    assert not node.calm(), "no update on it"
    woken = Detector({"smoke": 30, "hold": 1, "battery_low": 3.3})
    woken.restore(node.state)
    assert woken.feed({**QUIET, "battery_v": 3.35}, 0) is False, "no news after a sleep"
    assert woken.state["battery_low"] is True
