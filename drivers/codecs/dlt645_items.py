"""What the data of DL/T 645 frames mean: BCD numbers, the identifiers every meter shares, and `edge-agent decode`. Pure.

A model's own scale stands in its profile (drivers/profiles/*.toml): residual-current breakers code current with one
decimal where meters have three, so an identifier alone never settles what a number is.
"""

from dataclasses import dataclass
from typing import Final

from drivers.codecs.dlt645 import (
    BROADCAST_TIME,
    FOLLOWING_2007,
    READ_ADDRESS,
    Frame,
    LineReader,
    Refused,
    di_of,
    payload_of,
)


class NotBcd(ValueError):
    """A nibble above 9: the meter says something that is no number."""


def bcd(data: bytes, decimals: int = 0, *, signed: bool = False) -> float | int | None:
    """The number of BCD bytes, lowest pair first; None if all are FF (the meter has no such value).

    With `signed` the top bit of the highest byte is the sign. Raise NotBcd.
    """
    if not data:
        raise NotBcd("no bytes")
    if all(byte == 0xFF for byte in data):
        return None
    high_first = bytearray(data[::-1])
    negative = signed and bool(high_first[0] & 0x80)
    if negative:
        high_first[0] &= 0x7F
    digits = high_first.hex()
    if not digits.isdecimal():
        raise NotBcd(digits)
    number = -int(digits) if negative else int(digits)
    return round(number / 10**decimals, decimals) if decimals else number


@dataclass(frozen=True, slots=True)
class Item:
    """One value behind an identifier: its bytes on the wire, decimals, unit."""

    size: int
    decimals: int
    unit: str
    signed: bool = False
    count: int = 1  # items in a block; 0: as many as there are


_INSTANT: Final = {  # DI2 of 02 DI2 pp 00: clause A.3
    0x01: Item(2, 1, "V"),
    0x02: Item(3, 3, "A", True),
    0x03: Item(3, 4, "kW", True),
    0x04: Item(3, 4, "kvar", True),
    0x05: Item(3, 4, "kVA", True),
    0x06: Item(2, 3, "", True),
    0x07: Item(2, 1, "deg"),
    0x08: Item(2, 2, "%"),
    0x09: Item(2, 2, "%"),
    0x0A: Item(2, 2, "%"),
    0x0B: Item(2, 2, "%"),
}
_OTHER: Final = {
    "02800001": Item(3, 3, "A", True),
    "02800002": Item(2, 2, "Hz"),
    "02800003": Item(3, 4, "kW", True),
    "02800004": Item(3, 4, "kW", True),
    "02800005": Item(3, 4, "kvar", True),
    "02800006": Item(3, 4, "kVA", True),
    "02800007": Item(2, 1, "C", True),
    "02800008": Item(2, 2, "V"),
    "02800009": Item(2, 2, "V"),
    "0280000A": Item(4, 0, "min"),
    "0280000B": Item(4, 4, ""),
    "00900200": Item(4, 2, ""),
    "02900100": Item(2, 0, "mA"),
    "02910100": Item(2, 0, "mA"),
    "02910200": Item(2, 0, "ms"),
    "04000409": Item(3, 0, "imp/kWh"),
    "0400040A": Item(3, 0, "imp/kvarh"),
}
_B6_1997: Final = {  # high nibble of DI0
    1: Item(2, 0, "V"),
    2: Item(2, 2, "A"),
    3: Item(3, 4, "kW"),
    4: Item(2, 2, "kvar"),
    5: Item(2, 3, ""),
}
_REACTIVE: Final = frozenset((*range(3, 9), *range(0x17, 0x1D), *range(0x2B, 0x31), *range(0x3F, 0x45)))
_APPARENT: Final = frozenset((9, 0xA, 0x1D, 0x1E, 0x31, 0x32, 0x45, 0x46))
_COMBINED: Final = frozenset((0, 3, 4))  # kinds of energy that have a sign


def item_of(di: str) -> Item | None:
    """How the standard codes an identifier ("02010100" or "9010"); None where it does not say or it is no number."""
    return _item_1997(di) if len(di) == 4 else _item_2007(di)


def _item_2007(di: str) -> Item | None:
    if (known := _OTHER.get(di)) is not None:
        return known
    group, kind, part, last = bytes.fromhex(di)
    if group == 0x00 and kind <= 0x46:
        unit = "kvarh" if kind in _REACTIVE else "kVAh" if kind in _APPARENT else "kWh"
        return Item(4, 2, unit, kind in _COMBINED, 0 if 0xFF in (part, last) else 1)
    if group == 0x02 and kind in _INSTANT and (last == 0 or kind in (0x0A, 0x0B)):
        one = _INSTANT[kind]
        return Item(one.size, one.decimals, one.unit, one.signed, 0 if part == 0xFF else 1)
    return None


