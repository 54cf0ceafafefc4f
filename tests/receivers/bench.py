"""What receivers' tests stand on: a desk whose flash is the test's own, and a core with a receiver on a free port."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from drivers.messages import LinkState, Observation, PanelEvent, Reading
from drivers.receivers.desk import COPIES_MAX, Desk, Heard, Listed

S = 1_000_000_000
NOON = datetime(2026, 11, 26, 4, 0, 0, tzinfo=UTC)


class Bench:
    """A desk. `settle` is the flash saying that all so far is on it, or that it is not."""

    def __init__(self, *devices: Listed, copies: int = COPIES_MAX) -> None:
        self.seen: list[Observation] = []
        self.said: list[bytes] = []
        self.waiting: list[Callable[[bool], None]] = []
        self.bugs: list[Exception] = []
        listed = devices or (Listed(id="panel2", address="889", silence_s=90),)
        self.desk = Desk("net1", listed, self.waiting.append, copies=copies)
        self.desk.sink, self.desk.on_bug = self._sink, self.bugs.append

    def _sink(self, observations: Sequence[Observation]) -> None:
        self.seen += observations

    def take(self, heard: Sequence[Heard], at_ns: int = 0) -> None:
        self.desk.take(heard, self.said.append, at_ns)

    def settle(self, kept: bool = True) -> None:
        waiting = list(self.waiting)
        self.waiting.clear()
        for done in waiting:
            done(kept)

    def events(self, *, states: bool = False) -> list[tuple[str, str]]:
        """Point and event of what was told; without what only says how things stand."""
        events = [seen for seen in self.seen if isinstance(seen, PanelEvent) and (states or not seen.is_state)]
        return [(event.point, event.event) for event in events]

    def links(self) -> list[tuple[str, bool, str]]:
        return [(seen.source, seen.up, seen.reason) for seen in self.seen if isinstance(seen, LinkState)]

    def readings(self) -> dict[str, float | bool]:
        return {seen.point: seen.value for seen in self.seen if isinstance(seen, Reading)}
