"""County over GB/T 26875.3, city and market over MQTT, at once: each its own streams and confirms, none the other's hostage."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from buffer.records import Priority
from edge_agent.config.model import Config
from edge_agent.config.uplinks import Uplink
from edge_agent.model import Kind
from edge_agent.uplink.backoff import Backoff
from edge_agent.uplink.main import UplinkProcess
from simulators.centre.gb26875 import GbCentre
from simulators.ports import free_port
from tests.brokers import Broker
from tests.proof.checker import read_centre, spread_s
from tests.proof.site import note
from tests.uplink.gb26875.site import body, fires, gb_centre, gb_config, gb_uplink, units
from tests.uplink.site import MemoryJournal, running_centre, running_uplink, stored, telemetry_body
from tests.waiting import until

pytestmark = pytest.mark.asyncio

HOUR_S = 3600.0


def mixed_journal(events: int = 5) -> MemoryJournal:
    journal = MemoryJournal()
    for n in range(1, events + 1):
        journal.append(Priority.ALARM, body(n))
        journal.append(Priority.FAULT, body(n, Kind.FAULT))
        journal.append(Priority.STATUS, body(n, Kind.FEEDBACK))
        journal.append(Priority.TELEMETRY, telemetry_body(n))
    return journal


def mqtt(name: str, port: int, **more: object) -> Uplink:
    return Uplink(id=name, host="127.0.0.1", port=port, **more)  # type: ignore[arg-type]


def burning(county: GbCentre) -> list[int]:
    """Fires in the order of their first arrival: one whose confirm took longer than TIMEOUT_S comes again."""
    return list(dict.fromkeys(fires(county)))


def waiting(process: UplinkProcess, name: str) -> int:
    destination = next(d for d in process.destinations if d.id == name)
    return sum(
        destination.outbox.pending(p) for p in (Priority.ALARM, Priority.FAULT, Priority.STATUS, Priority.TELEMETRY)
    )


async def test_three_centres_get_each_their_streams_over_their_protocol(tmp_path: Path) -> None:
    with (
        Broker(tmp_path / "a") as city,
        Broker(tmp_path / "b") as market,
        running_centre(tmp_path / "city", city) as city_db,
        running_centre(tmp_path / "market", market) as market_db,
    ):
        async with gb_centre() as county:
            config = gb_config(
                tmp_path,
                replace(gb_uplink(county.port), streams=("alarm", "fault")),
                mqtt("city", city.port),
                mqtt("market", market.port, streams=("alarm", "telemetry"), mandatory=False),
            )
            async with running_uplink(config, mixed_journal()) as process:
                await until(lambda: all(waiting(process, n) == 0 and _served(process, n) for n in _NAMES))
            assert burning(county)[:5] == [1, 2, 3, 4, 5], "alarms first"
            assert not units(county, 3), "telemetry is none of the county's streams"
            for stream in ("alarm", "fault", "status", "telemetry"):
                assert stored(city_db, stream) == [1, 2, 3, 4, 5]
                assert stored(market_db, stream) == ([1, 2, 3, 4, 5] if stream in ("alarm", "telemetry") else [])


_NAMES = ("county", "city", "market")


def _served(process: UplinkProcess, name: str) -> bool:
    destination = next(d for d in process.destinations if d.id == name)
    return destination.outbox.get("e1", Priority.ALARM) is not None


@pytest.mark.parametrize("trouble", ["dead", "silent", "deny", "wrong-serial", "half"])
async def test_a_county_that_is_dead_or_lies_delays_no_city(
    tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the county waits for takes an hour here: a city that shared any wait of it would never get its alarm."""
    monkeypatch.setattr(Backoff, "next_s", lambda self, *, alarm=False: HOUR_S)
    with Broker(tmp_path / "a") as city, running_centre(tmp_path / "city", city) as city_db:
        async with gb_centre() as county:
            if trouble != "dead":
                county.faults.add(trouble)  # type: ignore[arg-type]
            port = free_port() if trouble == "dead" else county.port
            config = gb_config(tmp_path, gb_uplink(port, timeout_s=HOUR_S), mqtt("city", city.port))
            journal = mixed_journal(200)
            async with running_uplink(config, journal) as process:
                await until(lambda: waiting(process, "city") == 0 and _served(process, "city"), "the backlog")
                loop = asyncio.get_running_loop()
                started_s = loop.time()
                journal.append(Priority.ALARM, body(201))
                process._on_record("e1", Priority.ALARM, 201, body(201))
                await until(lambda: 201 in stored(city_db), "the county's waits are the city's too")
                waited_s = loop.time() - started_s
                ids = [taken.body["id"] for taken in read_centre(city_db) if taken.name.stream == "alarm"]
                found = {"alarms": 201, "lost": 201 - len(set(ids)), "doubled": len(ids) - len(set(ids))}
                note(f"county-{trouble}", {**found, "delay_s": spread_s([waited_s], "alarm to the live centre")})
                assert sorted(ids) == sorted({json.loads(body(n))["id"] for n in range(1, 202)}), "each of them once"
                assert process.destinations[0].outbox.pending(Priority.ALARM) == 201, "nothing is credited falsely"
                assert process.destinations[0].counters["refused"] == 0


