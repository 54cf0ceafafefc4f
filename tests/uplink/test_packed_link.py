"""Packed frames over real UDP, through a path that loses, doubles and reorders, to the reference centre and its database."""

import asyncio
import contextlib
import dataclasses
import random
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from buffer.records import Priority
from edge_agent.config.model import Config
from edge_agent.config.uplinks import Link
from edge_agent.model import Kind
from edge_agent.uplink import packed, packed_link
from edge_agent.uplink.modem.pump import pair
from edge_agent.uplink.packed import BriefAck, Echo, seal, tag_of
from edge_agent.uplink.packed_link import PackedLink, PackedSettings
from simulators.centre import query
from simulators.centre.packed import PackedListener
from simulators.datagrams import DatagramRelay, Mood
from simulators.link import Link as Wire
from tests.brokers import Broker
from tests.proof.checker import spread_s
from tests.proof.site import note
from tests.uplink.site import (
    GATEWAY,
    MemoryJournal,
    counted,
    event_body,
    ring,
    running_centre,
    running_uplink,
    site_config,
    telemetry_body,
)
from tests.waiting import until

pytestmark = pytest.mark.asyncio
KEY = bytes(range(32))


@contextlib.asynccontextmanager
async def narrow(
    directory: Path, mood: Mood, seed: int = 1
) -> AsyncIterator[tuple[DatagramRelay, PackedListener, Path]]:
    """A centre that takes packed frames, behind a bad path."""
    keys, db = directory / "keys", directory / "narrow" / "centre.db"
    keys.mkdir(exist_ok=True)
    db.parent.mkdir(exist_ok=True)
    (keys / f"{GATEWAY}.key").write_text(KEY.hex())
    ear = PackedListener("127.0.0.1", 0, keys, db)
    ear.start()
    relay = DatagramRelay(ear.port, random.Random(seed), mood)
    await relay.start()
    try:
        yield relay, ear, db
    finally:
        relay.close()
        await asyncio.to_thread(ear.stop)


def packed_config(directory: Path, relay: DatagramRelay, *links: Link, port: int = 1) -> Config:
    key_file = directory / "packed.key"
    key_file.write_text(KEY.hex())
    config = site_config(directory, port, packed_port=relay.port, packed_key_file=key_file)
    return dataclasses.replace(config, links=links or (Link(id="nb", kind="nbiot"),))


def rows(db: Path, stream: str = "alarm") -> list[dict[str, object]]:
    with query.opened(db) as database:
        return query.events(database, stream=stream, limit=100_000)


def briefs(db: Path, stream: str = "alarm") -> set[int]:
    """Numbers the centre was told, one by one or counted."""
    found: set[int] = set()
    for row in rows(db, stream):
        covers = row.get("covers")
        first = last = row["n"]
        if isinstance(covers, dict):
            first, last = covers["first"], covers["last"]
        assert isinstance(first, int)
        assert isinstance(last, int)
        found |= set(range(first, last + 1)) if row["brief"] else set()
    return found


@pytest.mark.parametrize("loss", [0.05, 0.3])
async def test_alarms_and_faults_arrive_in_brief_through_a_lossy_path_and_nothing_else_does(
    tmp_path: Path, loss: float
) -> None:
    journal = MemoryJournal()
    mood = Mood(loss=loss, delay_s=0.02, jitter_s=0.015, double=0.1)
    async with (
        narrow(tmp_path, mood) as (relay, _, db),
        running_uplink(packed_config(tmp_path, relay), journal) as uplink,
    ):
        lit: list[str] = []
        uplink.core.delivered = lit.extend  # type: ignore[method-assign, assignment]
        for n in range(1, 11):
            journal.append(Priority.FAULT, event_body(n, Kind.LINK))
            journal.append(Priority.STATUS, event_body(n, Kind.START))
            journal.append(Priority.TELEMETRY, telemetry_body(n))
        for _ in range(12):
            ring(uplink, journal, 1)
            await asyncio.sleep(0.05)
        rung_s = time.monotonic()
        box = uplink.destinations[0].outbox
        await until(lambda: briefs(db) == set(range(1, 13)) and briefs(db, "fault") == set(range(1, 11)))
        singles = [row["n"] for row in rows(db) if "covers" not in row]
        found = {"count": 22, "lost": 0, "doubled": len(singles) - len({*singles})}  # nothing is: `until` has seen all
        delay_s = spread_s([time.monotonic() - rung_s], "the last of them to all told in brief")
        note(f"packed-loss-{loss:g}", {**found, "delay_s": delay_s})
        await until(lambda: not box.alarm_pending and box.pending(Priority.FAULT) == 0)
        assert len(set(lit)) == 12
        assert {row["stream"] for row in rows(db, "")} == {"alarm", "fault"}
        assert max(relay.sizes) <= packed.FRAME_BYTES_MAX
        first = rows(db)[0]
        assert (first["kind"], first["active"], first["brief"]) == ("fire", True, True)


