"""An update over the air: its head is judged first, then its files come part by part, each at this node's asking.

What has come is in update.part, which is update.zgu once it is whole. So a cut, a sleep or an alarm costs the part in flight, and
no more memory is needed than for one. Only a calm node asks (node.py).
"""

import hashlib
import json
import os
import struct
from binascii import hexlify

from . import VERSION
from .update import exists, total

PART_BYTES = 2048
PART_MS = 9_000  # a part that has not come is asked for again
ASKS_MAX = 6  # so often; then the gateway is let alone
REST_MS = 600_000


class Fetch:
    """`slots`: update.Slots. What a gateway says comes by `offered` and `part`, what to tell it by `ask`."""

    def __init__(self, slots) -> None:
        self._slots, self._path = slots, slots.root + "/update.part"
        self.connected()

    def connected(self) -> None:
        """A broker says anew what it keeps of an offer, and nothing where it was taken back."""
        self._offer = b""
        self._head, self._tag = b"", b""  # what is taken up, and what it is called
        self._have = self._size = 0
        self._refused = ""  # why the offer is not taken, until that is told
        self._asks, self._asked_ms = 0, 0  # asked for this part: so often, and when last

    def offered(self, head: bytes) -> None:
        """What the gateway offers, b"" for nothing. It is judged when there is time."""
        self._offer = head
        if not head:
            self._drop()

    def part(self, payload: bytes) -> None:
        """4 bytes of the offer's tag, 4 where the part begins, the part. What was not asked for is nothing."""
        wanted, data = self._tag + struct.pack(">I", self._have), payload[8:]
        if not self._head or payload[:8] != wanted or not 0 < len(data) <= PART_BYTES:
            return
        try:
            with open(self._path, "ab") as file:
                file.write(data)
            self._have += len(data)
            self._asks = 0
            self._finish()
        except OSError:
            self._give_up("flash")

    def again(self) -> None:
        """What came was not sound, or could not be installed: its offer is judged anew."""
        self._tag = b""

    def busy(self) -> bool:
        """Whether it is worth staying awake."""
        news = self._refused or (self._offer and _tag(self._offer) != self._tag)
        return bool(news or (self._head and self._asks < ASKS_MAX) or exists(self._slots.path))

    def ask(self, now_ms: int):
        """What to tell the gateway now; None: nothing. Not to be called before this program is confirmed."""
        if exists(self._slots.path) or not self._offer:
            return None
        if _tag(self._offer) != self._tag:
            self._take_up()
        if self._refused:
            why, self._refused = self._refused, ""
            return self._say(refused=why)
        patience_ms = PART_MS if self._asks < ASKS_MAX else REST_MS
        if not self._head or (self._asks and now_ms - self._asked_ms < patience_ms):
            return None
        self._asks, self._asked_ms = self._asks % ASKS_MAX + 1, now_ms
        return self._say(begin=self._have)

    def _take_up(self) -> None:
        """Judge the offer; go on where the file of the same offer ends."""
        self._tag, self._head, self._refused = _tag(self._offer), b"", ""
        self._asks = 0
        try:
            self._size = total(self._slots.judge(self._offer))
            self._have = self._begun(self._offer)
            self._head = self._offer
            self._finish()
        except ValueError as fault:
            self._give_up(str(fault))
        except OSError:
            self._give_up("flash")

    def _begun(self, head: bytes) -> int:
        """How much of its files is in flash already. Raise OSError."""
        if exists(self._path):
            have = os.stat(self._path)[6] - len(head)
            with open(self._path, "rb") as file:
                if file.read(len(head)) == head and have <= self._size:
                    return have
        with open(self._path, "wb") as file:
            file.write(head)
        return 0

    def _finish(self) -> None:
        if self._have == self._size:
            os.rename(self._path, self._slots.path)
            self._head = b""

    def _give_up(self, why: str) -> None:
        self._refused = why
        self._drop()

    def _drop(self) -> None:
        self._head = b""
        if exists(self._path):
            os.remove(self._path)

    def _say(self, **words) -> bytes:
        words["of"], words["version"] = hexlify(self._tag).decode(), VERSION
        return json.dumps(words).encode()


def _tag(head: bytes) -> bytes:
    """What an offer is called."""
    return hashlib.sha256(head).digest()[:4]
