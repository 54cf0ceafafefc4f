"""Compares what a fleet had with what a city's database holds. test_checker.py shows that it can fail."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import psycopg

from simulators.centre.query import look

Name = tuple[str, str, str, int]  # gateway, epoch, stream, n


@dataclass(slots=True)
class Verdict:
    """All empty is what every proof asks for."""

    missing: list[Name] = field(default_factory=list)  # had, and not there
    altered: list[Name] = field(default_factory=list)  # there with another body
    invented: list[Name] = field(default_factory=list)  # there, and nobody had it
    twice: list[str] = field(default_factory=list)  # names or events that are there twice, or were counted so
    holes: list[dict[str, object]] = field(default_factory=list)  # listed as missing or lost
    disagreeing: list[object] = field(default_factory=list)  # gap lists that differ from the rows themselves

    @property
    def sound(self) -> bool:
        return not any(getattr(self, name) for name in self.__slots__)

    def counts(self) -> dict[str, int]:
        return {name: len(getattr(self, name)) for name in self.__slots__}


def compare(expected: Iterable[tuple[Name, bytes]], url: str) -> Verdict:
    """Hold every single record against its name, and the lists the centre keeps against its rows."""
    verdict = Verdict()
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT gateway, epoch, stream, n, body FROM records JOIN streams USING (stream_id)"
        ).fetchall()
        ids = connection.execute("SELECT gateway, id FROM events").fetchall()
    there = {(gateway, epoch, stream, n): body for gateway, epoch, stream, n, body in rows}
    names = Counter(row[:4] for row in rows)
    verdict.twice = [str(name) for name, count in names.items() if count > 1]
    for name, body in expected:
        if (found := there.pop(name, None)) is None:
            verdict.missing.append(name)
        elif json.loads(found) != json.loads(body):
            verdict.altered.append(name)
    verdict.invented = list(there)
    events = {(name[0], json.loads(body)["id"]) for *name, body in rows if name[2] != "telemetry"}
    if Counter(ids) != Counter(events):
        verdict.twice.append(f"events: {len(ids)} rows for {len(events)}")
    with look(url) as asked:
        verdict.holes = asked.gaps()
        anew = asked.gaps(recount=True)
        stats = asked.stats()
    if anew != verdict.holes:
        verdict.disagreeing.append((anew[:5], verdict.holes[:5]))
    if stats["records"] != len(rows):
        verdict.twice.append(f"{stats['records']} counted as stored, {len(rows)} rows")
    return verdict
