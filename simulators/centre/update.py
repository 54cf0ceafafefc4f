"""`edge-centre update`: offer an update to a gateway and give it the parts it asks for (docs/contract.md, section 7)."""

import hashlib
import json
import queue
import time
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.centre.check import ROOT, VERSION, Object
from simulators.centre.command import Asking, Where

PART_EXPIRY_S: Final = 30
PART_BYTES_MAX: Final = 64 * 1024
QUIET_S: Final = 300.0  # a gateway that asks for nothing for so long is not going to


def offer(where: Where, gateway: str, bundle: Path, *, command_id: str, by: str, wait_s: float) -> Object:
    """The gateway's answer to the offer, once it has every part if it took it. Raise NoAnswer, OSError or ssl.SSLError."""
    data = bundle.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    wants: queue.Queue[tuple[int, int]] = queue.Queue()

    def on_want(message: paho.MQTTMessage) -> None:
        want: Any = json.loads(message.payload)
        if want.get("v") == VERSION and want.get("sha256") == sha256:
            wants.put((int(want["offset"]), min(int(want["length"]), PART_BYTES_MAX)))

    with Asking(where, gateway, command_id) as asking:
        asking.listen(f"{ROOT}/{gateway}/want", on_want)
        params = {"sha256": sha256, "size": len(data)}
        answer = asking.ask("update", params, by=by, wait_s=wait_s)
        if answer.get("status") != "done":
            return answer
        deadline_s, sent = time.monotonic() + QUIET_S, 0
        while True:
            try:
                offset, length = wants.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                break
            if offset >= len(data):  # it has all of it, and asks for no more
                sent = len(data)
                break
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.CorrelationData = f"{sha256}/{offset}".encode("ascii")
            properties.MessageExpiryInterval = PART_EXPIRY_S
            asking.publish(f"{ROOT}/{gateway}/part", data[offset : offset + length], properties)
            deadline_s, sent = time.monotonic() + QUIET_S, offset + length
        result = answer.get("result")
        return {**answer, "result": {**(result if isinstance(result, dict) else {}), "sent": sent}}
