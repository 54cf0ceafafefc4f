"""A small site as text: one contact, a fake board, one centre on this machine."""

from collections.abc import Sequence
from pathlib import Path


def small_site(
    gateway: str,
    *,
    data: Path,
    run: Path,
    port: int = 1883,
    name: str = "厂房",
    commands: Sequence[str] = (),
    more: str = "",
) -> str:
    """`more` goes on in the table of the centre."""
    names = ", ".join(f'"{command}"' for command in ("read_state", *commands))
    return f"""
[gateway]
id = "{gateway}"
name = "{name}"
data_dir = "{data}"
run_dir = "{run}"
[board]
gpio = "fake"
fake_socket = "{run / "gpio.sock"}"
outputs = {{ buzzer = 17 }}
[[contact]]
id = "pump-room"
line = 12
[[uplink]]
id = "county"
host = "127.0.0.1"
port = {port}
commands = [{names}]
{more}"""
