"""Carries out what centres ask: judges, acts, audits, and gives a repeat the answer it had. Shapes: docs/architecture.md.

The event that audits a command is handed to the journal before the events of what it did, together with the answer: after a power
cut in between a repeat is answered, and nothing is done twice.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edge_agent import __version__
from edge_agent.alarm.buzzer_test import DEFAULT_S
from edge_agent.commands import (
    ID,
    RULES,
    Answer,
    Book,
    Meter,
    Refusal,
    Status,
    audited,
    cameras_asked,
    check_params,
)
from edge_agent.local_api import ApiError, Handler, Peer
from edge_agent.model import Kind
from edge_agent.sent_config import Letter
from edge_agent.sources import uplink_source

if TYPE_CHECKING:
    from buffer.records import Name
    from edge_agent.core import Core

log = logging.getLogger("edge.commands")

KEPT_S: Final = (
    3.0  # an answer waits this long for its event to be durable, and is given all the same on a dying medium
)
ACCEPTED_MAX: Final = 64  # given to the uplink and not yet heard of again
STATE_ALARMS_MAX: Final = 64
BURST, PERIOD_S = 20, 5.0  # commands of one destination
REFUSED_BURST, REFUSED_PERIOD_S = 20, 60.0  # refusals that are written down one by one; the rest is counted

Request = Mapping[str, object]
Params = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Asked:
    """One command of a known destination."""

    destination: str
    id: str
    name: str
    params: Params
    by: str = ""

    @property
    def who(self) -> str:
        """For the events of what it does."""
        return f"{uplink_source(self.destination)}:{self.by}" if self.by else uplink_source(self.destination)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command comes to: the answer, and what is done once that is in the journal's hands."""

    result: Mapping[str, object]
    act: Callable[[], object] = lambda: None


