"""When a configuration a centre sent counts: by its state, by the files it was made for, after damage and power cuts."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_agent import config_trial, sent_config
from edge_agent.clock import SystemClock
from edge_agent.config.load import load, load_contents
from edge_agent.core import Core
from edge_agent.last_good import InForce, Provenance, for_core, in_force, keep, name_of
from edge_agent.sent_config import OWED_MAX, Desk, Letter, Sent, State, forget, move, read
from tests.config.sent import Signer, short_run, site_text
from tests.core.house import CONTACT, House, Site
from tests.waiting import PATIENCE_S

OLD, NEW = "厂房", "一号厂房"


class Disk:
    """A site, and what was sent to it, as far as it has come."""

    def __init__(self, directory: Path, state: State | None = None) -> None:
        self.site, self.home = directory / "etc", directory / "data"
        for made in (self.site, self.home):
            made.mkdir()
        self.file = self.site / "config.toml"
        self.signer = Signer(directory)
        self.text = site_text(directory, self.signer.public, name=OLD, run=short_run(directory))
        self.file.write_text(self.text, "utf-8")
        keep(self.site, load(self.site), self.home, SystemClock().now())
        if state is not None:
            self.take(self.text.replace(OLD, NEW))
            move(self.sent, state)
        if state is State.KEPT:
            keep(self.site, load_contents((self.sent.content,)), self.home, SystemClock().now())

    def sign(self, text: str, serial: int = 3) -> Mapping[str, Any]:
        return self.signer.sign("ZG-SENT-0001", text, serial=serial, replaces="whatever")

    def take(self, text: str, *, destination: str = "county", serial: int = 3, **more: str) -> None:
        desk = Desk(self.home, name_of(self.site), load(self.site).contents)
        desk.take(Letter(destination, serial, f"c-{serial}", **{**self.sign(text, serial), **more}, taken_wall_ns=1))

    @property
    def sent(self) -> Sent:
        found = read(self.home, name_of(self.site))
        assert found is not None
        return found


def name(found: InForce) -> str:
    assert found.config is not None
    return found.config.gateway.name


def owed(found: InForce) -> list[tuple[int, str]]:
    """What the core that starts has to tell: serial and code."""
    return [(one.serial, one.code) for one in found.lies.owed] if found.lies is not None else []


@pytest.mark.parametrize(
    ("state", "runs_on", "then"),
    [
        (State.NEW, NEW, (NEW, State.TRIAL, "")),
        (State.TRIAL, NEW, (OLD, State.VOID, "not_confirmed")),
        (State.KEPT, NEW, (NEW, State.KEPT, "")),
        (State.VOID, OLD, (OLD, State.VOID, "")),
    ],
)
def test_a_core_moves_it_on_and_everybody_else_goes_by_how_far_it_is(
    tmp_path: Path, state: State, runs_on: str, then: tuple[str, State, str]
) -> None:
    disk = Disk(tmp_path, state)
    assert name(in_force(disk.site)) == runs_on
    assert disk.sent.state is state, "looking changes nothing"
    found = for_core(disk.site)
    assert (name(found), disk.sent.state, disk.sent.why) == then
    assert owed(found) == ([(3, then[2])] if then[2] else []), "told once"
    assert name(in_force(disk.site)) == then[0], "the uplink runs on the same"
    assert in_force(disk.site).check == found.check


@pytest.mark.parametrize("state", [State.NEW, State.KEPT])
def test_an_edit_on_site_has_the_last_word_even_one_that_is_taken_back_later(tmp_path: Path, state: State) -> None:
    disk = Disk(tmp_path, state)
    disk.file.write_text(disk.text + "# here\n", "utf-8")
    found = for_core(disk.site)
    assert (name(found), disk.sent.state, disk.sent.why) == (OLD, State.VOID, "edited")
    disk.file.write_text(disk.text, "utf-8")
    assert name(for_core(disk.site)) == OLD


def test_a_broken_file_under_one_that_was_kept_changes_nothing_and_is_told(tmp_path: Path) -> None:
    disk = Disk(tmp_path, State.KEPT)
    disk.file.write_text(disk.text + "[[broken\n", "utf-8")
    assert_it_goes_on_and_is_told(disk)


def test_a_file_that_rotted_under_one_that_was_kept_is_no_edit(tmp_path: Path) -> None:
    disk = Disk(tmp_path, State.KEPT)
    before = disk.file.stat()
    disk.file.write_text(disk.text.replace("line = 12", "line = 13"), "utf-8")
    os.utime(disk.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert_it_goes_on_and_is_told(disk)


def assert_it_goes_on_and_is_told(disk: Disk) -> None:
    for found in (in_force(disk.site), for_core(disk.site), in_force(disk.site)):
        assert (name(found), found.stands_in, owed(found)) == (NEW, True, [])
    disk.file.write_text(disk.text, "utf-8")
    found = for_core(disk.site)
    assert (name(found), found.stands_in, disk.sent.state) == (NEW, False, State.KEPT), "mended"


def test_what_is_damaged_itself_or_of_another_site_counts_for_nothing(tmp_path: Path) -> None:
    disk = Disk(tmp_path, State.KEPT)
    assert read(disk.home, "/somewhere/else") is None
    path = disk.sent.path
    raw = bytearray(path.read_bytes())
    for at in range(0, len(raw), 97):
        spoilt = raw.copy()
        spoilt[at] ^= 0x10
        path.write_bytes(spoilt)
        assert read(disk.home, name_of(disk.site)) is None, at
    for size in range(0, len(raw), 97):
        path.write_bytes(raw[:size])
        assert read(disk.home, name_of(disk.site)) is None, size


def test_a_card_that_takes_no_mark_tries_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path, State.NEW)

    def fails(sent: Sent) -> None:
        raise OSError(30, "read-only")

    monkeypatch.setattr(sent_config, "write", fails)
    found = for_core(disk.site)
    assert name(found) == OLD
    assert owed(found) == [(3, "not_written")]


@pytest.mark.parametrize("state", [State.NEW, State.KEPT])
def test_what_was_put_there_and_not_sent_is_run_on_by_no_core(tmp_path: Path, state: State) -> None:
    """Whoever gets into the uplink can write the file, and cannot sign, nor write the site's own files."""
    (tmp_path / "far").mkdir()
    stranger = Signer(tmp_path / "far")
    disk = Disk(tmp_path)
    blind, rights = (
        disk.text.replace("line = 12", "line = 13"),
        disk.text.replace('"read_state"', '"read_state", "silence"'),
    )
    forged = stranger.sign("ZG-SENT-0001", disk.text.replace(OLD, NEW), serial=3, replaces="x")
    neighbour = disk.signer.sign("ZG-SENT-0002", disk.text.replace(OLD, NEW), serial=3, replaces="x")
    for text, more in ((NEW, forged), (NEW, neighbour), (blind, {}), (rights, {}), (disk.text, {"signature": "AAAA"})):
        disk.take(text, **more)
        move(disk.sent, state)
        found = for_core(disk.site)
        assert (name(found), disk.sent.state, disk.sent.why) == (OLD, State.VOID, "not_signed")
    disk.take(disk.text.replace(OLD, NEW), destination="city")
    assert (name(for_core(disk.site)), disk.sent.why) == (OLD, "not_signed"), "a centre that may not"


