"""Linkage: an output of this box that follows an alarm, if the site has enabled it by name and every interlock agrees. Pure.

Off by default, and careful in one direction: what is not known, not fresh or not allowed is a reason not to act, and each decision
is an event that says who, what and why. Nothing here is in the way of an alarm: it has sounded and is kept before this is asked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from edge_agent.config.model import LinkageOutput
from edge_agent.model import Event, Kind, NewEvent
from edge_agent.points.state import Latches, read_piece

OWN: Final = "gateway"
KEY: Final = "lk:"
DEMANDS_MAX: Final = 1000  # alarms one output follows at once; there is no need to know of more
REPEAT_NS: Final = 5_000_000_000  # a reason that changes back and forth is told this often at most


class Look(Protocol):
    """What may be asked of the points."""

    def switch(self, point: str) -> bool | None:
        """A switch that can be believed now; None: it cannot be read, or its source is silent."""
        ...

    def believable(self, point: str) -> bool:
        """Whether what a point said last is not known to be stale."""
        ...


@dataclass(slots=True)
class _Demand:
    event_id: str
    at_ns: int
    grade: int
    used: bool = False  # it has been acted upon: only a new alarm is acted upon again


class Output:
    """One output. `acting` is what the line is to be."""

    def __init__(self, rule: LinkageOutput, *, enabled: bool, new_event: NewEvent, started_ns: int) -> None:
        self.rule, self.enabled = rule, enabled
        self.acting = self.held = False  # held: a person released it until it is given back
        self._new_event, self._started_ns = new_event, started_ns
        self._demands: dict[tuple[str, Kind], _Demand] = {}
        self._since_ns: int | None = None  # acting, or resting
        self._told = ""
        self._told_ns = -REPEAT_NS
        self._was_acting = False

    @property
    def level(self) -> bool:
        """What the line is to be driven to."""
        return self.rule.idle is not self.acting

    def note(self, event: Event, now_ns: int) -> bool:
        """Take notice of an event; return whether it concerns this output."""
        rule, key = self.rule, (event.point, event.kind)
        if rule.action == "sounder" and event.kind is Kind.SILENCE:
            self._demands.clear()  # a person has heard it
            return True
        if rule.action == "sounder" and event.kind is Kind.ACKNOWLEDGE:
            of = str(event.fields.get("of", ""))
            return any(self._demands.pop(known, None) for known in list(self._demands) if known == (event.point, of))
        if event.kind.value not in rule.kinds or not any(_fits(pattern, event.point) for pattern in rule.points):
            return False
        if not event.active:
            return self._demands.pop(key, None) is not None
        if "escalates" in event.fields:  # the same alarm, confirmed
            if (known := self._demands.get(key)) is not None:
                known.grade = max(known.grade, event.grade)
        elif len(self._demands) < DEMANDS_MAX or key in self._demands:
            self._demands[key] = _Demand(event.id, now_ns, event.grade)
        return True

    def decide(self, now_ns: int, look: Look) -> list[Event]:
        """Act, release, refuse, or leave it as it is."""
        if self._was_acting:  # the power went while it acted: the line fell back, and nothing acts at a start
            self._was_acting = False
            return [self._tell("released", "restart", now_ns)]
        if self.acting:
            why = self._must_stop(now_ns, look)
            return [self._release(why, "override" if why == "override" else "rule", now_ns)] if why else []
        standing = [
            (key, demand)
            for key, demand in self._demands.items()
            if not demand.used and now_ns - demand.at_ns >= self.rule.hold_s * 1e9
        ]
        if not standing:
            self._told = ""
            return []
        refused = ""
        for (point, kind), demand in standing:
            if not (why := self._refusal(point, demand, now_ns, look)):
                return [self._act(point, kind, demand, now_ns)]
            refused = refused or why
        return self._refuse(refused, standing[0][0], standing[0][1], now_ns)

    def release(self, who: str, now_ns: int) -> list[Event]:
        """A person takes it back, and it stays so until `give_back`."""
        self.held = True
        return [self._release("held", who, now_ns)] if self.acting else [self._tell("held", "held", now_ns, who=who)]

    def give_back(self, who: str, now_ns: int) -> list[Event]:
        """A person lets the rules decide again. An alarm from before is not acted upon."""
        was, self.held = self.held, False
        for demand in self._demands.values():
            demand.used = True
        return [self._tell("auto", "auto", now_ns, who=who)] if was else []

    def piece(self) -> dict[str, object] | None:
        """What must outlive a power cut."""
        return {"acting": self.acting, "held": self.held} if self.acting or self.held else None

    def restore(self, piece: Mapping[str, object]) -> None:
        """It never acts again by itself; that a person holds it stays so."""
        self._was_acting, self.held = piece.get("acting") is True, piece.get("held") is True

    def as_dict(self) -> dict[str, object]:
        """For the local API."""
        return {
            "id": self.rule.id,
            "name": self.rule.name,
            "action": self.rule.action,
            "enabled": self.enabled,
            "acting": self.acting,
            "held": self.held,
            "demands": len(self._demands),
            "refused": self._told,
        }

    # --- rules ----------------------------------------------------------------------------------------------------------

    def _refusal(self, point: str, demand: _Demand, now_ns: int, look: Look) -> str:
        """Why it must not act, "" if it may."""
        rule = self.rule
        rests = self._since_ns is not None and now_ns - self._since_ns < rule.min_off_s * 1e9
        reasons = (
            ("not_enabled", not self.enabled),
            ("starting", demand.at_ns - self._started_ns < rule.start_s * 1e9),
            ("stale", now_ns - demand.at_ns > rule.stale_s * 1e9 or not look.believable(point)),
            ("held", self.held),
            ("grade", rule.grade > 1 and demand.grade < rule.grade),
            ("resting", rests),
        )
        return next((why for why, holds in reasons if holds), "") or self._locked(look, unknown=True)

    def _locked(self, look: Look, *, unknown: bool) -> str:
        """Which lock forbids it; `unknown`: one that cannot be read forbids it too."""
        if self.rule.override:
            state = look.switch(self.rule.override)
            if state or (unknown and state is None):
                return "override" if state else "override_unknown"
        for points, wanted in ((self.rule.never_if, False), (self.rule.only_if, True)):
            for point in points:
                state = look.switch(point)
                if state is (not wanted):
                    return "interlock"
                if unknown and state is None:
                    return "interlock_unknown"
        return ""

    def _must_stop(self, now_ns: int, look: Look) -> str:
        """Why it must be released. What cannot be read now is no reason: the valve that closed stays closed."""
        acted_ns = now_ns - (self._since_ns or 0)
        if locked := self._locked(look, unknown=False):
            return locked
        if self.rule.max_on_s and acted_ns >= self.rule.max_on_s * 1e9:
            return "max_on"
        over = not self._demands and self.rule.release == "auto" and acted_ns >= self.rule.min_on_s * 1e9
        return "over" if over else ""

    def _act(self, point: str, kind: Kind, demand: _Demand, now_ns: int) -> Event:
        for each in self._demands.values():
            each.used = True
        self.acting, self._since_ns, self._told = True, now_ns, ""
        more = {"alarm": demand.event_id, "of": point, "kind": kind.value}
        return self._tell("acted", "alarm", now_ns, **more)

    def _release(self, why: str, who: str, now_ns: int) -> Event:
        self.acting, self._since_ns = False, now_ns
        return self._tell("released", why, now_ns, who=who)

    def _refuse(self, why: str, of: tuple[str, Kind], demand: _Demand, now_ns: int) -> list[Event]:
        if why == self._told or now_ns - self._told_ns < REPEAT_NS:
            return []
        self._told, self._told_ns = why, now_ns
        return [self._tell("refused", why, now_ns, alarm=demand.event_id, of=of[0], kind=of[1].value)]

    def _tell(self, status: str, why: str, now_ns: int, *, who: str = "rule", **more: object) -> Event:
        fields = {"status": status, "why": why, "who": who, "action": self.rule.action, **more}
        point = f"linkage/{self.rule.id}"
        return self._new_event(
            Kind.LINKAGE, point, status == "acted", now_ns, source=OWN, name=self.rule.name, fields=fields
        )


class Linkage:
    """All outputs of the box. `enabled` are the names the site turned on."""

    def __init__(
        self, rules: Iterable[LinkageOutput], enabled: Iterable[str], *, new_event: NewEvent, started_ns: int
    ) -> None:
        names = frozenset(enabled)
        self.outputs = {
            rule.id: Output(rule, enabled=rule.id in names, new_event=new_event, started_ns=started_ns)
            for rule in rules
        }
        self._latches = Latches()
        self._kept: dict[str, dict[str, object] | None] = {}

    def note(self, event: Event, now_ns: int) -> bool:
        """Whether anything follows this event."""
        concerns = [output.note(event, now_ns) for output in self.outputs.values()]  # every one must hear of it
        return any(concerns)

    def decide(self, now_ns: int, look: Look) -> list[Event]:
        """What is decided now, of all outputs: call it after `note`, and each second."""
        return [event for output in self.outputs.values() for event in output.decide(now_ns, look)]

    def dump(self) -> dict[str, bytes | None]:
        """The pieces of lasting state that changed since the last call."""
        for name, output in self.outputs.items():
            piece = output.piece()
            if piece != self._kept.get(name):
                self._kept[name] = piece
                self._latches.put(f"{KEY}{name}", piece)
        return self._latches.take()

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Take back what was there before the restart."""
        for key, body in state.items():
            piece = read_piece(body) if key.startswith(KEY) else None
            if piece is None:
                continue
            name = key.removeprefix(KEY)
            self._kept[name] = piece
            if (output := self.outputs.get(name)) is not None:
                output.restore(piece)
            else:
                self._latches.put(key, None)


def _fits(pattern: str, point: str) -> bool:
    return point.startswith(pattern[:-1]) if pattern.endswith("*") else point == pattern
