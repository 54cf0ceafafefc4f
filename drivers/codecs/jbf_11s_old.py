"""Jade Bird (北大青鸟) JBF-11S and 11SF, old board: the host polls, the panel answers with one frame.

FF x3 (some captures have two), code, 01 01 6E, 00 or 01, count of the bytes that follow up to the sum, those bytes, sum16
big-endian from the code on. An event has 19 of them: status, 00 or panel, loop, point, century, year, month, day, hour,
minute (binary), a byte only fires fill, zeros. The host's poll has 00 00 01 6E after the code and ends in 01 0A 00 83
whatever its code byte is. Source: georgewzy/KS_old_gateway 北大青鸟.txt, FAC_10016, FAC_10022; 15 event frames check.
"""

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Step, noise

IDLE, RESET = 0x13, 0x0D
EVENT_COUNT: Final = 0x13
COUNT_MAX: Final = 0x40  # a damaged count must not make us wait for a page
POLL: Final = bytes.fromhex("FFFFFF090000016E010A0083")
_POLL_TAIL: Final = bytes.fromhex("0000016E010A0083")
_POLL_BYTES: Final = 9  # without the FFs
_HEADER: Final = re.compile(rb"\xff{2,3}(?=[^\xff](?:\x01\x01\x6e|\x00\x00\x01\x6e))", re.DOTALL)
_HEADER_BYTES: Final = 8  # the longest thing _HEADER looks at
_SET_STATUS: Final = (0x00, 0x02, 0x85)  # set, fault variant, answered
_RESTORED: Final = 0x01
_RESTORES: Final[Mapping[str, str]] = {
    "fire": "fire_restore",
    "fault": "fault_restore",
    "feedback": "feedback_restore",
    "supervisory": "supervisory_restore",
    "isolate": "isolate_restore",
    "start": "stop",
}


class Jbf11sOld(Codec):
    """`codes`: code byte of the 30-byte frames -> event."""

    name: ClassVar[str] = "jbf-11s-old"
    quiet_s = 0.3
    filler = b"\xff"  # an idle RS-485 line reads as FF

    def __init__(self, *, codes: Mapping[int, str]) -> None:
        super().__init__()
        self._codes = codes

    def _next(self, final: bool) -> Step | None:
        found = _HEADER.search(self._buf)
        if found is None:
            if final:
                return noise(len(self._buf))
            begin = self._buf.find(0xFF, max(0, len(self._buf) - _HEADER_BYTES + 1))
            return noise(begin if begin > 0 else len(self._buf)) if begin else None
        if found.start():
            return noise(found.start())
        lead = found.end()
        body = bytes(self._buf[lead : lead + 6 + COUNT_MAX + 2])
        if body[1] == 0:
            return self._poll(lead, body, final)
        if len(body) < 6:
            return self._refuse("truncated", len(self._buf)) if final else None
        count = body[5]
        if not 1 <= count <= COUNT_MAX:
            return self._refuse("length", lead + 6)
        size = 6 + count + 2
        if len(body) < size:
            return self._refuse("truncated", len(self._buf)) if final else None
        return self._frame(lead, body[:size])

    def _poll(self, lead: int, body: bytes, final: bool) -> Step | None:
        if len(body) < _POLL_BYTES:
            return self._refuse("truncated", len(self._buf)) if final else None
        if body[1:_POLL_BYTES] != _POLL_TAIL:
            return self._refuse("unknown_host_frame", lead + _POLL_BYTES)
        sum16_ok = sum(body[: _POLL_BYTES - 2]) == int.from_bytes(body[_POLL_BYTES - 2 : _POLL_BYTES], "big")
        fields = {"kind": "poll", "event": None, "direction": "host_to_panel", "sum16_ok": sum16_ok}
        return Step(size=lead + _POLL_BYTES, fields=fields)

    def _frame(self, lead: int, body: bytes) -> Step:
        length = lead + len(body)
        code, count = body[0], body[5]
        sum16_ok = sum(body[:-2]) & 0xFFFF == int.from_bytes(body[-2:], "big")
        if count == EVENT_COUNT:
            fields = self._event_fields(body)
            fields["sum16_ok"] = sum16_ok
            if not sum16_ok:
                return self._refuse("sum16", length, fields | {"event": None})
            if code not in self._codes:
                return self._refuse(f"unknown_code {code:02X}", length, fields, sound=True)
            return Step(size=length, fields=self._meaning(code, body[6], fields))
        fields = {"code": f"{code:02X}", "sum16_ok": sum16_ok}
        if not sum16_ok:
            return self._refuse("sum16", length, fields)
        if code == IDLE:
            return Step(size=length, fields={"kind": "idle", "event": None, **fields})
        if code == RESET:
            return Step(size=length, fields={"kind": "reset", "event": "reset", **fields})
        return self._refuse(f"unknown_code {code:02X}", length, fields, sound=True)

    def _meaning(self, code: int, status: int, fields: dict[str, object]) -> dict[str, object]:
        event = self._codes[code]
        if status == _RESTORED:
            event = _RESTORES.get(event, event)
        elif status not in _SET_STATUS:
            fields["status_known"] = False  # told as set: an unknown status must not hide a fire
        return {"kind": "event", "event": event, **fields}

    @staticmethod
    def _event_fields(body: bytes) -> dict[str, object]:
        century, year, month, day, hour, minute = body[10:16]
        return {
            "code": f"{body[0]:02X}",
            "status": f"{body[6]:02X}",
            "panel": body[7],
            "loop": body[8],
            "point": body[9],
            "date": f"{century:02d}{year:02d}-{month:02d}-{day:02d}",
            "time": f"{hour:02d}:{minute:02d}",
        }

    def _refuse(
        self, why: str, length: int, fields: Mapping[str, object] | None = None, *, sound: bool = False
    ) -> Step:
        size = length if sound else self._resync(length)
        return Step(size=size, length=length, refused=why, fields=fields, sound=sound)

    def _resync(self, length: int) -> int:
        """Where in the buffer, behind our own FFs, another frame may begin; `length` if nowhere before it."""
        inner = _HEADER.search(self._buf, 3)
        if inner is not None and inner.start() < length:
            return inner.start()
        if inner is None:  # a header may be cut off at the end of what has come so far
            begin = self._buf.find(0xFF, max(3, len(self._buf) - _HEADER_BYTES + 1), length)
            return begin if begin > 0 else length
        return length


def encode_event(
    code: int, loop: int, point: int, *, status: int = 0, when: tuple[int, ...] = (2026, 1, 1, 0, 0)
) -> bytes:
    """The 30-byte frame of an event, for simulators and tests. `when`: year, month, day, hour, minute."""
    year, *rest = when
    body = bytes((code, 1, 1, 0x6E, 0, EVENT_COUNT, status, 0, loop, point, year // 100, year % 100, *rest))
    body = body.ljust(6 + EVENT_COUNT, b"\0")
    return b"\xff\xff\xff" + body + sum(body).to_bytes(2, "big")


def encode_short(code: int) -> bytes:
    """The 12-byte idle (13) or reset (0D) frame."""
    body = bytes((code, 1, 1, 0x6E, 1, 1, 0))
    return b"\xff\xff\xff" + body + sum(body).to_bytes(2, "big")
