"""The simulated site: what it starts it owns, and its account of losses can tell a loss."""

import asyncio
import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.broker import Broker, NoBroker
from simulators.process import Program
from simulators.site import ACK, BUZZER, CALL_POINT, SimulatedSite, SiteError
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


def ended(site: SimulatedSite) -> bool:
    return not site.directory.exists() and not any(program.running for program in site.programs)


async def test_a_closed_contact_reaches_the_centre_and_the_account_is_even() -> None:
    async with SimulatedSite() as site:
        await site.start_gateway()
        site.board.set(CALL_POINT, True)
        await site.until_output(BUZZER, True, "heard")
        await site.until(lambda: any(e["point"] == "stairs" for e in site.accepted.values()), "kept")
        fire_id = next(event["id"] for event in site.accepted.values() if event["point"] == "stairs")
        await site.until(lambda: fire_id in site.stored_ids(), "delivery")
        await site.until(lambda: not site.account().waiting, "delivery")
        account = site.account()
        assert (account.lost, account.duplicates) == (0, 0)
        assert account.records >= len(site.accepted) > 0
    assert ended(site)


async def test_the_account_tells_what_waits_from_what_is_lost() -> None:
    async with SimulatedSite() as site:
        await site.start_gateway()
        await site.until(lambda: not site.account().waiting, "delivery")
        site.link.cut()
        site.board.set(CALL_POINT, True)
        await site.until(lambda: any(e["point"] == "stairs" for e in site.accepted.values()), "kept")
        await site.kill_gateway()
        before = site.account()
        assert before.waiting > 0
        assert before.lost == 0
        shutil.rmtree(site.directory / "data")  # the card is gone
        after = site.account()
        assert after.waiting == 0
        assert 0 < after.lost <= before.waiting
    assert ended(site)


async def test_the_account_sees_an_event_that_is_stored_twice() -> None:
    async with SimulatedSite() as site:
        await site.start_gateway()
        await site.until(lambda: len(site.stored_ids()) > 1, "delivery")
        assert site.account().duplicates == 0
        await site.centre.stop()
        with contextlib.closing(sqlite3.connect(site.centre_db)) as database, database:
            database.execute("UPDATE records SET body = (SELECT body FROM records LIMIT 1)")
        assert site.account().duplicates > 0


async def test_what_a_core_kept_before_it_was_listened_to_is_known_all_the_same() -> None:
    """A core that has just started does not wait for listeners: a slow machine's demo once waited for a fire for ever."""
    async with SimulatedSite() as site:
        await site.start_gateway()
        site.board.set(CALL_POINT, True)
        await site.until(lambda: any(e["point"] == "stairs" for e in site.accepted.values()), "kept")
        await site.kill_gateway()
        kept = dict(site.accepted)
        site.accepted.clear()
        site.accepted_ns.clear()
        await site.start_gateway()
        await site.until(lambda: kept.items() <= site.accepted.items(), "kept")
        assert {event["id"] for event in kept.values()} <= site.accepted_ns.keys()


async def test_a_killed_gateway_comes_back_to_the_same_board_and_journal() -> None:
    async with SimulatedSite() as site:
        await site.start_gateway()
        site.board.set(CALL_POINT, True)
        await site.until(lambda: any(e["point"] == "stairs" for e in site.accepted.values()), "kept")
        kept = set(site.accepted)
        await site.kill_gateway()
        await site.start_gateway()
        assert site.board.inputs == {CALL_POINT: True}
        site.board.set(ACK, True)
        await site.until(lambda: not site.account().waiting, "delivery")
        assert site.account().lost == 0
        assert kept <= set(site.accepted)


async def test_everything_ends_when_the_body_raises_or_is_cancelled() -> None:
    with pytest.raises(ZeroDivisionError):
        async with SimulatedSite() as site:
            await site.start_gateway()
            raise ZeroDivisionError
    assert ended(site)
    with pytest.raises(TimeoutError):
        async with SimulatedSite() as site, asyncio.timeout(0.5):
            await site.start_gateway()
            await asyncio.Event().wait()
    assert ended(site)


async def test_a_program_that_ends_by_itself_is_named_at_once_with_its_log() -> None:
    async with SimulatedSite(more="nonsense = [") as site:
        with pytest.raises(SiteError) as raised:
            await site.start_gateway()
        fault = raised.value
        assert (fault.what, fault.directory) == ("ended", site.directory)
        assert fault.program in ("core", "uplink")
        assert "config.toml" in fault.tails[fault.program]
        assert "config.toml" in str(fault)
    assert site.directory.exists()  # for whoever looks into it
    shutil.rmtree(site.directory)


async def test_what_does_not_happen_is_named_after_its_time() -> None:
    async with SimulatedSite() as site:
        with pytest.raises(SiteError, match="a miracle"):
            await site.until(lambda: False, "a miracle", 0.05)
    shutil.rmtree(site.directory)


@pytest.mark.parametrize("kind", ["mosquitto", "iotcore"])
async def test_a_broker_can_be_frozen_killed_and_started_on_its_old_port(kind: str, tmp_path: Path) -> None:
    broker = Broker(tmp_path, kind)
    try:
        await broker.start()
        port = broker.port
        broker.program.send(signal.SIGSTOP)
        broker.program.send(signal.SIGCONT)
        await broker.program.kill()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        await broker.start()
        assert broker.port == port
        assert listens_only_here(port)
    finally:
        await broker.program.stop()


def listens_only_here(port: int) -> bool:
    lines = [*Path("/proc/net/tcp").read_text().splitlines(), *Path("/proc/net/tcp6").read_text().splitlines()]
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    return [where.split(":")[0] for where in listening if where.endswith(f":{port:04X}")] == ["0100007F"]


async def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    broker = Broker(tmp_path, "mosquitto")
    broker._text = "no_such_setting true\n"
    with pytest.raises(ChildProcessError, match="no_such_setting"):
        await broker.start()


async def test_no_broker_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(NoBroker):
        SimulatedSite(broker="none-of-these")
    assert list(tmp_path.iterdir()) == []


async def test_a_program_knows_whether_it_was_asked_to_end(tmp_path: Path) -> None:
    program = Program("p", (sys.executable, "-c", "input()"), tmp_path / "log")
    assert not program.ended
    await program.start()  # its input is empty: it ends by itself
    async with asyncio.timeout(PATIENCE_S):
        while program.running:
            await asyncio.sleep(0.01)
    assert program.ended
    assert "EOFError" in program.tail()
    asleep = Program("q", ("sleep", "60"), tmp_path / "log")
    await asleep.start()
    pid = asleep.pid
    assert await asleep.kill() == -signal.SIGKILL
    assert not asleep.ended
    assert subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 1
