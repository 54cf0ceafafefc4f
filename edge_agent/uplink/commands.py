"""Commands of one centre, whatever wire they came by: what is refused here, what the core is asked, what the uplink does itself."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from buffer.records import Priority
from edge_agent.commands import RULES, Answer, Refusal, Status, read_answer

log = logging.getLogger("edge.commands")

IN_HAND_MAX: Final = 8  # commands of one centre at once
DEADLINE_S: Final = 20.0  # for what the uplink does itself


class AskCore(Protocol):
    """`edge_agent.uplink.core_link.CoreLink.ask`."""

    async def __call__(self, do: str, **params: object) -> object:
        """The result of one request; None if the core is absent, slow or refuses."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a centre asks. `expires_wall_ns`: of no use after that, by a clock that is synchronised."""

    id: str
    name: str
    params: Mapping[str, object] = field(default_factory=dict)
    by: str = ""
    expires_wall_ns: int | None = None


class Channel(Protocol):
    """A connection by which parts of an update can be asked for."""

    def want(self, sha256: str, offset: int, length: int) -> bool:
        """Ask for one part; whether that could be said."""
        ...


class Deeds(Protocol):
    """What the uplink does for a command (edge_agent.uplink.destination.Destination)."""

    async def history(self, query: Mapping[str, object]) -> dict[str, object]:
        """Records of the journal, newest first: {records, next}."""
        ...

    def resend(self, epoch: str, priority: Priority, first: int, last: int) -> int:
        """Send a range again; return how many numbers of it are due by that."""
        ...

    async def say_state(self) -> None:
        """Send the present state again."""
        ...

    async def judge_config(self, params: Mapping[str, object]) -> dict[str, object]:
        """Whether a signed configuration may be taken: {serial}. Raise Refusal."""
        ...

    async def fetch_update(self, command: Command) -> dict[str, object]:
        """Take an offer of a bundle: {have, size}. Raise Refusal."""
        ...

    def update_part(self, name: bytes, data: bytes) -> None:
        """A part of it came."""
        ...


class CommandDesk:
    """Sessions of one destination hand their commands here. Nothing of it raises but cancellation."""

    def __init__(self, destination: str, ask: AskCore, deeds: Deeds) -> None:
        self._destination, self._deeds = destination, deeds
        self.ask, self.history = ask, deeds.history  # for what a centre reads by its protocol's own means
        self._in_hand = 0
        self.channel: Channel | None = None  # of the session that is open, if it may carry updates
        self.update_part = deeds.update_part
        self._deeds_of: dict[str, Callable[[Command], Awaitable[dict[str, object]]]] = {
            "history": lambda command: deeds.history(command.params),
            "resend": self._resend,
            "initialise": self._initialise,
            "apply_config": lambda command: deeds.judge_config(command.params),
            "update": deeds.fetch_update,
        }

    async def run(self, command: Command) -> Answer:
        """Carry a command out, and return what the centre is to hear."""
        if self._in_hand >= IN_HAND_MAX:
            return await self.refuse("busy", command_id=command.id, name=command.name)
        self._in_hand += 1
        try:
            return await self._run(command)
        finally:
            self._in_hand -= 1

    async def refuse(self, code: str, *, command_id: str = "", name: str = "", detail: str = "") -> Answer:
        """Refuse what never got as far as the core (retained, malformed, too large), and have it written down there."""
        await self.ask(
            "command_refused", dest=self._destination, command=command_id, name=name, code=code, detail=detail
        )
        return Answer(Status.REFUSED, {"detail": detail} if detail else {}, code)

    async def _run(self, command: Command) -> Answer:
        said = await self.ask(
            "command",
            dest=self._destination,
            command=command.id,
            name=command.name,
            params=dict(command.params),
            by=command.by,
            expires_wall_ns=command.expires_wall_ns,
        )
        if not isinstance(said, dict):
            return Answer(Status.FAILED, {}, "core_absent")
        if said.get("status") != "accepted":
            return read_answer(said) or Answer(Status.FAILED, {}, "bug")
        answer = await self._do(command)
        audit = {key: value for key, value in answer.result.items() if key != "records"}
        if isinstance(records := answer.result.get("records"), list):
            audit["records"] = len(records)
        done = await self.ask(
            "command_done",
            dest=self._destination,
            command=command.id,
            status=answer.status.value,
            result=audit,
            code=answer.code,
        )
        if done is None:
            log.warning(
                "dest=%s command=%s done, and the core was not there to write it down", self._destination, command.id
            )
        if RULES[command.name].last_word:
            said = read_answer(done) if isinstance(done, dict) else None
            return said or Answer(Status.FAILED, {}, "core_absent")
        return answer

    async def _do(self, command: Command) -> Answer:
        try:
            async with asyncio.timeout(DEADLINE_S):
                return Answer(Status.DONE, await self._deeds_of[command.name](command))
        except Refusal as refusal:
            return Answer(Status.REFUSED, refusal.detail, refusal.code)
        except TimeoutError:
            return Answer(Status.FAILED, {}, "slow")
        except Exception as bug:  # whoever gave the command is told, and the line it came by goes on
            log.exception("command=%s", command.name)
            return Answer(Status.FAILED, {"detail": ascii(bug)[:200]}, "bug")

    async def _resend(self, command: Command) -> dict[str, object]:
        params = command.params
        first, last = int(str(params["first"])), int(str(params["last"]))
        if first > last:
            raise Refusal("malformed", detail="first is above last")
        priority = Priority[str(params["stream"]).upper()]
        return {"due": self._deeds.resend(str(params["epoch"]), priority, first, last)}

    async def _initialise(self, command: Command) -> dict[str, object]:
        await self._deeds.say_state()
        return {}
