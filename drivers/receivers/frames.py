"""A concentrator on a serial line that passes on what its radio detectors say (433 MHz, LoRa): frames told by a panel profile.

The field `node` of the profile names the detector; each is a device with a point, readings and a supervision of its own. Fields
whose name ends in a unit are readings (`battery_v`, `battery_percent`, `temperature_c`); a code that raises nothing is a heartbeat.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from drivers.codecs.base import Codec, Frame, Refused
from drivers.receivers.desk import Heard, Message, Told, Value

UNITS: Final = ("v", "mv", "percent", "c", "kpa", "mpa", "m", "ma", "dbm", "db", "lel", "ppm", "deg")
_FOREVER_NS: Final = 1 << 61


class FramesTalk:
    """One line. `codec`: of a profile that has a field `node`."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk."""
        return self._heard(self._codec.feed(data, at_ns))

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return self._heard(self._codec.tick(at_ns))

    def end(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return [item for item in self._codec.tick(at_ns + _FOREVER_NS) if isinstance(item, Refused)]

    def _heard(self, items: Sequence[Frame | Refused]) -> list[Heard]:
        out: list[Heard] = []
        for item in items:
            fields, who = item.fields, str(item.fields.get("node", ""))
            if isinstance(item, Refused):
                out.append(item)
                if item.sound and who:  # it was said, by a detector we know, and nobody understands it
                    unparsed = Told("device", "fault", {**fields, "reason": "unparsed", "why": item.why})
                    out.append(Message(who=who, raw=item.raw, told=[unparsed], values=_values(fields)))
                continue
            told = [] if item.repeat else _told(fields)
            out.append(Message(who=who, raw=item.raw, told=told, values=_values(fields)))
        return out


def _told(fields: Mapping[str, object]) -> list[Told]:
    several = fields.get("events")
    told = []
    for one in several if isinstance(several, Sequence) else (fields,):
        if isinstance(one, Mapping) and isinstance(event := one.get("event"), str):
            shown = {name: value for name, value in one.items() if name not in ("events", "is_state", "kind")}
            told.append(Told("device", event, shown, is_state=one.get("is_state") is True))
    return told


def _values(fields: Mapping[str, object]) -> list[Value]:
    return [
        Value(name, value)
        for name, value in fields.items()
        if name.rpartition("_")[2] in UNITS and isinstance(value, int | float) and not isinstance(value, bool)
    ]
