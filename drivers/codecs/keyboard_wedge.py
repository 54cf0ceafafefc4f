"""Tag readers that type what they read, as a USB keyboard: input events of the kernel, keys down, Enter at the end. Pure.

`struct input_event` of linux/input.h: time (two longs), type, code, value; the numbers are those of linux/input-event-codes.h.
"""

import struct
from typing import Final

EVENT: Final = struct.Struct("llHHi")  # native sizes: 24 bytes on 64-bit, 16 on 32-bit systems
EV_KEY, KEY_DOWN = 1, 1
TYPED_MAX: Final = 64  # no tag is longer; a keyboard can type for ever
_ENDS: Final = (28, 96, 15)  # Enter, keypad Enter, Tab
_ROW: Final = "1234567890"  # codes 2 to 11
_LETTERS: Final = {30: "A", 48: "B", 46: "C", 32: "D", 18: "E", 33: "F"}
_PAD: Final = {79: "1", 80: "2", 81: "3", 75: "4", 76: "5", 77: "6", 71: "7", 72: "8", 73: "9", 82: "0"}
_KEYS: Final = dict(enumerate(_ROW, 2)) | _LETTERS | _PAD | {51: ","}  # some type 134,62532
_QUIET: Final = (42, 54)  # shift: some readers type capitals


class Typing:
    """One reader's typing. `feed` gives each finished text; None for one with keys no tag has, or longer than any tag."""

    def __init__(self) -> None:
        self._rest = b""
        self._typed = ""
        self._strange = False

    def feed(self, data: bytes) -> list[str | None]:
        """Take events as the device gives them, cut anywhere."""
        data = self._rest + data
        whole = len(data) // EVENT.size * EVENT.size
        self._rest = data[whole:]
        found: list[str | None] = []
        for _, _, kind, code, value in EVENT.iter_unpack(data[:whole]):
            if kind != EV_KEY or value != KEY_DOWN or code in _QUIET:
                continue
            if code not in _ENDS:
                self._strange |= code not in _KEYS or len(self._typed) >= TYPED_MAX
                self._typed += "" if self._strange else _KEYS[code]
                continue
            if self._typed or self._strange:
                found.append(None if self._strange else self._typed)
            self._typed, self._strange = "", False
        return found


def type_text(text: str) -> bytes:
    """What a reader types for `text` of digits and A-F, with Enter: for simulators and tests."""
    codes = {key: code for code, key in reversed(_KEYS.items())}
    return b"".join(
        EVENT.pack(0, 0, EV_KEY, code, value) + EVENT.pack(0, 0, 0, 0, 0)
        for code in [*(codes[key] for key in text), _ENDS[0]]
        for value in (KEY_DOWN, 0)
    )