async def test_what_was_told_stays_due_in_full_and_the_full_record_replaces_the_brief(tmp_path: Path) -> None:
    journal = MemoryJournal()
    with Broker(tmp_path) as broker:
        async with narrow(tmp_path, Mood()) as (relay, _, db):
            wire = Wire(broker.port)
            await wire.start()
            wire.cut()
            quick = {"probe_s": 0.5, "hold_s": 1.0, "misses": 1}
            links = Link(id="eth", **quick), Link(id="nb", kind="nbiot")  # type: ignore[arg-type]
            config = packed_config(tmp_path, relay, *links, port=wire.port)
            async with running_uplink(config, journal) as uplink:
                ring(uplink, journal, 5)
                await until(lambda: briefs(db) == {1, 2, 3, 4, 5})
                box = uplink.destinations[0].outbox
                await until(lambda: not box.alarm_pending)
                assert box.pending(Priority.ALARM) == 5, "in brief is not in full"
            async with running_uplink(config, journal) as uplink:  # told survives a restart: nothing is told twice
                uplink._on_record(journal.epoch, Priority.ALARM, 5, None)
                sent = len(relay.sizes)
                await until(lambda: uplink.paths._policies["county"].choice.current == "nb")
                ring(uplink, journal, 1)  # a new one, which what is due again would come before
                await until(lambda: briefs(db) == {1, 2, 3, 4, 5, 6})
                assert all(size <= 80 for size in relay.sizes[sent:]), "an echo or two, and one record"
                await until(lambda: not uplink.destinations[0].outbox.alarm_pending, "the centre has said so")
                with running_centre(tmp_path / "narrow", broker):
                    wire.heal()
                    box = uplink.destinations[0].outbox
                    await until(lambda: box.pending(Priority.ALARM) == 0, "in full over the wide path")
                    assert briefs(db) == set()
                    assert sorted(row["n"] for row in rows(db)) == [1, 2, 3, 4, 5, 6]  # type: ignore[type-var]
                    assert all(row["name"] == "一层走道" for row in rows(db)), (
                        "the full record has what the brief left out"
                    )
                    counts = counted(db)
                    assert (counts["events"], counts["records"], counts["briefs"]) == (6, 6, 6)
            await wire.close()


async def test_a_brief_that_comes_late_never_replaces_the_full_record(tmp_path: Path) -> None:
    from simulators.centre.check import Batch
    from simulators.centre.packed import batch_of
    from simulators.centre.sqlite_store import SqliteStore

    store = SqliteStore(tmp_path / "centre.db")
    full = Batch(GATEWAY, "e1", "alarm", [(1, {"id": "a-1", "kind": "fire", "point": "p", "active": True})], [], [])
    event = packed.BriefEvent(
        n=1, kind="gas", active=True, grade=0, wall_s=1, clock="synced", event_id="a-1", point="q"
    )
    store.take_batch(full)
    store.take_batch(batch_of(GATEWAY, packed.Brief(epoch="e1", priority=Priority.ALARM, first=1, entries=(event,))))
    store.commit()
    store.close()
    assert [(row["kind"], row["brief"]) for row in rows(tmp_path / "centre.db")] == [("fire", False)]


async def test_a_storm_of_a_thousand_lines_is_counted_over_packed_frames_and_complete_over_the_wide_path(
    tmp_path: Path,
) -> None:
    journal = MemoryJournal()
    with Broker(tmp_path) as broker:
        async with narrow(tmp_path, Mood(delay_s=0.02, jitter_s=0.01)) as (relay, _, db):
            wire = Wire(broker.port)
            await wire.start()
            wire.cut()
            links = Link(id="eth", probe_s=0.5, hold_s=1.0, misses=1), Link(id="nb", kind="nbiot")
            async with running_uplink(packed_config(tmp_path, relay, *links, port=wire.port), journal) as uplink:
                policy = uplink.paths._policies["county"]
                await until(lambda: policy.choice.current == "nb")
                before = len(relay.sizes)
                began_s = time.monotonic()
                for _ in range(100):
                    ring(uplink, journal, 10)
                    await asyncio.sleep(0.02)
                await until(lambda: len(briefs(db)) == 1000)
                delay_s = spread_s([time.monotonic() - began_s], "the first of a storm to all told in brief")
                used = relay.sizes[before:]
                singly = [row for row in rows(db) if "covers" not in row]
                assert len(singly) >= 8, "the first ones are told one by one"
                assert sum(used) < 12_000, "a thousand events for the price of twenty in full"
                with running_centre(tmp_path / "narrow", broker):
                    wire.heal()
                    await until(lambda: uplink.destinations[0].outbox.pending(Priority.ALARM) == 0)
                    assert sorted(row["n"] for row in rows(db)) == list(range(1, 1001))  # type: ignore[type-var]
                    assert not any(row["brief"] for row in rows(db))
                    note("packed-storm", {"alarms": 1000, "lost": 0, "doubled": 0, "delay_s": delay_s})
            await wire.close()