async def test_a_city_without_a_centre_delays_no_county(tmp_path: Path) -> None:
    with Broker(tmp_path / "a") as city:  # the broker takes everything and nobody reads it
        async with gb_centre() as county:
            config = gb_config(tmp_path, gb_uplink(county.port), mqtt("city", city.port, unconfirmed_s=2.0))
            async with running_uplink(config, mixed_journal(20)) as process:
                await until(lambda: waiting(process, "county") == 0 and _served(process, "county"))
                assert waiting(process, "city") == 80
                assert len(burning(county)) == 20


async def test_a_stream_that_a_gb_centre_did_not_get_before_begins_now(tmp_path: Path) -> None:
    """It cannot be told that a fire is of last year: an alarm stream that is added must not bring them all."""
    journal = mixed_journal(3)
    async with gb_centre() as county:
        faults = gb_config(tmp_path, replace(gb_uplink(county.port), streams=("fault",)))
        async with running_uplink(faults, journal) as process:
            await until(lambda: waiting(process, "county") == 0 and process._polls > 1 and units(county, 2), "served")
            assert process.ledger.flush()
        journal.append(Priority.FAULT, body(4, Kind.FAULT))
        county.received.clear()
        both = replace(faults, uplinks=(replace(faults.uplinks[0], streams=("alarm", "fault")),))
        async with running_uplink(both, journal) as process:
            await until(lambda: len({item.address for item in units(county, 2)}) == 1, "the fault it missed")  # type: ignore[attr-defined]
            journal.append(Priority.ALARM, body(4))
            process._on_record("e1", Priority.ALARM, 4, body(4))
            await until(lambda: burning(county) == [4] and waiting(process, "county") == 0)
            assert process.ledger.flush()
        journal.append(Priority.ALARM, body(5))
        async with running_uplink(both, journal) as process:  # from then on it is owed what it misses
            await until(lambda: burning(county) == [4, 5] and waiting(process, "county") == 0)


async def test_a_lamp_waits_for_the_mandatory_centres_that_get_alarms_and_for_no_other(tmp_path: Path) -> None:
    async with gb_centre() as county:
        config = gb_config(
            tmp_path,
            gb_uplink(county.port),
            mqtt("city", free_port(), streams=("telemetry",)),
            mqtt("market", free_port(), mandatory=False),
        )
        assert config.mandatory() == ["county"]
        assert config.mandatory("telemetry") == ["county", "city"]
        journal = mixed_journal(1)
        async with running_uplink(config, journal) as process:
            told: list[str] = []
            process.core.delivered = told.extend  # type: ignore[method-assign, assignment]
            await until(lambda: told, "the county alone decides")


async def test_centres_come_and_go_and_each_keeps_what_is_its_own(tmp_path: Path) -> None:
    journal = mixed_journal(3)
    with Broker(tmp_path / "a") as broker, running_centre(tmp_path / "city", broker) as city_db:
        async with gb_centre() as county:
            only_city = gb_config(tmp_path, mqtt("city", broker.port))
            async with running_uplink(only_city, journal) as process:
                await until(lambda: waiting(process, "city") == 0 and _served(process, "city"))
                assert process.ledger.flush()
            both: Config = replace(only_city, uplinks=(*only_city.uplinks, gb_uplink(county.port)))
            async with running_uplink(both, journal) as process:
                await until(lambda: process._polls > 1 and county.received, "the county begins now")
                journal.append(Priority.ALARM, body(4))
                process._on_record("e1", Priority.ALARM, 4, body(4))
                await until(lambda: burning(county) == [4] and waiting(process, "county") == 0)
                await until(lambda: stored(city_db) == [1, 2, 3, 4])
                assert process.ledger.flush()
            journal.append(Priority.ALARM, body(5))
            async with running_uplink(
                replace(both, uplinks=both.uplinks[1:]), journal
            ) as process:  # the city is taken out
                await until(lambda: burning(county) == [4, 5] and waiting(process, "county") == 0)
                assert process.ledger.flush()
            async with running_uplink(both, journal) as process:  # and comes back: it is owed what it missed
                await until(lambda: stored(city_db) == [1, 2, 3, 4, 5])
