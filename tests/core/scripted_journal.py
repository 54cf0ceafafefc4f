"""A keeper over a journal that settles what it was handed when the test says so."""

import asyncio
import json
from collections.abc import Callable, Mapping

from buffer.journal import Ticket
from buffer.records import Priority
from edge_agent.keeper import Keeper
from edge_agent.model import Clock, Event, Instant, Kind


class ScriptedJournal:
    """Settles tickets when told to, as the writer thread would."""

    def __init__(self) -> None:
        self.tickets: list[tuple[Ticket, Callable[[Ticket], None]]] = []
        self.count = 0
        self.at_once = False  # a card so fast that the loop has not moved on

    def append(
        self,
        priority: Priority,
        body: bytes,
        state: Mapping[str, bytes | None] | None = None,
        on_durable: Callable[[Ticket], None] | None = None,
        stops: int | None = None,
    ) -> Ticket:
        ticket = Ticket(priority, body, 0, state, on_durable)
        if on_durable is not None:
            self.tickets.append((ticket, on_durable))
        if self.at_once:
            self.settle()
        return ticket

    def waiting(self) -> list[str]:
        return [json.loads(ticket.body)["id"] for ticket, _ in self.tickets]

    def settle(self, error: str = "") -> None:
        tickets, self.tickets = self.tickets, []
        for ticket, on_durable in tickets:
            if error:
                ticket.error = error
            else:
                self.count += 1
                ticket.give("v-1", self.count)
            on_durable(ticket)


def event(number: int, kind: Kind = Kind.FIRE) -> Event:
    at = Instant("boot", number, number, Clock.SYNCED)
    return Event(id=f"e-{number}", kind=kind, point="p", active=True, at=at)


class Site:
    """The keeper, its journal, and what it pushed to the uplink."""

    def __init__(self, mandatory: tuple[str, ...] = ("county",)) -> None:
        self.journal = ScriptedJournal()
        self.pushed: list[tuple[str, dict[str, object]]] = []
        self.keeper = Keeper(
            self.journal,
            push=lambda what, message: self.pushed.append((what, dict(message))),
            memory_epoch="mem-1",
            mandatory=mandatory,
        )

    def records(self) -> list[tuple[object, object]]:
        return [(m["epoch"], m["n"]) for what, m in self.pushed if what == "journal"]


async def turn() -> None:
    """Let the loop carry what the journal has settled back to the keeper."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
