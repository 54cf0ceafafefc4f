"""What messages of a broker's devices mean, without a broker."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.codecs.registry import PROTOCOLS
from drivers.messages import LinkState, Observation, PanelEvent, PointFault, Reading
from drivers.mqtt_devices import TEST_NS, MqttDevice, MqttDevices
from drivers.mqtt_profile import PAYLOAD_BYTES_MAX, MqttProfile, compile_profile
from drivers.mqtt_strangers import REFUSED_KEPT, UNLISTED_MAX
from drivers.profile import check, load_file, load_profiles
from drivers.profile_toml import ProfileFault

S = 1_000_000_000
CAPTURES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "captures/mqtt.json").read_text("utf-8"))


def shipped(name: str) -> MqttProfile:
    return compile_profile(load_profiles([]).get(name).data, name=name)


SMOKE, GAS, TASMOTA, ZIGBEE = map(
    shipped, ("zigbee2mqtt-smoke", "zigbee2mqtt-gas", "tasmota-contact", "tasmota-zigbee-smoke")
)


class House:
    """Devices, and what they told of each point last."""

    def __init__(self, *devices: MqttDevice, watched: tuple[MqttProfile, ...] = ()) -> None:
        self.devices = MqttDevices("mqtt1", devices or (MqttDevice("s1", SMOKE, "hall"),), watched, 0)
        self.now_ns = 0
        self.seen: list[Observation] = []

    def hear(self, topic: str, payload: object, *, retained: bool = False) -> list[Observation]:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.seen = self.devices.take(topic, body, retained=retained, now_ns=self.now_ns)
        return self.seen

    def wait(self, seconds: float, *, broker_up: bool = True) -> list[Observation]:
        self.now_ns += round(seconds * S)
        self.seen = self.devices.tick(self.now_ns, broker_up=broker_up)
        return self.seen

    def values(self) -> dict[str, float | bool]:
        return {one.point: one.value for one in self.seen if isinstance(one, Reading)}

    def links(self) -> list[tuple[str, bool, str]]:
        return [(one.source, one.up, one.reason) for one in self.seen if isinstance(one, LinkState)]

    def said(self) -> list[tuple[str, str]]:
        return [(one.point, one.event) for one in self.seen if isinstance(one, PanelEvent)]


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda one: one["name"])
def test_a_capture_decodes_to_its_meaning(capture: dict[str, Any]) -> None:
    [shown] = PROTOCOLS[capture["protocol"]](capture["data"].encode(capture["encoding"]))
    assert {key: shown.get(key, "absent") for key in capture["meaning"]} == capture["meaning"]


@pytest.mark.parametrize("profile", [p for p in load_profiles([]).list() if p.kind == "mqtt"], ids=lambda p: p.name)
def test_a_shipped_profile_is_sound_and_has_an_alarm_for_its_example(profile: Any) -> None:
    assert [finding for finding in check(profile) if finding.severity != "info"] == []
    loud = [
        value.name for value in compile_profile(profile.data).values if value.loud or value.spec.kind == "supervisory"
    ]
    wanted = {name for one in profile.data["example"] for name, value in one["expect"].items() if value is True}
    assert wanted & set(loud)


def test_a_message_is_a_state_told_alarms_first_and_proves_life() -> None:
    house = House()
    house.hear("zigbee2mqtt/hall", {"battery": 80, "tamper": False, "smoke": True})
    assert house.seen[0] == Reading("s1/smoke", True, 0)
    assert house.values() == {
        "s1/smoke": True, "s1/battery_percent": 80.0, "s1/tamper": False, "s1/payload": False,
    }  # fmt: skip
    assert house.links() == [("s1", True, "answering")]
    house.hear("zigbee2mqtt/hall", {"smoke": False})
    assert (house.values(), house.links()) == ({"s1/smoke": False}, [])


def test_another_device_and_another_topic_are_not_this_device() -> None:
    house = House()
    for topic in ("zigbee2mqtt/hall2", "zigbee2mqtt", "zigbee2mqtt/bridge/log", "other/hall", "zigbee2mqtt/hall/set"):
        house.hear(topic, {"battery": 5})
        assert not any(isinstance(one, Reading) for one in house.seen), topic


def test_null_is_no_word_and_a_value_of_no_list_is_a_fault_of_the_point() -> None:
    house = House()
    house.hear("zigbee2mqtt/hall", {"smoke": None, "battery": "flat"})
    assert [one for one in house.seen if isinstance(one, PointFault)] == [
        PointFault("s1/battery_percent", "invalid", 0)
    ]
    assert "s1/smoke" not in house.values()
    house.hear("zigbee2mqtt/hall", {"battery": "flat"})
    assert not [one for one in house.seen if isinstance(one, PointFault)], "told once"
    assert house.hear("zigbee2mqtt/hall", {"smoke": 1})[0] == PointFault("s1/smoke", "invalid", 0)


# --- retained -------------------------------------------------------------------------------------------------------------


def test_a_retained_alarm_counts_but_retained_normal_ends_none_and_neither_proves_life() -> None:
    house = House()
    house.hear("zigbee2mqtt/hall", {"smoke": True, "battery": 50}, retained=True)
    assert house.values() == {"s1/smoke": True, "s1/battery_percent": 50.0}
    assert house.links() == []
    house.hear("zigbee2mqtt/hall", {"smoke": False, "battery": 50}, retained=True)
    assert house.values() == {"s1/battery_percent": 50.0}
    house.wait(90_000)
    assert house.links() == [("s1", False, "unheard")]


def test_retained_offline_is_believed_and_retained_online_is_not() -> None:
    house = House()
    house.hear("zigbee2mqtt/hall/availability", {"state": "online"}, retained=True)
    assert house.links() == []
    house.hear("zigbee2mqtt/hall/availability", {"state": "offline"}, retained=True)
    assert house.links() == [("s1", False, "offline")]
    house.hear("zigbee2mqtt/hall/availability", {"state": "online"}, retained=True)
    assert house.links() == []
    house.hear("zigbee2mqtt/hall/availability", b"online")  # as older bridges say it
    assert house.links() == [("s1", True, "answering")]


# --- who is there -----------------------------------------------------------------------------------------------------------


def test_each_device_has_its_own_silence_and_its_values_are_then_unknown() -> None:
    house = House(
        MqttDevice("s1", SMOKE, "hall", 100.0), MqttDevice("s2", SMOKE, "attic", 0.0), MqttDevice("t", TASMOTA, "x")
    )
    house.hear("zigbee2mqtt/hall", {"smoke": False})
    assert house.wait(99.9) == []
    house.wait(0.1)
    assert house.links() == [("s1", False, "unheard")]
    assert PointFault("s1/smoke", "silent", 100 * S) in house.seen
    assert house.wait(600) == [], "told once"
    house.wait(50)
    assert house.links() == [("t", False, "unheard")], "2.5 periods of Tasmota's 300 s"
    house.hear("zigbee2mqtt/hall", {"smoke": False})
    assert house.links() == [("s1", True, "answering")]


def test_nobody_falls_silent_while_the_broker_is_away() -> None:
    house = House(MqttDevice("s1", SMOKE, "hall", 100.0))
    assert house.wait(1000, broker_up=False) == []
    house.devices.connected(house.now_ns)
    assert house.wait(99) == []
    house.wait(2)
    assert house.links() == [("s1", False, "unheard")]


def test_a_bridge_that_is_offline_is_known() -> None:
    house = House()
    assert house.devices.bridge_lost() == ""
    house.hear("zigbee2mqtt/bridge/state", {"state": "offline"}, retained=True)
    assert house.devices.bridge_lost() == "zigbee2mqtt/bridge/state"
    house.hear("zigbee2mqtt/bridge/state", b"online")
    assert house.devices.bridge_lost() == ""


# --- tests by a person --------------------------------------------------------------------------------------------------------


def test_a_test_withholds_its_own_alarm_for_a_minute_and_no_longer() -> None:
    house = House()
    house.hear("zigbee2mqtt/hall", {"smoke": True, "test": True})
    assert house.values() == {"s1/test": True, "s1/payload": False}
    assert ("s1/smoke", "test") in house.said(), "which alarm was tried"
    house.wait(TEST_NS / S - 1)
    house.hear("zigbee2mqtt/hall", {"smoke": True, "test": True})
    assert "s1/smoke" not in house.values()
    assert house.said() == [], "said again, it is the same test"
    house.wait(1)
    assert house.values() == {"s1/smoke": True}, "it says so still: that is no test"
    assert house.wait(1) == []
    house.hear("zigbee2mqtt/hall", {"smoke": True, "test": True})
    assert house.values()["s1/smoke"] is True


def test_a_test_that_ends_raises_nothing_and_a_fire_after_it_does() -> None:
    house = House()
    house.hear("zigbee2mqtt/hall", {"smoke": True, "test": True})
    house.hear("zigbee2mqtt/hall", {"smoke": False, "test": False})
    house.wait(3600)
    assert house.values() == {}
    house.hear("zigbee2mqtt/hall", {"smoke": True, "test": False})
    assert house.values()["s1/smoke"] is True


# --- what cannot be read ------------------------------------------------------------------------------------------------------


def test_a_message_nobody_can_read_is_counted_kept_and_a_fault_until_one_can() -> None:
    house = House()
    house.hear("zigbee2mqtt/hall", b'{"battery":')
    assert house.values() == {"s1/payload": True}
    assert house.links() == [("s1", True, "answering")], "it lives"
    [kept] = house.devices.refused()
    assert (kept.why, kept.raw) == ("not_json", b'zigbee2mqtt/hall {"battery":')
    assert house.devices.counters()["s1.refused"] == 1
    house.hear("zigbee2mqtt/hall", {"smoke": False})
    assert house.values() == {"s1/smoke": False, "s1/payload": False}
    for body in (b"[1]", b"7", b"\xff\xfe", b"x" * (PAYLOAD_BYTES_MAX + 1), b"[" * 9000):
        house.hear("zigbee2mqtt/hall", body)
        assert house.values() == {"s1/payload": True}
    assert len(house.devices.refused()[-1].raw) < 1024
    for _ in range(REFUSED_KEPT + 10):
        house.hear("zigbee2mqtt/hall", b"{")
    assert len(house.devices.refused()) == REFUSED_KEPT


def test_a_fire_in_a_message_nobody_can_read_is_a_fire() -> None:
    house = House()
    house.hear("zigbee2mqtt/hall", b'{"temperature":nan,"smoke" : true}')
    assert house.values() == {"s1/smoke": True, "s1/payload": True}
    house.hear("zigbee2mqtt/hall", b'{"temperature":nan,"smoke":false}')
    assert house.values() == {"s1/payload": True}
    house.hear("zigbee2mqtt/hall", "\u706b\u8b66 hall".encode())
    assert house.said() == [("s1/payload", "unknown")]
    house.hear("zigbee2mqtt/hall", {"smoke": False})
    assert house.said() == [("s1/payload", "readable")]


def test_an_empty_retained_message_is_how_one_is_taken_back_and_no_fault() -> None:
    assert House().hear("zigbee2mqtt/hall", b"", retained=True) == []


def test_a_gas_head_configured_as_a_smoke_head_still_raises_an_alarm() -> None:
    house = House()
    house.hear("zigbee2mqtt/hall", {"gas": True, "smoke": False})
    assert house.said() == [("s1/payload", "unknown")]
    house.hear("zigbee2mqtt/hall", {"gas": True, "linkquality": 91})
    assert house.said() == [], "told once, and not taken back by the same thing said again"
    house.hear("zigbee2mqtt/hall", {"gas": False})
    assert house.said() == [("s1/payload", "readable")]
    house.hear("zigbee2mqtt/hall", b"{")
    house.hear("zigbee2mqtt/hall", {"gas": True})
    assert house.said() == [("s1/payload", "unknown")], "also right after a message nobody could read"


# --- shared topics and strangers ------------------------------------------------------------------------------------------------


def test_one_message_may_speak_of_several_devices() -> None:
    house = House(MqttDevice("a", ZIGBEE, "0x0001"), MqttDevice("b", ZIGBEE, "0x0002"))
    heads = {
        "0x0001": {"ZoneStatusChange": 1},
        "0x0002": {"ZoneStatusChange": 0x300},
        "0x0003": {"ZoneStatusChange": 0},
    }
    house.hear("tele/bridge/SENSOR", {"ZbReceived": heads})
    told = house.values()
    assert (told["a/smoke"], told["b/smoke"], told["b/test"], told["b/battery_defect"]) == (True, False, True, True)
    assert {source for source, _, _ in house.links()} == {"a", "b"}
    assert [(one.device, one.alarm) for one in house.devices.unlisted()] == [("0x0003", False)]


def test_the_zone_status_bits_mean_what_the_cluster_says() -> None:
    bits = {
        0: "smoke",
        1: "alarm_2",
        2: "tamper",
        3: "battery_low",
        6: "trouble",
        7: "mains_fault",
        8: "test",
        9: "battery_defect",
    }
    for bit in range(16):
        house = House(MqttDevice("a", ZIGBEE, "x"))
        house.hear("tele/b/SENSOR", {"ZbReceived": {"x": {"ZoneStatusChange": 1 << bit}}})
        on = [point for point, value in house.values().items() if value is True]
        assert on == ([f"a/{bits[bit]}"] if bit in bits else []), bit


def test_a_door_that_is_opened_is_no_fire_whoever_it_belongs_to() -> None:
    """A door contact, a motion or a water head on the same bridge sets the same bit; nobody has to have configured it."""
    for field in ("Contact", "Occupancy", "Movement", "Water"):
        house = House(MqttDevice("a", ZIGBEE, "head"))
        house.hear("tele/b/SENSOR", {"ZbReceived": {"door": {"ZoneStatusChange": 33, field: 1}}})
        house.hear("tele/b/SENSOR", {"ZbReceived": {"head": {"ZoneStatusChange": 33, field: 1}}})
        assert [event for _, event in house.said() if event != "readable"] == []
        assert "a/smoke" not in house.values()
        house.hear("tele/b/SENSOR", {"ZbReceived": {"other": {"ZoneStatusChange": 1}}})
        assert [event for _, event in house.said() if event != "readable"] == ["unknown"], (
            "one that says no more may be a smoke head"
        )


def test_a_device_nobody_configured_is_listed_and_an_alarm_if_it_speaks_of_one_now() -> None:
    house = House(watched=(GAS,))
    house.hear("zigbee2mqtt/kitchen", {"gas": True}, retained=True)
    assert house.said() == [], "of unknown age, of nobody's device"
    house.hear("zigbee2mqtt/kitchen", {"gas": False, "battery": 5})
    assert house.seen == []
    house.hear("zigbee2mqtt/kitchen", {"gas": True})
    assert house.said() == [("mqtt1/kitchen", "unknown")]
    [found] = house.devices.unlisted()
    assert (found.device, found.count, found.alarm) == ("kitchen", 3, True)
    house.hear("zigbee2mqtt/kitchen", {"gas": True, "linkquality": 90})
    assert house.said() == [], "told once"
    assert set(found.profiles) == {"zigbee2mqtt-smoke", "zigbee2mqtt-gas"}
    house.hear("zigbee2mqtt/kitchen", {"gas": False})
    assert house.said() == [("mqtt1/kitchen", "readable")]


def test_the_list_of_strangers_is_bounded_and_keeps_those_in_alarm() -> None:
    house = House()
    house.hear("zigbee2mqtt/burning", {"smoke": True})
    for number in range(UNLISTED_MAX * 2):
        house.hear(f"zigbee2mqtt/d{number}", {"smoke": False})
    found = [one.device for one in house.devices.unlisted()]
    assert len(found) == UNLISTED_MAX
    assert "burning" in found
    assert house.devices.counters()["forgotten"] == UNLISTED_MAX + 1


def test_no_two_subscriptions_take_the_same_message() -> None:
    house = House(MqttDevice("s1", SMOKE, "floor3/hall"), MqttDevice("s2", SMOKE, "hall"), MqttDevice("a", ZIGBEE, "x"))
    assert house.devices.filters() == [
        "tele/+/SENSOR",
        "zigbee2mqtt/+",
        "zigbee2mqtt/+/availability",
        "zigbee2mqtt/bridge/state",
        "zigbee2mqtt/floor3/hall",
        "zigbee2mqtt/floor3/hall/availability",
    ]
    house.hear("zigbee2mqtt/floor3/hall", {"smoke": True})
    assert house.values()["s1/smoke"] is True


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["smoke", "battery", "state", "ZbReceived", "x"]), inner)
    ),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda body: json.dumps(body).encode()))
def test_no_payload_raises_or_makes_anything_but_observations(payload: bytes) -> None:
    house = House(MqttDevice("s1", SMOKE, "hall"), MqttDevice("a", ZIGBEE, "x"), MqttDevice("t", TASMOTA, "y"))
    for topic in ("zigbee2mqtt/hall", "zigbee2mqtt/hall/availability", "zigbee2mqtt/bridge/state", "tele/b/SENSOR",
                  "tele/y/LWT", "stat/y/RESULT", "zigbee2mqtt/nobody"):  # fmt: skip
        for retained in (False, True):
            for one in house.hear(topic, payload, retained=retained):
                assert isinstance(one, Reading | PointFault | LinkState | PanelEvent)


# --- profiles -------------------------------------------------------------------------------------------------------------------

VALUE = '[[topic.value]]\nname = "smoke"\nfield = "smoke"\non = [true]\noff = [false]\nkind = "fire"\n'


@pytest.mark.parametrize(
    ("toml", "code"),
    [
        ("", "nothing_to_read"),
        ('[[topic]]\ntopic = "a/b"\n' + VALUE, "bad_topic"),
        ('[[topic]]\ntopic = "a/{device}/#"\n' + VALUE, "bad_topic"),
        ('[[topic]]\ntopic = "a+/{device}"\n' + VALUE, "bad_topic"),
        ('[[topic]]\ntopic = "a/{device}"\ndevices = "x"\n' + VALUE, "bad_topic"),
        ('[[topic]]\ntopic = "a/{device}"\nformat = "xml"\n' + VALUE, "bad_format"),
        ('[[topic]]\ntopic = "a/{device}"\n', "nothing_to_read"),
        ('[[topic]]\ntopic = "a/{device}"\ncolour = 1\n' + VALUE, "unknown_key"),
        ('[[topic]]\ntopic = "a/{device}"\nformat = "text"\n' + VALUE, "bad_field"),
        ('[[topic]]\ntopic = "a/{device}"\n' + VALUE.replace("[false]", "[true]"), "bad_flag"),
        ('[[topic]]\ntopic = "a/{device}"\n' + VALUE + "bit = 1\n", "bad_flag"),
        ('[[topic]]\ntopic = "a/{device}"\n' + VALUE + "limits = { on_delay_s = 5 }\n", "bad_number"),
        ('[[topic]]\ntopic = "a/{device}"\n' + VALUE.replace('"smoke"\nfield', '"payload"\nfield'), "bad_name"),
        ('[[topic]]\ntopic = "a/{device}"\n' + VALUE.partition("on =")[0] + 'kind = "fire"\n', "unknown_limit"),
        ('[[topic]]\ntopic = "a/s"\nbridge = true\n' + VALUE, "bad_table"),
        ('[link]\nsilence_s = -1\n[[topic]]\ntopic = "a/{device}"\n' + VALUE, "bad_number"),
        (
            '[[topic]]\ntopic = "a/{device}"\n' + VALUE
            + '[[topic]]\ntopic = "b/{device}"\n' + VALUE.replace("fire", "gas"),
            "duplicate_value",
        ),
    ],
)  # fmt: skip
def test_a_profile_that_means_nothing_says_why(toml: str, code: str) -> None:
    with pytest.raises(ProfileFault) as caught:
        compile_profile(tomllib.loads(toml))
    assert caught.value.code == code


def test_an_example_that_differs_and_a_counter_example_that_raises_are_found(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "drivers/profiles/zigbee2mqtt-smoke.toml").read_text("utf-8")
    spoilt = text.replace("smoke = true, linkquality", "smoke = false, linkquality", 1).replace(
        '"smoke":null', '"smoke":true'
    )
    (tmp_path / "mine.toml").write_text(spoilt, "utf-8")
    assert [finding.code for finding in check(load_file(tmp_path / "mine.toml"))] == [
        "example_differs",
        "counter_example_raised",
    ]
