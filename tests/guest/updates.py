"""A gateway in a guest whose program is updated while its power goes: at a stage of the update, known by what the updater says and
by what lies on the disk, and a seeded bit later. After each boot it has to be the old program or the new one, and do its work.
"""

import asyncio
import json
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_agent.tasks import end
from provisioning import update
from simulators.process import Program
from tests.guest.agent import GATEWAY_ID, program_wheels
from tests.guest.gateway import Gateway, Told, gateway, started, status
from tests.guest.image import HERE
from tests.guest.machine import GuestError
from tests.proof.checker import Verdict, compare, read_centre, read_given_up
from tests.update.maker import PYTHONS, Maker, written_up
from tests.waiting import until

ENDED: Final = ("step=refused", "step=gone_back", "step=confirmed")
HOLD_S: Final = 60.0  # as long as a trial lasts at least; the guest's clock never runs ahead of ours
PAUSE_S: Final = 1.0  # between two questions to the guest: its processor is what is short
SPOOL: Final = "/var/lib/edge-agent/update"
LOG: Final = ("journalctl", "--follow", "--no-tail", "--boot", "--output=cat", "--unit=edge-agent-update")
BROKEN: Final = {  # it passes its self-test, and ends as soon as it is the service
    "edge_agent/cli_run.py": (
        "    found = for_core(obj.config_dir) if as_core",
        "    if as_core:\n        os._exit(3)\n    found = for_core(obj.config_dir) if as_core",
    )
}


