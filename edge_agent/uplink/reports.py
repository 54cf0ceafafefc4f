"""What all destinations together mean for the core: a lamp goes steady when every mandatory centre has the alarm."""

from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Final

from buffer.records import Priority
from edge_agent.uplink.core_link import CoreLink

HALF_DELIVERED_MAX: Final = 4096  # events some mandatory centres have; a forgotten one is found again by looking back


class CoreReports:
    """`edge_agent.uplink.standing.Reports`, told on to the core."""

    def __init__(self, core: CoreLink, mandatory: Collection[str], *, check: str = "") -> None:
        """`mandatory`: ids of the destinations that count for the lamp; with none, any of them does. `check`: a name for the
        configuration this uplink runs on.
        """
        self._core, self._mandatory, self._check = core, frozenset(mandatory), check
        self._half: OrderedDict[str, set[str]] = OrderedDict()

    def confirm(self, destination: str, epoch: str, priority: Priority, through: int) -> None:
        """Every record of the stream through this one is confirmed."""
        self._core.confirm(destination, epoch, priority, through)

    def delivered(self, destination: str, event_ids: Iterable[str]) -> None:
        """A destination has these alarms. The core hears of those that all mandatory ones have."""
        if self._mandatory and destination not in self._mandatory:
            return
        whole = []
        for event_id in event_ids:
            have = self._half.setdefault(event_id, set())
            have.add(destination)
            if have >= self._mandatory:
                del self._half[event_id]
                whole.append(event_id)
        while len(self._half) > HALF_DELIVERED_MAX:
            self._half.popitem(last=False)
        self._core.delivered(whole)

    def uplink_state(self, destination: str, up: bool, reason: str, **detail: object) -> None:
        """The destination can or cannot be reached."""
        self._core.uplink_state(destination, up, reason, config=self._check, **detail)

    def fault(self, destination: str, what: str, **params: object) -> None:
        """Something a person has to look at although the link is up."""
        self._core.fault(destination, what, **params)
