"""The real programs over bad links: alarms are confirmed in time, a dead NB-IoT link is noticed in time, nothing lost or doubled.

EDGE_NET_ALARMS (scripts/evidence: 200) alarms over each profile; EDGE_NET_FAULTS=all: NB-IoT is cut EDGE_NET_ROUNDS (10) times.
Other dead links: test_dead_links.py.
"""

import asyncio
import contextlib
import json
import math
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from tests.net.link import G4, HEALED, NBIOT, BadLink
from tests.net.sites import SMALL, down, far_site, narrow_site
from tests.proof.checker import Name, compare, read_given_up, spread_s
from tests.proof.site import ProofSite, note
from tests.proof.test_full_disk import raise_fires

pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.timeout(7200)]

ALARMS = int(os.environ.get("EDGE_NET_ALARMS", "8"))
ROUNDS = int(os.environ.get("EDGE_NET_ROUNDS", "1"))
SEED = int(os.environ.get("EDGE_NET_SEED", "20261125"))
ALL = os.environ.get("EDGE_NET_FAULTS") == "all"
NARROW_NOTICED_S = 180.0
NARROW_EVERY_S = 3.0  # the load: one alarm on a quiet link
START_S, DELIVERED_S = 180.0, 300.0  # a third of all packets lost is lost of the handshakes, too


def delays_s(site: ProofSite, points: set[str]) -> list[float]:
    """From each fire's first word to the centre's first commit of it, sorted."""
    first: dict[str, float] = {}
    for record in site.at_centre():
        body = record.body
        if body.get("kind") == "fire" and body["point"] in points and "escalates" not in body.get("fields", {}):
            wait_s = (record.received_ns - body["at"]["wall_ns"]) / 1e9
            first[body["id"]] = min(wait_s, first.get(body["id"], wait_s))
    return sorted(first.values())


class Profile(NamedTuple):
    """A link, its load and bound; `centre`: what sysctl is told of the centre's TCP."""

    link: dict[str, float]
    limit_s: float
    every_s: float = 1.0
    centre: Mapping[str, object] = MappingProxyType({})


RTO_MAX = Path("/proc/sys/net/ipv4/tcp_rto_max_ms")  # Linux 6.15
NOT_SET = {"tcp_congestion_control": "cubic"}  # Debian's default
TUNED = (
    NOT_SET | {"tcp_thin_linear_timeouts": 1} | ({"tcp_rto_max_ms": 1000} if RTO_MAX.exists() else {})
)  # docs/city.md
PROFILES = {
    "4g": Profile(G4, 10.0),
    "nbiot": Profile(NBIOT, 30.0, NARROW_EVERY_S),
    "4g-loss-5": Profile(G4 | {"loss": 0.05}, 10.0),
    "4g-loss-10": Profile(G4 | {"loss": 0.10}, 10.0),
    "4g-loss-30": Profile(G4 | {"loss": 0.30}, 10.0 if RTO_MAX.exists() else math.inf, centre=TUNED),
    "4g-loss-30-centre-not-set": Profile(G4 | {"loss": 0.30}, math.inf, centre=NOT_SET),  # late, and nothing lost
}


