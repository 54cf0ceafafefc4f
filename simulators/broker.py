"""A broker for the simulated site: mosquitto where it is installed, else rumqttd from the package `iotcore`, on 127.0.0.1 only."""

import asyncio
import importlib.util
import os
import shutil
import sys
from pathlib import Path

from simulators.ports import free_port
from simulators.process import Program

# Without set_tcp_nodelay mosquitto's small packets wait up to 40 ms for the far end's delayed TCP acknowledgement.
_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 100
max_queued_messages 0
set_tcp_nodelay true
"""

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


_ATTEMPTS = 3  # a free port may be taken before the broker has it


class NoBroker(Exception):
    """Neither mosquitto nor iotcore is there."""


class Broker:
    """One broker process on 127.0.0.1, `port` known once it was started; it keeps nothing on disk.

    `kind` is mosquitto or iotcore; the argument or EDGE_DEMO_BROKER chooses one by name. Raise NoBroker.
    """

    def __init__(self, directory: Path, kind: str = "") -> None:
        self.port = 0
        mosquitto = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        wanted = kind or os.environ.get("EDGE_DEMO_BROKER", "")
        log = directory / "broker.log"
        if mosquitto and wanted in ("", "mosquitto"):
            self.kind, self._text, self._config = "mosquitto", _MOSQUITTO, directory / "broker.conf"
            self.program = Program(self.kind, (mosquitto, "-c", str(self._config)), log)
        elif importlib.util.find_spec("iotcore") and wanted in ("", "iotcore"):
            self.kind, self._text, self._config = "iotcore", _RUMQTTD, directory / "broker.toml"
            self.program = Program(self.kind, (sys.executable, "-c", _RUN_RUMQTTD, str(self._config)), log)
        else:
            raise NoBroker(wanted)

    async def start(self, patience_s: float = 60.0) -> None:
        """Start it and wait until it accepts; after it was killed, on its old port. Raise TimeoutError, ChildProcessError."""
        for left in reversed(range(1 if self.port else _ATTEMPTS)):
            port = self.port or free_port()
            self._config.write_text(self._text.format(port=port))
            await self.program.start()
            async with asyncio.timeout(patience_s):
                accepts = await self._wait_accepting(port)
            if accepts:
                self.port = port
                return
            if not left:
                raise ChildProcessError(self.program.tail())

    async def _wait_accepting(self, port: int) -> bool:
        """Whether it accepts at last; False once it has ended instead."""
        while self.program.running:
            if await _accepts(port):
                return self.program.running
            await asyncio.sleep(0.02)
        return False


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
