"""What the core answers on its local API. Shapes: docs/architecture.md. Nothing here waits or reads a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from buffer.records import Priority
from drivers.panel_clock import present
from edge_agent import __version__
from edge_agent.alarm.duty import OPERATOR_MAX
from edge_agent.china_time import CHINA
from edge_agent.discipline import OFFERED
from edge_agent.local_api import ApiError, Handler, Peer
from edge_agent.modem_power import OUTPUT
from edge_agent.patrol.patrol import LEARN_MAX_S

if TYPE_CHECKING:
    from edge_agent.core import Core

Request = Mapping[str, object]


class Answers:
    """The handlers of one core."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._uplinks: dict[str, dict[str, object]] = {
            uplink.id: {"id": uplink.id, "up": None, "reason": "starting", "confirmed": {}, "pending": {}}
            for uplink in core.config.uplinks
        }

        self._links: dict[str, dict[str, object]] = {
            link.id: {"id": link.id, "kind": link.kind, "up": None, "reason": "starting"} for link in core.config.links
        }

    def handlers(self) -> dict[str, Handler]:
        """Request name -> handler."""
        core = self._core
        return {
            "status": self._status,
            "points": lambda request, peer: core.points.rows(),
            "alarms": lambda request, peer: core.alarm_rows(),
            "refused": lambda request, peer: refused(core),
            "facility": lambda request, peer: facility(core),
            "config": lambda request, peer: {"check": core.trial.check},
            "unlisted": lambda request, peer: unlisted(core),
            "undelivered": lambda request, peer: core.alarms.undelivered(),
            "ack": self._ack,
            "silence": self._silence,
            "time": self._time,
            "time_offer": self._time_offer,
            "duty": lambda request, peer: [check.as_dict(core.now_ns()) for check in core.duty.checks()],
            "duty_answer": self._duty_answer,
            "patrol": lambda request, peer: core.patrols.as_dict(core.clock.now()),
            "patrol_learn": self._patrol_learn,
            "patrol_forget": self._patrol_forget,
            "media": lambda request, peer: core.media.take(request),
            "camera_state": self._camera_state,
            "linkage": lambda request, peer: linkage_rows(core),
            "linkage_order": self._linkage_order,
            "node_updates": lambda request, peer: core.nodes.rows(),
            "node_offer": lambda request, peer: core.nodes.offer(str(request.get("device")), f"cli:{peer.label}"),
            "node_withdraw": self._node_withdraw,
            "confirm": self._confirm,
            "delivered": self._delivered,
            "uplink_state": self._uplink_state,
            "uplink_fault": self._uplink_fault,
            "link_state": self._link_state,
            "modem_power": self._modem_power,
            "update_told": core.update.told,
            "alive": lambda request, peer: {},
        }

    def _status(self, request: Request, peer: Peer) -> object:
        core = self._core
        now = core.clock.now()
        alarms = core.alarms.alarms()
        first = core.alarms.first_fire()
        first = replace(first, at=core.clock.restamp(first.at)) if first else None
        return {
            "gateway": core.config.gateway.id,
            "name": core.config.gateway.name,
            "version": __version__,
            "boot": now.boot_id,
            "started_wall_ns": core.started.wall_ns,
            "uptime_s": round((now.mono_ns - core.started.mono_ns) / 1e9, 1),
            "clock": now.clock.value,
            "clock_source": core.clock.source,
            "wall_ns": now.wall_ns,
            "outputs": core.annunciator.levels() | ({OUTPUT: True} if core.modem_power.off else {}),
            "config": core.provenance.stands_in,
            "config_sent": core.trial.as_dict(),
            "update": core.update.as_dict(),
            "board": {"code": fault.code, "params": fault.params} if (fault := core.faults.board_fault) else None,
            "loop_lag_ms": round(core.lag.take_worst_s() * 1000, 2),
            "stuck": core.supervisor.stuck(),
            "points": core.points.counts(),
            "alarms": {
                "active": sum(alarm.active for alarm in alarms),
                "unacknowledged": sum(not alarm.acknowledged for alarm in alarms),
                "silenced": core.alarms.silenced,
                "first_fire": first.as_dict() if first else None,
            },
            "duty": [check.as_dict(core.now_ns()) for check in core.duty.checks()],
            "patrol": core.patrols.as_dict(now)["rounds"],
            "media": dict(core.media.counts),
            "linkage": linkage_rows(core),
            "sources": core.sources(),
            "journal": core.journal.stats(),
            "uplinks": list(self._uplinks.values()),
            "links": list(self._links.values()),
            "memory_alarms": core.keeper.memory_alarms,
        }

    def _ack(self, request: Request, peer: Peer) -> object:
        alarm = request.get("alarm")
        if alarm is not None and not isinstance(alarm, str):
            raise ApiError("bad_request", detail="alarm")
        if alarm is not None and all(known.id != alarm for known in self._core.alarms.alarms()):
            raise ApiError("no_such_alarm", alarm=alarm[:80])
        return {"acknowledged": self._core.people.acknowledge(alarm, f"cli:{peer.label}")}

    def _silence(self, request: Request, peer: Peer) -> object:
        return {"silenced": self._core.people.silence(f"cli:{peer.label}")}

    def _time(self, request: Request, peer: Peer) -> object:
        clock = self._core.clock
        if request.get("kernel_synced") is True:
            clock.vouch()
        now = clock.now()
        return {
            "boot": now.boot_id,
            "mono_ns": now.mono_ns,
            "wall_ns": now.wall_ns,
            "offset_ns": now.wall_ns - now.mono_ns,
            "clock": now.clock.value,
            "source": clock.source,
            "boots": clock.boots.pieces(),
        }

    def _time_offer(self, request: Request, peer: Peer) -> object:
        source = str(request["source"])
        if source not in OFFERED:
            raise ApiError("bad_request", detail="source")
        numbers = [request[name] for name in ("wall_ns", "at_mono_ns", "uncertainty_ns")]
        if any(type(number) is not int for number in numbers):
            raise ApiError("bad_request", detail="wall_ns, at_mono_ns, uncertainty_ns")
        verdict = self._core.clock.offer(source, *map(int, map(str, numbers)))
        self._core.tell_clock()
        return {"taken": verdict.taken, "code": verdict.code, "difference_ns": verdict.difference_ns}

    def _duty_answer(self, request: Request, peer: Peer) -> object:
        operator = request.get("operator", 0)
        if type(operator) is not int or not 0 <= operator <= OPERATOR_MAX:
            raise ApiError("bad_request", detail="operator")
        return {"answered": self._core.people.answer_duty(operator, f"cli:{peer.label}")}

    def _patrol_learn(self, request: Request, peer: Peer) -> object:
        point, seconds = self._patrol_point(request), request.get("seconds", 60)
        if type(seconds) is not int or not 1 <= seconds <= LEARN_MAX_S:
            raise ApiError("bad_request", detail="seconds")
        if not self._core.config.tag_readers:
            raise ApiError("no_tag_reader")
        self._core.patrols.learn(point, seconds, f"cli:{peer.label}", self._core.now_ns())
        return {}

    def _patrol_forget(self, request: Request, peer: Peer) -> object:
        return {"forgotten": self._core.people.forget_tag(self._patrol_point(request), f"cli:{peer.label}")}

    def _patrol_point(self, request: Request) -> str:
        point, tags = str(request.get("point", ""))[:40], self._core.patrols.tags
        if point not in tags.points:
            raise ApiError("no_such_patrol_point", point=point)
        if tags.is_fixed(point):
            raise ApiError("tag_in_config", point=point)
        return point

    def _camera_state(self, request: Request, peer: Peer) -> object:
        camera, up, off_ms = str(request["camera"]), request.get("up"), request.get("clock_off_ms")
        if all(known.id != camera for known in self._core.config.cameras):
            raise ApiError("no_such_camera", camera=camera[:40])
        if type(up) is not bool or not (off_ms is None or type(off_ms) is int):
            raise ApiError("bad_request", detail="up, clock_off_ms")
        before = str(request.get("before", ""))[:40]
        self._core.neighbours.camera_state(camera, up, str(request.get("reason", ""))[:40], off_ms, before)
        return {}

    def _linkage_order(self, request: Request, peer: Peer) -> object:
        return self._core.people.order_linkage(
            str(request.get("output")), str(request.get("order")), f"cli:{peer.label}"
        )

    def _node_withdraw(self, request: Request, peer: Peer) -> object:
        return {"withdrawn": self._core.nodes.withdraw(str(request.get("device")), f"cli:{peer.label}")}

    def _confirm(self, request: Request, peer: Peer) -> object:
        destination, epoch = str(request["dest"]), str(request["epoch"])
        priority, through = Priority[str(request["stream"]).upper()], int(str(request["through"]))
        uplink = self._known(destination)
        if epoch == self._core.keeper.memory_epoch:
            self._core.keeper.confirm(destination, through)
        else:
            self._core.journal.confirm(destination, epoch, priority, through)
        confirmed = uplink["confirmed"]
        assert isinstance(confirmed, dict)
        confirmed[priority.stream] = {"epoch": epoch, "through": through}
        return {}

    def _delivered(self, request: Request, peer: Peer) -> object:
        ids = request.get("ids")
        if not isinstance(ids, list):
            raise ApiError("bad_request", detail="ids")
        self._core.neighbours.delivered([str(event_id) for event_id in ids])
        return {}

    def _uplink_state(self, request: Request, peer: Peer) -> object:
        destination, up = str(request["dest"]), bool(request["up"])
        uplink = self._known(destination)
        reason = str(request.get("reason", ""))[:80]
        uplink.update(up=up, reason=reason, at_wall_ns=self._core.clock.now().wall_ns)
        if isinstance(pending := request.get("pending"), dict):
            uplink["pending"] = pending
        self._core.neighbours.uplink_state(destination, up, reason)
        self._core.trial.uplink_says(destination, up, reason, request.get("config"))
        return {}

    def _uplink_fault(self, request: Request, peer: Peer) -> object:
        params = {key: str(value)[:200] for key, value in request.items() if key not in ("id", "do", "dest", "code")}
        self._core.neighbours.uplink_fault(str(request.get("dest", ""))[:40], str(request["code"])[:40], params)
        return {}

    def _link_state(self, request: Request, peer: Peer) -> object:
        name = str(request["link"])
        link = self._links.get(name)
        if link is None:
            raise ApiError("no_such_link", link=name[:40])
        up, reason = request.get("up"), str(request.get("reason", ""))[:80]
        link.update(up=up, reason=reason)
        link.update(
            {key: request[key] for key in ("used_by", "bytes", "monthly_mb", "month", "modem") if key in request}
        )
        if isinstance(up, bool):
            self._core.neighbours.link_state(name, up, reason)
        return {}

    def _modem_power(self, request: Request, peer: Peer) -> object:
        """The uplink's last means against a wedged modem."""
        link = str(request.get("link", ""))[:40]
        return {"pulse_s": self._core.neighbours.cycle_modem(link, f"uplink:{peer.label}")}

    def _known(self, destination: str) -> dict[str, object]:
        uplink = self._uplinks.get(destination)
        if uplink is None:
            raise ApiError("no_such_uplink", dest=destination[:40])
        return uplink


