"""The invariants of the whole agent, looked at while it runs.

I1 what was promised is at the centre or still stored      I4 the buzzer never waits for store or network
I2 no event is invented                                    I5 a fault is seen on site within 100 s
I3 the events of one source keep their order               I6 when all faults are over, it comes to rest
"""

import bisect
import collections
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buffer.reader import JournalReader
from buffer.records import Priority
from edge_agent.model import KINDS, Kind, Sound
from edge_agent.uplink.packed import Brief, BriefEvent, Summary
from edge_agent.uplink.source import MEMORY_PREFIX
from tests.sim.county import Centre
from tests.sim.gb_county import Address, GbCounty, Key
from tests.sim.machine import Machine
from tests.sim.readings import Readings

I4_S = 0.010
I5_S = 100.0
EXCUSE_S = 150.0  # how long after a fault the house may still speak of it
LADDER_EXCUSE_S = 400.0  # with a modem whose path is tried every 100 s, and whose ladder then takes its steps
BEAT_OFF_S = 0.12  # of the fire sound, a little more
ESCALATES = "escalates"


class Violation(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, at_s: float, what: str) -> None:
        super().__init__(invariant, at_s, what)
        self.invariant, self.at_s, self.what = invariant, at_s, what

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at_s:.3f} s: {self.what}"


@dataclass(slots=True)
class Trouble:
    """An injected fault that must be seen: `shows` says whether an alarm of the list is about it."""

    name: str
    since_s: float
    shows: Callable[[Any], bool]
    holds: Callable[[], bool]  # whether it is there now: a power cut may have mended it
    seen: bool = False
    within_s: float = I5_S


Name = tuple[str, str, int]