def _item_1997(di: str) -> Item | None:
    high, low = bytes.fromhex(di)
    if high in (0x90, 0x91, 0x94, 0x95, 0x98, 0x99):
        return Item(4, 2, "kvarh" if high & 1 else "kWh", count=0 if low & 0xF == 0xF else 1)
    if high in (0xA0, 0xA4, 0xA8):
        return Item(3, 4, "kW")
    if high == 0xB6 and di in ("B634", "B635"):
        return Item(2, 2, "kW")
    if high == 0xB6 and (one := _B6_1997.get(low >> 4)) is not None:
        return Item(one.size, one.decimals, one.unit, count=0 if low & 0xF == 0xF else 1)
    if di in ("C030", "C031"):
        return Item(3, 0, "")
    return None


# -- decode ------------------------------------------------------------------------------------------------------------


def decode_frames(data: bytes) -> list[dict[str, object]]:
    """One object a frame of either edition, for `edge-agent decode`; a refused one has `reject` and `why`."""
    reader = LineReader()
    shown: list[dict[str, object]] = []
    for found in (*reader.feed(data), *reader.settle()):
        if isinstance(found, Refused):
            shown.append({"reject": True, "why": found.why, "event": None, "raw": found.raw.hex()})
        else:
            shown.append({"event": None, **fields_of(found), "raw": found.raw.hex()})
    return shown


def fields_of(frame: Frame) -> dict[str, object]:
    """Everything one frame says, by the names of the captures."""
    fields: dict[str, object] = {
        "wakeup_bytes": frame.wakeup_bytes,
        "address": frame.address,
        "control": frame.control,
        "direction": "from_meter" if frame.from_meter else "from_master",
        "abnormal": frame.abnormal,
        "more_frames": frame.more,
        "function": frame.function,
        "data_length": len(frame.data),
        "data_hex": frame.data.hex().upper(),
    }
    if frame.abnormal:
        if frame.data:
            fields["error_word"] = frame.data[0]
        return fields
    if frame.function == READ_ADDRESS and frame.from_meter and len(frame.data) == 6:
        fields["meter_address"] = frame.data[::-1].hex().upper()
    elif frame.function == BROADCAST_TIME and len(frame.data) == 6:
        second, minute, hour, day, month, year = (f"{byte:02x}" for byte in frame.data)
        fields["time"] = f"20{year}-{month}-{day}T{hour}:{minute}:{second}"
    di = di_of(frame)
    if di:
        fields["di"] = di
        if frame.from_meter:
            fields |= _answer(di, payload_of(frame), more=frame.more, following=frame.function == FOLLOWING_2007)
        elif frame.function == FOLLOWING_2007 and len(frame.data) > 4:
            fields["seq"] = frame.data[4]
    return fields


def _answer(di: str, payload: bytes, *, more: bool, following: bool) -> dict[str, object]:
    fields: dict[str, object] = {"payload_hex": payload.hex().upper()}
    if following and payload:
        fields["seq"], payload = payload[-1], payload[:-1]
    item = item_of(di)
    if item is not None and payload:
        count = item.count or max(1, len(payload) // item.size)
        parts = [payload[at * item.size : (at + 1) * item.size] for at in range(count)]
        extra = payload[count * item.size :]
        try:
            fields["values"] = [
                bcd(part, item.decimals, signed=item.signed) for part in parts if len(part) == item.size
            ]
        except NotBcd:
            fields["values"], fields["invalid"] = [], True
        fields["unit"] = item.unit
        if extra and not more:
            fields["extra_hex"] = extra.hex().upper()
    elif di == "0290FF00" and len(payload) >= 3:
        fields["phase_raw"] = payload[0]
        fields["residual_current_mA"] = bcd(payload[1:3])
    elif di in ("04000102", "C011") and len(payload) >= 3:
        fields["time"] = ":".join(f"{byte:02x}" for byte in payload[2::-1])
    elif di in ("04000101", "C010") and len(payload) >= 4:
        week, day, month, year = payload[:4]
        fields["date"], fields["weekday"] = f"20{year:02x}-{month:02x}-{day:02x}", week
    elif di in ("C032", "C033", "C034", "04000401", "04000402") and len(payload) >= 6:
        fields["text"] = payload[5::-1].hex().upper()
    elif di in ("04000403", "04000404", "04000405", "04000406", "0400040B", "0400040C", "0400040D"):
        fields["text"] = bytes(payload[::-1]).decode("ascii", "replace").strip("\0 ")
    return fields
