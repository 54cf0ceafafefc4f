"""The rounds of one patrol: due, done, missed, late. Pure rules; the moment is an argument.

Times of the day follow the wall clock and wait until it has been set; everything that lasts (grace, interval, how far apart two
rounds are) is monotonic. So no step of the clock makes a round due twice, and a round nobody had time for is never missed: it is
`skipped`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from edge_agent.config.model import Patrol
from edge_agent.model import Clock, Event, Instant, Kind, NewEvent, encode_instant, read_instant
from edge_agent.patrol.schedule import MINUTE_NS, Daily
from edge_agent.points.state import Latches, read_piece

KEY = "pa:r:"
OWN = "gateway"


@dataclass(slots=True)
class Round:
    """One round: when it was told, by when it is to be walked, which points have been seen. `missed`: that moment has passed."""

    told: Instant
    deadline_ns: int
    due_wall_ns: int  # 0: by interval
    seen: dict[str, None] = field(default_factory=dict)
    missed: bool = False
    over: bool = False


class Rounds:
    """One patrol and its newest round."""

    def __init__(self, patrol: Patrol, *, new_event: NewEvent, latches: Latches) -> None:
        self.patrol = patrol
        self._new_event, self._latches = new_event, latches
        self._daily = Daily.of(patrol.times) if patrol.times else None
        self._gap_ns = self._daily.gap_ns if self._daily else (patrol.every_min or 1440) * MINUTE_NS
        self._grace_ns = patrol.grace_min * MINUTE_NS
        self._early_ns = min(patrol.early_min * MINUTE_NS, self._gap_ns // 2)
        self._wanted = frozenset(patrol.points)
        self._passed: int | None = None  # how many times of the day had come at the last look
        self._next_ns: int | None = None  # by interval: when the next one is due
        self._spaced_ns: int | None = None  # times of the day: before this the same time has come again, by a step
        self._early: dict[str, int] = {}  # points seen outside a round, and when
        self.round: Round | None = None
        self.counts = dict.fromkeys(("due", "done", "missed", "late", "skipped"), 0)

    def look(self, now: Instant) -> list[Event]:
        """What has become due, or too late. To be called every second or so."""
        events: list[Event] = []
        current = self.round
        if current is not None and not current.missed and not current.over and now.mono_ns >= current.deadline_ns:
            current.missed = True
            events.append(self._tell("missed", False, max(0, current.deadline_ns), missing=self._missing(current)))
        if self._daily is None:
            if self._next_ns is None:
                self._next_ns = now.mono_ns + self._gap_ns
            elif now.mono_ns >= self._next_ns:
                events.append(self._begin(now, 0))
        elif now.clock is not Clock.UNSET:
            events += self._look_at_wall(now, self._daily)
        if events:
            self._save()
        return events

    def read(self, point: str, at_ns: int) -> list[Event]:
        """A point of this patrol was seen."""
        current = self.round
        if current is None or current.over:
            self._early[point] = at_ns
            return []
        current.seen[point] = None
        events = []
        if not self._missing(current):
            current.over = True
            events.append(self._tell("late" if current.missed else "done", False, at_ns, points=len(current.seen)))
        self._save()
        return events

    def as_dict(self, now: Instant) -> dict[str, object]:
        """For the local API."""
        current = self.round
        state = "waiting"
        if current is not None:
            state = ("late" if current.missed else "done") if current.over else "missed" if current.missed else "due"
        return {
            "id": self.patrol.id,
            "name": self.patrol.name,
            "state": state,
            "told_wall_ns": current.told.wall_ns if current else None,
            "clock": current.told.clock.value if current else None,
            "left_s": max(0.0, round((current.deadline_ns - now.mono_ns) / 1e9, 1)) if current else None,
            "seen": list(current.seen) if current else [],
            "missing": self._missing(current) if current else [],
            "next_wall_ns": self._next_wall_ns(now),
            **self.counts,
        }

    def restore(self, state: Mapping[str, bytes], now: Instant) -> None:
        """Take back the newest round from before the restart.

        Within one boot its deadline is what it was. After a power cut it is kept by the wall clock if that was and is
        synchronised; else the grace begins anew.
        """
        piece = read_piece(state.get(KEY + self.patrol.id, b"")) or {}
        passed, kept = piece.get("passed"), piece.get("round")
        if self._daily is not None and type(passed) is int:
            self._passed = passed
        try:
            if isinstance(kept, dict):
                self._restore_round(kept, now)
        except (KeyError, ValueError, TypeError):
            return

    def _restore_round(self, kept: Mapping[str, object], now: Instant) -> None:
        at, seen = kept["told"], kept["seen"]
        if not isinstance(at, dict) or not isinstance(seen, list):
            return
        told, due_wall_ns = read_instant(at), int(str(kept["due"]))
        past_ns = now.mono_ns - told.mono_ns
        if told.boot_id != now.boot_id:
            both = told.clock is now.clock is Clock.SYNCED
            past_ns = max(0, now.wall_ns - told.wall_ns) if both else 0
        began_ns = now.mono_ns - past_ns
        current = Round(told, began_ns + self._grace_ns, due_wall_ns)
        current.seen = dict.fromkeys(str(point) for point in seen if point in self._wanted)
        current.missed, current.over = kept.get("missed") is True, kept.get("over") is True
        self.round = current
        if self._daily is None:
            self._next_ns = began_ns + self._gap_ns
        elif told.boot_id == now.boot_id:
            self._spaced_ns = told.mono_ns + self._gap_ns // 2

    # --- rules ----------------------------------------------------------------------------------------------------------

    def _look_at_wall(self, now: Instant, daily: Daily) -> list[Event]:
        count = daily.count(now.wall_ns)
        before, self._passed = self._passed, count
        if before is None or count <= before:  # the first look, an ordinary one, or a step back
            return []
        due_wall_ns = daily.moment_ns(count)
        if self._spaced_ns is not None and now.mono_ns < self._spaced_ns:
            return []  # the clock was put back over the time of the round there was just now
        skipped = count - before - 1
        events = []
        if now.wall_ns - due_wall_ns >= self._grace_ns:  # the clock, or the power, jumped over all of it
            skipped += 1
        if skipped:
            self.counts["skipped"] += skipped
            fields: dict[str, object] = {"count": skipped, "due_wall_ns": daily.moment_ns(before + 1)}
            events.append(self._tell("skipped", False, now.mono_ns, **fields))
        if skipped < count - before:
            self._spaced_ns = now.mono_ns + self._gap_ns // 2
            events.append(self._begin(now, due_wall_ns))
        return events

    def _begin(self, now: Instant, due_wall_ns: int) -> Event:
        self.round = Round(now, now.mono_ns + self._grace_ns, due_wall_ns)
        self._next_ns = now.mono_ns + self._gap_ns
        early, self._early = self._early, {}
        self.round.seen = {point: None for point, at_ns in early.items() if now.mono_ns - at_ns <= self._early_ns}
        if not self._missing(self.round):  # walked a little before its time, all of it
            self.round.over = True
            self.counts["due"] += 1
            return self._tell("done", False, now.mono_ns, points=len(self.round.seen))
        fields: dict[str, object] = {"points": list(self.patrol.points), "grace_min": self.patrol.grace_min}
        return self._tell("due", True, now.mono_ns, **fields)

    def _missing(self, current: Round) -> list[str]:
        return [point for point in self.patrol.points if point not in current.seen]

    def _next_wall_ns(self, now: Instant) -> int | None:
        if now.clock is Clock.UNSET:
            return None
        if self._daily is None:
            return None if self._next_ns is None else now.wall_ns + self._next_ns - now.mono_ns
        return self._daily.moment_ns(self._daily.count(now.wall_ns) + 1)

    def _save(self) -> None:
        piece: dict[str, object] = {"passed": self._passed}
        if (current := self.round) is not None:
            piece["round"] = {
                "told": encode_instant(current.told),
                "due": current.due_wall_ns,
                "seen": list(current.seen),
                "missed": current.missed,
                "over": current.over,
            }
        self._latches.put(KEY + self.patrol.id, piece)

    def _tell(self, result: str, active: bool, at_ns: int, **fields: object) -> Event:
        if result != "skipped":
            self.counts[result] += 1
        if self.round is not None and self.round.due_wall_ns and result != "skipped":
            fields["due_wall_ns"] = self.round.due_wall_ns
        said = {"patrol": self.patrol.id, "result": result, **fields}
        point, name = f"patrol/{self.patrol.id}", self.patrol.name
        return self._new_event(Kind.PATROL, point, active, at_ns, source=OWN, name=name, fields=said)


def stale(state: Mapping[str, bytes], patrols: Collection[str]) -> list[str]:
    """Keys of rounds whose patrol is not configured any more."""
    return [key for key in state if key.startswith(KEY) and key.removeprefix(KEY) not in patrols]
