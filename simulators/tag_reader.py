"""Patrol readers on ptys: an RDM6300 that repeats itself, a PN532 that answers its master, a reader that types."""

import asyncio
from pathlib import Path

from drivers.codecs import pn532, rdm6300
from drivers.codecs.keyboard_wedge import type_text
from simulators.pty_line import PtyLine

REPEAT_S = 0.055
_SAM, _LIST = 0x14, 0x4A


class Rdm6300Reader(PtyLine):
    """`hold` a tag to it; `bad` of the first repeats come with a wrong check, as cheap modules do."""

    def __init__(self, *, link: Path | None = None) -> None:
        super().__init__(baud=None, link=link)

    def received(self, data: bytes) -> None:
        """It takes no bytes."""

    async def hold(self, tag_hex: str, repeats: int = 4, *, bad: int = 0) -> None:
        """Hold a tag of 8 hex digits to it for so many repeats."""
        frame = rdm6300.encode(tag_hex)
        for count in range(repeats):
            self.send(frame[:12] + b"0" + frame[13:] if count < bad and frame[12:13] != b"0" else frame)
            await asyncio.sleep(REPEAT_S)


class Pn532Reader(PtyLine):
    """As strict as the chip: deaf until woken, one command at a time, an ACK of the master ends the one that waits."""

    def __init__(self, *, link: Path | None = None) -> None:
        super().__init__(baud=None, link=link)
        self.uid = ""  # the tag that is near
        self.dead = False
        self.commands: list[str] = []
        self._buffer = bytearray()
        self._awake = self._listing = False

    def received(self, data: bytes) -> None:
        """Bytes of the master."""
        if self.dead:
            return
        if not self._awake:
            if b"\x55\x55" not in data:
                return
            self._awake = True
        self._buffer += data
        for frame in pn532.take_frames(self._buffer):
            if frame.get("kind") == "ack":
                self._listing = False
            elif frame.get("kind") == "command":
                self._command(str(frame["command"]))

    def hold(self, uid: str) -> None:
        """A tag comes near, "" takes it away."""
        self.uid = uid
        if uid and self._listing:
            self._found()

    def power_cycle(self) -> None:
        """It has forgotten that it was woken."""
        self._awake = self._listing = False

    def _command(self, name: str) -> None:
        self.commands.append(name)
        self.send(pn532.ACK)
        if name == "SAMConfiguration":
            self.send(pn532.frame(bytes((_SAM + 1,)), pn532.FROM_CHIP))
        elif name == "InListPassiveTarget":
            self._listing = True
            if self.uid:
                self._found()

    def _found(self) -> None:
        self._listing = False
        uid = bytes.fromhex(self.uid)
        atqa, sak = (b"\x00\x04", 0x08) if len(uid) == 4 else (b"\x00\x44", 0x00)  # Mifare 1K, NTAG
        body = bytes((_LIST + 1, 1, 1)) + atqa + bytes((sak, len(uid))) + uid
        self.send(pn532.frame(body, pn532.FROM_CHIP))


class TypingReader(PtyLine):
    """Input events on a pty: the same bytes an input device gives."""

    def __init__(self, *, link: Path | None = None) -> None:
        super().__init__(baud=None, link=link)

    def received(self, data: bytes) -> None:
        """It takes no bytes."""

    def hold(self, text: str) -> None:
        """Type what stands on the tag, and Enter."""
        self.send(type_text(text))
