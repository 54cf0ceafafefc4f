"""What the data of DL/T 645 frames mean: BCD numbers, the identifiers every meter shares, and `edge-agent decode`. Pure.

A model's own scale stands in its profile (drivers/profiles/*.toml): residual-current breakers code current with one
decimal where meters have three, so an identifier alone never settles what a number is.
"""

from dataclasses import dataclass, replace
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
    "04000411": Item(2, 0, "mA", count=0),
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
# Energy and demand: what DI2 is of, the ten kinds of the whole and the same ten of each phase.
_TEN: Final = (
    *(Item(4, 2, "kWh"), Item(4, 2, "kWh"), Item(4, 2, "kvarh", True), Item(4, 2, "kvarh", True)),
    *(Item(4, 2, "kvarh"),) * 4,
    *(Item(4, 2, "kVAh"),) * 2,
)
_ENERGY: Final = {0: Item(4, 2, "kWh", True)} | {
    first + place: item for first in (0x01, 0x15, 0x29, 0x3D) for place, item in enumerate(_TEN)
}
_DEMAND_BYTES: Final = 8  # XX.XXXX, then YYMMDDhhmm
_MINUTE: Final = "20{4}-{3}-{2}T{1}:{0}"  # of YYMMDDhhmm, minute first on the wire


def item_of(di: str) -> Item | None:
    """How the standard codes an identifier ("02010100" or "9010"); None where it does not say or it is no number."""
    return _item_1997(di) if len(di) == 4 else _item_2007(di)


def _item_2007(di: str) -> Item | None:
    if (known := _OTHER.get(di)) is not None:
        return known
    group, kind, part, last = bytes.fromhex(di)
    block = 0xFF in (part, last)
    if group == 0x00 and kind in _ENERGY:
        return _of(_ENERGY[kind], block)
    if group == 0x02 and kind in _INSTANT and (last == 0 or kind in (0x0A, 0x0B)):
        return _of(_INSTANT[kind], block)
    if group == 0x03 and kind == 0x81 and last == 0:  # how often a breaker tripped
        return Item(2, 0, "")
    if group == 0x05 and (kind, part) == (0x06, 0x01):  # forward active energy at a daily freeze: total and tariffs
        return Item(4, 2, "kWh", count=0)
    return None


def _of(one: Item, block: bool) -> Item:
    return replace(one, count=0 if block else 1)


def _item_1997(di: str) -> Item | None:
    high, low = bytes.fromhex(di)
    block = low & 0xF == 0xF
    if high in (0x90, 0x91, 0x94, 0x95, 0x98, 0x99):
        return Item(4, 2, "kvarh" if high & 1 else "kWh", count=0 if block else 1)
    if high in (0xA0, 0xA4, 0xA8):
        return Item(3, 4, "kW", count=0 if block else 1)
    if high == 0xB6 and di in ("B634", "B635"):
        return Item(2, 2, "kW")
    if high == 0xB6 and (one := _B6_1997.get(low >> 4)) is not None:
        return _of(one, block)
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
        fields["time"] = _written(frame.data, "20{5}-{4}-{3}T{2}:{1}:{0}")
    di = di_of(frame)
    if di:
        fields["di"] = di
        if frame.from_meter:
            fields |= _answer(di, payload_of(frame), more=frame.more, following=frame.function == FOLLOWING_2007)
        elif frame.function == FOLLOWING_2007 and len(frame.data) > 4:
            fields["seq"] = frame.data[4]
    return fields


def _numbers(parts: list[bytes], item: Item) -> dict[str, object]:
    """`values` of these bytes, None where the meter has none or says no number; of the latter `invalid` tells."""
    values: list[float | int | None] = []
    invalid = not parts
    for part in parts:
        try:
            values.append(bcd(part, item.decimals, signed=item.signed))
        except NotBcd:
            values.append(None)
            invalid = True
    return {"values": values} | ({"invalid": True} if invalid else {})


def _written(raw: bytes, form: str) -> str | None:
    """BCD bytes in the order of the wire put into `form`, None where they are no digits: the meter does not know."""
    return form.format(*(f"{byte:02x}" for byte in raw)) if raw.hex().isdecimal() else None


def _answer(di: str, payload: bytes, *, more: bool, following: bool) -> dict[str, object]:
    fields: dict[str, object] = {"payload_hex": payload.hex().upper()}
    if following and payload:
        fields["seq"], payload = payload[-1], payload[:-1]
    item = item_of(di)
    if item is not None and payload:
        count = item.count or max(1, len(payload) // item.size)
        parts = [payload[at * item.size : (at + 1) * item.size] for at in range(count)]
        extra = payload[count * item.size :]
        fields |= _numbers([part for part in parts if len(part) == item.size], item) | {"unit": item.unit}
        if extra and not more:
            fields["extra_hex"] = extra.hex().upper()
    elif di[:2] == "01" and len(di) == 8 and int(di[2:4], 16) in _ENERGY and len(payload) >= _DEMAND_BYTES:
        unit = _ENERGY[int(di[2:4], 16)].unit[:-1]
        count = len(payload) // _DEMAND_BYTES if "FF" in (di[4:6], di[6:]) else 1
        parts = [payload[at * _DEMAND_BYTES : (at + 1) * _DEMAND_BYTES] for at in range(count)]
        fields |= _numbers([part[:3] for part in parts], Item(3, 4, unit)) | {"unit": unit}
        fields["times"] = [_written(part[3:], _MINUTE) for part in parts]
    elif di == "02900000" and payload:
        fields["phase_raw"] = payload[0]
    elif di == "0290FF00" and len(payload) >= 3:
        fields["phase_raw"] = payload[0]
        current = _numbers([payload[1:3]], Item(2, 0, "mA"))
        fields["residual_current_mA"] = current.pop("values")[0]  # type: ignore[index]
        fields |= current
    elif di == "0291FF00" and len(payload) >= 4:  # rated operating residual current in mA, limit non-drive time in ms
        fields |= _numbers([payload[:2], payload[2:4]], Item(2, 0, ""))
    elif di[:6] == "050600" and len(payload) >= 5:
        fields["time"] = _written(payload[:5], _MINUTE)
    elif di in ("04000102", "C011") and len(payload) >= 3:
        fields["time"] = _written(payload[:3], "{2}:{1}:{0}")
    elif di in ("04000101", "C010") and len(payload) >= 4:
        fields["date"], fields["weekday"] = _written(payload[1:4], "20{2}-{1}-{0}"), payload[0]
    elif di[:2] == "B0" and len(di) == 4 and len(payload) >= 4:  # when a maximum demand was
        fields["time"] = _written(payload[:4], "{3}-{2}T{1}:{0}")
    elif di in ("C032", "C033", "C034", "04000401", "04000402") and len(payload) >= 6:
        fields["text"] = payload[5::-1].hex().upper()
    elif di in ("04000403", "04000404", "04000405", "04000406", "0400040B", "0400040C", "0400040D"):
        fields["text"] = bytes(payload[::-1]).decode("ascii", "replace").strip("\0 ")
    return fields
