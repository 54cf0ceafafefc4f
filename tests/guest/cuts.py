"""The whole system killed while a panel speaks, and started again on what its disk had kept."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.tasks import end
from simulators.panel import PanelSim
from tests.brokers import Broker
from tests.guest.gateway import Told
from tests.guest.machine import GuestError, Machine
from tests.proof.checker import Verdict, compare, read_centre, read_given_up
from tests.waiting import until

PAUSE_S = 0.2  # between two fires
AT_LEAST = 5  # told between two cuts


@dataclass(slots=True)
class Cuts:
    """One guest, whose power goes at moments of a seeded chance; every other time the centre is out of reach before."""

    guest: Machine
    panel: PanelSim
    broker: Broker
    centre_db: Path
    seed: int
    told: Told = field(default_factory=Told)
    said: set[str] = field(default_factory=set)
    back_s: list[float] = field(default_factory=list)  # from power to the first event that is kept again
    owed: list[int] = field(default_factory=list)  # told and not at the centre, when the power went

    async def run(self, count: int) -> tuple[Verdict, dict[str, object]]:
        """Cut `count` times, then wait until the centre has all that was ever told. Raise AssertionError."""
        print(f"seed {self.seed}")
        chance = random.Random(self.seed)
        await self.told.listen(self.guest)
        async with self._speaking():
            for number in range(count):
                await self._more_told()
                if away := number % 2 == 0:
                    self.broker.freeze()
                    await self._more_told()
                await asyncio.sleep(chance.uniform(0.0, 2.0))
                await self.guest.cut()
                await self.told.close()
                self.owed.append(len(self._missing()))
                if away:
                    self.broker.thaw()
                since_s = time.monotonic()
                await self.guest.start()
                await self.guest.up()
                await self.told.listen(self.guest)
                await self._more_told(1)
                self.back_s.append(round(time.monotonic() - since_s, 1))
            await self._more_told()
        since_s = time.monotonic()
        await until(lambda: not self._missing(), "the centre has all that was told", 2 * self.guest.patience_s)
        taken = read_centre(self.centre_db)
        verdict = compare(self.told.accepted, taken, said=self.said, given_up=read_given_up(self.centre_db))
        return verdict, {
            "seed": self.seed,
            "kvm": self.guest.kvm,
            "cuts": count,
            "said": len(self.said),
            "accepted": len(self.told.accepted),
            "names_given_twice": len(self.told.renamed),
            "at_centre": len(taken),
            "owed_at_the_cut": self.owed,
            "back_s": self.back_s,
            "caught_up_s": round(time.monotonic() - since_s, 1),
            **verdict.counts(),
        }

    def _missing(self) -> set[object]:
        return {*self.told.accepted} - {record.name for record in read_centre(self.centre_db)}

    async def _more_told(self, count: int = AT_LEAST) -> None:
        wanted = len(self.told.accepted) + count
        try:
            await until(lambda: len(self.told.accepted) >= wanted, "the core tells of more", self.guest.patience_s)
        except AssertionError as late:
            raise GuestError(f"{late}\n{await self._report()}") from None

    async def _report(self) -> str:
        if not self.guest.running:
            return self.guest.log()[-2000:]
        said = await self.guest.run("journalctl", "-n", "60", "-o", "short-monotonic", check=False, timeout_s=60)
        return said.text

    @asynccontextmanager
    async def _speaking(self) -> AsyncIterator[None]:
        """A panel that never stops: ever new fires."""

        async def speak() -> None:
            while True:
                code = f"{len(self.said) + 1:06d}"
                self.said.add(code)
                await self.panel.raise_event("fire", code)
                await asyncio.sleep(PAUSE_S)

        task = asyncio.create_task(speak(), name="panel")
        try:
            yield
        finally:
            await end(task)
