"""京硅 (KS) concentrators that dial in: breakers behind one TCP connection, asked for their states and measures.

A concentrator names its breakers in its heartbeat, which comes back to it as it is; from then on they are asked in turn, one
question at a time. A fault a breaker pushes is acknowledged once it is kept. Nothing else is sent: nothing here switches or sets.
"""

from collections.abc import Iterator
from typing import Final

from drivers.codecs import ks_breaker
from drivers.codecs.base import Refused
from drivers.codecs.ks_breaker import Frame, LineReader
from drivers.ks_map import MEASURE, STATE, BreakerProfile
from drivers.receivers.desk import Carrier, Heard, Message, Say, Told, Value

ANSWER_NS: Final = 2_000_000_000
NODES_MAX: Final = 64
_ASK: Final = (ks_breaker.ask_state, ks_breaker.ask_measure)
_ENDS: Final = {"electrical_alarm": "electrical_restore", "fault": "fault_restore"}
_BEGINS: Final = {"electrical": "electrical_alarm", "fault": "fault"}


class KsTalk:
    """One connection."""

    def __init__(self, profile: BreakerProfile) -> None:
        self._profile = profile
        self._period_ns = tuple(round(period_s * 1e9) for period_s in profile.period_s)
        self._reader = LineReader()
        self._broken = 0
        self._due: dict[tuple[str, int], int] = {}  # breaker and question: when it is asked next
        self._asked: tuple[str, int] | None = None
        self._asked_ns = 0
        self._powered = True
        self._name = ""  # of the concentrator, as it logged in or beat over this connection

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk."""
        heard: list[Heard] = []
        for frame in self._reader.feed(data):
            if not frame.from_master:
                heard += self._frame(frame, at_ns)
        if self._reader.broken > self._broken:
            self._broken = self._reader.broken
            heard.append(Refused("sum", data, at_ns))
        return heard + self._ask(at_ns)

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return self._ask(at_ns)

    def end(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return []

    def _ask(self, at_ns: int) -> list[Heard]:
        """The question that is due, unless one is out."""
        if self._asked is not None and at_ns - self._asked_ns < ANSWER_NS:
            return []
        self._asked = None
        if not self._due:
            return []
        first = min(self._due, key=self._due.__getitem__)
        if self._due[first] > at_ns:
            return []
        address, question = first
        self._due[first] = at_ns + self._period_ns[question]
        self._asked, self._asked_ns = first, at_ns
        return [Say(_ASK[question](address))]

    def _frame(self, frame: Frame, at_ns: int) -> Iterator[Heard]:
        if frame.function in (ks_breaker.LOGIN, ks_breaker.HEARTBEAT, ks_breaker.POWER_DOWN):
            yield from self._power(frame)
        if frame.function == ks_breaker.HEARTBEAT:
            for node in ks_breaker.nodes_of(frame):
                if len(self._due) < 2 * NODES_MAX:
                    self._due.setdefault((node, STATE), at_ns)
                    self._due.setdefault((node, MEASURE), at_ns)
            yield Say(ks_breaker.answer_to(frame))
        elif frame.function == ks_breaker.FAULT:
            told, values = list(self._told(frame)), list(self._values(frame))
            answer = ks_breaker.answer_to(frame)
            if answer:
                yield Message(who=frame.node, raw=frame.raw, key=frame.raw, told=told, values=values, yes=answer)
            else:
                yield Refused("fault_length", frame.raw, at_ns)
        elif ks_breaker.is_state(frame) or ks_breaker.is_measure(frame):
            if self._asked == (frame.node, STATE if ks_breaker.is_state(frame) else MEASURE):
                self._asked = None
            told, values = list(self._told(frame)), list(self._values(frame))
            yield Message(who=frame.node, raw=frame.raw, told=told, values=values)

    def _power(self, frame: Frame) -> Iterator[Heard]:
        """A concentrator tells with its last breath that its supply is gone, up to three times; whatever it says later, over
        this connection or another, its supply is back. What the last breath holds no document says: where it does not name the
        concentrator as a login does, it is the one that spoke over this connection.
        """
        on = frame.function != ks_breaker.POWER_DOWN
        named = ks_breaker.concentrator_of(frame)
        if on and named:
            self._name = named
        who = self._name or named if frame.node.strip("0") else named or self._name
        if on or self._powered:
            told = Told("power", "mains_ok", is_state=True) if on else Told("power", "mains_fault")
            yield Carrier(who=who or "unnamed", raw=frame.raw, told=told)
        self._powered = on

    def _told(self, frame: Frame) -> Iterator[Told]:
        points = ks_breaker.points_of(frame)
        named = set()
        for value in self._profile.values:
            if value.question == STATE:
                named.add(value.number)
                begin = _BEGINS.get(value.spec.kind, "")
                if begin and value.number in points:
                    yield _state(value.spec.id, begin, points[value.number], {"point": value.number})
        if frame.function == ks_breaker.FAULT:  # a trip no value names is told all the same
            for number in points.keys() - named:
                begin = ks_breaker.event_of(number, 1)
                yield _state(f"point-{number}", begin, points[number], {"trip": ks_breaker.trip_of(number)})

    def _values(self, frame: Frame) -> Iterator[Value]:
        held = ks_breaker.points_of(frame), ks_breaker.measures_of(frame)
        whole = ks_breaker.is_state(frame), ks_breaker.is_measure(frame)
        for value in self._profile.values:
            raw = held[value.question].get(value.number)
            if value.spec.kind in _BEGINS and value.question == STATE:
                continue  # told as an event
            if raw is not None:
                yield Value(value.spec.id, value.of(raw))
            elif whole[value.question]:
                yield Value(value.spec.id, None, "short")


def _state(where: str, begin: str, on: int, fields: dict[str, object]) -> Told:
    return Told(where, begin, fields) if on else Told(where, _ENDS[begin], fields, is_state=True)
