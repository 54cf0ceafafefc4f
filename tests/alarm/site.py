"""An alarm machine with a hand on its clock, for tests of its life and of its restarts."""

import itertools
from collections.abc import Mapping, Sequence

from edge_agent.alarm.machine import AlarmMachine
from edge_agent.config.model import Zone
from edge_agent.model import KINDS, Clock, Event, Instant, Kind, Sound

S = 1_000_000_000
FLOOR3 = Zone(id="floor3", points=("p1/3-*", "pump-room"), unacknowledged_s=120.0)


class Site:
    """A machine with a hand on its clock."""

    def __init__(self, zones: Sequence[Zone] = (), boot: str = "boot1", **more: object) -> None:
        self.ids = itertools.count(1)
        self.now_ns, self.boot = 0, boot
        self.machine = AlarmMachine(zones, new_event=self.new_event, **more)  # type: ignore[arg-type]

    def instant(self, at_ns: int) -> Instant:
        return Instant(self.boot, at_ns, at_ns, Clock.SYNCED)

    def new_event(
        self, kind: Kind, point: str, active: bool, at_ns: int, /, *, source: str = "", name: str = "",
        fields: Mapping[str, object] | None = None, raw: bytes = b"", grade: int = 0,
    ) -> Event:  # fmt: skip
        return Event(
            id=f"{self.boot}-{next(self.ids)}", kind=kind, point=point, active=active, at=self.instant(at_ns),
            source=source, name=name, fields=fields or {}, raw=raw, grade=grade,
        )  # fmt: skip

    def say(self, kind: str, point: str = "p1/1", active: bool = True, **fields: object) -> list[Event]:
        grade = 1 if active and KINDS[Kind(kind)].sound is Sound.FIRE else 0
        self.last = self.new_event(
            Kind(kind),
            point,
            active,
            self.now_ns,
            source=point.partition("/")[0],
            name=f"at {point}",
            fields=fields,
            grade=grade,
        )
        return self.machine.feed(self.last, self.now_ns)

    def wait(self, seconds: float) -> list[Event]:
        end_ns, events = self.now_ns + round(seconds * S), []
        while (due_ns := self.machine.next_deadline_ns()) is not None and due_ns <= end_ns:
            self.now_ns = max(self.now_ns, due_ns)
            events += self.machine.tick(self.now_ns)
        self.now_ns = end_ns
        return events

    def ack(self, alarm: str | None = None) -> list[Event]:
        return self.machine.acknowledge(alarm, "duty", self.now_ns)

    def states(self) -> dict[str, str]:
        return {alarm.point: alarm.state.value for alarm in self.machine.alarms()}

    @property
    def buzzer(self) -> object:
        return self.machine.annunciation().buzzer

    @property
    def fire_lamp(self) -> object:
        return self.machine.annunciation().fire_lamp
