"""The keeper and a real journal over a card that comes and goes, at random: what of each run must hold.

The writer's turns are taken by hand, so that every way in which the two threads can meet comes up and a seed repeats it.
"""

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from buffer.journal import Journal, JournalSettings, Ticket
from buffer.records import Priority
from buffer.runner import Turn
from edge_agent.keeper import Keeper
from edge_agent.model import Clock, Event, Instant, Kind

SETTINGS = JournalSettings(reserve_bytes=0, fault_linger_s=0.0, status_linger_s=0.0, background_check=False)
KEYS = ("a", "b", "c")


class ByHand:
    """A runner whose turns the test takes."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn

    def start(self) -> None:
        """Nothing runs by itself."""

    def wake(self) -> None:
        """Nor wakes."""

    def join(self, timeout_s: float) -> bool:
        while self.turn() is not None:
            pass
        return True


class Card:
    """A keeper on a journal whose commits the card refuses for a while, and all with `poison` in them for ever."""

    def __init__(self, directory: Path, rng: random.Random, poison: str) -> None:
        self.rng, self.poison = rng, poison
        self.runners: dict[str, ByHand] = {}
        self.journal = Journal.open(directory, SETTINGS, lambda fault: None, mono_ns=lambda: 1, runner=self._runner)
        self._commit, self.journal.vital.commit = self.journal.vital.commit, self.commit  # type: ignore[method-assign]
        self.keeper = Keeper(self, push=self.push, memory_epoch="mem-1", mandatory=("county",))
        self.well, self.trouble = True, False
        self.alarms: list[int] = []  # in the order of what happened
        self.named: list[int] = []  # in the order of their names
        self.pushed: dict[str, list[int]] = {"memory": [], "named": []}
        self.durable: set[str] = set()
        self.latched = dict.fromkeys(KEYS, 0)
        self.count = 0

    def _runner(self, name: str, turn: Turn) -> ByHand:
        self.runners[name] = ByHand(turn)
        return self.runners[name]

    def append(
        self,
        priority: Priority,
        body: bytes,
        state: Mapping[str, bytes | None] | None = None,
        on_durable: Any = None,
        stops: int | None = None,
    ) -> Ticket:
        ticket = self.journal.append(priority, body, state, on_durable, stops)
        if self.rng.random() < 0.2:
            self.turn()  # the writer was quicker than the loop
        return ticket

    def turn(self) -> None:
        self.runners["journal-vital"].turn()

    def commit(self, batch: Sequence[Ticket], lost: Any, now_ns: int) -> bool:
        ids = [json.loads(ticket.body)["id"] for ticket in batch]
        if self.poison in ids:
            raise RuntimeError
        if not self.well:
            self.trouble = True
            for ticket in batch:
                ticket.error = "io"
            return False
        assert self._commit(batch, lost, now_ns)
        if self.trouble:
            self.back()
        self.durable.update(ids)
        named = sorted((t.name.n, id_) for t, id_ in zip(batch, ids, strict=True) if t.name and t.priority == 0)
        self.named += [int(id_) for _, id_ in named]
        for key, old in self.latched.items():
            now = self.latched[key] = int(self.journal.state().get(key, b"0"))
            assert now >= old, "an older value over a newer one"
            assert now not in self.alarms or str(now) in self.durable, "latched before its event is durable"
        return True

    def back(self) -> None:
        self.trouble = False
        asyncio.get_running_loop().call_soon(self.keeper.retry)

    def push(self, what: str, message: Mapping[str, object]) -> None:
        if what == "event":
            number = int(json.loads(str(message["event"]))["id"])
            if number in self.alarms:
                self.pushed["memory" if message["name"] is None else "named"].append(number)

    def event(self) -> Event:
        self.count += 1
        kind = Kind.FIRE if self.rng.random() < 0.6 else Kind.FAULT
        if kind is Kind.FIRE:
            self.alarms.append(self.count)
        return Event(id=str(self.count), kind=kind, point="p", active=True, at=Instant("b", 1, 1, Clock.SYNCED))

    def something_happens(self) -> None:
        if self.rng.random() < 0.15:
            self.count += 1
            self.keeper.keep((), {self.rng.choice(KEYS): b"%d" % self.count})
        events = [self.event() for _ in range(self.rng.choice((1, 1, 2, 3)))]
        state = {key: b"%d" % self.count for key in KEYS if self.rng.random() < 0.3}
        self.keeper.keep(events, state | {f"au:{one.id}": b"1" for one in events if self.rng.random() < 0.3})


async def play(card: Card) -> tuple[list[bool | None], int]:
    """The run. What who asked for a receipt was told, and how many of those who asked for one event were told nothing."""
    rng, receipts, settled, asked = card.rng, list[bool | None](), list[object](), 0

    def ask() -> None:
        place, until = len(receipts), list(card.alarms)
        receipts.append(None)

        def told(kept: bool) -> None:
            receipts[place] = kept
            assert not kept or card.durable.issuperset(map(str, until)), "said to be kept"

        card.keeper.when_kept(told)

    for _ in range(rng.randint(20, 120)):
        what = rng.random()
        if what < 0.5:
            card.something_happens()
            if rng.random() < 0.3:
                ask()
            if rng.random() < 0.3:
                asked += 1
                card.keeper.when_settled(str(card.count), settled.append)
        elif what < 0.85:
            card.turn()
        else:
            card.well = not card.well
        if card.well and card.trouble and rng.random() < 0.3:
            card.back()
        for _ in range(rng.choice((0, 0, 1, 3))):
            await asyncio.sleep(0)
    card.well = True
    quiet, kept = 0, -1
    while quiet < 8:
        quiet, kept = (quiet + 1 if len(card.durable) == kept else 0), len(card.durable)
        card.turn()
        if card.trouble:
            card.back()
        for _ in range(3):
            await asyncio.sleep(0)
    return receipts, asked - len(settled)


@pytest.mark.asyncio
@pytest.mark.parametrize("poisoned", [False, True])
async def test_whatever_the_card_does_alarms_are_kept_once_in_order_and_nobody_waits_for_ever(
    tmp_path: Path, poisoned: bool
) -> None:
    for seed in range(12):
        rng = random.Random(seed)
        card = Card(tmp_path / str(seed), rng, str(rng.randint(1, 40)) if poisoned else "")
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, said, faults=faults: faults.append(said))  # type: ignore[misc]
        receipts, untold = await play(card)
        left = [number for number in card.alarms if str(number) not in (*card.durable, card.poison)]
        assert (left, faults) == ([], []), seed
        assert (None not in receipts, untold) == (True, 0), seed
        assert len(set(card.named)) == len(card.named), seed
        assert all(len(set(told)) == len(told) for told in card.pushed.values()), "none travels twice under one name"
        if not poisoned:
            assert card.named == card.alarms, seed
            card.keeper.when_kept(receipts.append)
            await asyncio.sleep(0)
            assert receipts[-1] is True, seed
        card.journal.close()
