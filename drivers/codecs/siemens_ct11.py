"""Siemens CT11, CC11 (DMS) by ISO 1745: 05, then 01 "T1" 02 body 03 BCC, then 04; idle is 01 "L0" 02 03 BCC, thrice a second.

BCC is the XOR of all bytes after the first up to ETX. 1200 or 2400 baud 7E2; bit 7 is stripped. Each block is answered with 06.
Body: sector (W fire, P plant, Z station), domain 3, address 4 hex, state (Q active and wanting an answer, U active, N normal),
category 2 hex, code 2 hex. A fire is sector W with category 01, 05 or 06; P with the same category is an input.
Source: KS_old_gateway doc/西门子CT11; 65 unique frames check.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Frame, Step, noise

SOH, ETX, EOT, ENQ, ACK = 0x01, 0x03, 0x04, 0x05, 0x06
BLOCK_BYTES_MAX: Final = 64
BODY_CHARS: Final = 13
_STATES: Final = {"Q": "active_ack_needed", "U": "active", "N": "normal"}
_CATEGORIES: Final[Mapping[str, str]] = {
    "01": "alarm",
    "05": "local_alarm",
    "06": "general_alarm",
    "0E": "isolated_alarm",
    "0C": "sabotage",
    "62": "control_zone",
    "64": "zone",
    "67": "detection_device",
    "68": "control_device",
    "32": "remote",
    "33": "control_unit",
    "34": "function_unit",
    "36": "printer",
    "38": "network",
    "3C": "supply",
    "30": "field_device",
    "73": "horn",
    "7A": "horn",
    "39": "station",
}
_ALARMS: Final = ("alarm", "local_alarm", "general_alarm")
_TRIGGERS: Final = {"01": "automatic", "02": "manual"}
_RESTORES: Final[Mapping[str, str]] = {
    "fire": "fire_restore",
    "supervisory": "supervisory_restore",
    "fault": "fault_restore",
    "isolate": "isolate_restore",
    "mains_fault": "mains_ok",
    "burglar": "tamper_restore",
}


class SiemensCt11(Codec):
    """`sectors`: sector letter -> event of its alarm categories (W is fire). `codes`: code -> event of all other categories."""

    name: ClassVar[str] = "siemens-ct11"
    quiet_s = 0.3
    seven_bits = True
    filler = b"\x04\x05"

    def __init__(self, *, sectors: Mapping[str, str], codes: Mapping[str, str]) -> None:
        super().__init__()
        self._sectors, self._codes = dict(sectors), dict(codes)
        self._told: dict[tuple[str, str], str] = {}  # domain and address -> what was told active there

    def reply(self, frame: Frame) -> bytes:
        """Each block wants its ACK."""
        return bytes((ACK,)) if frame.fields.get("bcc_ok") else b""

    def _next(self, final: bool) -> Step | None:
        buf = self._buf
        start = buf.find(SOH)
        if start:
            return noise(start if start > 0 else len(buf))
        etx = buf.find(ETX, 1, BLOCK_BYTES_MAX)
        if etx < 0:
            if len(buf) >= BLOCK_BYTES_MAX:
                return self._refuse("too_long", BLOCK_BYTES_MAX)
            return self._refuse("truncated", len(buf)) if final else None
        if len(buf) < etx + 2:
            return self._refuse("truncated", len(buf)) if final else None
        block = bytes(buf[: etx + 2])
        check = 0
        for byte in block[1:-1]:
            check ^= byte
        if check != block[-1]:
            return self._refuse("bcc", len(block), {"bcc_ok": False})
        return self._block(block)

    def _block(self, block: bytes) -> Step:
        size, text = len(block), block[1:-2].decode("ascii", "replace")
        if text == "L0\x02":
            return Step(size=size, fields={"kind": "idle", "event": None, "bcc_ok": True})
        body = text.partition("\x02")[2]
        fields: dict[str, object] = {"bcc_ok": True}
        if not text.startswith("T1\x02") or len(body) != BODY_CHARS or body[8] not in _STATES:
            return Step(size=size, refused="unknown_block", fields={**fields, "text": body}, sound=True)
        sector, domain, address, state, category, code = (
            body[0],
            body[1:4],
            body[4:8],
            body[8],
            body[9:11],
            body[11:13],
        )
        fields = {
            "sector": sector,
            "domain": domain,
            "address": address,
            "state": _STATES[state],
            "category": _CATEGORIES.get(category, category),
            "code": code,
            "bcc_ok": True,
            "point_id": f"{domain}-{address}",
        }
        if fields["category"] in _ALARMS and code in _TRIGGERS:
            fields["trigger"] = _TRIGGERS[code]
            if sector == "W" and code == "02":
                fields["manual"] = True
        return Step(size=size, fields={"kind": "event", "event": self._event(sector, state, code, fields), **fields})

    def _event(self, sector: str, state: str, code: str, fields: Mapping[str, object]) -> str | None:
        active, place = state != "N", (str(fields["domain"]), str(fields["address"]))
        if fields["category"] in _ALARMS and (alarm := self._sectors.get(sector)) is not None:
            return alarm if active else _RESTORES.get(alarm)
        if fields["category"] == "isolated_alarm":
            return "isolate" if active else "isolate_restore"
        if fields["category"] == "sabotage":
            return "burglar" if active else "tamper_restore"
        event = self._codes.get(code)
        if active and event is not None:
            if len(self._told) < 4096:
                self._told[place] = event
            return event
        if not active and (told := self._told.pop(place, None)) is not None:
            return _RESTORES.get(told)
        return None

    def _refuse(self, why: str, length: int, fields: Mapping[str, object] | None = None) -> Step:
        inner = self._buf.find(SOH, 1, length)
        shown = None if fields is None else {"event": None, **fields}
        return Step(size=inner if inner > 0 else length, length=length, refused=why, fields=shown)


def encode(body: str) -> bytes:
    """A block with its ENQ and EOT, for simulators and tests; "" is idle."""
    text = f"T1\x02{body}\x03" if body else "L0\x02\x03"
    check = 0
    for byte in text.encode():
        check ^= byte
    block = bytes((SOH,)) + text.encode() + bytes((check,))
    return bytes((ENQ,)) + block + bytes((EOT,)) if body else block
