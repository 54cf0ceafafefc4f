"""Electrical-fire units that report by themselves (7B 7B ... 7D 7D): over a serial line from a radio modem, or a TCP connection.

Every report carries states: its flag words begin and end what stands, its floats are values. The unit's own alarm is told as it
says it; a site's limits on the values are a second fact. A probe the wiring flags call open has no value; a channel without a probe
(-200 degrees, no flag) is not there. Nothing is sent back.
"""

from collections.abc import Iterator
from typing import Final

from drivers.codecs import elec_7b7b
from drivers.codecs.base import Refused
from drivers.receivers.desk import Heard, Message, Told, Value

PATIENCE_NS: Final = 3_000_000_000  # between the pieces of a report
PROBES_MAX: Final = 1024
_CHANNELS: Final = (
    "residual",
    *(f"temperature_{n}" for n in range(1, 5)),
)  # bits of the wiring and alarm words, lowest first
_OF_CHANNEL: Final = {"residual": "residual_ma", **{name: f"{name}_c" for name in _CHANNELS[1:]}}


class Elec7b7bTalk:
    """One connection or line."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._heard_ns = 0
        self._probes: set[tuple[str, str]] = set()  # serial and value: one that was there once and is gone is a fault

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk."""
        heard: list[Heard] = []
        self._heard_ns = at_ns
        for at in range(0, len(data), elec_7b7b.HELD_BYTES_MAX):
            self._buffer += data[at : at + elec_7b7b.HELD_BYTES_MAX]
            heard += self._take(at_ns)
        return heard

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk. A head whose rest does not come was none, or is torn: what stands behind it must not wait for it."""
        heard: list[Heard] = []
        while self._buffer.startswith(elec_7b7b.HEAD) and at_ns - self._heard_ns >= PATIENCE_NS:
            heard.append(Refused("truncated", bytes(self._buffer), at_ns))
            del self._buffer[:1]
            heard += self._take(at_ns)
        return heard

    def _take(self, at_ns: int) -> list[Heard]:
        heard: list[Heard] = []
        for frame in elec_7b7b.take(self._buffer):
            why = elec_7b7b.why_refused(frame)
            heard.append(Refused(why, frame, at_ns) if why else self._message(frame))
        return heard

    def end(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return [Refused("truncated", rest, at_ns)] if rest.startswith(elec_7b7b.HEAD) else []

    def _message(self, frame: bytes) -> Message:
        fields = elec_7b7b.report(frame)
        serial, wiring = str(fields["serial"]), int(str(fields["flags_wiring"]))
        values = [*self._values(frame, serial, wiring), Value("signal", float(str(fields["signal"])))]
        return Message(who=serial, raw=frame, key=frame, told=list(_told(fields)), values=values)

    def _values(self, frame: bytes, serial: str, wiring: int) -> Iterator[Value]:
        broken = {_OF_CHANNEL[channel] for bit, channel in enumerate(_CHANNELS) if wiring >> bit & 1}
        for name, value in elec_7b7b.values(frame).items():
            if name in broken:
                yield Value(name, None, "open")  # a flag beats the number beside it
            elif value is not None:
                if len(self._probes) < PROBES_MAX:
                    self._probes.add((serial, name))
                yield Value(name, value)
            elif (serial, name) in self._probes:
                yield Value(name, None, "absent")


def _told(fields: dict[str, object]) -> Iterator[Told]:
    words = {name: int(str(fields[f"flags_{name}"])) for name in ("phase", "wiring", "alarm", "voltage", "current")}
    shown = {"time": fields["time"]} | {f"flags_{name}": word for name, word in words.items() if word}
    for bit, channel in enumerate(_CHANNELS):
        yield _state(channel, "electrical_alarm", "electrical_restore", words["alarm"] >> bit & 1, shown)
        yield _state(channel, "fault", "fault_restore", words["wiring"] >> bit & 1, shown)
    yield _state("voltage/over", "electrical_alarm", "electrical_restore", words["voltage"] & 1, shown)
    yield _state("voltage/under", "fault", "fault_restore", words["voltage"] >> 8 & 1, shown)
    yield _state("current/over", "electrical_alarm", "electrical_restore", words["current"] & 1, shown)
    yield _state("phase", "fault", "fault_restore", words["phase"] & 1, shown)
    unnamed = {"alarm": words["alarm"] & ~0x1F, "wiring": words["wiring"] & ~0x1F, "voltage": words["voltage"] & ~0x101}
    unnamed |= {"current": words["current"] & ~1, "phase": words["phase"] & ~1}
    # a bit the document does not name is not "normal"
    yield _state("flags", "fault", "fault_restore", any(unnamed.values()), shown)


def _state(where: str, begin: str, end: str, on: object, shown: dict[str, object]) -> Told:
    return Told(where, begin, shown) if on else Told(where, end, shown, is_state=True)
