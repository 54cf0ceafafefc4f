"""One TCP connection of a guest to a server of the test: qemu starts this with the guest's end as its standard input and output.

python relay.py PORT      PORT is of 127.0.0.1; nothing else is within a guest's reach.
"""

import contextlib
import os
import socket
import sys
import threading


def carry(read: int, write: int) -> None:
    """Until the first end closes, or the other does not take it."""
    with contextlib.suppress(OSError):
        while data := os.read(read, 65536):
            while data:
                data = data[os.write(write, data) :]


def main() -> None:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:

        def from_the_guest() -> None:
            carry(0, server.fileno())
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_WR)

        threading.Thread(target=from_the_guest, daemon=True).start()
        carry(server.fileno(), 1)


if __name__ == "__main__":
    main()