def test_a_try_that_fails_goes_back_to_what_stood_in_for_the_files_before_it(tmp_path: Path) -> None:
    disk = Disk(tmp_path, State.KEPT)
    disk.take(disk.text.replace(OLD, "二号厂房"), serial=4)
    assert name(for_core(disk.site)) == "二号厂房"
    found = for_core(disk.site)
    assert (name(found), disk.sent.state, disk.sent.letter.serial) == (NEW, State.KEPT, 3)
    assert owed(found) == [(4, "not_confirmed")]
    assert disk.sent.serials == {"county": 4}
    assert name(in_force(disk.site)) == name(for_core(disk.site)) == NEW
    disk.take(disk.text, serial=5)
    disk.file.write_text(disk.text + "# here\n", "utf-8")
    assert (name(for_core(disk.site)), disk.sent.state) == (OLD, State.VOID), "an edit has the last word over both"


def test_an_outcome_is_told_by_every_start_until_the_journal_has_it(tmp_path: Path) -> None:
    disk = Disk(tmp_path, State.TRIAL)
    first = [(3, "not_confirmed")]
    assert [owed(for_core(disk.site)) for _ in range(3)] == [first, first, first], "killed before it was durable"
    disk.take(disk.text.replace(OLD, NEW), serial=4)
    assert owed(for_core(disk.site)) == first, "a new one on trial hides no old one's end"
    found = for_core(disk.site)
    assert owed(found) == [*first, (4, "not_confirmed")]
    assert found.lies is not None
    forget(found.lies, found.lies.owed[:1])
    assert owed(for_core(disk.site)) == [(4, "not_confirmed")]
    forget(found.lies, found.lies.owed)
    assert owed(for_core(disk.site)) == []
    for serial in range(5, 5 + 2 * OWED_MAX):
        disk.take(disk.text, serial=serial)
        for_core(disk.site)
        for_core(disk.site)
    assert len(owed(for_core(disk.site))) == OWED_MAX