SITE: Final = (  # in config.toml. The broker hangs up on a client by its own seconds, of which an interpreted one has few
    ('# commands = ["read_state", "history", "duty_check"]', 'commands = ["read_state", "update"]'),
    ("# keepalive_s = 30 ", "keepalive_s = 300 "),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """A moment of an update: `step` is in the updater's log, `count` lines or bytes of `more` are there, `wait_s` went by.

    `hears`: the core runs then, and may be told of a fire that is kept just before the cut.
    """

    name: str
    step: str
    more: str = ""  # a shell command that prints a number
    count: int = 0  # the number is seeded between 1 and this
    wait_s: float = 0.0  # seeded between 0 and this
    hears: bool = True


def _new_files(kind: str) -> str:
    return f"find /opt/edge-agent/slots -newer /opt/edge-agent/update/state.json -name '*.{kind}' | wc -l"


STAGES: Final = {
    stage.name: stage
    for stage in (
        Stage("download", "", f"stat -c %s {SPOOL}/bundle.part 2>/dev/null || echo 0", 1_500_000),
        Stage("verify", "step=taken", wait_s=2.0),
        Stage("unpack", "step=judged", _new_files("py"), 500),
        Stage("compile", "step=judged", _new_files("pyc"), 500),
        Stage("self-test", "step=filled", wait_s=20.0),
        Stage("switch", "step=trying", hears=False),
        Stage("first-start", "step=switched", wait_s=20.0, hears=False),
        Stage("trial", "step=restarted", wait_s=25.0),
        Stage("confirm", "step=good", hears=False),
        Stage("kept", "step=confirmed", wait_s=2.0),
    )
}
# How an update is given (by the centre's order, by the product's own command, back to the one before), and when the power goes. ""
# goes on with what the cut left in hand: taken up again by itself, three times at most, then it is given anew. Of those that are
# interpreted for minutes, for a slot is filled, there are fewer.
ROUNDS: Final = (
    ("order", "download"), ("", "verify"), ("", "trial"), ("install", "kept"),
    ("back", "switch"), ("back", "first-start"), ("back", "confirm"), ("back", "trial"),
    ("install", "unpack"), ("", "compile"), ("", "self-test"), ("", "verify"),
    ("install", "first-start"), ("order", "download"), ("", "download"), ("", "switch"),
    ("install", "confirm"), ("back", "first-start"), ("back", "trial"), ("back", "kept"),
)  # fmt: skip


class Releases:
    """New versions of the program as this tree has it, each with a higher counter than the last, signed by two."""

    def __init__(self, place: Path, python: str) -> None:
        self.maker = Maker(place / "maker")
        self._wheels, self._python, self._count = place / "wheels", python, 0

    def make(self, *, broken: bool = False) -> tuple[str, Path]:
        """The next one: its version, its bundle."""
        if not self._wheels.exists():
            program_wheels(self._wheels, self._python)
        self._count += 1
        version, place = f"9.{self._count}.0", self.maker.place / str(self._count)
        shutil.copytree(self._wheels, place)
        (wheel,) = place.glob("zg119_edge_agent-*.whl")
        written_up(wheel, version, BROKEN if broken else None)
        bundle = place / "update.zgb"
        update.make(place, self._count, update.For(pythons=PYTHONS), bundle)
        for name in ("vendor", "county"):
            update.sign(bundle, self.maker.key(name))
        return version, bundle


@asynccontextmanager
async def updated(place: Path, seed: int) -> AsyncIterator["Updates"]:
    """A gateway that runs, reaches its centre, and knows whose signature an update needs."""
    async with gateway(place) as site:
        python = await site.guest.shell("basename /usr/lib/python3.*")
        releases = await asyncio.to_thread(Releases, place, python.removeprefix("python"))
        for key in releases.maker.keys.glob("*.pem"):
            await site.guest.put(f"/etc/edge-agent/update-keys/{key.name}", key.read_bytes())
        config = (await site.guest.get("/etc/edge-agent/config.toml")).decode()
        for before, after in SITE:
            assert config.count(before) == 1, before
            config = config.replace(before, after)
        await site.guest.run("sh", "-ec", "cat > /etc/edge-agent/config.toml", stdin=config.encode())
        await started(site.guest)
        found = Updates(site, releases, place, random.Random(seed))
        await found.begin()
        try:
            yield found
        finally:
            await found.close()


@dataclass(slots=True)
class Updates:
    """One gateway, its updates and its cuts."""

    site: Gateway
    releases: Releases
    place: Path
    chance: random.Random
    told: Told = field(default_factory=Told)
    said: set[str] = field(default_factory=set)
    versions: dict[str, str] = field(default_factory=dict)  # of the program in each slot
    good: str = "a"
    log: list[str] = field(default_factory=list)  # of the updater, since the power came
    rows: list[dict[str, object]] = field(default_factory=list)
    now: dict[str, Any] = field(default_factory=dict)  # glance.py's last word since the power came; empty: none yet
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _mark: int = 0  # of `log`: what was said since the update in hand was given, or found
    _next: tuple[str, Path] | None = None  # given, and not good yet
    _offer: Program | None = None
    _offers: int = 0
    _restarted_s: float = 0.0

    # --- its life

    async def begin(self) -> None:
        """After its first start."""
        await self._listen()
        await self.reached()
        self.versions["a"] = self.now["core"]["version"]

    async def close(self) -> None:
        """End what is ours."""
        if self._offer is not None and self._offer.running:
            await self._offer.kill()
        await end(*self._tasks, forgive=(Exception,))
        await self.told.close()

    async def _listen(self) -> None:
        self.log, self.now, self._mark, self._restarted_s = [], {}, 0, 0.0
        await self.site.guest.put("/run/glance.py", (HERE / "glance.py").read_text())
        await self.told.listen(self.site.guest)
        self._tasks = [asyncio.create_task(task, name="updater") for task in (self._hear(), self._look())]

    async def _hear(self) -> None:
        async for line in self.site.guest.follow(*LOG):
            self.log.append(line.decode("utf-8", "replace"))
            if "step=restarted" in self.log[-1]:
                self._restarted_s = time.monotonic()

    async def _look(self) -> None:
        async for line in self.site.guest.follow("python3", "/run/glance.py"):
            self.now = json.loads(line)

    async def cut(self) -> None:
        """The power goes; what the guest had said is heard to its end."""
        await self.site.guest.cut()
        await self.told.close()
        await asyncio.wait(self._tasks, timeout=60)
        await end(*self._tasks, forgive=(Exception,))

    async def boot(self) -> None:
        """The power comes."""
        await self.site.guest.start()
        await self.site.guest.up()
        await self._listen()

    # --- what is there

    async def reached(self) -> None:
        """Wait until the core hears the panel and the uplink reaches the centre."""
        await self._until(lambda: (self.now.get("core") or {}).get("reached"), "panel and centre are there")

    def in_hand(self, *words: str) -> bool:
        """Whether any of this is in hand: open, request, fetching, at work; without words, anything."""
        return bool({*self.now.get("in_hand", ["?"])} & {*(words or ("open", "request", "fetching", "at work", "?"))})

    async def _until(self, condition: Callable[[], Any], what: str) -> None:
        try:
            await until(condition, what, 2 * self.site.guest.patience_s)  # an update is made of several waits
        except AssertionError as late:
            raise GuestError("\n".join([str(late), *self.log[-30:], await self._report()])) from None

    async def _report(self) -> str:
        if not self.site.guest.running:
            return self.site.guest.log()[-2000:]
        said = await self.site.guest.run("journalctl", "-n", "40", "-o", "short-monotonic", check=False)
        return said.text

    # --- one update

    async def give(self, how: str, *, broken: bool = False, new: bool = False) -> None:
        """Once nothing is in hand: again the one that was cut, if there is one and no `new` one is asked for."""
        await self._until(lambda: not self.in_hand(), "nothing is in hand")
        self.good = self.now["good"]
        other = {"a": "b", "b": "a"}[self.good]
        await self.reached()
        self._mark = len(self.log)
        if how == "back":
            await self.site.guest.run("edge-agent", "update", "back", "--no-wait")
            return
        # The people at the centre may have offered it twice, and a gateway takes what it is offered: then it runs by now.
        if self._next is None or broken or new or self.versions[self.good] == self._next[0]:
            self._next = await asyncio.to_thread(self.releases.make, broken=broken)
        version, bundle = self._next
        self.versions[other] = version
        if how == "order":
            await self._order(bundle)
        else:
            await self.site.guest.put("/var/tmp/update.zgb", bundle.read_bytes())
            await self.site.guest.run("edge-agent", "update", "install", "/var/tmp/update.zgb", "--no-wait")

    async def _order(self, bundle: Path) -> None:
        """As the people at the centre do it; it ends when the gateway has all of it."""
        self._offers += 1
        cert, key = self.site.tls.client(f"operator-{self._offers}")
        words = ["--host", "127.0.0.1", "--port", str(self.site.broker.port), "--tls-ca", str(self.site.tls.ca_file)]
        words += ["--cert", str(cert), "--key", str(key), "--id", f"u-{self._offers}", "--by", "王五", "--wait", "900"]
        self._offer = Program.python(
            "offer", "simulators.centre", "update", GATEWAY_ID, str(bundle), *words, log=self.place / "offer.log"
        )
        await self._offer.start()

    async def reach(self, how: str, stage: Stage) -> None:
        """Let an update come to a stage, and a bit further."""
        if how or not await self._goes_on():
            await self.give(how or "install")

        async def there() -> bool:
            await asyncio.sleep(0.02)
            said = self.log[self._mark :]
            if any((stage.step or "step=taken") in line for line in said):
                return True
            if not stage.step and self.in_hand("fetching"):
                return True
            if any(step in line for line in said for step in ENDED):
                await self.give("install")  # it had been cut too often
            elif self._offer is not None and self._offer.ended and self.in_hand("fetching"):
                assert self._next is not None
                await self._order(self._next[1])  # the people there have waited long enough, and offer it again
            return False

        await self._until(there, f"{stage.name}: {stage.step}")
        if stage.more:
            wanted = self.chance.randint(1, stage.count)

            async def enough() -> bool:
                await asyncio.sleep(PAUSE_S)
                said = int(await self.site.guest.shell(stage.more))
                passed = "step=filled" if stage.step else "step=taken"
                return said >= wanted or any(passed in line for line in self.log[self._mark :])

            await self._until(enough, f"{stage.name}: {wanted} of {stage.more}")
        await asyncio.sleep(self.chance.uniform(0.0, stage.wait_s))

    async def _goes_on(self) -> bool:
        """Whether a cut left something that is taken up again, and does not only have to be told of."""

        def taken() -> bool:
            return self.in_hand("request", "fetching") or any("step=taken" in line for line in self.log)

        def over() -> bool:
            return not self.in_hand() or any(step in line for line in self.log for step in ENDED)

        await self._until(lambda: taken() or over(), "what the cut left is taken up, or is not")
        return taken()

    async def ended(self, *words: str) -> None:
        """Wait until the updater has said all of these in one line."""

        def said() -> bool:
            return any(all(word in line for word in words) for line in self.log[self._mark :])

        await self._until(said, f"the updater says {words}")

    # --- cut, booted, looked at

    async def rounds(self, count: int) -> tuple[Verdict, dict[str, object]]:
        """So many cuts and boots, then everything told is at the centre. Raise AssertionError."""
        for number in range(count):
            how, name = ROUNDS[number % len(ROUNDS)]
            await self.round(how, STAGES[name])
        return await self.verdict()

    async def round(self, how: str, stage: Stage) -> None:
        """One update, cut at a stage, and what is there after the boot."""
        began_s = time.monotonic()
        await self.reach(how, stage)
        if stage.hears and self.chance.random() < 0.5:
            await self.fire()
        await self.cut()
        cut_s = time.monotonic()
        old, new = self.versions[self.good], self.versions[{"a": "b", "b": "a"}[self.good]]
        held_s = cut_s - self._restarted_s if self._restarted_s else 0.0
        if any("step=good" in line for line in self.log[self._mark :]):
            may = {new}
        else:
            may = {old, new} if held_s > 0.9 * HOLD_S else {old}
        last = next((line for line in reversed(self.log[self._mark :]) if "step=" in line), "step=-")
        await self.boot()
        up_s = time.monotonic()
        version = await self.check(may)
        self.rows.append(
            {
                "stage": stage.name,
                "given": how or "left in hand",
                "last": last.partition("step=")[2].split()[0],
                "boots": "old" if version == old else "new",
                "version": version,
                "reach_s": round(cut_s - began_s),
                "up_s": round(up_s - cut_s),
                "check_s": round(time.monotonic() - up_s),
            }
        )
        print(len(self.rows), json.dumps(self.rows[-1]), flush=True)

    async def check(self, may: set[str]) -> str:
        """What has just started is a program of `may`, in the slot of its name, answers, and its fire comes to the centre."""
        await self._until(lambda: self.now.get("core"), "the core answers")
        links = (await self.site.guest.shell("cd /opt/edge-agent; readlink current good")).split()
        told = await status(self.site.guest)
        slot = told["update"]["slot"]
        assert told["version"] in may, f"runs {told['version']}, may be {may}\n" + "\n".join(self.log)
        assert links == [f"slots/{slot}"] * 2 and self.versions[slot] == told["version"], (links, told)
        if slot != self.good:
            self.good, self._next = slot, None
        await self.reached()
        code = await self.fire()
        await self.arrived(code)
        await self.site.panel.raise_event("reset")
        return str(told["version"])

    async def fire(self) -> str:
        """The panel says a new one; return when the core told that it is kept."""
        code = f"{len(self.said) + 1:06d}"
        self.said.add(code)
        await self.site.panel.raise_event("fire", code)

        def kept() -> bool:
            return any(body.get("point") == f"panel1/{code}" for body in self.told.accepted.values())

        await self._until(kept, f"the core keeps the fire {code}")
        return code

    async def arrived(self, code: str) -> None:
        """Wait until the centre has this fire."""

        def stored() -> bool:
            return any(record.body.get("point") == f"panel1/{code}" for record in read_centre(self.site.centre_db))

        await self._until(stored, f"the fire {code} is at the centre")

    async def verdict(self) -> tuple[Verdict, dict[str, object]]:
        """Once the centre has all that was told: what is wrong, and what was seen."""
        await self._until(lambda: not self._missing(), "the centre has all that was told")
        taken = read_centre(self.site.centre_db)
        verdict = compare(self.told.accepted, taken, said=self.said, given_up=read_given_up(self.site.centre_db))
        boots = [row["boots"] for row in self.rows]
        return verdict, {
            "kvm": self.site.guest.kvm,
            "boots": len(boots),
            "old": boots.count("old"),
            "new": boots.count("new"),
            "neither": len(boots) - boots.count("old") - boots.count("new"),
            "fires": len(self.said),
            "accepted": len(self.told.accepted),
            "names_given_twice": len(self.told.renamed),
            "rows": self.rows,
            **verdict.counts(),
        }

    def _missing(self) -> set[object]:
        return {*self.told.accepted} - {record.name for record in read_centre(self.site.centre_db)}
