"""The unmodified programs on a recorded file system: a busy spell of a site, and what had been promised at each point of it."""

import asyncio
import contextlib
import json
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from buffer.reader import JournalReader
from buffer.records import Name, Priority
from edge_agent.uplink.intervals import Intervals
from simulators.modbus_slave import SlaveLine, slave_like
from tests.power.judge import Promises
from tests.power.oplog import Op
from tests.power.recording import Recording
from tests.proof import checker
from tests.proof.site import ProofSite

SITE = """
[journal]
vital_mb = 16
bulk_mb = 16
reserve_mb = 1
telemetry_linger_s = 1.0
telemetry_s = 1.0
deadband = 0.001
[[bus]]
id = "rtu1"
port = "{port}"
[[bus.device]]
id = "meter1"
profile = "eastron-sdm630"
address = 1
period_s = 1.0
"""
SPELL = 20  # events in each stretch of the session


@dataclass(frozen=True, slots=True)
class Session:
    """One recorded spell. `told`: from which cut on, which name had been given to a listener."""

    ops: list[Op]
    told: list[tuple[int, Name]]
    known: dict[Name, bytes]  # every record there ever was
    confirmed: list[tuple[int, Name]]  # wall ns of the centre's commit

    def promises(self) -> Promises:
        """For the judge."""
        return Promises([(cut, name, self.known[name]) for cut, name in self.told], self.known)

    def confirmed_by(self, cut: int) -> dict[tuple[str, Priority], Intervals]:
        """What the centre had when operation `cut` was done."""
        until_ns = self.ops[cut - 1].at_ns
        found: dict[tuple[str, Priority], Intervals] = {}
        for at_ns, name in self.confirmed:
            if at_ns <= until_ns:
                found.setdefault((name.epoch, name.priority), Intervals()).add(name.n, name.n)
        return found


async def recorded_session(place: Path, data_dir: Path, recording: Recording) -> Session:
    """Events while the link is up and cut; the core stopped, killed, the uplink killed; a meter telling all the while.

    `data_dir` is on the recorder, or on a file system whose image is.
    """
    bus = SlaveLine([slave_like(1, "eastron-sdm630")], baud=9600, link=place / "rtu1")
    port = bus.plug()
    try:
        async with ProofSite(data_dir=data_dir, more=SITE.format(port=port)) as site:
            site.witness.told = lambda name: recording.mark(json.dumps(name).encode())
            await _spell(site)
            await asyncio.gather(site.core.kill(), site.uplink.kill())
            with JournalReader.open(data_dir) as reader:
                known = {record.name: record.body for record in reader.records()}
            for name, body in site.witness.accepted.items():
                assert json.loads(known[_name(*name)]) == body, f"{name} is not what was told"
            for told_name, raw in _bodies(site.centre_db).items():  # readings leave once they are confirmed
                assert known.setdefault(told_name, raw) == raw, f"{told_name} was altered on its way"
            confirmed = _confirmed(site.centre_db)
    finally:
        bus.unplug()
    ops = list(recording.fetch())
    told = [(cut, _name(*json.loads(op.data))) for cut, op in enumerate(ops, 1) if op.kind == "mark"]
    return Session(ops, told, known, confirmed)


async def _spell(site: ProofSite) -> None:
    await site.start()
    await _events(site, 1)
    site.link.cut()
    await _events(site, 2)
    await site.core.stop()
    await site.start_core()
    await _events(site, 3)
    await site.core.kill()
    await site.start_core()
    await site.uplink.kill()
    await site.uplink.start()
    await _events(site, 4)
    site.link.heal()
    await site.all_delivered()
    await _events(site, 5)
    await site.all_delivered()


async def _events(site: ProofSite, stretch: int) -> None:
    for n in range(SPELL):
        before = len(site.witness.accepted)
        await site.panel.raise_event({6: "fault", 7: "feedback"}.get(n % 8, "fire"), f"{stretch:03d}{n:03d}")
        if n % 3 == 0:  # some alone, some in company
            await site.until(lambda before=before: len(site.witness.accepted) > before, "the event is accepted")  # type: ignore[misc]
    last = f"panel1/{stretch:03d}{SPELL - 1:03d}"
    await site.until(lambda: site.witness.of(point=last), f"stretch {stretch} is accepted")


def _name(epoch: str, stream: str, n: int) -> Name:
    return Name(epoch, Priority[stream.upper()], n)


def _confirmed(centre_db: Path) -> list[tuple[int, Name]]:
    query = "SELECT received_ns, epoch, stream, n FROM records JOIN streams USING (stream_id) ORDER BY received_ns"
    with contextlib.closing(sqlite3.connect(f"file:{centre_db}?mode=ro", uri=True, timeout=5)) as db:
        return [(at_ns, _name(epoch, stream, n)) for at_ns, epoch, stream, n in db.execute(query)]


def _bodies(centre_db: Path) -> dict[Name, bytes]:
    """What the centre has of readings, written as the core writes them."""
    query = "SELECT epoch, stream, n, body FROM records JOIN streams USING (stream_id) WHERE stream = 'telemetry'"
    with contextlib.closing(sqlite3.connect(f"file:{centre_db}?mode=ro", uri=True, timeout=5)) as db:
        rows = db.execute(query).fetchall()
    return {
        _name(epoch, stream, n): json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()
        for epoch, stream, n, body in rows
    }


async def arrives(session: Session, data_dir: Path, acked: dict[Name, bytes]) -> float:
    """Start everything on `data_dir` beside a new centre. Return the seconds until the centre has every record of `acked`."""
    wanted = {checker.Name(name.epoch, name.priority.stream, name.n): json.loads(body) for name, body in acked.items()}
    async with ProofSite(data_dir=data_dir, more=SITE.format(port="/dev/null")) as site:
        started_s = time.monotonic()
        await site.start()
        await site.until(
            lambda: wanted.keys() <= site.names_at_centre(),
            "the centre has all that was told before the cut",
            pause_s=0.1,
        )
        took_s = round(time.monotonic() - started_s, 1)
        fires = {body["point"] for body in wanted.values() if body.get("kind") == "fire" and body["active"]}
        alarms = {alarm["point"] for alarm in await site.alarms("fire")}
        assert fires <= alarms, f"not latched any more: {fires - alarms}"
        there = {record.name: record.body for record in site.at_centre()}
        for name, body in wanted.items():
            assert there[name] == body, f"{name} was altered"
        await site.panel.raise_event("fire", "999999")
        await site.until(lambda: site.witness.of(point="panel1/999999"), "a new fire is kept")
    return took_s