async def test_a_centre_that_restarts_reads_the_next_frame_and_forgets_nothing_it_acknowledged(tmp_path: Path) -> None:
    journal = MemoryJournal()
    async with (
        narrow(tmp_path, Mood()) as (relay, ear, db),
        running_uplink(packed_config(tmp_path, relay), journal) as uplink,
    ):
        ring(uplink, journal, 3)
        await until(lambda: not uplink.destinations[0].outbox.alarm_pending and len(briefs(db)) == 3)
        await asyncio.to_thread(ear.stop)
        ring(uplink, journal, 2)
        relay.forget()
        again = PackedListener("127.0.0.1", 0, tmp_path / "keys", db)
        again.start()
        relay.target_port = again.port
        try:
            await until(lambda: briefs(db) == {1, 2, 3, 4, 5})
            await until(lambda: not uplink.destinations[0].outbox.alarm_pending)
            assert again.counters["refused"] == 0, "it reads what was sealed for the one before it"
        finally:
            await asyncio.to_thread(again.stop)


async def test_nobody_without_the_key_confirms_an_alarm_or_stores_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_link, "WAIT_FLOOR_S", 0.5)
    monkeypatch.setattr(packed_link, "FIRST_WAIT_S", 0.5)
    journal = MemoryJournal()
    rng = random.Random(5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
        liar.bind(("127.0.0.1", 0))
        liar.settimeout(60)
        key_file = tmp_path / "packed.key"
        key_file.write_text(KEY.hex())
        config = site_config(tmp_path, 1, packed_port=liar.getsockname()[1], packed_key_file=key_file)
        config = dataclasses.replace(config, links=(Link(id="nb", kind="nbiot"),))
        async with running_uplink(config, journal) as uplink:
            ring(uplink, journal, 1)
            for _ in range(2):
                frame, sender = await asyncio.to_thread(liar.recvfrom, 600)
                sequence = int.from_bytes(frame[5:9], "big")
                claim = BriefAck(epoch="e1", priority=Priority.ALARM, through=1, high=1)
                for forged in (
                    seal(bytes(32), tag_of(GATEWAY), sequence, claim),
                    seal(bytes(32), tag_of(GATEWAY), sequence, packed.Echo(True, 0)),
                    frame,
                    rng.randbytes(60),
                ):
                    liar.sendto(forged, sender)
            await asyncio.to_thread(liar.recvfrom, 600)  # it asks again: none of them was believed
            assert uplink.paths._policies["county"].choice.current is None
            assert uplink.destinations[0].outbox.alarm_pending
    async with narrow(tmp_path, Mood()) as (_, ear, db):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            event = packed.BriefEvent(
                n=1, kind="fire", active=True, grade=0, wall_s=1, clock="synced", event_id="", point="p"
            )
            brief = packed.Brief(epoch="e1", priority=Priority.ALARM, first=1, entries=(event,))
            for count in range(50):
                stranger.sendto(rng.randbytes(rng.randrange(600)), ("127.0.0.1", ear.port))
                stranger.sendto(seal(bytes(32), tag_of(GATEWAY), count, brief), ("127.0.0.1", ear.port))
            await until(lambda: ear.counters["refused"] == 100)
            stranger.sendto(seal(KEY, tag_of(GATEWAY), 1, brief), ("127.0.0.1", ear.port))
            await until(lambda: db.exists() and briefs(db) == {1})


async def test_a_path_that_falls_silent_is_known_and_the_session_ends(tmp_path: Path) -> None:
    journal = MemoryJournal()
    mood = Mood()
    async with narrow(tmp_path, mood) as (relay, _, db):
        config = packed_config(tmp_path, relay, Link(id="nb", kind="nbiot", probe_s=0.5, misses=2))
        async with running_uplink(config, journal) as uplink:
            policy = uplink.paths._policies["county"]
            await until(lambda: policy.choice.current == "nb")
            mood.up = False
            await until(lambda: policy.choice.current is None, "the silence is noticed")
            mood.up = True
            ring(uplink, journal, 1)
            await until(lambda: briefs(db) == {1})
            await until(lambda: policy.choice.current == "nb", "it was taken again")


async def test_a_modem_that_drops_the_socket_ends_the_session_at_once_and_nothing_spins() -> None:
    """A SEQPACKET whose far end is gone is readable for ever and gives nothing: no frame, and no reason to wait for a timer."""
    theirs, ours = pair("udp")
    with ours:
        settings = PackedSettings(gateway=GATEWAY, host="127.0.0.1", port=1, key=KEY)

        async def dial(host: str, port: int) -> socket.socket:
            return theirs

        async def answer() -> None:
            sequence, _ = packed.unseal(KEY, await asyncio.get_running_loop().sock_recv(ours, 2048))
            ours.send(seal(KEY, tag_of(GATEWAY), sequence, Echo(True, 0)))

        answering = asyncio.create_task(answer())
        session = await PackedLink(settings, dial, random.Random(1)).open(None)  # type: ignore[arg-type]  # nobody hears of acks
        await answering
    try:
        await until(session.closed.done)
        assert session.closed.result().reason == "half_open"
        assert session.counters["refused"] == 0  # type: ignore[attr-defined]
    finally:
        await session.close()
