"""The kill matrix: a panel that never stops speaking, and SIGKILL for core, uplink and both while the link comes and goes."""

import asyncio
import itertools
import random
import time
from dataclasses import dataclass, field

from edge_agent.tasks import end
from simulators.process import Program
from tests.proof.checker import Verdict, compare, delays_s, read_given_up
from tests.proof.site import ProofSite

LINKS = ("up", "cut", "frozen")
TARGETS = ("core", "uplink", "both")
RESET_AFTER = 300  # things said: then somebody resets the panel, and every fire is over
WINDOW = 48  # fires on the way when nothing paces the panel: about what a pty holds


@dataclass(slots=True)
class Speaker:
    """The panel's mouth: ever new user codes, three copies each, eight fires to a fault and a feedback."""

    site: ProofSite
    rate: float | None  # a second; None: as fast as the core takes them
    said: set[str] = field(default_factory=set)
    _count: int = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        while True:
            await self._say()
            if self.rate is None:
                await self._room()
            else:
                next_s = max(next_s + 1 / self.rate, loop.time() - 1)  # after a stall it catches up a second's worth
                await asyncio.sleep(next_s - loop.time())

    async def _say(self) -> None:
        self._count += 1
        if self._count % RESET_AFTER == 0:
            await self.site.panel.raise_event("reset")
            return
        kind = {7: "fault", 8: "feedback"}.get(self._count % 10, "fire")
        code = f"{self._count:06d}"
        self.said.add(code)
        await self.site.panel.raise_event(kind, code)

    async def _room(self) -> None:
        """Wait until the core has accepted all but the last few; what it will never see any more is not waited for."""
        accepted = self.site.witness.accepted
        if self._count % WINDOW:
            return
        before, started_s = len(accepted), time.monotonic()
        while len(accepted) < before + WINDOW // 2 and time.monotonic() < started_s + 0.25:
            await asyncio.sleep(0.001)


@dataclass(slots=True)
class Outcome:
    """What one row of the matrix came to."""

    verdict: Verdict
    found: dict[str, object]


class Matrix:
    """One rate: `kills` SIGKILLs, in rotation over targets and states of the link, at moments of a seeded chance."""

    def __init__(self, site: ProofSite, *, rate: float | None, kills: int, seed: int) -> None:
        self.site, self.rate, self.kills, self.seed = site, rate, kills, seed
        self._chance = random.Random(seed)
        self._done: dict[str, int] = {}
        self._seconds: dict[str, int] = {}  # second kills before the link was back, by its state
        self._killed = 0

    async def run(self) -> Outcome:
        print(f"seed {self.seed}")
        site, started_s = self.site, time.monotonic()
        await site.start()
        speaker = Speaker(site, self.rate)
        speaking = asyncio.create_task(speaker.run(), name="speaker")
        try:
            await site.until(lambda: len(site.witness.accepted) > 5, "the core accepts what the panel says")
            for case in itertools.count():
                if self._killed >= self.kills:
                    break
                await self._case(case)
                if speaking.done():
                    speaking.result()
        finally:
            await end(speaking)
        spoken_s = time.monotonic() - started_s
        await self._silence()
        await site.all_delivered(120.0)
        caught_up_s = time.monotonic() - started_s - spoken_s
        await site.until(self._no_hole, "no number is missing at the centre", 60.0, pause_s=0.25)
        taken = site.at_centre()
        verdict = compare(site.witness.accepted, taken, said=speaker.said, given_up=())
        found: dict[str, object] = {
            "rate_per_s": self.rate or "as fast as the core takes them",
            "seed": self.seed,
            "kills": self._killed,
            "by_target_and_link": self._done,
            "second_kills": self._seconds,
            "said": len(speaker.said),
            "accepted": len(site.witness.accepted),
            "names_given_twice": len(site.witness.renamed),
            "at_centre": len(taken),
            "accepted_per_s": round(len(site.witness.accepted) / spoken_s, 1),
            "under_memory_names": sum(record.name.epoch.startswith("mem-") for record in taken),
            "declared_lost": len(read_given_up(site.centre_db)),
            "seconds": round(time.monotonic() - started_s, 1),
            "caught_up_s": round(caught_up_s, 1),
            "delay_s": delays_s(taken),
            **verdict.counts(),
        }
        return Outcome(verdict, found)

    async def _case(self, case: int) -> None:
        site = self.site
        link, target = LINKS[case % 3], TARGETS[case // 3 % 3]
        twice = link != "up" and case // 3 % 2 == case % 3 - 1  # a third of all: half of those whose link is down
        at_centre = site.count_at_centre()
        if link == "cut":
            site.link.cut()
        elif link == "frozen":
            site.broker.freeze()
        try:
            await self._kill(target, link)
            if twice:
                await self._kill(self._chance.choice(TARGETS), link)
                self._seconds[link] = self._seconds.get(link, 0) + 1
            await asyncio.sleep(self._chance.uniform(0.0, 0.3))
        finally:
            if link == "frozen":
                site.broker.thaw()
            site.link.heal()
        await site.until(
            lambda: site.count_at_centre() > at_centre, f"case {case} ({target}, {link}): the centre hears more"
        )

    async def _kill(self, target: str, link: str) -> None:
        """One kill at a moment of chance, and a start. Returns when the core, if it was killed, accepts again."""
        site = self.site
        victims: list[Program] = [p for p in (site.core, site.uplink) if target in (p.name, "both")]
        await asyncio.sleep(self._chance.uniform(0.0, 0.3))
        for program in (site.core, site.uplink):
            assert program.running, f"{program.name} ended by itself\n{site.report()}"
        codes = await asyncio.gather(*(program.kill() for program in victims))
        assert codes == [-9] * len(victims)
        self._killed += 1
        row = f"{target}, link {link}"
        self._done[row] = self._done.get(row, 0) + 1
        self._chance.shuffle(victims)  # either may be first up
        connections = site.witness.connections
        for program in victims:
            await program.start()
        if site.core in victims:
            await site.until(lambda: site.witness.connections > connections, "the core is back")
            accepted = len(site.witness.accepted)
            await site.until(lambda: len(site.witness.accepted) > accepted, "the core accepts again")

    async def _silence(self) -> None:
        """Nothing more is said: wait until the core has no record in hand."""
        site = self.site

        async def settled() -> bool:
            vital = (await site.status()).get("journal", {}).get("vital", {})
            accepted = site.witness.accepted
            heads = vital.get("heads", {})
            known = {
                stream: max((m.n for m in accepted if m[:2] == (vital["epoch"], stream)), default=0) for stream in heads
            }
            return bool(heads) and vital["waiting"] == 0 and all(known[s] in (n, 0) for s, n in heads.items())

        await site.until(settled, "the core has nothing in hand", pause_s=0.3)

    def _no_hole(self) -> bool:
        return not compare({}, self.site.at_centre(), given_up=()).holes
