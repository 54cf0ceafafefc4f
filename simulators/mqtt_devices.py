"""Detectors that report to a broker as Zigbee2MQTT, Tasmota and ESPHome do: retained state, last wills, and what goes wrong.

python -m simulators.mqtt_devices --port 1883 zigbee:0x005043c95333194d tasmota:hall esphome:kitchen     # then: NAME smoke on
"""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

PUBLISHED_S: Final = 30.0


class Publisher:
    """One connection to the broker. What it publishes is the broker's when the call returns."""

    def __init__(
        self,
        port: int,
        client_id: str,
        *,
        host: str = "127.0.0.1",
        will: tuple[str, str] | None = None,
        username: str = "",
        password: str = "",
    ) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311)
        if username:
            self._client.username_pw_set(username, password)
        if will is not None:
            self._client.will_set(*will, qos=1, retain=True)
        self._client.connect(host, port)
        self._client.loop_start()

    def say(
        self, topic: str, payload: str | bytes | Mapping[str, object], *, retain: bool = False, qos: int = 1
    ) -> None:
        """Publish one message and wait until the broker has it. Raise TimeoutError if it does not take it."""
        body = json.dumps(payload) if isinstance(payload, Mapping) else payload
        info = self._client.publish(topic, body, qos=qos, retain=retain)
        info.wait_for_publish(PUBLISHED_S)
        if not info.is_published():
            raise TimeoutError(topic)

    def leave(self) -> None:
        """Go in order: the broker keeps the last will to itself."""
        self._client.disconnect()
        self._client.loop_stop()

    def die(self) -> None:
        """Lose the connection: the broker publishes the last will."""
        sock = self._client.socket()
        self._client.loop_stop()
        if sock is not None:
            sock.close()


class Zigbee2Mqtt:
    """A Zigbee bridge and the heads behind it, by their friendly names. Each report holds all that is known of a head."""

    def __init__(self, port: int, *, base: str = "zigbee2mqtt", retain: bool = False) -> None:
        self._base, self._retain = base, retain
        self._state: dict[str, dict[str, object]] = {}
        self._wire = Publisher(port, f"{base}-bridge", will=(f"{base}/bridge/state", '{"state":"offline"}'))
        self._wire.say(f"{base}/bridge/state", {"state": "online"}, retain=True)

    def report(self, head: str, **changed: object) -> None:
        """One message of a head: what it said before, with what is new."""
        state = self._state.setdefault(head, {"battery": 100, "battery_low": False, "linkquality": 120})
        state.update(changed)
        self._wire.say(f"{self._base}/{head}", state, retain=self._retain, qos=0)

    def raw(self, head: str, payload: str | bytes) -> None:
        """Something that is no message of Zigbee2MQTT's."""
        self._wire.say(f"{self._base}/{head}", payload)

    def available(self, head: str, there: bool) -> None:
        """What the bridge thinks of a head."""
        self._wire.say(f"{self._base}/{head}/availability", {"state": "online" if there else "offline"}, retain=True)

    def leave(self) -> None:
        """End in order; like the real one it says that it is offline."""
        self._wire.say(f"{self._base}/bridge/state", {"state": "offline"}, retain=True)
        self._wire.leave()

    def die(self) -> None:
        """Its process is gone."""
        self._wire.die()


class Tasmota:
    """A Wi-Fi board whose switch input is a detector's contact."""

    def __init__(self, port: int, name: str) -> None:
        self._name = name
        self._wire = Publisher(port, name, will=(f"tele/{name}/LWT", "Offline"))
        self._wire.say(f"tele/{name}/LWT", "Online", retain=True)

    def alarm(self, on: bool) -> None:
        """The contact changes."""
        self._wire.say(f"stat/{self._name}/RESULT", {"Switch1": {"Action": "ON" if on else "OFF"}}, qos=0)

    def tele(self, on: bool, rssi: int = 60) -> None:
        """What comes each TelePeriod."""
        self._wire.say(f"tele/{self._name}/STATE", {"POWER": "OFF", "Wifi": {"RSSI": rssi}}, qos=0)
        self._wire.say(f"tele/{self._name}/SENSOR", {"Switch1": "ON" if on else "OFF"}, qos=0)

    def zigbee(self, **heads: Mapping[str, object]) -> None:
        """What a board that is a Zigbee bridge says of its heads."""
        self._wire.say(f"tele/{self._name}/SENSOR", {"ZbReceived": heads}, qos=0)

    def leave(self) -> None:
        """End in order."""
        self._wire.leave()

    def die(self) -> None:
        """It loses its power."""
        self._wire.die()


class EspHome:
    """A device of ESPHome's: one topic for each of its sensors, retained."""

    def __init__(self, port: int, name: str) -> None:
        self._name = name
        self._wire = Publisher(port, name, will=(f"{name}/status", "offline"))
        self._wire.say(f"{name}/status", "online", retain=True)

    def sensor(self, name: str, on: bool) -> None:
        """A binary sensor changes."""
        self._wire.say(f"{self._name}/binary_sensor/{name}/state", "ON" if on else "OFF", retain=True, qos=0)

    def value(self, name: str, value: str) -> None:
        """A number, as ESPHome writes it."""
        self._wire.say(f"{self._name}/sensor/{name}/state", value, retain=True, qos=0)

    def leave(self) -> None:
        """End in order."""
        self._wire.leave()

    def die(self) -> None:
        """It loses its power."""
        self._wire.die()


def main() -> None:
    """Devices to play with: reads `NAME FIELD on|off` from standard input until it ends."""
    parser = argparse.ArgumentParser(prog="python -m simulators.mqtt_devices")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("devices", nargs="+", metavar="zigbee:NAME | tasmota:NAME | esphome:NAME")
    given = parser.parse_args()
    bridge: Zigbee2Mqtt | None = None
    boards: dict[str, Tasmota | EspHome] = {}
    for kind, _, name in (device.partition(":") for device in given.devices):
        if kind == "zigbee":
            bridge = bridge or Zigbee2Mqtt(given.port)
            bridge.report(name, smoke=False)
        elif kind == "tasmota":
            boards[name] = Tasmota(given.port, name)
        elif kind == "esphome":
            boards[name] = EspHome(given.port, name)
        else:
            parser.error(f"{kind}: no such family")
    for line in sys.stdin:
        name, field, level = (*line.split(), "", "", "")[:3]
        board, on = boards.get(name), level == "on"
        if isinstance(board, Tasmota):
            board.alarm(on)
        elif isinstance(board, EspHome):
            board.sensor(field, on)
        elif bridge is not None and name and field:
            bridge.report(name, **{field: on})
    for one in (bridge, *boards.values()):
        if one is not None:
            one.leave()


if __name__ == "__main__":
    main()