def linkage_rows(core: Core) -> list[dict[str, object]]:
    """The outputs that follow alarms, as they are now."""
    lines = core.linkage
    return [output.as_dict() for output in lines.linkage.outputs.values()] if lines is not None else []


def refused(core: Core) -> list[dict[str, object]]:
    """The last bytes each panel said that are no frame or cannot be trusted, oldest first: kept for whoever looks into it."""
    return [
        {"source": driver.id, "at_ns": kept.at_ns, "why": kept.why, "raw": kept.raw.hex(" ")}
        for driver in core.drivers
        for kept in getattr(driver, "refused", tuple)()
    ]


def facility(core: Core) -> list[dict[str, object]]:
    """What panels and devices told of themselves: their clock as it is now (China time), the version of their software."""
    utc, now_ns = core.utc(), core.now_ns()
    ours = utc.astimezone(CHINA).replace(tzinfo=None) if utc is not None else None
    return [
        {
            "id": about.source,
            "time": time.isoformat(timespec="seconds") if (time := present(about.timed, now_ns, ours)) else None,
            "version": about.version,
        }
        for driver in core.drivers
        for about in getattr(driver, "about", tuple)()
    ]


def unlisted(core: Core) -> list[dict[str, object]]:
    """Devices that speak on a wire of ours and are in no configuration, the oldest of each driver first."""
    return [
        {
            "source": driver.id,
            "device": found.device,
            "topic": found.topic,
            "profiles": found.profiles,
            "alarm": found.alarm,
            "count": found.count,
            "first_ns": found.first_ns,
            "last_ns": found.last_ns,
            "sample": found.sample.decode("utf-8", "replace"),
        }
        for driver in core.drivers
        for found in getattr(driver, "unlisted", tuple)()
    ]
