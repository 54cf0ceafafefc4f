"""What the core hears of one centre: whether it can be reached, why not, and how much waits for it."""

import logging
from collections.abc import Mapping
from typing import Final, Protocol

from buffer.records import Priority
from edge_agent.uplink.link import LinkError

log = logging.getLogger("edge.uplink")

SENT_SILENT_CODES: Final = frozenset(
    {"centre_silent", "half_open", "denied", "centre_denies", "unconfirmed", "no_keepalive"}
)  # a connection alone does not disprove these


class Reports(Protocol):
    """What the core hears (edge_agent.uplink.core_link.CoreLink)."""

    def confirm(self, destination: str, epoch: str, priority: Priority, through: int) -> None:
        """Every record of the stream through this one is confirmed."""
        ...

    def delivered(self, destination: str, event_ids: list[str]) -> None:
        """These alarms are confirmed."""
        ...

    def uplink_state(self, destination: str, up: bool, reason: str, **detail: object) -> None:
        """The destination can or cannot be reached."""
        ...

    def fault(self, destination: str, what: str, **params: object) -> None:
        """Something a person has to look at although the link is up."""
        ...


class Standing:
    """Each change is told once; that there is still a connection is no news to what was confirmed over one."""

    def __init__(self, destination: str, reports: Reports) -> None:
        self._id, self._reports = destination, reports
        self.up: bool | None = None  # None: nothing is known yet
        self.reason = ""
        self._detail: dict[str, object] = {}
        self._pending: Mapping[str, int] = {}

    def say(self, up: bool, reason: str, **detail: object) -> None:
        """It can, or cannot, be reached."""
        if up and self.up and (self.reason == "confirmed" or reason == self.reason == "connected"):
            return
        if (up, reason) != (self.up, self.reason):
            level = logging.INFO if up else logging.WARNING
            log.log(level, "dest=%s up=%s reason=%s %s", self._id, up, reason, detail or "")
            self._reports.uplink_state(self._id, up, reason, **detail)
        self.up, self.reason, self._detail = up, reason, detail

    def down(self, fault: LinkError) -> None:
        """A connection failed, or ended."""
        self.say(False, fault.reason, detail=fault.detail)

    def connected(self) -> None:
        """There is a connection."""
        if self.reason not in SENT_SILENT_CODES:
            self.say(True, "connected")

    def alive(self) -> None:
        """The centre answers, and has not said no to every record."""
        if self.reason != "centre_denies":
            self.say(True, "confirmed")

    def waits(self, pending: Mapping[str, int]) -> None:
        """So much waits of each stream."""
        if self.up is not None and pending != self._pending:
            self._pending = pending
            self._reports.uplink_state(self._id, self.up, self.reason, **self._detail, pending=pending)
