"""The medium fails the n-th operation, for every n until a run passes untouched: nothing is acknowledged falsely, nothing ends.

EDGE_IO_STRIDE: every so many n (scripts/evidence: 1, all of them). EDGE_STALLS: syncs that take two seconds (20).
"""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import pytest

from buffer.faults import StoreFault
from buffer.journal import Journal, JournalSettings
from buffer.owner import Owner
from buffer.reader import JournalReader
from buffer.records import Name, Priority
from buffer.recovery import bad_files, done_path
from buffer.store import is_gap
from buffer.waiting import Ticket
from edge_agent.tasks import end
from simulators.process import Program
from tests.power.recording import Recording, workplace
from tests.proof.checker import Name as Told
from tests.proof.checker import Taken, Verdict, compare, delays_s, read_given_up, spread_s
from tests.proof.site import BUZZER, ProofSite, note
from tests.proof.test_full_disk import SMALL, fires_at_centre, no_store_fault, raise_fires, store_fault
from tests.waiting import eventually, until

STRIDE = int(os.environ.get("EDGE_IO_STRIDE", "48"))
STALLS = int(os.environ.get("EDGE_STALLS", "3"))
ERRORS = ("EIO", "ENOSPC", "EROFS", "EDQUOT")
OPS = ("write", "fsync", "truncate", "create", "rename", "unlink")
SETTINGS = JournalSettings(
    mandatory=("c",),
    reserve_bytes=64 * 1024,
    telemetry_linger_s=0.005,
    status_linger_s=0.005,
    fault_linger_s=0.005,
    background_check=False,
)
N_MAX = 2000
SOUNDS_S = 1.0


class Run:
    """One journal's life on a failing medium: opened, ten records, closed; then opened on a sound one."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.faults: list[StoreFault] = []
        self.tickets: list[Ticket] = []
        self.answered_s: list[float] = []  # from an append to its answer, a name or a refusal
        self.hits = 0
        self.set_aside = 0

    def suffer(self, error: str, after: int, times: int) -> None:
        for old in self.recording.mount.iterdir():
            old.unlink()
        self.recording.fail(*OPS, error=error, after=after, times=times)
        with contextlib.ExitStack() as end:
            end.callback(self._heal)
            journal = Journal.open(self.recording.mount, SETTINGS, self.faults.append, boot_id="boot")
            end.callback(journal.close)
            for rank in (*Priority, *Priority):
                state = {"k": b"v"} if rank is Priority.ALARM else None
                began_s = time.perf_counter()
                self.tickets.append(journal.append(rank, b"%d" % len(self.tickets) * 40, state))
                assert journal.flush(60), "a writer hangs"
                self.answered_s.append(time.perf_counter() - began_s)
        # What waited for the medium and was not written by the end is refused: nothing stays without an answer.
        assert all(ticket.settled for ticket in self.tickets)

    def _all_salvaged(self) -> bool:
        bad = [bad for name in ("vital.db", "bulk.db") for bad in bad_files(self.recording.mount / name).values()]
        self.set_aside = len(bad)
        return all(done_path(path).exists() for path in bad)

    def _heal(self) -> None:
        self.hits = self.recording.heal()

    def look(self) -> None:
        """On a medium that works again, everything that was named is there, and another record finds room."""
        opened = Journal.open(self.recording.mount, SETTINGS, self.faults.append, boot_id="boot")
        with contextlib.closing(opened) as journal:
            new = journal.append(Priority.ALARM, b"new")
            assert journal.flush(60)
            eventually(self._all_salvaged, "what was set aside is salvaged")
        with JournalReader.open(self.recording.mount) as reader:
            there = {record.name: record.body for record in reader.records()}
            assert reader.verify().ok
        names = [ticket.name for ticket in (*self.tickets, new) if ticket.name is not None]
        assert len(names) == len(set(names)), "a name was given twice"
        bodies = [body for body in there.values() if not is_gap(body)]
        assert len(bodies) == len(set(bodies)), "a record is there under two names"
        for ticket in (*self.tickets, new):
            if ticket.name is not None and there.get(ticket.name) != ticket.body:
                gave_way = ticket.name.priority is not Priority.ALARM and told_of(ticket.name, there)
                assert gave_way, f"{ticket.name} was acknowledged falsely"
        assert new.name is not None


def told_of(name: Name, there: Mapping[Name, bytes]) -> bool:
    """Whether a gap record of its stream says that it is gone."""
    gaps = [json.loads(body)["gap"] for told, body in there.items() if told.priority is name.priority and is_gap(body)]
    return any(
        gap.get("epoch") == name.epoch and gap["from"] <= name.n and (gap["to"] is None or name.n <= gap["to"])
        for gap in gaps
    )


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("times", [1, 0], ids=["once", "from-then-on"])
def test_every_operation_may_fail(times: int) -> None:
    runs = refused = aside = 0
    answered_s: list[float] = []
    with workplace() as place, Recording(place) as recording:
        for error in ERRORS:
            for n in range(1, N_MAX, STRIDE):
                run = Run(recording)
                try:
                    run.suffer(error, n, times)
                    run.look()
                except AssertionError as fault:
                    raise AssertionError(f"{error} at operation {n}: {fault} {run.faults}") from fault
                runs += 1
                answered_s += run.answered_s
                aside += run.set_aside
                failed = [ticket.error for ticket in run.tickets if ticket.name is None]
                refused += len(failed)
                assert not failed or run.faults, f"{error} at {n}: {failed} and nobody was told"
                if not run.hits:
                    break
            else:
                raise AssertionError("no run passed untouched")
    note(
        f"io-errors-{'once' if times else 'lasting'}",
        {
            "runs": runs,
            "stride": STRIDE,
            "records_refused": refused,
            "lost": 0,  # `look` ends at the first that is
            "doubled": 0,
            "delay_s": spread_s(answered_s, "append to its answer"),
        },
    )
    assert refused > 0, "nothing ever failed"


def test_a_journal_that_takes_an_error_for_a_commit_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: what the medium refused is named all the same."""

    count = itertools.count(1)

    def fail(self: Owner[Any], batch: Sequence[Ticket], code: str) -> None:
        for ticket in batch:
            if ticket.name is None:
                ticket.give("planted", next(count))

    monkeypatch.setattr(Owner, "_fail", fail)
    with (
        workplace() as place,
        Recording(place) as recording,
        pytest.raises(AssertionError, match="acknowledged falsely"),
    ):
        for n in range(1, N_MAX, 16):
            run = Run(recording)
            run.suffer("EIO", n, 0)
            assert run.hits, "no run was touched"
            run.look()


