"""A free port for a server that cannot be given port 0."""

import random
import socket
from typing import Final

# Below the ports the kernel hands out by itself (net.ipv4.ip_local_port_range): else every outgoing connection, of whoever runs
# beside us, might be given ours between the look and the server's start.
_RANGE: Final = range(15_000, 32_000)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 nobody has now. Somebody may take it yet: whoever binds it must be ready to fail."""
    for port in random.sample(_RANGE, 200):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError("no free port")