def source_down(source: str) -> Callable[[Any], bool]:
    """Shown is that a source, or what alone could speak of it, is down."""
    about = (source, source.partition("/")[0], "delivery", "uplink")
    return lambda alarm: alarm.active and alarm.kind is Kind.LINK and alarm.point in about


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two bodies are one record: all but the wall time, which may be filled in later."""
    return all(
        one.get(key) == other.get(key) if key != "at" else one["at"]["mono_ns"] == other["at"]["mono_ns"]
        for key in one.keys() | other.keys()
    )


class Observer:
    """Watches one gateway and its honest centres."""

    def __init__(self, machine: Machine, honest: list[Centre]) -> None:
        self.machine, self.world, self.honest = machine, machine.world, honest
        self.trace: collections.deque[str] = collections.deque(maxlen=400)
        self.digest = hashlib.sha256()
        self.first: Violation | None = None
        self.accepted: dict[Name, dict[str, Any]] = {}
        self.owed: dict[Name, None] = {}  # accepted and not at every honest centre yet
        self.centres: dict[str, dict[Name, dict[str, Any]]] = {centre.name: {} for centre in honest}
        self.given_up: dict[str, set[tuple[str, str, int, int]]] = {centre.name: set() for centre in honest}
        self.orders: dict[tuple[str, str, str, str], list[tuple[int, int]]] = {}
        self.activations: collections.Counter[str] = collections.Counter()
        self.active: set[str] = set()
        self.fire_ids: dict[str, dict[str, None]] = {}
        self.troubles: list[Trouble] = []
        self.excused_until_s = 0.0
        self.disk_was_full = False
        self.fires: list[tuple[float, str]] = []  # settled while the core lives: each must arrive if it goes on living
        self.high_s: dict[int, float] = {}
        self.counts: collections.Counter[str] = collections.Counter()
        self.told_s: dict[Name, float] = {}  # when it was promised; until every honest centre has it
        self.waits_s: dict[str, list[float]] = {
            "alarms": [],
            "others": [],
            "briefs": [],
            "at GB centre": [],
            "moves": [],
        }
        self.lines = machine.config.board.outputs
        self.ignore = "\0"  # points that begin with this have a fault that never ends
        self.arrived: dict[str, dict[str, dict[str, None]]] = {centre.name: {} for centre in honest}
        self.expected: collections.Counter[str] = collections.Counter()
        self.gb: GbCounty | None = None
        self.burnt: set[Address] = set()  # what it may be told to burn
        self.gb_owed: dict[Key, tuple[Name, dict[str, Any]]] = {}  # promised, and not yet looked for there
        self.briefs: dict[Name, BriefEvent] = {}  # told over packed frames, and not in full yet
        mandatory = [uplink.id for uplink in machine.config.uplinks if uplink.mandatory]
        self.readings = Readings(self.fail, lambda: self.world.now_s, self.counts, self.centres, mandatory)
        machine.on_reading, machine.on_settled = self.readings.handed, self.readings.settled
        machine.on_output = self._output
        for centre in honest:
            centre.on_record = self._recorder(centre)
            centre.on_gap = self._gap_keeper(centre)
        self.world.home.call_later(1.0, self._look)

    # -- the account of the run --------------------------------------------------------------------------------------
    def note(self, what: str) -> None:
        line = f"{self.world.now_s:.4f} {what}"
        self.trace.append(line)
        self.digest.update(line.encode())

    def fail(self, invariant: str, what: str) -> None:
        if self.first is None:
            self.first = Violation(invariant, self.world.now_s, what)
            self.world.stopped = True
            self.note(f"VIOLATION {invariant} {what}")

    # -- what goes in ------------------------------------------------------------------------------------------------
    def activated(self, point: str) -> None:
        """A fire begins at a point of the site, whether or not anybody looks."""
        self.activations[point] += 1
        self.active.add(point)
        if self.gb is not None:
            self.burnt.add(self.gb.address_of(point))

    def core_started(self) -> None:
        for point in self.active:
            self.activations[point] += 1  # it may be told again: the first telling may be lost with the power
        self.excuse(0.0)

    def excuse(self, lasts_s: float) -> None:
        """Something was done to it that it may speak of."""
        speaks_s = LADDER_EXCUSE_S if any(link.modem for link in self.machine.config.links) else EXCUSE_S
        self.excused_until_s = max(self.excused_until_s, self.world.now_s + lasts_s + speaks_s)

    def must_sound(self, point: str, after_s: float) -> None:
        """A fire settles `after_s` from now: the buzzer must be heard 10 ms later."""
        core = self.machine.core_loop
        if self.machine.core is None or core is None or self.machine.gpio_broken is not None:
            return
        if self.world.now_s - self.machine.core_since_s < 5.0:
            return
        at_s = self.world.now_s + after_s

        def heard() -> None:
            if self.machine.core_loop is not core or self.machine.gpio_broken is not None or point not in self.active:
                return
            self.counts["I4 looks"] += 1
            line = self.lines["buzzer"]
            if not self.machine.outputs.get(line) and self.high_s.get(line, -1.0) < at_s - BEAT_OFF_S:
                self.fail(
                    "I4", f"{point} settled at {at_s:.3f} and the buzzer was not driven within {I4_S * 1000:.0f} ms"
                )
            self.fires.append((at_s, point))

        self.world.home.call_later(after_s + I4_S + 1e-6, heard)

    def trouble(
        self,
        name: str,
        shows: Callable[[Any], bool],
        holds: Callable[[], bool] = lambda: True,
        within_s: float = I5_S,
    ) -> Trouble:
        """A fault begins that the site must show while it lasts."""
        found = Trouble(name, self.world.now_s, shows, holds, within_s=within_s)
        self.troubles.append(found)
        return found

    def over(self, trouble: Trouble) -> None:
        if trouble in self.troubles:
            self.troubles.remove(trouble)

    # -- what comes out ----------------------------------------------------------------------------------------------
    def _output(self, line: int, level: bool) -> None:
        if level:
            self.high_s[line] = self.world.now_s
        elif self.machine.outputs.get(line) is not None:
            self.high_s[line] = self.world.now_s  # it was high until now
        name = next((name for name, number in self.lines.items() if number == line), "")
        if name != "buzzer":
            self.digest.update(f"{self.world.now_s:.4f} {name}={level:d}".encode())

    def promised(self, push: dict[str, Any]) -> None:
        """The core says on its local API that an event is kept, under this name."""
        body, named = push["event"], push["name"]
        body = json.loads(body) if isinstance(body, str) else body
        self._plausible(body)
        if named is None:
            return
        name = (named["epoch"], named["stream"], named["n"])
        self.counts["accepted"] += 1
        if (before := self.accepted.get(name)) is not None and not _same(before, body):
            self.fail("I1", f"the name {name} was given twice: {before['id']} and {body['id']}")
        self.accepted[name] = body
        why = body.get("fields", {}).get("reason") or body.get("fields", {}).get("code") or ""
        self.note(f"kept {name[1]}/{name[2]} {body['kind']} {body['point']} {body['active']:d} {why}")
        self.told_s.setdefault(name, self.world.now_s)
        for taken in self.centres.values():
            if name not in taken:
                self.owed[name] = None
            elif not _same(taken[name], body):
                self.fail("I1", f"{name} is another at the centre")
        if self.gb is not None and (key := self.gb.key_of(body)) is not None:
            self.gb_owed[key] = name, body

    def _recorder(self, centre: Centre) -> Callable[[str, str, int, dict[str, Any]], None]:
        taken = self.centres[centre.name]
        known: dict[str, None] = {}

        def record(epoch: str, stream: str, n: int, body: dict[str, Any]) -> None:
            if stream == "telemetry":
                self.readings.taken(centre.name, epoch, n, body)
            if stream == "telemetry" or "gap" in body:
                return
            name = (epoch, stream, n)
            if name in taken:
                self.counts["again"] += 1
                if not _same(taken[name], body):
                    self.fail("I1", f"{name} came again as another")
                return
            taken[name] = body
            self.counts["at centre"] += 1
            if (brief := self.briefs.pop(name, None)) is not None:
                self.counts["full after brief"] += 1
                self._agrees(name, brief, body)
            self.note(f"{centre.name} has {stream}/{n} {body['kind']} {body['point']} {body['active']:d}")
            if (promised := self.accepted.get(name)) is not None and not _same(promised, body):
                self.fail("I1", f"{name} is another at the centre")
            if all(name in others for others in self.centres.values()):
                self.owed.pop(name, None)
                if promised is not None:
                    rank = "alarms" if stream == "alarm" else "others"
                    self.waits_s[rank].append(self.world.now_s - self.told_s.get(name, self.world.now_s))
            self._plausible(body, centre.name)
            if body["id"] not in known or not epoch.startswith(MEMORY_PREFIX):
                known[body["id"]] = None  # a second name of memory's is a repetition, which the centre knows by its id
                self._ordered(centre.name, name, body)

        return record

    def briefed(self, brief: Brief) -> None:
        """A packed frame has been taken."""
        stream = brief.priority.stream
        for entry in brief.entries:
            self.counts["briefs"] += isinstance(entry, BriefEvent)
            self.counts["brief storms"] += isinstance(entry, Summary)
            if not isinstance(entry, BriefEvent):
                continue
            name = (brief.epoch, stream, entry.n)
            full = next((taken[name] for taken in self.centres.values() if name in taken), None)
            if full is None:
                if name in self.told_s and name not in self.briefs:
                    self.waits_s["briefs"].append(self.world.now_s - self.told_s[name])
                self.briefs[name] = entry
                self.note(f"brief {stream}/{entry.n} {entry.kind} {entry.point} {entry.active:d}")
            else:
                self._agrees(name, entry, full)

    def _agrees(self, name: Name, entry: BriefEvent, full: dict[str, Any]) -> None:
        told, is_so = (entry.kind, entry.point, entry.active), (full["kind"], full["point"], full["active"])
        if told != is_so or entry.event_id not in ("", full["id"]):
            self.fail("I2", f"{name} was told as {told} and is {is_so}")

    def _gap_keeper(self, centre: Centre) -> Callable[[str, str, int, int, str], None]:
        def gap(epoch: str, stream: str, first: int, last: int, why: str) -> None:
            self.given_up[centre.name].add((epoch, stream, first, last))
            if stream == "telemetry":
                self.readings.gap(centre.name, epoch, first, last)
            self.note(f"{centre.name} gap {stream}/{first}-{last} {why}")

        return gap

    def _plausible(self, body: dict[str, Any], centre: str = "") -> None:
        """I2: every alarm was somewhere on site, every fault had a cause."""
        kind, point = Kind(body["kind"]), body["point"]
        if body["active"] and (kind is Kind.WORKER or point.endswith("/worker")):
            self.fail("crash", f"a worker of the agent died: {body.get('fields')}")
        if KINDS[kind].sound is Sound.FIRE:
            if not body["active"] or ESCALATES in body.get("fields", {}):
                return
            if centre:
                self.arrived[centre].setdefault(point, {})[body["id"]] = None
            ids = self.fire_ids.setdefault(point, {})
            ids[body["id"]] = None
            if len(ids) > self.activations[point]:
                self.fail(
                    "I2", f"{kind} of {point} was told {len(ids)} times and was there {self.activations[point]} times"
                )
        elif point.startswith(self.ignore) or (point == "delivery" and self.owed):
            return  # what is owed is the matter of I1 and I6
        elif KINDS[kind].sound is not Sound.NONE and body["active"] and self.world.now_s > self.excused_until_s:
            self.fail("I2", f"{kind} of {point} ({body.get('fields')}) had no cause")

    def _ordered(self, centre: str, name: Name, body: dict[str, Any]) -> None:
        """I3: within an epoch, of memory or of the journal, and a boot the numbers of one source rise as its clock does."""
        epoch, stream, n = name
        key = (centre, f"{epoch}/{stream}", body.get("source") or body["point"], body["at"]["boot"])
        order = self.orders.setdefault(key, [])
        entry = (n, body["at"]["mono_ns"])
        place = bisect.bisect(order, entry)
        before = order[place - 1] if place else None
        after = order[place] if place < len(order) else None
        if (before is not None and before[1] > entry[1]) or (after is not None and after[1] < entry[1]):
            self.fail("I3", f"{stream}/{n} of {key[2]} is older than its neighbour {before or after}")
        order.insert(place, entry)

    # -- every second ------------------------------------------------------------------------------------------------
    def _look(self) -> None:
        """I5, and what is lit."""
        self.world.home.call_later(1.0, self._look)
        if self.gb is not None:
            self._look_at_gb(self.gb)
        core, now_s = self.machine.core, self.world.now_s
        if core is None:
            return
        alarms = None
        for trouble in self.troubles:
            if trouble.seen:
                continue
            if not trouble.holds():
                trouble.since_s = now_s
                continue
            alarms = alarms if alarms is not None else core.alarms.alarms()
            if any(trouble.shows(alarm) for alarm in alarms) and self._lit():
                trouble.seen = True
                self.counts["I5 seen"] += 1
                self.note(f"seen {trouble.name} after {now_s - trouble.since_s:.1f} s")
            elif now_s - max(trouble.since_s, self.machine.core_since_s) > trouble.within_s:
                self.fail("I5", f"{trouble.name} since {trouble.since_s:.1f} is not shown on site")

    def _look_at_gb(self, gb: GbCounty) -> None:
        """I2 for a centre that is told states: nothing burns there that never burnt here."""
        gb.take()
        for address in gb.burnt - self.burnt:
            self.fail("I2", f"{address} burns at the GB centre and never did here")

    def _check_gb(self, gb: GbCounty) -> None:
        """I1 for it: what was promised has been told, as the unit, the component and the second it is of."""
        self._look_at_gb(gb)
        owed, self.gb_owed = self.gb_owed, {}
        for key, (name, body) in owed.items():
            if key in gb.heard:
                self.counts["at GB centre"] += 1
                if key[2] is not None:  # without its second it may be an earlier one
                    self.waits_s["at GB centre"].append(max(0.0, gb.heard[key] - self.told_s.get(name, gb.heard[key])))
            elif name[1] == "alarm" or not self.disk_was_full:
                what = f"{name[1]}/{name[2]} ({body['kind']} {body['point']} {body['active']:d})"
                self.fail("I1", f"{what} is done with and was never told to the GB centre as {key}")

    def _lit(self) -> bool:
        if self.machine.gpio_broken is not None:
            return True
        lamps = [self.lines[lamp] for lamp in ("fault_lamp", "link_lamp")]
        return any(
            self.machine.outputs.get(line) or self.world.now_s - self.high_s.get(line, -9.0) < 2.5 for line in lamps
        )

    # -- at rest -----------------------------------------------------------------------------------------------------
    def check_stored(self) -> None:
        """I1: what was promised and is not at the centre can be read from the medium."""
        if not self.owed:
            return
        self.counts["I1 looks"] += 1
        directory: Path = self.machine.config.gateway.data_dir
        with JournalReader.open(directory) as reader:
            for epoch, stream, n in list(self.owed):
                found = reader.read(Priority[stream.upper()], epoch, n - 1, 1)
                if not found or found[0].name.n != n:
                    self.lost((epoch, stream, n))
                elif not _same(json.loads(found[0].body), self.accepted[epoch, stream, n]):
                    self.fail("I1", f"{(epoch, stream, n)} is another on the medium")

    def lost(self, name: Name) -> None:
        """Neither here nor there. Under a full disk the younger ranks may go, if the centre was told."""
        epoch, stream, n = name
        declared = all(
            name in self.centres[centre] or any(e == epoch and s == stream and a <= n <= b for e, s, a, b in gaps)
            for centre, gaps in self.given_up.items()
        )
        if stream != "alarm" and self.disk_was_full and declared:
            self.owed.pop(name, None)
            return
        body = self.accepted[name]
        self.fail("I1", f"{stream}/{n} of {epoch} ({body['kind']} {body['point']}) was promised and is gone")

    def check_arrived(self) -> None:
        """I1, at rest: every promise is at every honest centre, and so is every fire of which the core has not died since."""
        for name in list(self.owed):
            self.lost(name)
        for at_s, point in self.fires:
            if self.machine.core is not None and self.machine.core_since_s < at_s:
                self.expected[point] += 1
        self.fires.clear()
        for centre, points in self.arrived.items():
            for point, count in self.expected.items():
                if len(points.get(point, ())) < count:
                    self.fail("I1", f"{point} burnt {count} times and {centre} heard of {len(points.get(point, ()))}")
        self.readings.check()
        if self.gb is not None:
            self._check_gb(self.gb)
        for name in list(self.briefs):
            if name[0].startswith(MEMORY_PREFIX):
                del self.briefs[name]  # its core has died with the full record of it, unless the journal took it in
            else:
                self.fail("I2", f"{name} was told in brief, and there is no such record")

    def wrong_lamps(self) -> str:
        """What is lit, sounds or is listed although all is well and a person has pressed the button."""
        core, now_s = self.machine.core, self.world.now_s
        if core is None:
            return "no core"
        if self.gb is not None and (wrong := self.gb.wrong(core)[1]):
            return wrong
        listed = core.alarms.alarms()
        if any(alarm.point.startswith(self.ignore) for alarm in listed):
            return ""
        if listed or core.alarms.undelivered():
            return f"listed {[(a.kind.value, a.point, a.state.value) for a in listed][:5]}, unsent {core.alarms.undelivered()[:5]}"
        lit = [name for name in ("buzzer", "fault_lamp", "link_lamp") if self.machine.outputs.get(self.lines[name])]
        if now_s - self.high_s.get(self.lines["buzzer"], -9.0) < 2.0:
            lit.append("buzzer")
        return ", ".join(lit)
