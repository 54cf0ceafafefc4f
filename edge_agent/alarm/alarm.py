"""An alarm: an event with a life (ISA-18.2)."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.model import KINDS, Event, Instant, Kind, Sound, encode_instant, read_instant
from edge_agent.points.state import kind_of


class State(enum.StrEnum):
    """It leaves the list only after both: the condition is gone, and a person has acknowledged it."""

    ACTIVE = "active"  # unacknowledged
    ACKNOWLEDGED = "acknowledged"  # still active
    RETURNED = "returned"  # to normal, unacknowledged


Key = tuple[str, Kind]  # point, kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm as it stands now. `event_id` is its latest active event, `at` when its first one settled."""

    id: str  # short, for a person to type
    event_id: str
    kind: Kind
    point: str
    source: str
    name: str
    at: Instant
    grade: int = 0
    state: State = State.ACTIVE
    silenced: bool = False
    first: bool = False  # 首警
    delivered: bool = False  # the centre has `event_id`
    count: int = 1  # active events so far; of a coalesced alarm, its members

    @property
    def key(self) -> Key:
        """What makes two events the same alarm."""
        return self.point, self.kind

    @property
    def active(self) -> bool:
        """The condition is there."""
        return self.state is not State.RETURNED

    @property
    def acknowledged(self) -> bool:
        """A person has seen it."""
        return self.state is State.ACKNOWLEDGED

    @property
    def sound(self) -> Sound:
        """The class it belongs to."""
        return KINDS[self.kind].sound

    @property
    def sounding(self) -> bool:
        """A fire sounds until a person acted, even if its condition went away; a fault only while it is there."""
        if self.silenced or self.acknowledged:
            return False
        return self.state is State.ACTIVE or self.sound is Sound.FIRE

    def as_dict(self) -> dict[str, object]:
        """For the local API and the journal's state."""
        return {
            "id": self.id,
            "event_id": self.event_id,
            "kind": self.kind.value,
            "point": self.point,
            "source": self.source,
            "name": self.name,
            "grade": self.grade,
            "state": self.state.value,
            "silenced": self.silenced,
            "first": self.first,
            "delivered": self.delivered,
            "count": self.count,
            "since_wall_ns": self.at.wall_ns,
            "clock": self.at.clock.value,
            "at": encode_instant(self.at),
        }


def alarm_of(event: Event, alarm_id: str, point: str) -> Alarm:
    """A new alarm of an active event."""
    return Alarm(
        id=alarm_id,
        event_id=event.id,
        kind=event.kind,
        point=point,
        source=event.source,
        name=event.name if point == event.point else "",
        at=event.at,
        grade=event.grade,
    )


def read_alarm(piece: Mapping[str, object]) -> Alarm | None:
    """An alarm from `as_dict()`, or None if it cannot be one."""
    try:
        at, kind = piece["at"], kind_of(str(piece["kind"]))
        if kind is None or not isinstance(at, dict):
            return None
        return Alarm(
            id=str(piece["id"]),
            event_id=str(piece["event_id"]),
            kind=kind,
            point=str(piece["point"]),
            source=str(piece["source"]),
            name=str(piece["name"]),
            at=read_instant(at),
            grade=int(str(piece["grade"])),
            state=State(str(piece["state"])),
            silenced=piece["silenced"] is True,
            first=piece["first"] is True,
            delivered=piece["delivered"] is True,
            count=int(str(piece["count"])),
        )
    except (KeyError, ValueError):
        return None