@pytest.mark.asyncio
@pytest.mark.slow
async def test_fires_sound_and_travel_while_the_card_fails() -> None:
    with workplace() as place, Recording(place, "card") as card:
        async with ProofSite(data_dir=card.mount, more=SMALL) as site:
            await site.start()
            fires = await raise_fires(site, 1, 5)
            for number, error in enumerate(ERRORS, 1):
                await site.ask("ack")
                card.fail(*OPS, error=error, after=3)
                async with await site.board() as board:
                    failed_ns = time.monotonic_ns()
                    during = await raise_fires(site, number * 100, 5)
                    await board.wait_output(BUZZER, True, after_ns=failed_ns)
                await site.until(lambda: store_fault(site), f"{error} is a fault on site")
                await site.until(
                    lambda during=during: during <= fires_at_centre(site), f"{error}: the centre has every fire"
                )  # type: ignore[misc]
                assert site.core.running and site.uplink.running
                assert card.heal() > 0
                await site.until(lambda: no_store_fault(site), f"{error} is over")
                fires |= during
            kept = lambda: fires <= {body["point"] for body in site.witness.of(kind="fire")}  # noqa: E731
            await site.until(kept, "what was refused is offered again")
            await site.all_delivered()
            taken = site.at_centre()
            verdict = compare(site.witness.accepted, taken, given_up=read_given_up(site.centre_db))
            mine = [record for record in taken if record.body.get("point") in fires]
            note(
                "io-errors-running",
                {"fires": len(fires), "errors": ERRORS, "delay_s": delays_s(mine), **verdict.counts()},
            )
            assert verdict.sound, verdict


WATCHDOG_S = 6.0
PING_S = WATCHDOG_S / 3  # edge_agent/supervise.py


class Feeding:
    """systemd's end of a watchdog: what the core says of itself, and for how long it says nothing.

    That is counted in turns of a quiet loop, ours, that sleeps as long as the core does between two pings: a machine that is busy
    or stands still makes both late.
    """

    def __init__(self, systemd: socket.socket) -> None:
        self._socket = systemd
        systemd.setblocking(False)
        self.pings = 0
        self.silent_turns = 0  # the most in a row
        self.stuck: list[str] = []  # whom the core itself calls so

    def hear(self) -> int:
        """Take what has been said. Return how many pings there were by now."""
        with contextlib.suppress(BlockingIOError):
            while True:
                word = self._socket.recv(4096)
                self.pings += word == b"WATCHDOG=1"
                if word.startswith(b"STATUS=stuck"):
                    self.stuck.append(word.decode())
        return self.pings

    @contextlib.asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        """From the first ping in this block to its end."""
        counting = asyncio.create_task(self._count())
        try:
            yield
        finally:
            await end(counting)

    async def _count(self) -> NoReturn:
        await until(self.hear, "the first ping")
        silent = 0
        while True:
            before = self.pings
            await asyncio.sleep(PING_S)
            silent = silent + 1 if self.hear() == before else 0
            self.silent_turns = max(self.silent_turns, silent)

    @property
    def fired(self) -> bool:
        """Whether systemd would have ended the core."""
        return self.silent_turns * PING_S >= WATCHDOG_S


