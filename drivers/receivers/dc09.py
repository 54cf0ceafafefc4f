"""SIA DC-09 spoken to us by an alarm communicator: Contact ID (ADM-CID) and SIA-DCS, plain or encrypted, over TCP or UDP.

ACK once it is kept, NAK with our time where the sender's clock is out of the window, DUH where we cannot: an account nobody
listed, a key that does not fit, data that make no sense. A message with a wrong CRC or length gets no answer and is sent again.

The time stamp keeps a recorded message from being played back. It counts where it is protected: a stale encrypted message is a
fault and never an alarm. A plain one proves nothing either way, so its alarm is heard at once, and the NAK has it sent again.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from drivers.codecs import contact_id, sia_dc09, sia_dcs
from drivers.codecs.aes import AesCbc
from drivers.codecs.base import Refused
from drivers.receivers.desk import Heard, Message, Say, Told
from drivers.vocabulary import EVENTS

if TYPE_CHECKING:
    import random

# Further data that say in words where it is (DC-09-2013 5.5.1.8): text of the alarm, site, building, place, room.
_PLACES: Final = ("I", "S", "O", "L", "R")
LATE_S, EARLY_S = 40, 20  # DC-09 5.5.1.9: a stamp may be so much behind or ahead of our time
_BURGLARY: Final = ("12", "13", "14")  # panic, burglary, and the general alarms beside them
_FIRES: Final = ("fire", "fire_manual", "unknown", "gas", "electrical")

Clock = Callable[[], datetime | None]  # UTC, None while it is not known


class Dc09Talk:
    """One connection or datagram. `keys`: account ("": any) -> its key, None where it speaks in plain."""

    def __init__(self, keys: Mapping[str, AesCbc | None], now: Clock, chance: "random.Random") -> None:
        self._keys, self._now, self._chance = keys, now, chance
        self._buffer = bytearray()

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk."""
        self._buffer += data
        return [heard for message in sia_dc09.split(self._buffer) for heard in self._message(message, at_ns)]

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return []

    def end(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        left = bytes(self._buffer)
        self._buffer.clear()
        return [Refused("truncated", left, at_ns)] if left.strip(b"\r\n") else []

    def _message(self, raw: bytes, at_ns: int) -> list[Heard]:
        fields = sia_dc09.parse(raw)
        who = self._who(fields)
        if fields.get("reject"):
            return [Refused(str(fields["reject_reason"]), raw, at_ns), *self._smell(who, fields, raw)]
        duh = sia_dc09.answer("DUH", fields)
        if who not in self._keys and "" not in self._keys:
            told = () if fields["encrypted"] else self._told(fields) or ()
            return [Message(who=who, raw=raw, told=told, no=duh)]
        key = self._key_of(who)
        if fields["encrypted"]:
            if key is None:
                return [Refused("no_key", raw, at_ns), Say(duh)]
            fields = sia_dc09.unlock(fields, key)
            if fields.get("reject"):
                return [Refused("decrypt", raw, at_ns), Say(duh)]
        elif key is not None:
            return [Refused("not_encrypted", raw, at_ns), Say(duh)]
        return self._sound(who, fields, raw, key, at_ns)

    def _sound(self, who: str, fields: dict[str, object], raw: bytes, key: AesCbc | None, at_ns: int) -> list[Heard]:
        told, now = self._told(fields), self._now()
        if now is not None and not _is_timely(fields, now):
            nak = sia_dc09.answer("NAK", fields, now=now)
            if key is not None:
                said = ", ".join(one.event for one in told or ())
                told = [
                    Told("clock", "fault", {"reason": "time", "time": fields["timestamp"] or "unset", "said": said})
                ]
            return [Refused("time", raw, at_ns), Say(nak), Message(who=who, raw=raw, told=told or ())]
        if told is None:
            unparsed = Told("device", "fault", {"reason": "unparsed", "data": fields.get("data"), "id": fields["id"]})
            return [Message(who=who, raw=raw, told=[unparsed], yes=sia_dc09.answer("DUH", fields))]
        locked = ""
        if key is not None:  # with our time, the sender's own while we have none
            stamp = now or datetime.fromisoformat(str(fields["timestamp"] or "1970-01-01T00:00:00Z"))
            locked = sia_dc09.lock("", stamp, key, self._chance)
            told = [*told, Told("clock", "fault_restore", {"reason": "time"}, is_state=True)]
        copy = f"{fields['id']} {fields['seq']} {fields.get('data')}" if fields["id"] not in sia_dc09.HEARTBEATS else ""
        return [
            Message(who=who, raw=raw, key=copy.encode(), told=told, yes=sia_dc09.answer("ACK", fields, locked=locked))
        ]

    def _who(self, fields: Mapping[str, object]) -> str:
        """The account. One without its # stands behind the line, and only the configuration tells where it begins."""
        line = str(fields.get("line", "")).upper()
        bare = (
            ""
            if "account" in fields
            else max((one for one in self._keys if one and line.endswith(one)), key=len, default="")
        )
        return str(fields.get("account", bare)).upper()

    def _key_of(self, who: str) -> AesCbc | None:
        return self._keys.get(who, self._keys.get(""))

    def _smell(self, who: str, fields: Mapping[str, object], raw: bytes) -> list[Heard]:
        """A fire in a message that must not be believed: an alarm all the same, of kind unknown, and no answer to it."""
        if fields.get("encrypted") or self._key_of(who) is not None or "data" not in fields:
            return []
        fires = fires_in(self._told(fields) or (), str(fields["reject_reason"]))
        return [Message(who=who, raw=raw, told=fires)] if fires else []

    @staticmethod
    def _told(fields: Mapping[str, object]) -> list[Told] | None:
        """What the data say; None if they say nothing that can be read."""
        data, stamp = str(fields.get("data", "")), fields.get("timestamp")
        if fields.get("id") in sia_dc09.HEARTBEATS:
            return []
        more = {"data": data} | ({"time": stamp} if stamp else {}) | _further(fields.get("xdata"))
        if fields.get("id") in ("ADM-CID", "HENG-BO"):  # the second a maker's own, with private codes 7xx
            return contact_told(contact_id.parse_data(data), more)
        if fields.get("id") != "SIA-DCS" or not (found := sia_dcs.parse(data)):
            return None
        return [
            Told(
                f"{one.area}-{one.number}" + (f"/{one.part}" if one.part else ""),
                event,
                more | {"code": one.code} | ({"location_text": one.text} if one.text else {}),
                is_state=number > 0,
            )
            for one in found
            for number, event in enumerate(one.events)
        ]


def fires_in(told: Sequence[Told], reason: str) -> list[Told]:
    """What would be fires in a message that must not be believed, as alarms of kind unknown."""
    return [
        Told(one.where, "unknown", {"reason": reason, "said": one.event, **one.fields})
        for one in told
        if (known := EVENTS.get(one.event)) is not None and known.active and known.kind in _FIRES
    ]


def contact_told(found: Mapping[str, object] | None, more: Mapping[str, object]) -> list[Told] | None:
    """What one Contact ID message says; None if it is none. A code of trouble nobody knows is a fault that names it."""
    if found is None:
        return None
    code, qualifier = str(found["event"]), int(str(found["qualifier"]))
    event = contact_id.meaning(code, qualifier)
    if event is None:
        begin, end = ("burglar", "tamper_restore") if code[:2] in _BURGLARY else ("fault", "fault_restore")
        event = "status" if code[0] not in "123" else end if qualifier == 3 else begin
    return [Told(f"{found['group']}-{found['zone']}", event, {**more, "code": code, "qualifier": qualifier})]


def _further(xdata: object) -> dict[str, str]:
    """What further data add: all of them as they came, and where it is in words."""
    if not isinstance(xdata, list):
        return {}
    words = " ".join(one[1:] for mark in _PLACES for one in xdata if one.startswith(mark) and len(one) > 1)
    return {"xdata": " ".join(f"[{one}]" for one in xdata)} | ({"location_text": words} if words else {})


def _is_timely(fields: Mapping[str, object], now: datetime) -> bool:
    if "timestamp" not in fields:
        return True
    stamp = fields["timestamp"]
    if not isinstance(stamp, str):  # no day there is: a clock that was never set
        return False
    ahead_s = (datetime.fromisoformat(stamp) - now).total_seconds()
    return -LATE_S <= ahead_s <= EARLY_S


def read_key(written: str) -> AesCbc:
    """A key of 32, 48 or 64 hex digits, or "text:" and the 16, 24 or 32 characters some makers use. Raise ValueError."""
    text = written.strip()
    return AesCbc(text[5:].encode("ascii") if text.startswith("text:") else bytes.fromhex(text))
