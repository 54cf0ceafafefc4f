"""The core process: wires drivers, points, alarm, journal and the local API together, and nothing else.

One alarm from wire to journal: a driver calls `Core.take` in the loop turn that settled its bytes; points make events of them,
the alarm machine decides what sounds, the annunciator drives the lines, and only then the journal is asked to keep it.

Alarms come first, before this program's own soundness too: what cannot be built, opened or restored at the start is a fault
that everything else runs beside.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn

from drivers.gpio import Gpio, GpioError
from drivers.messages import LinkState, Observation, Sink, TagRead, TagTold
from drivers.profile import load_profiles
from edge_agent.alarm.buzzer_test import BuzzerTest
from edge_agent.alarm.duty import DutyChecks
from edge_agent.alarm.linkage import Linkage
from edge_agent.alarm.machine import AlarmMachine
from edge_agent.alarm.patterns import FIRE_SOUND, SENDING, overlay
from edge_agent.annunciator import Annunciator
from edge_agent.answers import Answers
from edge_agent.buttons import Buttons
from edge_agent.clock import LabelClock, SystemClock, TimeSource
from edge_agent.commander import Commander
from edge_agent.config.model import Config
from edge_agent.config_trial import ConfigTrial
from edge_agent.in_turns import Change, InTurns
from edge_agent.keeper import Keeper
from edge_agent.last_good import FROM_FILES, Provenance
from edge_agent.linkage_lines import LinkageLines
from edge_agent.local_api import LocalServer
from edge_agent.media import MediaDesk
from edge_agent.model import KINDS, Clock, Event, Kind, Sound
from edge_agent.modem_power import ModemPower
from edge_agent.neighbours import Neighbours
from edge_agent.node_offers import NodeOffers
from edge_agent.opening import OpenJournal, open_board, open_journal
from edge_agent.own_faults import OwnFaults
from edge_agent.patrol.patrol import Patrols
from edge_agent.people import People
from edge_agent.points.table import PointTable
from edge_agent.points.water import water_rules, with_buildings
from edge_agent.site import build_buttons, build_contacts, build_tag_readers, build_wire_drivers
from edge_agent.sources import (
    names_of,
    parents_of,
    sources_of,
    tapped_panels,
)
from edge_agent.starting import keep_config, restore, tell_start
from edge_agent.supervise import LagMeter, Supervisor, notify
from edge_agent.update.told import UpdateTold
from edge_agent.wiring import Driver, OpenPort, Wiring

log = logging.getLogger("edge.core")

HOUSEKEEPING_S = 1.0
NOT_ARMED = -1  # no deadline is this: should a bug keep the timer of the rules from being set, the next poll sets it


async def run_core(config: Config, provenance: Provenance, *, clock: TimeSource | None = None) -> None:
    """Run one site until cancelled. Raise JournalError("locked") if another core has it, ProfileError if not one of its panels,
    buses and contacts can be watched.
    """
    await Core(config, clock or SystemClock(), provenance).run()


class _Left(Exception):
    """The process has to end, and be started again."""


class Core:
    """One site. `open_*` give what it stands on: the journal, the board's lines, serial ports (None: the machine's own)."""

    def __init__(
        self,
        config: Config,
        clock: TimeSource,
        provenance: Provenance = FROM_FILES,
        *,
        open_journal: OpenJournal = open_journal,
        open_board: Callable[[Config], tuple[Gpio, GpioError | None]] = open_board,
        open_port: OpenPort | None = None,
    ) -> None:
        self.config, self.clock, self.provenance = config, LabelClock(clock), provenance
        wiring = Wiring(self.when_kept, self.utc, self._standing)
        wires, self.unbuilt = build_wire_drivers(config, load_profiles(config.profile_dirs), wiring, open_port)
        if self.unbuilt and not wires and not config.contacts:
            raise next(iter(self.unbuilt.values()))  # before anything is opened: something else may be tried
        self._loop = asyncio.get_running_loop()
        self.started = self.clock.now()
        self._event_count = 0
        self._event_prefix = f"{self.started.boot_id}-{self.started.mono_ns // 1_000_000:x}"
        self._sources: dict[str, dict[str, object]] = {
            source: {"id": source, "kind": kind, "up": None, "reason": "starting"}
            for source, kind in sources_of(config).items()
        }
        self._rules_timer: asyncio.TimerHandle | None = None
        self._rules_due_ns = 0
        self._points_due_ns: int | None = NOT_ARMED  # that of the points when the timer was set
        self._house_turns = 0
        self.blind = False  # the alarm machine failed on a fire: sound it all the same, until somebody silences it

        self.faults = OwnFaults(self)
        self.people, self.neighbours = People(self), Neighbours(self)
        self.supervisor = Supervisor(self.faults.worker)
        self.lag = LagMeter()
        mandatory = config.mandatory()
        self.journal, refused = open_journal(config, self.started.boot_id, self.faults.store_soon)
        if refused is not None:
            self.faults.store_soon(refused)
        self._leave = asyncio.Event()
        self.trial = ConfigTrial(self, provenance, self._leave.set)
        self.update = UpdateTold(self)
        self.commander = Commander(self)
        handlers = {**Answers(self).handlers(), **self.commander.handlers()}
        self.server = LocalServer(config.gateway.run_dir / "core.sock", handlers, on_watch=self._on_watch)
        self.keeper = Keeper(
            self.journal, push=self.server.push, memory_epoch=f"mem-{self._event_prefix}", mandatory=mandatory
        )
        self._in_turns = InTurns(self.keeper)
        self.gpio, self.faults.board_fault = open_board(config)
        self.annunciator = Annunciator(self.gpio, config.board.outputs, self.faults.board)
        self.modem_power = ModemPower(self.gpio, config.board, self.neighbours.modem_power_done)
        contacts, self._button_lines = build_contacts(config, self.gpio), build_buttons(config, self.gpio)
        self._buttons = Buttons(self.people.push_button, self.people.button_stuck, self.take)
        self.drivers: list[Driver] = [*wires, *([contacts] if contacts else [])]
        self.nodes = NodeOffers(config.gateway.data_dir, wires, self._node_update)
        self.tag_readers = build_tag_readers(config, open_port)
        self.points = PointTable(
            (),
            with_buildings(config.points, config.waters),
            names=names_of(config),
            new_event=self.new_event,
            instant=self.clock.at,
            settings=config.journal,
            sources=self._sources,
            parents=parents_of(config),
            unbuilt=self.unbuilt,
            tapped=tapped_panels(config),
        )
        self.unsound = self._add_points()
        self.alarms = AlarmMachine(config.zones, new_event=self.new_event, uplinks=mandatory)
        self.duty = DutyChecks(new_event=self.new_event)
        self.linkage = self._build_linkage() if config.linkage.outputs else None
        self.media = MediaDesk(config, self.journal.append, now=self.clock.now)
        self.patrols = Patrols(config, new_event=self.new_event)
        self.buzzer_test = BuzzerTest(new_event=self.new_event)

    def _add_points(self) -> dict[str, Exception]:
        """Make known what the drivers will read; return the points whose profile or configuration makes no sense."""
        unsound: dict[str, Exception] = {}
        for driver in self.drivers:
            for spec in driver.specs():
                try:
                    self.points.add((spec,))
                except (ValueError, TypeError) as fault:
                    log.error("point=%s %s", ascii(spec.id), ascii(fault))
                    unsound[spec.id] = fault
        for rule in (rule for water in self.config.waters for rule in water_rules(water)):
            try:
                self.points.derive(rule)
            except (ValueError, TypeError) as fault:
                log.error("rule=%s %s", ascii(rule.spec.id), ascii(fault))
                unsound[rule.spec.id] = fault
        return unsound

    def _build_linkage(self) -> LinkageLines:
        rules = self.config.linkage
        made = Linkage(rules.outputs, rules.enable, new_event=self.new_event, started_ns=self.now_ns())
        return LinkageLines(
            self.gpio,
            made,
            self.points,
            now_ns=self.now_ns,
            tell=lambda events, state: self.finish([(list(events), dict(state))], self.now_ns()),
            failed=self.faults.output,
        )

    def now_ns(self) -> int:
        """The loop's clock in nanoseconds: the same scale as every `at_ns`."""
        return round(self._loop.time() * 1e9)

    def new_event(
        self,
        kind: Kind,
        point: str,
        active: bool,
        at_ns: int,
        /,
        *,
        source: str = "",
        name: str = "",
        fields: Mapping[str, object] | None = None,
        raw: bytes = b"",
        grade: int = 0,
    ) -> Event:
        """Name a change of state. The id is unique in the gateway's life: boot, start within the boot, count."""
        self._event_count += 1
        return Event(
            id=f"{self._event_prefix}-{self._event_count:x}",
            kind=kind,
            point=point,
            active=active,
            at=self.clock.at(at_ns),
            source=source,
            name=name,
            fields=fields or {},
            raw=raw,
            grade=grade,
        )

    def sources(self) -> list[dict[str, object]]:
        """Everything that can fall silent, with the counters of what has a driver."""
        counters = {driver.id: dict(driver.counters()) for driver in self.drivers}
        counters |= {reader.id: dict(reader.counters()) for reader in self.tag_readers}
        return [
            source | ({"counters": counters[name]} if name in counters else {})
            for name, source in self._sources.items()
        ]

    def is_up(self, source: str) -> bool | None:
        """Whether a source answers; None while it has said nothing yet."""
        up = self._sources[source]["up"]
        return up if isinstance(up, bool) else None

    # --- the way of one alarm -------------------------------------------------------------------------------------------

    def take(self, observations: Sequence[Observation]) -> None:
        """What a driver saw. Buzzer and lamps are driven before this returns; the journal runs beside it. Never raises."""
        now_ns = self.now_ns()
        changes: list[Change] = []
        for observation in observations:
            if type(observation) is LinkState and (source := self._sources.get(observation.source)) is not None:
                source["up"], source["reason"] = observation.up, observation.reason
        for events in self.points.settled(observations, now_ns):
            self._decide(events, changes, now_ns)
        if changes:
            self.finish(changes, now_ns)
        elif self.points.next_deadline_ns() != self._points_due_ns:  # nothing else can have moved: most polls end here
            self._arm_rules(now_ns)

    def utc(self) -> datetime | None:
        """The wall time for peers that want it; None while it is not set."""
        now = self.clock.now()
        return None if now.clock is Clock.UNSET else datetime.fromtimestamp(now.wall_ns / 1e9, UTC)

    def _standing(self, device: str) -> Sequence[tuple[str, str]]:
        """`edge_agent.wiring.Wiring.standing`."""
        return self.points.standing(device)

    def when_kept(self, call: Callable[[bool], None]) -> None:
        """`drivers.messages.WhenKept` of everything `take` was told."""
        self._in_turns.hand_in([call])

    def _decide(self, events: Sequence[Event], changes: list[Change], now_ns: int) -> None:
        """Hear what the alarm machine makes of events of one observation; note both, each with the state it changed."""
        for event in events:
            try:
                follow = self.alarms.feed(event, now_ns)
            except Exception as bug:  # the event is kept and sent whatever the alarm machine makes of it
                log.exception("alarm id=%s", event.id)
                follow = [self._own(Kind.WORKER, "worker/alarm", True, {"reason": ascii(bug)[:200]}, now_ns)]
                self.blind |= event.active and KINDS[event.kind].sound is Sound.FIRE
            changes.append(([event, *follow], self.alarms.dump()))
        if changes:
            changes[-1][1].update(self.points.dump())  # with the last of them: never latched without its event

    def finish(self, changes: Sequence[Change], now_ns: int) -> None:
        """Drive the lines, then journal each change, then set the timer of what settles by itself."""
        self._points_due_ns = NOT_ARMED
        if changes:
            self._sound(now_ns)
        self._in_turns.hand_in(changes)
        self._arm_rules(now_ns)
        if self.linkage is not None:  # last: what follows an alarm never stands in its way
            self.linkage.note(event for events, _ in changes for event in events)

    def _sound(self, now_ns: int) -> None:
        wanted = self.alarms.annunciation()
        if self.blind:
            wanted = replace(wanted, buzzer=FIRE_SOUND, fire_lamp=SENDING)
        duty, test = self.duty, self.buzzer_test.running
        self.annunciator.apply(overlay(wanted, duty_sound=duty.sounding, duty_lamp=duty.waiting, test=test), now_ns)

    def _arm_rules(self, now_ns: int) -> None:
        self._points_due_ns = self.points.next_deadline_ns()
        others = (self.alarms.next_deadline_ns(), self.duty.next_deadline_ns(), self.buzzer_test.next_deadline_ns())
        due_ns = min((ns for ns in (self._points_due_ns, *others) if ns is not None), default=None)
        if self._rules_timer is not None:
            if self._rules_due_ns == due_ns:
                return
            self._rules_timer.cancel()
            self._rules_timer = None
        if due_ns is not None:
            self._rules_due_ns = due_ns
            self._rules_timer = self._loop.call_later(max(0.0, (due_ns - now_ns) / 1e9), self._run_rules)

    def _run_rules(self) -> None:
        self._rules_timer, self._points_due_ns = None, NOT_ARMED
        now_ns = self.now_ns()
        changes: list[Change] = []
        while (due_ns := self.points.next_deadline_ns()) is not None and due_ns <= now_ns:
            if events := self.points.tick(now_ns, at_most=1):
                self._decide(events, changes, now_ns)
        try:
            own = self.alarms.tick(now_ns)
        except Exception as bug:  # as in `_decide`
            log.exception("alarm tick")
            own = [self._own(Kind.WORKER, "worker/alarm", True, {"reason": ascii(bug)[:200]}, now_ns)]
        changes.append((own, self.alarms.dump()))
        changes.append((self.duty.tick(now_ns), self.duty.dump()))
        changes.append((self.buzzer_test.tick(now_ns), {}))
        self.finish(changes, now_ns)

    # --- people and centres ---------------------------------------------------------------------------------------------

    def take_tags(self, told: Sequence[TagTold]) -> None:
        """What a tag reader saw. Never raises."""
        for seen in told:
            if isinstance(seen, TagRead):
                try:
                    self.keep_patrol(self.patrols.read(seen.reader, seen.tag, seen.at_ns))
                except Exception as bug:  # the tags behind it, and the driver that read it, must not pay for it
                    log.exception("tag reader=%s", seen.reader)
                    self.own_event(Kind.WORKER, "worker/patrol", True, {"reason": ascii(bug)[:200]})
            else:
                self.take((seen,))

    def keep_patrol(self, events: Sequence[Event]) -> None:
        """Journal what the rounds came to, with their state."""
        state = self.patrols.dump()
        if events or state:
            self.finish([(list(events), state)], self.now_ns())

    def tell_clock(self) -> None:
        """Journal what has changed of the wall clock, with what it says of the time this boot began."""
        for change in self.clock.take_changes():
            fields = {
                "boot": self.clock.boot_id,
                "from": change.before.value,
                "to": change.after.value,
                "source": change.source,
                "step_ms": change.step_ns // 1_000_000,
                "wall_minus_mono_ns": change.offset_ns,
            }
            self.tell(Kind.CLOCK, "clock", fields, self.clock.boots.dump())

    def alarm_rows(self) -> Iterator[dict[str, object]]:
        """The alarms for people, those from before the clock was right with their time put right."""
        for alarm in self.alarms.alarms():
            yield replace(alarm, at=self.clock.restamp(alarm.at)).as_dict()

    def tell(self, kind: Kind, point: str, fields: Mapping[str, object], state: Mapping[str, bytes | None]) -> str:
        """Journal an event that is no alarm's, with the state that goes with it; return its id."""
        now_ns = self.now_ns()
        event = self._own(kind, point, True, fields, now_ns)
        self.finish([([event], dict(state))], now_ns)
        return event.id

    def _node_update(self, status: str, fields: Mapping[str, object]) -> None:
        self.tell(Kind.COMMAND, "command/node_update", {"status": status, **fields}, {})

    def once(self, kind: Kind, point: str, fields: Mapping[str, object]) -> None:
        """Something that happened and is over: it stays in the list until a person has acknowledged it."""
        self.own_event(kind, point, True, fields)
        self.own_event(kind, point, False, fields)

    def own_event(self, kind: Kind, point: str, active: bool, fields: Mapping[str, object]) -> None:
        """Something about the gateway itself begins or ends."""
        now_ns = self.now_ns()
        changes: list[Change] = []
        self._decide([self._own(kind, point, active, fields, now_ns)], changes, now_ns)
        self.finish(changes, now_ns)

    def _own(self, kind: Kind, point: str, active: bool, fields: Mapping[str, object], now_ns: int) -> Event:
        return self.new_event(kind, point, active, now_ns, source="gateway", fields=fields)

    def _on_watch(self, watching: frozenset[str]) -> None:
        if "journal" in watching:
            self.keeper.push_memory()

    # --- workers --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Restore what was latched, start everything, run until cancelled, or until a new configuration wants a new process."""
        try:
            restore(self)
            self._sound(self.now_ns())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.supervisor.keep("api", self._serve), name="api")
                for driver in self.drivers:
                    self._start(tasks, driver, self.take)
                for reader in self.tag_readers:
                    reading = partial(reader.run, self.take_tags)
                    tasks.create_task(self.supervisor.keep(reader.id, reading), name=reader.id)
                    self.supervisor.watch(reader.id, reader.progress, limit_s=60)
                if self._button_lines is not None:
                    self._start(tasks, self._button_lines, self._buttons.take)
                tasks.create_task(self.supervisor.keep("house", self._keep_house), name="house")
                self.supervisor.watch("house", lambda: self._house_turns, limit_s=15)
                for name, work in (("watchdog", self.supervisor.feed_watchdog), ("lag", self.lag.run)):
                    tasks.create_task(self.supervisor.keep(name, work), name=name)
                tell_start(self)
                tasks.create_task(keep_config(self), name="config")
                tasks.create_task(self.nodes.restore(), name="node updates")
                tasks.create_task(self._until_left(), name="leave")
                notify("READY=1\nSTATUS=running")
                log.info("running gateway=%s drivers=%d", self.config.gateway.id, len(self.drivers))
        except* _Left:
            log.warning("ended to start again on another configuration")
        finally:
            notify("STOPPING=1")
            self._in_turns.keep_all()
            await self.server.close()
            self.annunciator.close()
            self.modem_power.close()
            if self.linkage is not None:
                self.linkage.close()
            self.gpio.close()
            await asyncio.to_thread(self.journal.close)

    def _keep_learned(self) -> None:
        """What the baselines have learned, now and then; the record it goes with says how many circuits have one."""
        pieces, told = self.points.learned.take(self.now_ns())
        if told is not None:
            self.tell(Kind.FEEDBACK, "baseline", told, pieces)
        elif pieces:
            self.keeper.keep((), pieces)

    async def _until_left(self) -> NoReturn:
        await self._leave.wait()
        raise _Left

    async def _serve(self) -> None:
        """The local API. Without its directory, or with a path too long for a socket, alarms sound and are kept all the same."""
        await self.server.start()
        await self._loop.create_future()

    def _start(self, tasks: asyncio.TaskGroup, driver: Driver, sink: Sink) -> None:
        tasks.create_task(self.supervisor.keep(driver.id, lambda: driver.run(sink)), name=driver.id)
        self.supervisor.watch(driver.id, driver.progress, limit_s=60)

    async def _keep_house(self) -> None:
        """Telemetry that is due, and whether the uplink is there. The uplink watches us the same way."""
        while True:
            for body in self.points.take_telemetry(self.now_ns()):
                self.keeper.keep_telemetry(body)
                await asyncio.sleep(0)
            self.faults.look()
            self._keep_learned()
            if self.linkage is not None:
                self.linkage.run()
            self.tell_clock()
            self.keep_patrol(self.patrols.look(self.clock.now()))
            inputs = [self._sources.get(source, {}).get("up") for source in ("contacts", "buttons")]
            if self.faults.board_fault is not None and not self.config.board.outputs and True in inputs:
                self.faults.board(None)  # no output is there to notice
            self._house_turns += 1
            await asyncio.sleep(HOUSEKEEPING_S)
