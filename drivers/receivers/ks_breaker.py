"""京硅 (KS) concentrators that dial in: breakers behind one TCP connection, asked for their states and measures.

A concentrator names its breakers in its heartbeat, which comes back to it as it is; from then on they are asked in turn, one
question at a time. A fault a breaker pushes is acknowledged once it is kept. Nothing else is sent: nothing here switches or sets.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from drivers.codecs import ks_breaker
from drivers.codecs.base import Refused
from drivers.codecs.ks_breaker import Frame, LineReader
from drivers.ks_map import MEASURE, STATE, BreakerProfile
from drivers.receivers.desk import Carrier, Heard, Message, Say, Told, Value

ANSWER_NS: Final = 2_000_000_000
NODES_MAX: Final = 64
NAMES_MAX: Final = 64
NAMELESS: Final = "unnamed"
OTHERS: Final = "others"  # beyond NAMES_MAX, as the desk calls them
LINGER_NS: Final = 60_000_000_000  # for so long at most it may answer on its reserve; ours, in no document
_ASK: Final = (ks_breaker.ask_state, ks_breaker.ask_measure)
_ENDS: Final = {"electrical_alarm": "electrical_restore", "fault": "fault_restore"}
_BEGINS: Final = {"electrical": "electrical_alarm", "fault": "fault"}


class Breaths:
    """Last breaths of concentrators that no login or heartbeat can be known to end. Shared by the connections of a receiver.

    Nobody logs in under no name, or maybe under one that was never heard before: what a last breath holds no document says. It is
    over when every breaker of the configuration has been heard again, LINGER_NS after it or later: behind a concentrator without
    supply none is. `standing` are those that stood when the gateway started.
    """

    def __init__(self, breakers: Iterable[str], standing: Callable[[], Iterable[str]]) -> None:
        self._heard_ns: dict[str, int | None] = dict.fromkeys(breakers)
        self._standing = standing
        self._began = False
        self._names: dict[str, None] = {}  # who logged in or beat
        self._since_ns: dict[str, int] = {}

    def said(self, who: str, at_ns: int) -> None:
        """Somebody's last breath."""
        if who not in self._names:
            has_room = who in self._since_ns or len(self._since_ns) < NAMES_MAX
            self._since_ns[who if has_room else OTHERS] = at_ns

    def spoke(self, who: str) -> None:
        """Its supply is back: it says so itself."""
        self._since_ns.pop(who, None)
        if who != NAMELESS and len(self._names) < NAMES_MAX:
            self._names[who] = None

    def heard(self, breaker: str, at_ns: int) -> None:
        """A breaker said something."""
        if breaker in self._heard_ns:
            self._heard_ns[breaker] = at_ns

    def over(self, at_ns: int) -> list[str]:
        """Whose are over, each once."""
        if not self._began:
            self._began = True
            for who in self._standing():
                self._since_ns.setdefault(who, at_ns)
        if not self._since_ns:
            return []
        last_ns = min((-1 if heard_ns is None else heard_ns for heard_ns in self._heard_ns.values()), default=at_ns)
        ended = [who for who, since_ns in self._since_ns.items() if last_ns >= since_ns + LINGER_NS]
        for who in ended:
            del self._since_ns[who]
        return ended


class KsTalk:
    """One connection."""

    def __init__(self, profile: BreakerProfile, breaths: Breaths) -> None:
        self._profile, self._breaths = profile, breaths
        self._period_ns = tuple(round(period_s * 1e9) for period_s in profile.period_s)
        self._reader = LineReader()
        self._broken = 0
        self._due: dict[tuple[str, int], int] = {}  # breaker and question: when it is asked next
        self._asked: tuple[str, int] | None = None
        self._asked_ns = 0
        self._breath = ""  # under which name its last breath was told, while it has said nothing since
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
        over = [_power(who, b"", on=True) for who in self._breaths.over(at_ns)]
        return [*over, *self._ask(at_ns)]

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
            yield from self._power(frame, at_ns)
        if frame.function == ks_breaker.FAULT or ks_breaker.is_state(frame) or ks_breaker.is_measure(frame):
            self._breaths.heard(frame.node, at_ns)
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

    def _power(self, frame: Frame, at_ns: int) -> Iterator[Heard]:
        """A concentrator tells with its last breath that its supply is gone, up to three times; whatever it says later, over
        this connection or another, its supply is back. What the last breath holds no document says: where it does not name the
        concentrator as a login does, it is the one that spoke over this connection.
        """
        named = ks_breaker.concentrator_of(frame)
        if frame.function == ks_breaker.POWER_DOWN:
            if not self._breath:
                who = self._name or named if frame.node.strip("0") else named or self._name
                self._breath = who or NAMELESS
                self._breaths.said(self._breath, at_ns)
                yield _power(self._breath, frame.raw, on=False)
            return
        self._name = named or self._name
        for who in dict.fromkeys((self._breath, self._name)):
            if who:
                self._breaths.spoke(who)
                yield _power(who, frame.raw, on=True)
        self._breath = ""

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


def _power(who: str, raw: bytes, *, on: bool) -> Carrier:
    told = Told("power", "mains_ok", is_state=True) if on else Told("power", "mains_fault")
    return Carrier(who=who, raw=raw, told=told)
