"""Messages of radio heads on the site's own broker, written from the sheet: every field and zone bit, and a concentrator's bits."""

import functools
import json

import pytest

from drivers.messages import PointFault
from drivers.mqtt_devices import MqttDevice
from drivers.profile import Profile, load_profiles, try_capture
from tests.drivers.test_mqtt_devices import House, shipped

BITS = {2: "tamper", 3: "battery_low", 6: "trouble", 7: "mains_fault", 8: "test", 9: "battery_defect"}


@pytest.mark.parametrize(
    ("profile", "first", "second"),
    [("tasmota-zigbee-smoke", "smoke", "alarm_2"), ("tasmota-zigbee-gas", "gas", "gas_2")],
)
def test_zone_bits_alone_and_behind_tasmotas_bridge(profile: str, first: str, second: str) -> None:
    house = House(MqttDevice("h", shipped(profile), "0x7E14"))
    named = {0: first, 1: second, **BITS}
    for bit in range(16):
        body = {"Device": "0x7E14", "ZoneStatusChange": 1 << bit, "ZoneStatusChangeZone": 1, "LinkQuality": 92}
        house.hear("tele/bridge/SENSOR", {"ZbReceived": {"0x7E14": body}})
        on = {name for name, value in house.values().items() if value is True}
        assert on == ({f"h/{named[bit]}"} if bit in named else set()), bit  # 4, 5: how it reports, no event
    house.hear("tele/bridge/SENSOR", {"ZbReceived": {"0x7E14": {"Device": "0x7E14", "ZoneStatusChange": 0x2FF}}})
    assert {name for name, value in house.values().items() if value is True} == {
        f"h/{name}" for bit, name in named.items() if bit != 8
    }  # with bit 8 an alarm is a person's test


@pytest.mark.parametrize(
    ("profile", "field", "point"),
    [
        *(
            ("zigbee2mqtt-smoke", *pair)
            for pair in (("smoke", "smoke"), ("tamper", "tamper"), ("battery_low", "battery_low"))
        ),
        *(("zigbee2mqtt-smoke", *pair) for pair in (("silence", "muted"), ("trouble", "trouble"), ("test", "test"))),
        *(
            ("zigbee2mqtt-gas", *pair)
            for pair in (("gas", "gas"), ("carbon_monoxide", "carbon_monoxide"), ("tamper", "tamper"))
        ),
        *(("zigbee2mqtt-water", *pair) for pair in (("water_leak", "water_leak"), ("battery_low", "battery_low"))),
    ],
)
def test_zigbee2mqtts_flags_alone_and_beside_all_it_may_publish(profile: str, field: str, point: str) -> None:
    for topic in ("hall", "floor 1/hall"):
        house = House(MqttDevice("h", shipped(profile), topic))
        rest = {
            "battery": 100,
            "linkquality": 255,
            "self_test": "checking",
            "last_seen": None,
            "voltage": 3000,
            "update": {},
        }
        for more in ({}, rest):
            for word in (True, False):
                house.hear(f"zigbee2mqtt/{topic}", {**more, field: word})
                assert house.values()[f"h/{point}"] is word
                assert not any(isinstance(one, PointFault) for one in house.seen)


def test_zigbee2mqtts_numbers_at_both_ends() -> None:
    house = House()
    for battery, quality, density in ((0, 0, 0), (100, 255, 6553.5)):
        body = {"battery": battery, "linkquality": quality, "smoke_concentration": density, "temperature": -20.5}
        house.hear("zigbee2mqtt/hall", body)
        found = house.values()
        assert [found[f"s1/{name}"] for name in ("battery_percent", "linkquality", "smoke_ppm")] == [
            battery,
            quality,
            density,
        ]
        assert found["s1/temperature_c"] == -20.5


@pytest.mark.parametrize("payload", ["online", '{"state":"online"}'])
def test_availability_in_both_forms(payload: str) -> None:
    house = House()
    house.hear("zigbee2mqtt/hall/availability", payload.replace("online", "offline").encode())
    assert house.links() == [] or house.links()[-1][1] is False
    house.hear("zigbee2mqtt/hall/availability", payload.encode())
    assert house.links()[-1][:2] == ("s1", True)


@pytest.mark.parametrize("name", ["smoke", "gas", "tamper", "battery_low", "dirty", "fault"])
def test_esphomes_sensors_in_their_words(name: str) -> None:
    house = House(MqttDevice("h", shipped("esphome-detector"), "hall"))
    for word, value in (("ON", True), ("OFF", False)):
        house.hear(f"hall/binary_sensor/{name}/state", word.encode())
        assert house.values()[f"h/{name}"] is value
    house.hear(f"hall/binary_sensor/{name}/state", b"unknown")
    assert [one.reason for one in house.seen if isinstance(one, PointFault)] == ["invalid"]


def test_tasmotas_switch_in_both_topics() -> None:
    house = House(MqttDevice("h", shipped("tasmota-contact"), "hall"))
    for word, value in (("ON", True), ("OFF", False)):
        house.hear("stat/hall/RESULT", {"Switch1": {"Action": word}})
        assert house.values()["h/smoke"] is value
        house.hear("tele/hall/SENSOR", {"Time": "2026-11-26T02:00:00", "Switch1": word})
        assert house.values()["h/smoke"] is value


# --- a concentrator's frames, as the template has them ----------------------------------------------------------------------------

RADIO = {0: "fire", 1: "fault", 2: "burglar", 3: "battery_fault", 4: "test"}
OVER = {
    "fire": "fire_restore",
    "fault": "fault_restore",
    "burglar": "tamper_restore",
    "battery_fault": "battery_ok",
    "test": "test_restore",
}


@functools.cache
def concentrator() -> Profile:
    return load_profiles([]).get("radio-concentrator")


@pytest.mark.parametrize("status", range(32))
@pytest.mark.parametrize("node", ["00000000", "AA55AA55", "FFFFFFFF"])
def test_a_concentrators_status_bits_say_what_is_and_what_is_over(status: int, node: str) -> None:
    frame = bytes((0xAA, 0x55, 11)) + bytes.fromhex(node) + bytes((status, 255, 0))
    frame += bytes((sum(frame) & 0xFF,))
    shown = try_capture(concentrator(), b"\x55" + frame * 2)
    events = [one for one in shown if not one.get("reject")]
    assert len(events) == 2
    for one in events:
        assert (one["node"], one["battery_v"], one["temperature_c"]) == (node, 25.5, 0) if "node" in one else True
        said = {event["event"]: event.get("is_state", False) for event in one["events"]}  # type: ignore[attr-defined]
        wanted = {event: False for bit, event in RADIO.items() if status >> bit & 1}
        assert said == wanted | {OVER[event]: True for bit, event in RADIO.items() if not status >> bit & 1}


def test_a_message_of_several_heads_reaches_each() -> None:
    heads = tuple(MqttDevice(f"h{n}", shipped("tasmota-zigbee-smoke"), f"0x000{n}") for n in (1, 2))
    house = House(*heads)
    bodies = {f"0x000{n}": {"Device": f"0x000{n}", "ZoneStatusChange": n} for n in (1, 2)}
    house.hear("tele/bridge/SENSOR", json.dumps({"ZbReceived": bodies}).encode())
    assert {name for name, value in house.values().items() if value is True} == {"h1/smoke", "h2/alarm_2"}
