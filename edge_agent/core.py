"""The core process: wires drivers, points, alarm, journal and the local API together, and nothing else.

One alarm from wire to journal: a driver calls `Core.take` in the loop turn that settled its bytes; points make events of them,
the alarm machine decides what sounds, the annunciator drives the lines, and only then the journal is asked to keep it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from buffer.journal import Journal, JournalError, JournalSettings, StoreFault
from drivers.gpio import Gpio, GpioError, open_gpio
from drivers.messages import LinkState, Observation, Reading, Sink
from drivers.profile import load_profiles
from edge_agent import __version__
from edge_agent.alarm.machine import AlarmMachine
from edge_agent.annunciator import Annunciator
from edge_agent.answers import Answers
from edge_agent.clock import SystemClock, TimeSource
from edge_agent.config.model import Config
from edge_agent.keeper import Keeper
from edge_agent.local_api import LocalServer
from edge_agent.model import Event, Kind
from edge_agent.no_journal import NoJournal
from edge_agent.points.table import PointTable
from edge_agent.site import (
    Driver,
    board_inputs,
    build_buttons,
    build_contacts,
    build_wire_drivers,
    names_of,
    sources_of,
    uplink_source,
)
from edge_agent.supervise import LagMeter, Supervisor, notify

log = logging.getLogger("edge.core")

HOUSEKEEPING_S = 1.0
UPLINK_ABSENT_S = 30.0
BUTTON_REST_NS = 300_000_000  # a bouncing button is one press

# What the store says once, and what it says when a trouble is over. All other codes last until then.
STORE_ONCE = frozenset({"set_aside", "vanished", "bug", "bad_record", "salvaged"})
STORE_OVER = frozenset({"back", "reserve_restored"})


async def run_core(config: Config, *, clock: TimeSource | None = None) -> None:
    """Run one site until cancelled. Raise JournalError("locked") if another core has it, ProfileError for a bad profile."""
    await Core(config, clock or SystemClock()).run()


class Core:
    """One site."""

    def __init__(self, config: Config, clock: TimeSource) -> None:
        self.config, self.clock = config, clock
        self._loop = asyncio.get_running_loop()
        self.started = clock.now()
        self._event_count = 0
        self._event_prefix = f"{self.started.boot_id}-{self.started.mono_ns // 1_000_000:x}"
        self._sources: dict[str, dict[str, object]] = {
            source: {"id": source, "kind": kind, "up": None, "reason": "starting"}
            for source, kind in sources_of(config).items()
        }
        self._rules_timer: asyncio.TimerHandle | None = None
        self._rules_due_ns = 0
        self._house_turns = 0
        self._uplink_seen_s = self._loop.time()
        self._pressed_ns: dict[str, int] = {}

        self.supervisor = Supervisor(self._worker_fault)
        self.lag = LagMeter()
        mandatory = [uplink.id for uplink in config.uplinks if uplink.mandatory]
        self.journal = self._open_journal(mandatory)
        self.server = LocalServer(
            config.gateway.run_dir / "core.sock", Answers(self).handlers(), on_watch=self._on_watch
        )
        self.keeper = Keeper(
            self.journal, push=self.server.push, memory_epoch=f"mem-{self._event_prefix}", mandatory=mandatory
        )
        self.gpio, self._gpio_fault = self._open_gpio()
        self.annunciator = Annunciator(self.gpio, config.board.outputs, self._board_fault)
        contacts, self._buttons = build_contacts(config, self.gpio), build_buttons(config, self.gpio)
        self.drivers: list[Driver] = build_wire_drivers(config, load_profiles(config.profile_dirs))
        self.drivers += [contacts] if contacts else []
        self.points = PointTable(
            [spec for driver in self.drivers for spec in driver.specs()],
            config.points,
            names=names_of(config),
            new_event=self.new_event,
            instant=clock.at,
            settings=config.journal,
            sources=self._sources,
            parents={device.id: bus.id for bus in config.buses for device in bus.devices},
        )
        self.alarms = AlarmMachine(config.zones, new_event=self.new_event, uplinks=mandatory)

    def _open_journal(self, mandatory: Sequence[str]) -> Journal | NoJournal:
        settings = self.config.journal
        try:
            return Journal.open(
                self.config.gateway.data_dir,
                JournalSettings(
                    vital_bytes=settings.vital_mb << 20,
                    bulk_bytes=settings.bulk_mb << 20,
                    reserve_bytes=settings.reserve_mb << 20,
                    history_events=settings.history_events,
                    history_alarm_days=settings.history_alarm_days,
                    telemetry_linger_s=settings.telemetry_linger_s,
                    mandatory=mandatory,
                ),
                self._store_fault_soon,
                boot_id=self.started.boot_id,
            )
        except JournalError as fault:
            if fault.code == "locked":
                raise
            log.critical("journal code=%s file=%s", fault.code, fault.file)
            self._loop.call_soon(self._store_fault, StoreFault(fault.code, fault.file, str(fault)))
            return NoJournal(fault.code)

    def _open_gpio(self) -> tuple[Gpio, str]:
        """The board's lines, taken; or, if they cannot be had now, a port that is tried again as it is used."""
        board = self.config.board
        outputs = {line: False for name, line in board.outputs.items()}
        gpio, code = open_gpio("none"), ""
        try:
            gpio = open_gpio(board.gpio, chip_label=board.chip_label, fake_socket=board.fake_socket)
            gpio.open(inputs=board_inputs(self.config), outputs=outputs)
        except GpioError as fault:
            log.error("board %s", fault)
            code = fault.code
        return gpio, code

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
        return [
            source | ({"counters": counters[name]} if name in counters else {})
            for name, source in self._sources.items()
        ]

    def refused(self) -> list[dict[str, object]]:
        """The last bytes each panel said that are no frame or cannot be trusted, oldest first: kept for whoever looks into it."""
        return [
            {"source": driver.id, "at_ns": kept.at_ns, "why": kept.why, "raw": kept.raw.hex(" ")}
            for driver in self.drivers
            for kept in getattr(driver, "refused", tuple)()
        ]

    # --- the way of one alarm -------------------------------------------------------------------------------------------

    def take(self, observations: Sequence[Observation]) -> None:
        """What a driver saw. Buzzer and lamps are driven before this returns; the journal runs beside it."""
        now_ns = self.now_ns()
        for observation in observations:
            if type(observation) is LinkState and (source := self._sources.get(observation.source)) is not None:
                source["up"], source["reason"] = observation.up, observation.reason
        self._settle(self.points.feed(observations, now_ns), now_ns)

    def _settle(self, events: Sequence[Event], now_ns: int) -> None:
        """Sound, then keep, then set the timer of what settles by itself."""
        if events:
            every: list[Event] = []
            for event in events:
                every += [event, *self.alarms.feed(event, now_ns)]
            self._keep(every, now_ns)
        self._arm_rules(now_ns)

    def _keep(self, events: Sequence[Event], now_ns: int) -> None:
        """Drive the lines, then journal the events with the state that changed with them, in one transaction at best."""
        self.annunciator.apply(self.alarms.annunciation(), now_ns)
        state = {**self.points.dump(), **self.alarms.dump()}
        for event in events:
            log.info(
                "event id=%s kind=%s point=%s active=%d grade=%d",
                event.id,
                event.kind.value,
                ascii(event.point),
                event.active,
                event.grade,
            )
            self.keeper.keep(event, state)
            state = {}
        if state:
            self.keeper.keep_state(state)

    def _arm_rules(self, now_ns: int) -> None:
        due = [ns for ns in (self.points.next_deadline_ns(), self.alarms.next_deadline_ns()) if ns is not None]
        due_ns = min(due, default=None)
        if self._rules_timer is not None:
            if self._rules_due_ns == due_ns:
                return
            self._rules_timer.cancel()
            self._rules_timer = None
        if due_ns is not None:
            self._rules_due_ns = due_ns
            self._rules_timer = self._loop.call_later(max(0.0, (due_ns - now_ns) / 1e9), self._run_rules)

    def _run_rules(self) -> None:
        self._rules_timer = None
        now_ns = self.now_ns()
        every: list[Event] = []
        for event in self.points.tick(now_ns):
            every += [event, *self.alarms.feed(event, now_ns)]
        every += self.alarms.tick(now_ns)
        self._keep(every, now_ns)
        self._arm_rules(now_ns)

    # --- people and centres ---------------------------------------------------------------------------------------------

    def acknowledge(self, alarm_id: str | None, who: str) -> int:
        """A person has seen one alarm, or all; return how many were news."""
        now_ns = self.now_ns()
        events = self.alarms.acknowledge(alarm_id, who, now_ns)
        self._keep(events, now_ns)
        self._arm_rules(now_ns)
        return len(events)

    def silence(self, who: str) -> int:
        """A person stops the sound; return how many sounds that ended (0 or 1)."""
        now_ns = self.now_ns()
        events = self.alarms.silence(who, now_ns)
        self._keep(events, now_ns)
        self._arm_rules(now_ns)
        return len(events)

    def delivered(self, event_ids: Sequence[str]) -> None:
        """Mandatory centres have these events: the lamp goes from flashing to steady."""
        now_ns = self.now_ns()
        for event_id in event_ids:
            self.alarms.delivered(event_id, now_ns)
        self._keep((), now_ns)
        self._arm_rules(now_ns)

    def uplink_state(self, destination: str, up: bool, reason: str) -> None:
        """The uplink says whether a centre can be reached."""
        self.take([LinkState(uplink_source(destination), up, self.now_ns(), reason)])

    def uplink_fault(self, destination: str, code: str, params: Mapping[str, object]) -> None:
        """The uplink says something a person has to look at although the link is up."""
        point = uplink_source(destination) if destination else "uplink"
        self._once(Kind.FAULT, f"{point}/{code}", {"code": code, **params})

    def _take_button(self, observations: Sequence[Observation]) -> None:
        for observation in observations:
            if not isinstance(observation, Reading):
                self.take([observation])
                continue
            pressed_ns = self._pressed_ns.get(observation.point, -BUTTON_REST_NS)
            if not observation.value or observation.at_ns - pressed_ns < BUTTON_REST_NS:
                continue
            self._pressed_ns[observation.point] = observation.at_ns
            if observation.point == "button/ack":
                self.acknowledge(None, "button")
            else:
                self.silence("button")

    # --- faults of the house itself -------------------------------------------------------------------------------------

    def _store_fault_soon(self, fault: StoreFault) -> None:
        self._loop.call_soon_threadsafe(self._store_fault, fault)  # from a writer's thread

    def _store_fault(self, fault: StoreFault) -> None:
        log.log(
            logging.WARNING if fault.code in STORE_OVER else logging.ERROR,
            "store code=%s file=%s %s",
            fault.code,
            fault.file,
            fault.detail,
        )
        point, fields = f"journal/{fault.file}", {"code": fault.code, **fault.params}
        if fault.code in STORE_ONCE:
            self._once(Kind.STORE, f"{point}/{fault.code}", fields)
        else:
            self._own_event(Kind.STORE, point, fault.code not in STORE_OVER, fields)
        if fault.code in ("back", "set_aside"):
            self.keeper.retry()

    def _worker_fault(self, worker: str, running: bool, reason: str) -> None:
        self._own_event(Kind.WORKER, f"worker/{worker}", not running, {"reason": reason})

    def _board_fault(self, code: str) -> None:
        """A line that could not be driven; "" when the board works again."""
        self._own_event(Kind.FAULT, "board", bool(code), {"reason": code or "restored"})

    def _once(self, kind: Kind, point: str, fields: Mapping[str, object]) -> None:
        """Something that happened and is over: it stays in the list until a person has acknowledged it."""
        self._own_event(kind, point, True, fields)
        self._own_event(kind, point, False, fields)

    def _own_event(self, kind: Kind, point: str, active: bool, fields: Mapping[str, object]) -> None:
        now_ns = self.now_ns()
        self._settle([self.new_event(kind, point, active, now_ns, source="gateway", fields=fields)], now_ns)

    def _on_watch(self, watching: frozenset[str]) -> None:
        if "journal" in watching:
            self.keeper.push_memory()

    # --- workers --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Restore what was latched, start everything, run until cancelled."""
        try:
            state = self.journal.state()
            self.points.restore(state)
            self.alarms.restore(state, self.clock.now())
            self.annunciator.apply(self.alarms.annunciation(), self.now_ns())
            await self.server.start()
            async with asyncio.TaskGroup() as tasks:
                for driver in self.drivers:
                    self._start(tasks, driver, self.take)
                if self._buttons is not None:
                    self._start(tasks, self._buttons, self._take_button)
                tasks.create_task(self.supervisor.keep("house", self._keep_house), name="house")
                self.supervisor.watch("house", lambda: self._house_turns, limit_s=15)
                self.supervisor.watch("journal", self.journal.progress, limit_s=60)
                tasks.create_task(self.supervisor.feed_watchdog(), name="watchdog")
                tasks.create_task(self.lag.run(), name="lag")
                self._own_event(
                    Kind.BOOT, "gateway", True, {"version": __version__, "alarms": len(self.alarms.alarms())}
                )
                if self._gpio_fault:
                    self._board_fault(self._gpio_fault)
                notify("READY=1\nSTATUS=running")
                log.info("running gateway=%s drivers=%d", self.config.gateway.id, len(self.drivers))
        finally:
            notify("STOPPING=1")
            await self.server.close()
            self.annunciator.close()
            self.gpio.close()
            await asyncio.to_thread(self.journal.close)

    def _start(self, tasks: asyncio.TaskGroup, driver: Driver, sink: Sink) -> None:
        tasks.create_task(self.supervisor.keep(driver.id, lambda: driver.run(sink)), name=driver.id)
        self.supervisor.watch(driver.id, driver.progress, limit_s=60)

    async def _keep_house(self) -> None:
        """Telemetry that is due, and whether the uplink is there. The uplink watches us the same way."""
        while True:
            for body in self.points.take_telemetry(self.now_ns()):
                self.keeper.keep_telemetry(body)
            if self.config.uplinks:
                self._watch_uplink()
            self._house_turns += 1
            await asyncio.sleep(HOUSEKEEPING_S)

    def _watch_uplink(self) -> None:
        """It says something every few seconds: a process that is frozen keeps its socket open."""
        heard_s, now_s = self.server.heard_s("journal"), self._loop.time()
        if heard_s is not None:
            self._uplink_seen_s = max(self._uplink_seen_s, heard_s)
        present = now_s - self._uplink_seen_s < UPLINK_ABSENT_S
        if present and heard_s is None:
            return  # it may be restarting
        if present != self._sources["uplink"]["up"]:
            reason = "connected" if present else "no_process" if heard_s is None else "no_answer"
            self.take([LinkState("uplink", present, self.now_ns(), reason)])