class Commander:
    """One for the core."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._loop = asyncio.get_running_loop()
        self._allowed = {uplink.id: frozenset(uplink.commands) for uplink in core.config.uplinks}
        self.book = Book()
        self._meters = {uplink.id: Meter(BURST, PERIOD_S) for uplink in core.config.uplinks}
        self._refusals = Meter(REFUSED_BURST, REFUSED_PERIOD_S)
        self._unwritten = 0  # refusals since the last one that was written down
        self._in_hand: dict[tuple[str, str], asyncio.Future[object]] = {}
        self._accepted: OrderedDict[tuple[str, str], Asked] = OrderedDict()
        self._plans: dict[str, Callable[[Asked], Plan]] = {
            "read_state": self._read_state,
            "duty_check": self._duty_check,
            "set_clock": self._set_clock,
            "acknowledge": self._acknowledge,
            "silence": self._silence,
            "test_buzzer": self._test_buzzer,
            "snapshot": self._snapshot,
        }

    def handlers(self) -> dict[str, Handler]:
        """Request name -> handler."""
        return {"command": self._command, "command_done": self._done, "command_refused": self._refused}

    # --- from the uplink ------------------------------------------------------------------------------------------------

    def _command(self, request: Request, peer: Peer) -> object:
        """A command of a centre. Result {status, result, code, repeat?}; by "accepted" the uplink is to do it and to say so."""
        asked = self._asked(request)
        try:
            asked = Asked(asked.destination, asked.id, asked.name, self._judge(asked), asked.by)
            if (future := self._in_hand.get((asked.destination, asked.id))) is not None:
                return future  # asked again before it was answered
            if (answer := self.book.find(asked.destination, asked.id, asked.name, asked.params)) is not None:
                return answer.as_dict()
            self._may_still(request, asked)
            if RULES[asked.name].by_uplink:
                self._accepted[asked.destination, asked.id] = asked
                while len(self._accepted) > ACCEPTED_MAX:
                    self._accepted.popitem(last=False)
                return {"status": "accepted", "result": {}, "code": ""}
        except Refusal as refusal:
            return self._refuse(asked, refusal.code, refusal.detail).as_dict()
        try:
            plan = self._plans[asked.name](asked)
        except Refusal as refusal:  # kept too: a time that needs a second sample must not be its own second
            return self._finish(asked, Answer(Status.REFUSED, refusal.detail, refusal.code))
        return self._finish(asked, Answer(Status.DONE, plan.result), plan.act)

    def _done(self, request: Request, peer: Peer) -> object:
        """What the uplink made of a command it was to carry out. Its own result is for the centre; `audit` is for the journal."""
        key = str(request["dest"]), str(request["command"])
        if key in self._accepted and RULES[self._accepted[key].name].last_word and not peer.is_service:
            raise ApiError("bad_request", detail="not the uplink")  # who may look may not say that a signature is good
        asked = self._accepted.pop(key, None)
        if asked is None:
            return {}  # told twice, or this core was restarted meanwhile: then a repeat is carried out again, which harms nothing
        result = request.get("result")
        answer = Answer(
            Status(str(request["status"])),
            result if isinstance(result, dict) else {},
            str(request.get("code", ""))[:40],
        )
        if RULES[asked.name].last_word and answer.status is Status.DONE:
            return self._loop.create_task(self._take_config(asked, answer), name="take-config")
        return self._finish(asked, answer)

    async def _take_config(self, asked: Asked, judged: Answer) -> object:
        """A configuration the uplink found sound: the answer is what becomes of it here."""
        serial = judged.result.get("serial")
        if type(serial) is not int:
            return Answer(Status.FAILED, {}, "bug").as_dict()
        signed, signature = str(asked.params["signed"]), str(asked.params["signature"])
        at_ns = self._core.clock.now().wall_ns
        answer = await self._core.trial.take(Letter(asked.destination, serial, asked.id, signed, signature, at_ns))
        finished = self._finish(asked, answer)
        return await finished if isinstance(finished, asyncio.Future) else finished

    def _refused(self, request: Request, peer: Peer) -> object:
        """What the uplink refused by itself: retained, malformed, too large."""
        detail = {"detail": str(request["detail"])[:200]} if request.get("detail") else {}
        return self._refuse(self._asked(request), str(request["code"])[:40], detail).as_dict()

    def _asked(self, request: Request) -> Asked:
        destination = str(request.get("dest", ""))
        if destination not in self._allowed:
            raise ApiError("no_such_uplink", dest=destination[:40])
        params = request.get("params")
        return Asked(
            destination,
            str(request.get("command", ""))[:64],
            str(request.get("name", ""))[:40],
            params if isinstance(params, dict) else {},
            str(request.get("by", ""))[:64],
        )

    # --- judging --------------------------------------------------------------------------------------------------------

    def _judge(self, asked: Asked) -> dict[str, object]:
        """The parameters of a command that may be asked. Raise Refusal."""
        if not ID.fullmatch(asked.id):
            raise Refusal("malformed", detail="id")
        if asked.name not in RULES:
            raise Refusal("unknown_command", known=sorted(RULES))
        if asked.name not in self._allowed[asked.destination]:
            raise Refusal("not_authorised")
        return check_params(asked.name, asked.params)

    def _may_still(self, request: Request, asked: Asked) -> None:
        """Raise Refusal if it comes too late, or as one of too many."""
        expires_ns = request.get("expires_wall_ns")
        if type(expires_ns) is int:
            now = self._core.clock.now()
            if now.clock.value == "synced" and now.wall_ns > expires_ns:
                raise Refusal("expired", late_s=round((now.wall_ns - expires_ns) / 1e9, 1))
        if not self._meters[asked.destination].take(self._loop.time()):
            raise Refusal("busy")

    def _refuse(self, asked: Asked, code: str, detail: Params) -> Answer:
        """Write a refusal down. Of a flood only some are; the next one that is says how many were not."""
        answer = Answer(Status.REFUSED, detail, code)
        log.warning(
            "refused dest=%s id=%s name=%s code=%s", asked.destination, ascii(asked.id), ascii(asked.name), code
        )
        if self._refusals.take(self._loop.time()):
            unwritten, self._unwritten = self._unwritten, 0
            self._audit(asked, answer, {"unwritten": unwritten} if unwritten else {})
        else:
            self._unwritten += 1
        return answer

    # --- doing ----------------------------------------------------------------------------------------------------------

    def _finish(self, asked: Asked, answer: Answer, act: Callable[[], object] = lambda: None) -> object:
        """Journal the answer, act, and give the answer once it is kept."""
        acts = RULES[asked.name].acts
        if acts and answer.status is not Status.FAILED:
            self.book.put(asked.destination, asked.id, asked.name, asked.params, answer)
        event_id = self._audit(asked, answer, {})
        act()
        if not acts:
            return answer.as_dict()
        key = asked.destination, asked.id
        future = self._in_hand[key] = self._loop.create_future()

        def give(name: Name | None) -> None:
            if not future.done():
                del self._in_hand[key]
                future.set_result(answer.as_dict())

        self._core.keeper.when_settled(event_id, give)
        self._loop.call_later(KEPT_S, give, None)
        return future

    def _audit(self, asked: Asked, answer: Answer, more: Params) -> str:
        fields: dict[str, object] = {
            "dest": asked.destination,
            "command": asked.id,
            "params": audited(asked.name, asked.params),
            "status": answer.status.value,
            "result": _brief(answer.result),
            **more,
        }
        fields |= {key: value for key, value in (("by", asked.by), ("code", answer.code)) if value}
        point = f"command/{asked.name if asked.name in RULES else 'unknown'}"
        return self._core.tell(Kind.COMMAND, point, fields, self.book.dump())

    # --- the commands of the core ---------------------------------------------------------------------------------------

    def _read_state(self, asked: Asked) -> Plan:
        core = self._core
        now = core.clock.now()
        return Plan(
            {
                "wall_ns": now.wall_ns,
                "clock": now.clock.value,
                "uptime_s": round((now.mono_ns - core.started.mono_ns) / 1e9, 1),
                "points": core.points.counts(),
                "alarms": list(itertools.islice(core.alarm_rows(), STATE_ALARMS_MAX)),
                "alarms_total": len(core.alarms.alarms()),
                "down": [str(source["id"]) for source in core.sources() if source["up"] is False][:STATE_ALARMS_MAX],
                "outputs": core.annunciator.levels(),
                "config": {"check": core.trial.check, "sent": core.trial.as_dict()},
                "version": __version__,
                "update": core.update.as_dict(),
                "duty": [check.as_dict(core.now_ns()) for check in core.duty.checks()],
            }
        )

    def _duty_check(self, asked: Asked) -> Plan:
        minutes = int(str(asked.params["minutes"]))
        if not self._core.duty.room(asked.destination):
            raise Refusal("busy")
        return Plan({"minutes": minutes}, lambda: self._core.people.ask_duty(asked.destination, asked.id, minutes))

    def _set_clock(self, asked: Asked) -> Plan:
        """A centre's time moves the label within bounds (edge_agent/discipline.py); a refusal says by how much it differs."""
        core = self._core
        uncertainty_ns = int(str(asked.params.get("uncertainty_ms", 1000))) * 1_000_000
        verdict = core.clock.offer("centre", int(str(asked.params["wall_ns"])), core.now_ns(), uncertainty_ns)
        said: dict[str, object] = {"difference_ms": verdict.difference_ns // 1_000_000}
        if not verdict.taken:
            raise Refusal(f"clock_{verdict.code}", **said)
        return Plan({"how": verdict.code, **said}, core.tell_clock)

    def _acknowledge(self, asked: Asked) -> Plan:
        core, alarm_id = self._core, asked.params.get("alarm")
        unseen = [alarm.id for alarm in core.alarms.alarms() if not alarm.acknowledged]
        if alarm_id is None:
            return Plan({"acknowledged": len(unseen)}, lambda: core.people.acknowledge(None, asked.who))
        number = str(alarm_id)
        if all(alarm.id != number for alarm in core.alarms.alarms()):
            raise Refusal("no_such_alarm")
        return Plan({"acknowledged": int(number in unseen)}, lambda: core.people.acknowledge(number, asked.who))

    def _silence(self, asked: Asked) -> Plan:
        return Plan({"silenced": int(self._core.people.sounding)}, lambda: self._core.people.silence(asked.who))

    def _test_buzzer(self, asked: Asked) -> Plan:
        seconds = int(str(asked.params.get("seconds", DEFAULT_S)))
        return Plan({"seconds": seconds}, lambda: self._core.people.test_buzzer(seconds, asked.who))

    def _snapshot(self, asked: Asked) -> Plan:
        """Nothing is left to do here: the process of the cameras takes the pictures when it hears of the event of this."""
        core = self._core
        cameras = [camera.id for camera in core.config.cameras]
        if not cameras:
            raise Refusal("no_cameras")
        if not (found := cameras_asked(cameras, asked.params)):
            raise Refusal("no_such_camera")
        if core.is_up("cameras") is False or not core.server.watched("camera"):
            raise Refusal("cameras_absent")
        if not core.media.has_room_for_commands(len(found)):
            raise Refusal("media_day")
        return Plan({"cameras": len(found), "cameras_total": len(cameras)})


def _brief(result: Params) -> dict[str, object]:
    """The part of a result the audit keeps: numbers and short words, no lists of alarms."""
    return {
        key: value
        for key, value in result.items()
        if isinstance(value, int | float | bool) or (isinstance(value, str) and len(value) <= 80)
    }
