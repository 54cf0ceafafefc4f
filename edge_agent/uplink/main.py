"""Wires the uplink process: journal and core in, one worker for each centre out. It may be killed and started at any instant."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, cast

from buffer.records import Priority
from edge_agent.clock import TimeSource
from edge_agent.config.model import Config
from edge_agent.config.uplinks import Uplink
from edge_agent.model import encode_instant, event_id
from edge_agent.supervise import Supervisor, notify
from edge_agent.update.state import SPOOL
from edge_agent.uplink.bundle_fetch import BundleFetch
from edge_agent.uplink.clock import UplinkClock
from edge_agent.uplink.core_link import CoreLink
from edge_agent.uplink.destination import Destination
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.modem.build import modem_path
from edge_agent.uplink.parts import Parts
from edge_agent.uplink.path import Dial, RoutedPath, in_thread
from edge_agent.uplink.paths import MakeModem, MakePath, Paths, WideLink
from edge_agent.uplink.reports import CoreReports
from edge_agent.uplink.sent_config import Footing, judge
from edge_agent.uplink.source import MEMORY_PREFIX, Reader, Source, SourceError

log = logging.getLogger("edge.uplink")

POLL_S: Final = 1.0  # the journal is looked at this often without a core, which would wake us
POLL_WITH_CORE_S: Final = 3.0  # telemetry comes without a wake-up and can wait
WORKER_LIMIT_S: Final = 60.0
SNAPSHOT_POINTS_MAX: Final = 256
LEDGER_FILE: Final = "delivery.db"
# Records an alarm that still waits for its lamp is looked for in (some storms of a whole panel), and how many at a time.
ALARMS_LOOKED_BACK: Final = 20_000
ALARMS_A_LOOK: Final = 2000

OnLedger = Callable[[str, str], None]
MakeLink = Callable[[Config, Uplink, TimeSource, Dial], WideLink]


def link_of(config: Config, uplink: Uplink, clock: TimeSource, dial: Dial) -> WideLink:
    """The link of an [[uplink]] of the configuration, over the path `dial` belongs to."""
    if uplink.protocol == "gb26875":
        from edge_agent.uplink.gb26875.link import GbLink

        return GbLink(config, uplink, clock, dial)
    from edge_agent.uplink.mqtt import MqttLink, MqttSettings
    from edge_agent.uplink.trust import trust_of

    settings = MqttSettings(
        gateway=config.gateway.id,
        host=uplink.host,
        port=uplink.port,
        keepalive_s=uplink.keepalive_s,
        expiry_s=max(10, int(2 * uplink.unconfirmed_s)),
        trust=trust_of(uplink),
        centre_acks=uplink.ack == "centre",
        window=uplink.window,
        unconfirmed_s=uplink.unconfirmed_s,
        commands=bool(uplink.commands),
        updates="update" in uplink.commands,
        cbor=uplink.encoding == "cbor",
    )
    return MqttLink(settings, clock, dial)


def _all_salvaged(directory: Path) -> bool:
    from buffer.recovery import bad_files, done_path

    return all(
        done_path(bad).exists() for name in ("vital.db", "bulk.db") for bad in bad_files(directory / name).values()
    )


def open_journal(directory: Path) -> Reader:
    """The journal of this gateway, to read."""
    from buffer.reader import JournalReader

    return cast(Reader, JournalReader.open(directory))


async def run_uplink(
    config: Config,
    *,
    clock: TimeSource,
    rng: random.Random,
    make_link: MakeLink = link_of,
    open_reader: Callable[[Path], Reader] = open_journal,
    footing: Footing | None = None,
) -> None:
    """Deliver until cancelled, or until the core runs on another configuration that a new start would run on, too.

    Raise OSError or sqlite3.Error only if delivery.db cannot even be made anew.
    """
    uplink = UplinkProcess(config, clock=clock, rng=rng, make_link=make_link, open_reader=open_reader, footing=footing)
    try:
        await uplink.run()
    except* _Left:
        log.warning("ended to start again on another configuration")


class _Left(Exception):
    """The process has to end, and be started again."""


class UplinkProcess:
    """All parts of one uplink process."""

    def __init__(
        self,
        config: Config,
        *,
        clock: TimeSource,
        rng: random.Random,
        make_link: MakeLink = link_of,
        make_path: MakePath = RoutedPath,
        make_modem: MakeModem = modem_path,
        open_reader: Callable[[Path], Reader] = open_journal,
        open_ledger: Callable[[Path, OnLedger], Ledger] = Ledger.open,
        executor: Executor | None = None,
        footing: Footing | None = None,
    ) -> None:
        """`footing`: what this process runs on, where that is files; None: it has no configuration to exchange."""
        self.config, self._footing = config, footing
        self._leave = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._polls = 0
        self._journal_fault = ""
        self._looking: asyncio.Task[None] | None = None
        self._look_again = False
        self.supervisor = Supervisor(self._worker_failed)
        self.core = CoreLink(
            config.gateway.run_dir / "core.sock", on_record=self._on_record, on_present=self._on_core_present
        )
        self.clock = UplinkClock(clock, self.core.ask)
        self.reports = CoreReports(self.core, config.mandatory(), check=footing.check if footing else "")
        self.ledger = open_ledger(config.gateway.data_dir / LEDGER_FILE, self._on_ledger)
        directory = config.gateway.data_dir
        self.source = Source(partial(open_reader, directory), partial(_all_salvaged, directory), executor)
        self._salvaged = True
        self.paths = Paths(config, self.clock, self.ledger, self.core, rng, make_path=make_path, make_modem=make_modem)
        self.fetch = self._build_fetch()
        self.destinations = [
            Destination(
                settings,
                Parts(
                    link=self.paths.link(settings, partial(make_link, config, settings, self.clock)),
                    source=self.source,
                    ledger=self.ledger,
                    reports=self.reports,
                    clock=self.clock,
                    rng=random.Random(rng.getrandbits(64)),
                    snapshot=self._snapshot,
                    ask=self.core.ask,
                    brief_is_all=self.paths.brief_is_all(settings),
                    restamp=self.clock.restamp_body,
                    unseen=self._look_for_lamps,
                    judge_config=partial(judge, footing.site, config, settings) if footing else None,
                    fetch=self.fetch,
                ),
            )
            for settings in config.uplinks
        ]

    def _build_fetch(self) -> BundleFetch | None:
        """Only where a centre may send updates."""
        if not any("update" in uplink.commands for uplink in self.config.uplinks):
            return None
        return BundleFetch(
            self.config.gateway.data_dir / SPOOL,
            self.core.ask,
            lambda name: next(one for one in self.destinations if one.id == name),
            self.paths.count,
        )

    async def run(self) -> NoReturn:
        """Deliver until cancelled."""
        for destination in self.destinations:
            for key, done in self.ledger.load(destination.id).items():
                self.core.confirm(destination.id, *key, done.through)
        try:
            async with asyncio.TaskGroup() as tasks:
                keep = self.supervisor.keep
                tasks.create_task(keep("core_link", self.core.run), name="core_link")
                tasks.create_task(keep("poll", self._poll_for_ever), name="poll")
                self.supervisor.watch("poll", lambda: self._polls, limit_s=WORKER_LIMIT_S)
                for destination in self.destinations:
                    name = f"uplink:{destination.id}"
                    tasks.create_task(keep(name, destination.run), name=name)
                    self.supervisor.watch(name, destination.progress, limit_s=WORKER_LIMIT_S)
                for name, work, progress in self.paths.workers():
                    tasks.create_task(keep(name, work), name=name)
                    self.supervisor.watch(name, progress, limit_s=WORKER_LIMIT_S)
                if (fetch := self.fetch) is not None:
                    tasks.create_task(keep("update", fetch.run), name="update")
                    self.supervisor.watch("update", lambda: fetch.turns, limit_s=WORKER_LIMIT_S)
                tasks.create_task(self.supervisor.feed_watchdog(), name="watchdog")
                tasks.create_task(self._until_left(), name="leave")
                notify("READY=1")
        finally:
            self.paths.close()
            self.source.close()
            self.ledger.close()
        raise AssertionError("unreachable")

    async def _until_left(self) -> NoReturn:
        await self._leave.wait()
        raise _Left

    async def _look_at_config(self) -> None:
        """A core that was started on another configuration: so must we be. One that was not restarted yet is left in peace."""
        footing = self._footing
        if footing is None or not isinstance(said := await self.core.ask_patiently("config"), dict):
            return
        if await in_thread(partial(footing.moved_to, str(said.get("check")))):
            self._leave.set()

    # --- what there is to deliver -----------------------------------------------------------------------------------------------

    async def _poll_for_ever(self) -> NoReturn:
        while True:
            self._polls += 1
            polling = asyncio.create_task(self._poll(), name="poll-once")
            try:
                while not polling.done():  # a disk that hangs is not a worker that hangs
                    self._polls += 1
                    await asyncio.wait({polling}, timeout=POLL_S)
                polling.result()
            finally:
                polling.cancel()
            await self.clock.refresh()
            self._forget_memory()
            for destination in self.destinations:
                destination.say_pending()
            await asyncio.sleep(POLL_WITH_CORE_S if self.core.present else POLL_S)

    async def _poll(self) -> None:
        try:
            found = await self.source.heads()
        except SourceError as fault:
            if str(fault) != self._journal_fault:
                self._journal_fault = str(fault)
                log.error("journal fault=%s", ascii(self._journal_fault))
            return
        self._journal_fault = ""
        newly_salvaged, self._salvaged = found.salvaged and not self._salvaged, found.salvaged
        for destination in self.destinations:
            if newly_salvaged:
                destination.salvaged()
            destination.outbox.epochs(found.epochs)
            destination.join(found.heads)
            for (epoch, priority), head in found.heads.items():
                destination.grow(epoch, priority, head)

    def _on_record(self, epoch: str, priority: Priority, n: int, body: bytes | None) -> None:
        if body is not None and epoch.startswith(MEMORY_PREFIX):
            self.source.remember(epoch, n, body)
        for destination in self.destinations:
            if body is not None and priority is Priority.ALARM:
                destination.alarm(epoch, n, body)
            else:
                destination.grow(epoch, priority, n)

    def _forget_memory(self) -> None:
        for epoch in self.source.memory_epochs():
            streams = [d.outbox.get(epoch, Priority.ALARM) for d in self.destinations]
            self.source.forget(epoch, min((s.done.through for s in streams if s is not None), default=0))

    # --- what the core hears and tells --------------------------------------------------------------------------------------------

    async def _on_core_present(self, present: bool) -> None:
        if present:
            await self._look_at_config()
            await self.clock.refresh()
            await self._settle_lamps()
        for destination in self.destinations:
            await destination.say_state()

    async def _snapshot(self) -> dict[str, object] | None:
        """What the core knows now: alarms, and the points that are not quiet. None without a core; a slow one is waited for, so
        that `at` says since when what it says may be over.
        """
        ask, at = self.core.ask_patiently, self.clock.now()
        alarms, points = await asyncio.gather(ask("alarms"), ask("points"))
        if not isinstance(alarms, list) or not isinstance(points, list):
            return None
        loud = [p for p in points if isinstance(p, dict) and (p.get("active") or p.get("fault"))]
        return {
            "at": encode_instant(at),
            "alarms": alarms,
            "points": loud[:SNAPSHOT_POINTS_MAX],
            "points_loud": len(loud),
            "points_total": len(points),
        }

    def _look_for_lamps(self) -> None:
        """A centre has alarms that were not on the wire when it said so. Asked while it is being looked up: once more."""
        self._look_again = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="lamps")

    async def _look(self) -> None:
        while self._look_again:
            self._look_again = False
            await self._settle_lamps()

    async def _settle_lamps(self) -> None:
        """Tell the core of alarms that were confirmed while it, or we, could not listen."""
        ids = await self.core.ask_patiently("undelivered")
        waiting = set(ids) if isinstance(ids, list) else set()
        if not waiting:
            return
        with contextlib.suppress(SourceError):
            found = await self.source.heads()
            for (epoch, priority), head in found.heads.items():
                if priority is Priority.ALARM:
                    await self._look_back(epoch, head, waiting)

    async def _look_back(self, epoch: str, head: int, waiting: set[object]) -> None:
        """The newest first, until all of them are found."""
        oldest = max(1, head - ALARMS_LOOKED_BACK + 1)
        while waiting and head >= oldest:
            first = max(oldest, head - ALARMS_A_LOOK + 1)
            await self._look_at(epoch, first, head, waiting)
            head = first - 1

    async def _look_at(self, epoch: str, first: int, head: int, waiting: set[object]) -> None:
        while first <= head:
            found = await self.source.read(
                epoch, Priority.ALARM, first, head, limit=ALARMS_A_LOOK, max_bytes=1024 * 1024
            )
            for destination in self.destinations:
                stream = destination.outbox.get(epoch, Priority.ALARM)
                if stream is not None:
                    ids = [i for n, body in found.records if n in stream.done and (i := event_id(body)) in waiting]
                    self.reports.delivered(destination.id, ids)
            waiting -= {event_id(body) for _, body in found.records}
            if found.whole:
                return
            first = found.records[-1][0] + 1

    def _worker_failed(self, worker: str, running: bool, what: str) -> None:
        if not running:
            dest = worker.removeprefix("uplink:")
            self.core.fault(dest, "worker", worker=worker, detail=what)

    def _on_ledger(self, code: str, detail: str) -> None:
        self._loop.call_soon_threadsafe(self._ledger_fault, code, detail)

    def _ledger_fault(self, code: str, detail: str) -> None:
        self.core.fault("", f"ledger_{code}", detail=ascii(detail)[:200])
