"""A broker for the simulated site: mosquitto where it is installed, else rumqttd from the package `iotcore`, on 127.0.0.1 only."""

import asyncio
import importlib.util
import os
import shutil
import socket
import sys
from pathlib import Path

from simulators.process import Program

_MOSQUITTO = "listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 100\nmax_queued_messages 0\n"

# rumqttd listens with MQTT 5 only where a [v5.*] table says so, and everywhere by default.
_RUMQTTD = """
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""
_RUN_RUMQTTD = "import sys; from iotcore import IotCoreBroker; IotCoreBroker(config_path=sys.argv[1]).run_forever()"


class NoBroker(Exception):
    """Neither mosquitto nor iotcore is there."""


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """One broker process. `kind` is mosquitto or iotcore; EDGE_DEMO_BROKER chooses one by name."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        mosquitto = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        wanted = os.environ.get("EDGE_DEMO_BROKER", "")
        config, log = directory / "broker.conf", directory / "broker.log"
        if mosquitto and wanted in ("", "mosquitto"):
            self.kind = "mosquitto"
            config.write_text(_MOSQUITTO.format(port=self.port))
            self.program = Program(self.kind, (mosquitto, "-c", str(config)), log)
        elif importlib.util.find_spec("iotcore") and wanted in ("", "iotcore"):
            self.kind = "iotcore"
            config = config.with_suffix(".toml")
            config.write_text(_RUMQTTD.format(port=self.port))
            self.program = Program(self.kind, (sys.executable, "-c", _RUN_RUMQTTD, str(config)), log)
        else:
            raise NoBroker(wanted)

    async def start(self, patience_s: float = 20.0) -> None:
        """Start it and wait until it accepts. Raise TimeoutError, or ChildProcessError if it ends."""
        await self.program.start()
        async with asyncio.timeout(patience_s):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    if not self.program.running:
                        raise ChildProcessError(self.program.tail()) from None
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return
