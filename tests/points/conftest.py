import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from drivers.messages import PointSpec
from edge_agent.config.model import Journal
from edge_agent.model import Clock, Event, Instant, Kind
from edge_agent.points.table import PointTable


def instant(at_ns: int) -> Instant:
    return Instant("boot1", at_ns, 1_700_000_000_000_000_000 + at_ns, Clock.SYNCED)


def event_maker() -> Callable[..., Event]:
    ids = itertools.count(1)

    def make(kind: Kind, point: str, active: bool, at_ns: int, /, **more: Any) -> Event:
        return Event(id=f"e{next(ids)}", kind=kind, point=point, active=active, at=instant(at_ns), **more)

    return make


@pytest.fixture
def new_event() -> Callable[..., Event]:
    return event_maker()


@pytest.fixture
def table(new_event: Callable[..., Event]) -> Callable[..., PointTable]:
    def make(specs: Any = (), points: Any = (), **more: Any) -> PointTable:
        more.setdefault("settings", Journal())
        return PointTable(specs, points, new_event=new_event, instant=instant, **more)

    return make


def make_table(specs: Sequence[PointSpec] = (), **more: Any) -> PointTable:
    """Without a fixture, for properties that need many."""
    return PointTable(specs, new_event=event_maker(), instant=instant, **more)