class Stalled(NamedTuple):
    """What became of fires while syncs of the card took two seconds."""

    heard_s: list[float]  # from the panel's word to the buzzer
    ahead_s: list[float]  # from the buzzer to the word that the fire is kept
    feeding: Feeding
    verdict: Verdict
    taken: list[Taken]


async def stalled(stalls: int, *planted: str) -> Stalled:
    """So many fires, each with a sync that stalls. `planted`: what the core's own interpreter runs before it is a core."""
    heard, ahead, kept_ns = list[float](), list[float](), dict[str, int]()
    with (
        workplace() as place,
        Recording(place, "card") as card,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        systemd.bind(str(place / "notify"))
        feeding = Feeding(systemd)
        async with ProofSite(data_dir=card.mount, more=SMALL) as site:
            environ = {"NOTIFY_SOCKET": str(place / "notify"), "WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}"}
            words = site.core.arguments
            if planted:
                words = (words[0], "-c", *planted, "--config", str(site.directory), "run")
            site.core = Program("core", words, site.core.log, environ)

            def kept(name: Told) -> None:
                kept_ns.setdefault(site.witness.accepted[name]["point"], time.monotonic_ns())

            site.witness.told = kept
            await site.start()
            async with await site.board() as board, feeding.counted():
                for n in itertools.count():
                    await site.ask("ack")
                    await board.wait_output(BUZZER, False)
                    if n >= stalls:
                        break
                    card.fail("fsync", stall_s=2.0, times=1)
                    said_ns = await site.panel.raise_event("fire", f"{n:06d}")
                    sounds_ns = await board.wait_output(BUZZER, True, after_ns=said_ns)
                    heard.append((sounds_ns - said_ns) / 1e9)
                    point = f"panel1/{n:06d}"
                    await site.until(lambda point=point: site.witness.of(point=point), "it is kept in the end")  # type: ignore[misc]
                    ahead.append((kept_ns[point] - sounds_ns) / 1e9)
                    assert card.heal() == 1, "nothing stalled"
                    pings = feeding.hear()
                    await site.until(lambda pings=pings: feeding.hear() > pings, "the watchdog is fed")  # type: ignore[misc]
            await site.all_delivered()
            taken = site.at_centre()
            verdict = compare(site.witness.accepted, taken, given_up=read_given_up(site.centre_db))
    return Stalled(heard, ahead, feeding, verdict, taken)


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_card_that_stalls_for_two_seconds_delays_no_buzzer_and_fires_no_watchdog() -> None:
    found = await stalled(STALLS)
    waits = {"buzzer_s": spread_s(found.heard_s, "said to the buzzer"), "delay_s": delays_s(found.taken)}
    note("slow-card", {"count": STALLS, **waits, **found.verdict.counts()})
    assert min(found.ahead_s) > SOUNDS_S, (
        "it sounds before the sync that takes two seconds, however slow this machine is"
    )
    assert max(found.heard_s) <= SOUNDS_S or "EDGE_STALLS" not in os.environ
    assert not found.feeding.fired, found.feeding.silent_turns
    assert found.feeding.stuck == []
    assert found.verdict.sound, found.verdict


WAITS_FOR_THE_JOURNAL = """
from edge_agent.cli import main
from edge_agent.core import Core

sound = Core._sound

def wait(core):
    if core.keeper._in_hand:
        core._loop.call_later(0.02, wait, core)
    else:
        sound(core, core.now_ns())

Core._sound = lambda core, now_ns: core._loop.call_later(0.0, wait, core) and None
main()
"""


HOLDS_THE_LOOP = """
import time
from edge_agent.cli import main
from edge_agent.keeper import Keeper

keep = Keeper.keep

def hold(keeper, events, state):
    if any(event.kind == "fire" for event in events):
        time.sleep(9)
    keep(keeper, events, state)

Keeper.keep = hold
main()
"""


@pytest.mark.asyncio
@pytest.mark.skipif("EDGE_PLANTED" not in os.environ, reason="one more site: EDGE_PLANTED=1")
async def test_a_loop_that_waits_for_the_card_is_found_out() -> None:
    assert (await stalled(1, HOLDS_THE_LOOP)).feeding.fired


@pytest.mark.asyncio
@pytest.mark.skipif("EDGE_PLANTED" not in os.environ, reason="one more site: EDGE_PLANTED=1")
async def test_a_buzzer_that_waits_for_the_card_is_found_out() -> None:
    found = await stalled(1, WAITS_FOR_THE_JOURNAL)
    assert max(found.heard_s) > SOUNDS_S > max(found.ahead_s)
