"""Store and forward in flash: records wait here until the gateway has said that it keeps them.

One file of fixed size: a head, two cells that take turns for what is confirmed, and slots. A slot is written in one piece with a
check over it, so that after a cut at any byte it is either whole or not there. What is full overwrites its oldest, and counts that.
"""

import os
import struct
from binascii import crc32

SLOT_BYTES = 64
BODY_BYTES_MAX = SLOT_BYTES - 9
_HEAD = b"ZGN1"
_HEAD_BYTES = 16  # mark, epoch, slots, check
_CELL_BYTES = 12  # confirmed n, lost, check
_SLOTS_AT = _HEAD_BYTES + 2 * _CELL_BYTES


class Ring:
    """The records of one node. Numbers begin at 1 and never come back within an epoch; a new file is a new epoch."""

    def __init__(self, path: str, slots: int = 256) -> None:
        """Open or make the file. What a cut left half written is not there."""
        self.path, self.slots = path, slots
        self.acked = self.newest = self.lost = 0
        self._cell = 0
        self._held: dict[int, int] = {}  # n -> slot, of what is not confirmed
        if not self._load():
            self._format()

    def append(self, body: bytes) -> int:
        """Keep one record; return its number once it is in flash."""
        if len(body) > BODY_BYTES_MAX:
            raise ValueError("record too long")
        n = self.newest + 1
        slot = n % self.slots
        dropped = [old for old, at in self._held.items() if at == slot]
        data = struct.pack(">IB", n, len(body)) + body
        data = data + b"\xff" * (SLOT_BYTES - 4 - len(data))
        self._write(_SLOTS_AT + slot * SLOT_BYTES, data + struct.pack(">I", crc32(data)))
        self.newest = n
        self._held[n] = slot
        for old in dropped:
            del self._held[old]
            self.lost += 1
        return n

    def oldest(self) -> tuple[int, bytes] | None:
        """The next record to send, or None."""
        while self._held:
            n = min(self._held)
            with open(self.path, "rb") as file:
                file.seek(_SLOTS_AT + self._held[n] * SLOT_BYTES)
                found = _slot(file.read(SLOT_BYTES))
            if found is not None and found[0] == n:
                return found
            del self._held[n]  # flash that went bad: nothing is left to send
            self.lost += 1
        return None

    def last(self) -> bytes | None:
        """The newest record, confirmed or not; None if there is none."""
        with open(self.path, "rb") as file:
            file.seek(_SLOTS_AT + self.newest % self.slots * SLOT_BYTES)
            found = _slot(file.read(SLOT_BYTES))
        return found[1] if found is not None and found[0] == self.newest else None

    def ack(self, n: int) -> None:
        """The gateway keeps everything up to n."""
        if n <= self.acked or n > self.newest:
            return
        self.acked = n
        for old in [old for old in self._held if old <= n]:
            del self._held[old]
        self._cell ^= 1  # the other one keeps what was true before, should this write be cut
        data = struct.pack(">II", n, self.lost)
        self._write(_HEAD_BYTES + self._cell * _CELL_BYTES, data + struct.pack(">I", crc32(data)))

    def waiting(self) -> int:
        """How many records the gateway has not confirmed."""
        return len(self._held)

    def _load(self) -> bool:
        try:
            with open(self.path, "rb") as file:
                head = file.read(_HEAD_BYTES)
                if (
                    len(head) < _HEAD_BYTES
                    or head[:4] != _HEAD
                    or crc32(head[:12]) != struct.unpack(">I", head[12:])[0]
                ):
                    return False
                self.epoch, self.slots = head[4:8], struct.unpack(">I", head[8:12])[0]
                for cell in (0, 1):
                    data = file.read(_CELL_BYTES)
                    if len(data) == _CELL_BYTES and crc32(data[:8]) == struct.unpack(">I", data[8:])[0]:
                        n, lost = struct.unpack(">II", data[:8])
                        if n >= self.acked:
                            self.acked, self.lost, self._cell = n, lost, cell
                for slot in range(self.slots):
                    found = _slot(file.read(SLOT_BYTES))
                    if found is not None:
                        self.newest = max(self.newest, found[0])
                        if found[0] > self.acked:
                            self._held[found[0]] = slot
        except OSError:
            return False
        self.newest = max(self.newest, self.acked)
        self.lost += self.newest - self.acked - len(self._held)  # overwritten since the last confirm, or gone bad
        return True

    def _format(self) -> None:
        """A new file, made beside its place: a cut leaves the old one or none."""
        self.epoch = os.urandom(4)
        head = _HEAD + self.epoch + struct.pack(">I", self.slots)
        part = self.path + ".new"
        with open(part, "wb") as file:
            file.write(head + struct.pack(">I", crc32(head)) + b"\xff" * (2 * _CELL_BYTES))
            for _ in range(self.slots):
                file.write(b"\xff" * SLOT_BYTES)
        os.rename(part, self.path)

    def _write(self, at: int, data: bytes) -> None:
        with open(self.path, "r+b") as file:  # closed each time: on littlefs that is what puts it into flash
            file.seek(at)
            file.write(data)


def _slot(data: bytes) -> tuple[int, bytes] | None:
    if len(data) < SLOT_BYTES or crc32(data[:-4]) != struct.unpack(">I", data[-4:])[0]:
        return None
    n, length = struct.unpack(">IB", data[:5])
    return (n, data[5 : 5 + length]) if length <= BODY_BYTES_MAX else None
