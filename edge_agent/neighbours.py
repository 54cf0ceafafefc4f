"""What the processes beside the core tell it: the uplink of centres, links and modems, the cameras of their pictures."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from drivers.messages import LinkState
from edge_agent.local_api import ApiError
from edge_agent.model import Kind
from edge_agent.sources import camera_source, link_source, uplink_source

if TYPE_CHECKING:
    from edge_agent.core import Core

log = logging.getLogger("edge.core")

CAMERA_CLOCK_MS: Final = 60_000


class Neighbours:
    """The neighbours of one core. Each word becomes an event, or the end of a wait."""

    def __init__(self, core: Core) -> None:
        self._core = core

    # --- the uplink -----------------------------------------------------------------------------------------------------

    def delivered(self, event_ids: Sequence[str]) -> None:
        """Mandatory centres have these events: the lamp goes from flashing to steady."""
        core = self._core
        now_ns = core.now_ns()
        for event_id in event_ids:
            core.alarms.delivered(event_id, now_ns)
        core.finish([([], core.alarms.dump())], now_ns)

    def uplink_state(self, destination: str, up: bool, reason: str) -> None:
        """Whether a centre can be reached."""
        self._core.take([LinkState(uplink_source(destination), up, self._core.now_ns(), reason)])

    def link_state(self, link: str, up: bool, reason: str) -> None:
        """Whether a centre answers over a way out of this box."""
        self._core.take([LinkState(link_source(link), up, self._core.now_ns(), reason)])

    def uplink_fault(self, destination: str, code: str, params: Mapping[str, object]) -> None:
        """Something a person has to look at although the link is up."""
        point = uplink_source(destination) if destination else "uplink"
        self._core.once(Kind.FAULT, f"{point}/{code}", {"code": code, **params})

    def cycle_modem(self, link: str, who: str) -> float:
        """Cut the modem's power for a moment; return for how many seconds. Raise ApiError. Every pulse is in the records."""
        power = self._core.modem_power
        try:
            power.cycle()
        except ApiError as refused:
            log.warning("modem_power link=%s refused code=%s", ascii(link), refused.code)
            raise
        self.modem_power_done("started", link=link, who=who)
        return power.pulse_s

    def modem_power_done(self, result: str, **more: object) -> None:
        """How a pulse began or ended, for the records."""
        self._core.tell(Kind.COMMAND, "command/modem_power", {"status": result, **more}, {})

    # --- the cameras ----------------------------------------------------------------------------------------------------

    def camera_state(self, camera: str, up: bool, reason: str, clock_off_ms: int | None, before: str = "") -> None:
        """Whether a camera answers, how far its clock is off (a picture of another time proves nothing), and why it gives nothing
        from before an alarm ("": it does, or need not).
        """
        core, source = self._core, camera_source(camera)
        core.take([LinkState(source, up, core.now_ns(), reason)])
        if not up:
            return
        off = clock_off_ms is not None and abs(clock_off_ms) > CAMERA_CLOCK_MS
        stands = {alarm.point for alarm in core.alarms.alarms() if alarm.active}  # also what stood before a restart
        for point, wrong, fields in (
            (f"{source}/clock", off, {"reason": "clock_off", "off_ms": clock_off_ms}),
            (f"{source}/before", bool(before), {"reason": before}),
        ):
            if wrong != (point in stands):
                core.own_event(Kind.FAULT, point, wrong, fields)