@pytest.mark.parametrize("name", PROFILES if ALL else list(PROFILES)[:2])
async def test_alarms_are_confirmed_in_time(name: str, tmp_path: Path) -> None:
    profile = PROFILES[name]
    with BadLink(SEED) as link:
        link.tune(link.centre, **profile.centre)
        async with far_site(link, tmp_path) as site:
            link.shape(**profile.link)
            await site.start(START_S)
            await raise_fires(site, 1, 1)
            await site.all_delivered(DELIVERED_S)
            before = link.shape()
            points: set[str] = set()
            for n in range(ALARMS):
                points |= await raise_fires(site, 100 + n, 1)
                await asyncio.sleep(profile.every_s)  # the site's pace
            await site.all_delivered(DELIVERED_S)
            counts = link.shape()
            waits = delays_s(site, points)
            verdict = compare(site.witness.accepted, site.at_centre(), given_up=read_given_up(site.centre_db))
    p99 = waits[min(len(waits) - 1, int(len(waits) * 0.99))]
    found = {
        "alarms": len(waits),
        "p99_s": round(p99, 2),
        "delay_s": spread_s(waits, "settled to the centre's commit"),
    }
    bytes_each = {way: (counts[way] - before[way]) // ALARMS for way in ("up", "down")}
    note(
        f"net-{name}",
        {
            "profile": profile.link,
            "centre": dict(profile.centre),
            "seed": SEED,
            "small_machine": SMALL,
            **found,
            "bytes_an_alarm": bytes_each,
            **verdict.counts(),
        },
    )
    assert verdict.sound, verdict
    assert len(waits) == ALARMS
    assert p99 <= profile.limit_s


async def test_alarms_told_in_packed_frames_are_confirmed_in_time(tmp_path: Path) -> None:
    said_ns: dict[str, int] = {}
    with BadLink(SEED) as link:
        async with narrow_site(link, tmp_path) as site:
            link.shape(**NBIOT)
            await site.start()
            await raise_fires(site, 1, 1)
            await site.until(partial(all_told, site), "the first alarm is told", 120.0, pause_s=0.2)
            before = link.shape()
            for n in range(100, 100 + ALARMS):
                said_ns[f"panel1/{n:06d}"] = time.time_ns()
                await raise_fires(site, n, 1)
                await asyncio.sleep(NARROW_EVERY_S)  # the site's pace, as above
            await site.until(partial(all_told, site), "every alarm is told", 120.0, pause_s=0.2)
            await site.until(partial(no_lamp_waits, site), "the lamp knows", 120.0, pause_s=0.2)
            counts = link.shape()
            rows, alarms = briefs(site), alarms_told(site)
    told = told_at(rows)
    names = {body["point"]: name for name, body in alarms.items() if "escalates" not in body.get("fields", {})}
    waits = sorted((told[names[point]] - at_ns) / 1e9 for point, at_ns in said_ns.items())
    p99 = waits[min(len(waits) - 1, int(len(waits) * 0.99))]
    wrong = compare_briefs(alarms, rows)
    note(
        "net-nbiot-packed",
        {
            "profile": NBIOT,
            "seed": SEED,
            "small_machine": SMALL,
            "alarms": len(waits),
            "records": len(alarms),
            "p99_s": round(p99, 2),
            "delay_s": spread_s(waits, "said to told in brief at the centre"),
            "bytes_an_alarm": {way: (counts[way] - before[way]) // ALARMS for way in ("up", "down")},
            **wrong,
        },
    )
    assert not any(wrong.values()), wrong
    assert p99 <= 30.0


@pytest.mark.skipif(not ALL, reason="minutes of waiting: EDGE_NET_FAULTS=all")
async def test_a_dead_narrow_link_is_noticed_and_costs_nothing(tmp_path: Path) -> None:
    noticed: list[float] = []
    recovered: list[float] = []
    with BadLink(SEED) as link:
        async with narrow_site(link, tmp_path) as site:
            link.shape(**NBIOT)
            await site.start()
            for turn in range(1, ROUNDS + 1):
                await raise_fires(site, turn * 1000, 2)
                await site.until(partial(all_told, site), "what came before is told", 120.0, pause_s=0.2)
                started_s = time.monotonic()
                link.shape(seed=SEED + turn, cut=("both", "up", "down")[turn % 3])
                await raise_fires(site, turn * 1000 + 100, 3)
                await site.until(partial(down, site), "the lost link is told on site", NARROW_NOTICED_S)
                noticed.append(time.monotonic() - started_s)
                link.shape(**HEALED)
                healed_s = time.monotonic()
                await site.until(partial(all_told, site), "every alarm is told", 300.0, pause_s=0.2)
                await site.until(site.centre_reached, "the link is up again", 300.0)
                recovered.append(time.monotonic() - healed_s)
            await site.until(partial(no_lamp_waits, site), "the lamp knows", 120.0, pause_s=0.2)
            wrong = compare_briefs(alarms_told(site), briefs(site))
    note(
        "net-nbiot-packed-cut",
        {
            "rounds": ROUNDS,
            "small_machine": SMALL,
            "noticed_s": spread_s(noticed, "cut to told on site"),
            "delay_s": spread_s(recovered, "healed to all of it at the centre"),
            **wrong,
        },
    )
    assert not any(wrong.values()), wrong
    assert max(noticed) <= NARROW_NOTICED_S


class Brief(NamedTuple):
    """One row of alarms at the centre: one alarm, or those of a storm counted together."""

    covers: list[Name]
    body: dict[str, Any]
    received_ns: int


def briefs(site: ProofSite) -> list[Brief]:
    query = (
        "SELECT epoch, n, body, received_ns FROM records JOIN streams USING (stream_id)"
        " WHERE stream = 'alarm' AND brief ORDER BY received_ns"
    )
    found = []
    with contextlib.closing(sqlite3.connect(f"file:{site.centre_db}?mode=ro", uri=True, timeout=5)) as database:
        for epoch, n, text, received_ns in database.execute(query):
            body = json.loads(text)
            span = body.get("covers", {"first": n, "last": n})
            names = [Name(epoch, "alarm", covered) for covered in range(span["first"], span["last"] + 1)]
            found.append(Brief(names, body, received_ns))
    return found


def told_at(rows: list[Brief]) -> dict[Name, int]:
    """When the centre committed the first word of each alarm."""
    told: dict[Name, int] = {}
    for row in rows:
        for name in row.covers:
            told.setdefault(name, row.received_ns)
    return told


def alarms_told(site: ProofSite) -> dict[Name, dict[str, Any]]:
    """What the core told of alarms."""
    return {name: dict(body) for name, body in site.witness.accepted.items() if name.stream == "alarm"}


def compare_briefs(alarms: dict[Name, dict[str, Any]], rows: list[Brief]) -> dict[str, int]:
    """What is wrong, counted as in tests/proof/checker.py; of a storm only that its numbers are covered."""
    told = told_at(rows)
    singles = {row.covers[0]: row.body for row in rows if "covers" not in row.body}
    ids = Counter(body["id"] for body in singles.values())
    same = ("id", "kind", "point", "active")
    altered = [
        name for name, body in singles.items() if name in alarms and any(body[key] != alarms[name][key] for key in same)
    ]
    return {
        "lost": len(alarms.keys() - told.keys()),
        "altered": len(altered),
        "doubled": sum(count > 1 for count in ids.values()),
        "invented": len(told.keys() - alarms.keys()),
    }


def all_told(site: ProofSite) -> bool:
    """Whether the centre was told of every alarm the core told of."""
    return alarms_told(site).keys() <= told_at(briefs(site)).keys()


async def no_lamp_waits(site: ProofSite) -> bool:
    """Whether everything is confirmed, as the lamp has it."""
    return await site.ask("undelivered") == []
