"""Duty checks (查岗): a centre asks whether anyone is there; a person answers in time, late, or not at all. Pure rules.

Each check has its own deadline; one answer answers all that are open. What was missed stays until it is answered late, or the same
centre asks anew. GB 26875.1-2011: shown and heard until a person acts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edge_agent.model import Clock, Event, Instant, Kind, NewEvent, encode_instant, read_instant
from edge_agent.points.deadlines import Deadlines
from edge_agent.points.state import Latches, read_piece

OPEN_MAX = 16  # checks at once; more destinations than any site has
OPERATOR_MAX = 255  # GB/T 26875.3-2011 type 24: one byte
POINT = "duty"
_KEY = "dc:"
_MINUTE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One question. `id` is the command's that asked it; `missed` once its deadline has passed."""

    destination: str
    id: str
    asked: Instant
    minutes: int
    deadline_ns: int  # monotonic, of this boot
    missed: bool = False
    silenced: bool = False

    @property
    def key(self) -> str:
        """Names it: what a repeat of the same command has in common with it."""
        return f"{self.destination}:{self.id}"

    def as_dict(self, now_ns: int) -> dict[str, object]:
        """For the local API."""
        left_s = max(0.0, (self.deadline_ns - now_ns) / 1e9)
        return {
            "dest": self.destination,
            "id": self.id,
            "minutes": self.minutes,
            "asked_wall_ns": self.asked.wall_ns,
            "clock": self.asked.clock.value,
            "left_s": round(left_s, 1),
            "missed": self.missed,
        }


class DutyChecks:
    """All checks that wait for a person."""

    def __init__(self, *, new_event: NewEvent) -> None:
        self._new_event = new_event
        self._checks: dict[str, Check] = {}
        self._deadlines: Deadlines[str] = Deadlines()
        self._latches = Latches()

    def room(self, destination: str) -> bool:
        """Whether one more check may be asked."""
        return len(self._checks) - len(self._missed_of(destination)) < OPEN_MAX

    def ask(self, destination: str, command_id: str, minutes: int, asked: Instant) -> list[Event]:
        """A centre asks. A check of the same id goes on as it is; what the same centre missed before is over."""
        check = Check(destination, command_id, asked, minutes, asked.mono_ns + minutes * _MINUTE_NS)
        if check.key in self._checks:
            return []
        for missed in self._missed_of(destination):
            self._put(missed.key, None)
        self._put(check.key, check)
        return [self._tell(check, True, asked.mono_ns, {"minutes": minutes})]

    def answer(self, operator: int, who: str, now_ns: int) -> list[Event]:
        """A person is there: answered, or late where the deadline had passed. One event for each check."""
        events: list[Event] = []
        for check in list(self._checks.values()):
            late = check.missed or now_ns >= check.deadline_ns
            if late and not check.missed:  # the timer had not come to it yet: it is told as missed first
                events.append(self._miss(check))
            fields = {"result": "late" if late else "answered", "operator": operator, "who": who}
            events.append(self._tell(check, False, now_ns, fields))
            self._put(check.key, None)
        return events

    def silence(self) -> int:
        """Stop the sound of what is open; the lamp stays, the next check sounds again. Return how many sounded."""
        sounding = [check for check in self._checks.values() if not check.silenced]
        for check in sounding:
            self._put(check.key, replace(check, silenced=True))
        return len(sounding)

    def tick(self, now_ns: int) -> list[Event]:
        """What was not answered in time."""
        due = [self._checks.get(key) for key in self._deadlines.take_due(now_ns)]
        return [self._miss(check) for check in due if check is not None and not check.missed]

    def next_deadline_ns(self) -> int | None:
        """When `tick()` must be called next."""
        return self._deadlines.next_ns()

    @property
    def waiting(self) -> bool:
        """Whether a person is wanted: the lamp."""
        return bool(self._checks)

    @property
    def sounding(self) -> bool:
        """Whether one of them sounds."""
        return any(not check.silenced for check in self._checks.values())

    def checks(self) -> list[Check]:
        """All that are not over, oldest first."""
        return list(self._checks.values())

    def dump(self) -> dict[str, bytes | None]:
        """The pieces of lasting state that changed since the last call."""
        return self._latches.take()

    def restore(self, state: Mapping[str, bytes], now: Instant) -> None:
        """Take back the checks from before the restart; foreign keys are ignored. Ask for `next_deadline_ns()` afterwards.

        Within one boot the deadline is what it was. After a power cut it is kept by the wall clock if that was and is
        synchronised; else the minutes begin anew: a person is never said to have missed what there was no time to answer.
        """
        found: list[Check] = []
        for key, body in state.items():
            piece = read_piece(body) if key.startswith(_KEY) else None
            if piece is not None and (check := _read(piece, now)) is not None:
                found.append(check)
        for check in sorted(found, key=lambda check: check.deadline_ns)[:OPEN_MAX]:
            self._put(check.key, check)

    def _missed_of(self, destination: str) -> list[Check]:
        return [check for check in self._checks.values() if check.missed and check.destination == destination]

    def _miss(self, check: Check) -> Event:
        self._put(check.key, replace(check, missed=True))
        return self._tell(check, False, check.deadline_ns, {"result": "missed"})

    def _put(self, key: str, check: Check | None) -> None:
        if check is None:
            self._checks.pop(key, None)
            self._latches.put(_KEY + key, None)
            self._deadlines.set(key, None)
            return
        self._checks[key] = check
        self._deadlines.set(key, None if check.missed else check.deadline_ns)
        self._latches.put(
            _KEY + key,
            {
                "dest": check.destination,
                "id": check.id,
                "at": encode_instant(check.asked),
                "minutes": check.minutes,
                "missed": check.missed,
                "silenced": check.silenced,
            },
        )

    def _tell(self, check: Check, active: bool, at_ns: int, fields: Mapping[str, object]) -> Event:
        named = {"dest": check.destination, "check": check.id, **fields}
        return self._new_event(Kind.DUTY_CHECK, POINT, active, at_ns, source="gateway", fields=named)


def _read(piece: Mapping[str, object], now: Instant) -> Check | None:
    try:
        at = piece["at"]
        asked = read_instant(at) if isinstance(at, dict) else None
        destination, command_id, minutes = str(piece["dest"]), str(piece["id"]), int(str(piece["minutes"]))
    except (KeyError, ValueError):
        return None
    if asked is None or not 1 <= minutes <= 255:
        return None
    whole_ns = minutes * _MINUTE_NS
    deadline_ns = asked.mono_ns + whole_ns
    if asked.boot_id != now.boot_id:
        past_ns = now.wall_ns - asked.wall_ns if asked.clock is now.clock is Clock.SYNCED else 0
        deadline_ns = now.mono_ns + whole_ns - max(0, min(past_ns, whole_ns))
    missed, silenced = piece.get("missed") is True, piece.get("silenced") is True
    return Check(destination, command_id, asked, minutes, deadline_ns, missed, silenced)