def test_no_serial_is_taken_twice_whatever_became_of_the_first(tmp_path: Path) -> None:
    disk = Disk(tmp_path, State.VOID)
    disk.take(disk.text, destination="city", serial=1)
    assert disk.sent.serials == {"county": 3, "city": 1}


@pytest.mark.asyncio
@pytest.mark.parametrize("confirmed", [True, False])
async def test_a_trial_ends_with_the_word_of_the_centre_over_it_or_with_the_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, confirmed: bool
) -> None:
    disk, site, kept = Disk(tmp_path, State.NEW), Site(), list[bool]()
    monkeypatch.setattr(config_trial, "TRIAL_S", PATIENCE_S if confirmed else 0.3)
    found = for_core(disk.site)
    provenance = Provenance(
        check=found.check,
        sent=found.sent,
        lies=found.lies,
        keep=lambda at, whole: kept.append(whole),
        desk=Desk(disk.home, "x", ()),
    )
    try:
        core = Core(site.config, SystemClock(), provenance)
        task = asyncio.create_task(core.run())
        house = House(site, core, task)
        await house.until(lambda: task.done() or house.watching(), "it watches")
        core.trial.uplink_says("county", True, "confirmed", "0" * 16)  # an uplink that still runs on the old one
        core.trial.uplink_says("county", True, "connected", core.trial.check)
        core.trial.uplink_says("city", True, "confirmed", core.trial.check)
        assert core.trial.as_dict() == {"dest": "county", "serial": 3, "trial": True} or task.done()
        busy = await core.trial.take(Letter("county", 4, "c-2", "text", "mark", 1))
        assert (busy.status, busy.code) == ("refused", "busy")
        if not confirmed:
            await asyncio.wait_for(task, PATIENCE_S)  # it ends by itself, in order
            assert (disk.sent.state, kept) == (State.TRIAL, [])
            assert name(for_core(disk.site)) == OLD
            return
        core.trial.uplink_says("county", True, "confirmed", core.trial.check)
        await house.until(lambda: kept, "the last good one is this one")
        assert (disk.sent.state, kept, disk.sent.owed) == (State.KEPT, [True], ()), "and the journal has it"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    finally:
        site.remove()


@pytest.mark.asyncio
async def test_nothing_is_taken_while_a_fire_sounds(tmp_path: Path) -> None:
    disk, site = Disk(tmp_path), Site()
    provenance = Provenance(check="c", desk=Desk(disk.home, name_of(disk.site), load(disk.site).contents))
    try:
        core = Core(site.config, SystemClock(), provenance)
        task = asyncio.create_task(core.run())
        house = House(site, core, task)
        await house.until(house.watching, "it watches")
        house.gpio.wire({CONTACT: True})
        await house.until(house.alarms, "a fire")
        letter = Letter("county", 1, "c-1", **disk.sign(disk.text, 1), taken_wall_ns=1)
        answer = await core.trial.take(letter)
        assert (answer.status, answer.code) == ("refused", "fire")
        assert read(disk.home, name_of(disk.site)) is None
        house.gpio.wire({CONTACT: False})
        await house.until(lambda: not any(alarm.active for alarm in core.alarms.alarms()), "it is over")
        assert (await core.trial.take(letter)).status == "done"
        assert (await core.trial.take(letter)).code == "busy", "it is about to leave"
        assert disk.sent.state is State.NEW
        await asyncio.wait_for(task, PATIENCE_S)  # to be started again
    finally:
        site.remove()
