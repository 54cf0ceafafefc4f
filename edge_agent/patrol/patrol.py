"""All of patrol: reads go in, events come out; tags are learned; what is known is shown. Pure rules; the moment is an argument."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.config.model import Config
from edge_agent.model import Event, Instant, Kind, NewEvent
from edge_agent.patrol import rounds
from edge_agent.patrol.rounds import Rounds
from edge_agent.patrol.tags import TagInUse, Tags, tag_of
from edge_agent.points.state import Latches

LEARN_MAX_S = 600
UNKNOWN_BURST, UNKNOWN_EVERY_NS = 10, 60_000_000_000  # events of unknown tags: a keyboard can type anything
TAG_SHOWN_MAX = 40


@dataclass(slots=True)
class Learning:
    """The next tag read is that of `point`. `result` is what came of it: waiting, learned, in_use, timeout."""

    point: str
    who: str
    until_ns: int
    result: str = "waiting"
    tag: str = ""
    other: str = ""  # in_use: where the tag hangs

    def as_dict(self, now_ns: int) -> dict[str, object]:
        """For the local API."""
        left_s = max(0.0, round((self.until_ns - now_ns) / 1e9, 1)) if self.result == "waiting" else 0.0
        return {"point": self.point, "result": self.result, "tag": self.tag, "other": self.other, "left_s": left_s}


class Patrols:
    """The patrols of one site. Every method that returns events is to be followed by `dump()`."""

    def __init__(self, config: Config, *, new_event: NewEvent) -> None:
        self._new_event = new_event
        self._latches = Latches()
        self.tags = Tags(config.patrol_points, self._latches)
        self._rounds = [Rounds(one, new_event=new_event, latches=self._latches) for one in config.patrols]
        self._last: dict[str, int] = {}  # point -> when it was read last
        self.learning: Learning | None = None
        self._unknown_left, self._unknown_ns, self._unwritten = UNKNOWN_BURST, 0, 0

    def look(self, now: Instant) -> list[Event]:
        """What has become due or too late; to be called every second or so."""
        learning = self.learning
        if learning is not None and learning.result == "waiting" and now.mono_ns >= learning.until_ns:
            learning.result = "timeout"
        return [event for one in self._rounds for event in one.look(now)]

    def read(self, reader: str, written: str, at_ns: int) -> list[Event]:
        """A tag was held to a reader."""
        tag = tag_of(written)[:TAG_SHOWN_MAX]
        if self.learning is not None and self.learning.result == "waiting" and at_ns < self.learning.until_ns:
            return self._learn(self.learning, reader, tag, at_ns)
        point = self.tags.point_of(tag)
        if point is None:
            return self._unknown(reader, tag, at_ns)
        self._last[point] = at_ns
        events = [self._tell(f"tag/{point}", "read", reader, at_ns, {"tag": tag}, name=self.tags.points[point].name)]
        for one in self._rounds:
            if point in one.patrol.points:
                events += one.read(point, at_ns)
        return events

    def learn(self, point: str, seconds: int, who: str, now_ns: int) -> None:
        """The next tag that is read hangs at `point`. A learning that waits already is given up for it."""
        self.learning = Learning(point, who, now_ns + seconds * 1_000_000_000)

    def forget(self, point: str, who: str, now_ns: int) -> list[Event]:
        """Unlearn the tag of a point."""
        tag, _ = self.tags.tag_at(point)
        if not self.tags.forget(point):
            return []
        return [self._tell(f"tag/{point}", "forgotten", "", now_ns, {"tag": tag, "who": who})]

    def as_dict(self, now: Instant) -> dict[str, object]:
        """For the local API. Wall times are of the clock as it is now."""

        def wall(at_ns: int | None) -> int | None:
            return None if at_ns is None else now.wall_ns - (now.mono_ns - at_ns)

        points = []
        for point in self.tags.points.values():
            tag, learned = self.tags.tag_at(point.id)
            last_ns = wall(self._last.get(point.id))
            points.append({"id": point.id, "name": point.name, "tag": tag, "learned": learned, "last_wall_ns": last_ns})
        unknown = [
            {"tag": tag, "count": seen.count, "reader": seen.reader, "last_wall_ns": wall(seen.at_ns)}
            for tag, seen in reversed(self.tags.unknown.items())
        ]
        return {
            "rounds": [one.as_dict(now) for one in self._rounds],
            "points": points,
            "unknown": unknown,
            "unknown_reads": self.tags.unknown_reads,
            "clock": now.clock.value,
            "learning": self.learning.as_dict(now.mono_ns) if self.learning else None,
        }

    def dump(self) -> dict[str, bytes | None]:
        """The pieces of lasting state that changed since the last call."""
        return self._latches.take()

    def restore(self, state: Mapping[str, bytes], now: Instant) -> None:
        """Take back rounds and learned tags from before the restart; foreign keys are ignored."""
        for key in rounds.stale(state, [one.patrol.id for one in self._rounds]):
            self._latches.put(key, None)
        self.tags.restore(state, self.tags.points)
        for one in self._rounds:
            one.restore(state, now)

    # --- rules ----------------------------------------------------------------------------------------------------------

    def _learn(self, learning: Learning, reader: str, tag: str, at_ns: int) -> list[Event]:
        learning.tag = tag
        try:
            self.tags.learn(learning.point, tag)
        except TagInUse as fault:
            learning.result, learning.other = "in_use", fault.point
            return []
        learning.result = "learned"
        return [self._tell(f"tag/{learning.point}", "learned", reader, at_ns, {"tag": tag, "who": learning.who})]

    def _unknown(self, reader: str, tag: str, at_ns: int) -> list[Event]:
        fresh = self.tags.saw_unknown(tag, reader, at_ns)
        earned = (at_ns - self._unknown_ns) // UNKNOWN_EVERY_NS
        if earned > 0:
            self._unknown_left = min(UNKNOWN_BURST, self._unknown_left + earned)
            self._unknown_ns += earned * UNKNOWN_EVERY_NS
        if not fresh:
            return []
        if not self._unknown_left:
            self._unwritten += 1
            return []
        self._unknown_left -= 1
        fields: dict[str, object] = {"unwritten": self._unwritten} if self._unwritten else {}
        self._unwritten = 0
        return [self._tell("tag/unknown", "unknown_tag", reader, at_ns, {"tag": tag, **fields})]

    def _tell(
        self, point: str, result: str, reader: str, at_ns: int, fields: Mapping[str, object], *, name: str = ""
    ) -> Event:
        said = {"result": result, **({"reader": reader} if reader else {}), **fields}
        return self._new_event(Kind.PATROL, point, True, at_ns, source=reader or rounds.OWN, name=name, fields=said)
