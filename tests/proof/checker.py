"""Compares what a gateway accepted with what its centre has. Pure but for `read_centre`; test_checker.py shows that it can fail."""

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

MEMORY = "mem-"  # epochs of a core whose medium is late or dead: the same event may also have a name in the journal


class Name(NamedTuple):
    """A record's name within one gateway."""

    epoch: str
    stream: str
    n: int


@dataclass(frozen=True, slots=True)
class Taken:
    """One record at the centre."""

    name: Name
    body: dict[str, Any]
    received_ns: int = 0


@dataclass(slots=True)
class Verdict:
    """What is wrong; all empty is what every proof asks for."""

    lost: list[Name] = field(default_factory=list)  # accepted, and not at the centre
    altered: list[Name] = field(default_factory=list)  # at the centre with another body
    doubled: list[str] = field(default_factory=list)  # event ids under two names of the journal
    said_twice: list[str] = field(default_factory=list)  # points with two beginnings of one fire
    invented: list[str] = field(default_factory=list)  # fires of points that never said so
    holes: list[Name] = field(default_factory=list)  # numbers below the highest that are not there
    disordered: list[Name] = field(default_factory=list)  # not in the order in which it was accepted

    @property
    def sound(self) -> bool:
        """Nothing is wrong."""
        return not any(getattr(self, name) for name in self.__slots__)

    def counts(self) -> dict[str, int]:
        """How much is wrong, for the evidence."""
        return {name: len(getattr(self, name)) for name in self.__slots__}


def compare(
    accepted: Mapping[Name, Mapping[str, Any]],
    taken: Sequence[Taken],
    *,
    said: Collection[str] = (),
    given_up: Iterable[Name] = (),
) -> Verdict:
    """Judge. `accepted` in the order the core told of it; `taken` in the order of the names; `said` the user codes the panel spoke.

    `given_up` are names the gateway itself declared lost (after damage): they are no holes, but accepted ones among them are lost.
    """
    verdict = Verdict()
    there = {record.name: record.body for record in taken}
    for name, body in accepted.items():
        if name not in there:
            verdict.lost.append(name)
        elif there[name] != body:
            verdict.altered.append(name)
    journal = [record for record in taken if not record.name.epoch.startswith(MEMORY)]
    ids = Counter(record.body["id"] for record in journal if "id" in record.body)
    verdict.doubled = [event_id for event_id, count in ids.items() if count > 1]
    first_words: Counter[str] = Counter()
    for event_id, body in {r.body["id"]: r.body for r in taken if "id" in r.body}.items():
        if body["kind"] == "fire" and body["source"] == "panel1" and body["active"]:
            if "escalates" in body.get("fields", {}):
                continue
            first_words[body["point"]] += 1
            if said and body["point"].removeprefix("panel1/") not in said:
                verdict.invented.append(event_id)
    verdict.said_twice = [point for point, count in first_words.items() if count > 1]
    verdict.holes = _holes([record.name for record in journal], set(given_up))
    verdict.disordered = _disordered(accepted, journal)
    return verdict


def _holes(names: Iterable[Name], given_up: set[Name]) -> list[Name]:
    streams: dict[tuple[str, str], set[int]] = {}
    for name in names:
        streams.setdefault((name.epoch, name.stream), set()).add(name.n)
    missing = (
        Name(epoch, stream, n)
        for (epoch, stream), numbers in streams.items()
        for n in range(1, max(numbers))
        if n not in numbers
    )
    return [name for name in missing if name not in given_up]


def _disordered(accepted: Iterable[Name], journal: Sequence[Taken]) -> list[Name]:
    """Names that go back: against the order of acceptance, or against the clock of the boot they share."""
    found: list[Name] = []
    highest: dict[tuple[str, str], int] = {}
    for name in accepted:
        if name.n <= highest.get(name[:2], 0):
            found.append(name)
        highest[name[:2]] = name.n
    latest: dict[tuple[str, str, str], int] = {}
    for record in journal:
        if (at := record.body.get("at")) is None:
            continue
        key = (record.name.epoch, record.name.stream, at["boot"])
        if at["mono_ns"] < latest.get(key, 0):
            found.append(record.name)
        latest[key] = at["mono_ns"]
    return found


def read_centre(db: Path) -> list[Taken]:
    """All records of events at the centre, by epoch, stream and n. Raise sqlite3.Error."""
    query = (
        "SELECT epoch, stream, n, body, received_ns FROM records JOIN streams USING (stream_id)"
        " WHERE stream != 'telemetry' ORDER BY epoch, stream, n"
    )
    with contextlib.closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=5)) as database:
        return [Taken(Name(*row[:3]), json.loads(row[3]), row[4]) for row in database.execute(query)]


def read_given_up(db: Path) -> set[Name]:
    """Every number the gateway declared lost."""
    query = "SELECT epoch, stream, first, last FROM gaps JOIN streams USING (stream_id)"
    with contextlib.closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=5)) as database:
        rows = database.execute(query).fetchall()
    return {Name(epoch, stream, n) for epoch, stream, first, last in rows for n in range(first, last + 1)}


def suspect(taken: Iterable[Taken], names: Iterable[Name]) -> set[Name]:
    """Those of `names` that a gap record of the journal covers: what it told the centre it may have lost with a file."""
    gaps = [record.body["gap"] for record in taken if "gap" in record.body]
    return {
        name
        for name in names
        for gap in gaps
        if gap.get("epoch") == name.epoch and gap["from"] <= name.n and (gap["to"] is None or name.n <= gap["to"])
    }


def delays_s(taken: Iterable[Taken]) -> dict[str, Any]:
    """From the moment an input settled to the centre's commit, wall clock of this one machine."""
    waits = ((r.received_ns - r.body["at"]["wall_ns"]) / 1e9 for r in taken if "at" in r.body)
    return spread_s(waits, "settled to the centre's commit")


def spread_s(waits: Iterable[float], of: str, clock: str = "real") -> dict[str, Any]:
    """The delay of a row of the evidence: what was awaited, in seconds of which clock. Nothing if nothing was."""
    ordered = sorted(waits)
    if not ordered:
        return {}
    return {"p50": round(ordered[len(ordered) // 2], 3), "max": round(ordered[-1], 3), "of": of, "clock": clock}
