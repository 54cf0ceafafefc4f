"""Every kind of damage: the journal starts, says so, keeps what can be read, and never gives a name twice."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from buffer.dbfile import PAGE_BYTES
from buffer.faults import JournalError, StoreFault
from buffer.journal import Journal
from buffer.reader import JournalReader
from buffer.records import Name, Priority

from .conftest import MakeJournal

A, F, S, T, M = Priority
Until = Callable[..., None]
Kept = dict[Name, bytes]

CRASH = """
import os, sqlite3, sys
from pathlib import Path
from buffer.journal import Journal, JournalSettings
from buffer.records import Priority
journal = Journal.open(Path(sys.argv[1]), JournalSettings(reserve_bytes=65536, background_check=False), print, boot_id="boot-a")
for i in range(int(sys.argv[2])):
    journal.append(Priority.ALARM, b"alarm %06d " % i + b"." * 150, {"alarm/%d" % (i % 7): b"%d" % i})
    journal.append(Priority.STATUS, b"status %06d " % i + b"," * 100)
    journal.append(Priority.TELEMETRY, os.urandom(60).hex().encode())
    if i % 50 == 0:
        journal.flush(60)
    if i == int(sys.argv[2]) // 2:
        for name in ("vital.db", "bulk.db"):
            assert sqlite3.connect(Path(sys.argv[1]) / name).execute("PRAGMA wal_checkpoint").fetchone()[0] == 0
assert journal.flush(60)
os._exit(9)
"""


def crashed(directory: Path, count: int = 400) -> Kept:
    """A journal whose writer died without closing; what it holds."""
    subprocess.run(
        [sys.executable, "-c", CRASH, str(directory), str(count)],
        cwd=Path(__file__).parents[2],
        check=False,
        timeout=60,
    )
    return contents(directory)


def contents(directory: Path) -> Kept:
    with JournalReader.open(directory) as reader:
        return {record.name: record.body for record in reader.records()}


def is_gap(body: bytes) -> bool:
    return body.startswith(b'{"gap"')


def events(kept: Kept) -> Kept:
    return {name: body for name, body in kept.items() if name.priority in (A, F, S) and not is_gap(body)}


def salvaged(faults: list[StoreFault]) -> list[StoreFault]:
    return [fault for fault in faults if fault.code == "salvaged"]


def header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xff" * 100)


def first_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(random.Random(1).randbytes(PAGE_BYTES))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // PAGE_BYTES // 2 * PAGE_BYTES + 1000)


def removed(path: Path) -> None:
    path.unlink()


def wal_removed(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def wal_short(path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    os.truncate(wal, wal.stat().st_size // 2)


def wal_emptied(path: Path) -> None:
    os.truncate(path.with_name(path.name + "-wal"), 0)


DAMAGE = [header, first_page, emptied, truncated, removed, wal_removed, wal_short, wal_emptied]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_found_at_the_start_costs_no_start_and_no_readable_record(
    damage: Callable[[Path], None], make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    before = crashed(tmp_path / "j")
    old_epoch = next(name.epoch for name in before if name.priority is A)
    damage(tmp_path / "j" / "vital.db")
    journal = make_journal()
    ticket = journal.append(A, b"fire after the damage")
    assert journal.flush(60)
    assert ticket.name is not None and ticket.name.epoch != old_epoch
    assert faults[0].code == "set_aside" and faults[0].file == "vital.db"
    until(lambda: salvaged(faults))
    journal.flush(60)
    after = contents(tmp_path / "j")
    for name, body in events(after).items():
        if name != ticket.name:
            assert before[name] == body, "salvage invents nothing"
    kept = events(after).keys() - {ticket.name}
    assert salvaged(faults)[0].params["rows"] == len(kept)
    lost = events(before).keys() - kept
    if damage in (header, first_page):
        assert not lost, "the records' own pages were not hurt"
        assert journal.state()["alarm/0"] == b"399"
    elif damage not in (emptied, removed):
        assert kept, "half of the file was left"
    for name in lost:
        assert any(covers(body, name) for body in after.values() if is_gap(body)), (
            f"{name} is missing and nobody says so"
        )
    bad = tmp_path / "j" / "vital.db.bad-1"
    assert bad.exists() or damage is removed
    with JournalReader.open(tmp_path / "j") as reader:
        assert reader.verify().ok
        epochs = reader.epochs(A)
        assert epochs[-1] == ticket.name.epoch and (not kept or epochs[0] == old_epoch)
    assert {n for n in after if n.priority is T} == {n for n in before if n.priority is T}, "bulk.db was not touched"


def covers(body: bytes, name: Name) -> bool:
    gap = json.loads(body)["gap"]
    return gap.get("epoch") == name.epoch and gap["from"] <= name.n and (gap["to"] is None or name.n <= gap["to"])


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_to_bulk_never_touches_vital(
    damage: Callable[[Path], None], make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    before = crashed(tmp_path / "j")
    damage(tmp_path / "j" / "bulk.db")
    journal = make_journal()
    ticket = journal.append(A, b"fire")
    reading = journal.append(T, b"reading")
    assert journal.flush(60) and ticket.name and reading.name
    assert {fault.file for fault in faults if fault.code == "set_aside"} == {"bulk.db"}
    until(lambda: salvaged(faults))
    after = contents(tmp_path / "j")
    assert events(after) == {**events(before), ticket.name: b"fire"}
    readings = {name: body for name, body in before.items() if name.priority is T}
    assert reading.name.epoch not in {name.epoch for name in readings}
    if damage in (header, first_page):
        assert readings.items() <= after.items()


def test_salvage_gives_back_exactly_the_rows_outside_the_damaged_pages(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    make_journal(tmp_path / "j", background_check=False).close()
    before = crashed(tmp_path / "j", 1500)
    make_journal().close()  # checkpointed: all rows are in the file itself
    path = tmp_path / "j" / "vital.db"
    image = path.read_bytes()
    pages = len(image) // PAGE_BYTES
    hurt = range(pages // 2, pages // 2 + 32)  # 128 KiB, an erase block
    lost = set()
    for number in hurt:
        page = image[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]
        lost |= {name for name, body in events(before).items() if body in page}
    assert lost
    with path.open("r+b") as file:
        file.seek(hurt[0] * PAGE_BYTES)
        file.write(b"\xff" * (len(hurt) * PAGE_BYTES))
    faults.clear()
    journal = make_journal(background_check=False)
    journal.vital.checked = "what the background check would say"
    until(lambda: salvaged(faults))
    assert events(contents(tmp_path / "j")).keys() == events(before).keys() - lost
    assert salvaged(faults)[0].params["rows"] == len(events(before)) - len(lost)
    assert journal.state()["alarm/1"] == b"1499"


def test_the_background_check_finds_a_damaged_page(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buffer.journal.CHECK_AFTER_S", 0.0)
    monkeypatch.setattr("buffer.owner.SCRUB_ROWS", 0)
    crashed(tmp_path / "j")
    make_journal(background_check=False).close()
    path = tmp_path / "j" / "vital.db"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // PAGE_BYTES // 2 * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    journal = make_journal(background_check=True)
    until(lambda: salvaged(faults))
    ticket = journal.append(A, b"fire")
    assert journal.flush(60) and ticket.name


def test_the_slow_scrub_finds_a_flipped_bit(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    before = crashed(tmp_path / "j", 50)
    make_journal(background_check=False).close()
    path = tmp_path / "j" / "vital.db"
    image = path.read_bytes()
    at = image.index(b"alarm 000020") + 3
    path.write_bytes(image[:at] + bytes([image[at] ^ 1]) + image[at + 1 :])
    faults.clear()
    make_journal(background_check=False)
    until(lambda: salvaged(faults))
    assert "checksum" in faults[0].detail
    after = contents(tmp_path / "j")
    gone = [name for name in events(before) if name not in after]
    assert [before[name][:12] for name in gone] == [b"alarm 000020"]
    assert any(covers(body, gone[0]) for body in after.values() if is_gap(body))


def test_a_damaged_page_met_while_writing_costs_no_alarm(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    journal = make_journal(background_check=False)
    tickets = [journal.append(A, b"%d" % i, {"latched": b"%d" % i}) for i in range(200)]
    journal.flush(60)
    store = journal.vital.store
    assert store is not None
    store.checkpoint(truncate=True)
    path = tmp_path / "j" / "vital.db"
    with path.open("r+b") as file:  # under the open connection: it finds out when it reads the page anew
        file.seek(PAGE_BYTES)
        file.write(b"\xff" * (path.stat().st_size - PAGE_BYTES))
    store.db.execute("PRAGMA shrink_memory")
    until(lambda: journal.append(A, b"after").error or any(fault.code == "set_aside" for fault in faults), "set aside")
    last = journal.append(A, b"last")
    assert journal.flush(60)
    assert last.name and tickets[0].name and last.name.epoch != tickets[0].name.epoch
    assert journal.state() == {"latched": b"199"}, "memory still had it"


def test_a_directory_that_vanishes_is_made_again_and_the_loss_is_told(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    journal = make_journal()
    journal.append(A, b"fire", {"latched": b"1"})
    journal.flush(60)
    old = journal.vital.store.epoch if journal.vital.store else ""
    shutil.rmtree(tmp_path / "j")
    until(lambda: [fault for fault in faults if fault.file == "vital.db"])
    until(lambda: journal.vital.store is not None)
    ticket = journal.append(A, b"next")
    assert journal.flush(60) and ticket.name and ticket.name.epoch != old
    assert journal.state() == {"latched": b"1"}
    gaps = [body for body in contents(tmp_path / "j").values() if is_gap(body)]
    assert any(covers(body, Name(old, A, 1)) for body in gaps)


def test_a_missing_directory_is_made(make_journal: MakeJournal, tmp_path: Path) -> None:
    journal = make_journal(tmp_path / "a" / "b")
    ticket = journal.append(A, b"fire")
    assert journal.flush(60) and ticket.name


def test_after_a_power_cut_a_new_epoch_begins_in_the_same_file(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault]
) -> None:
    before = crashed(tmp_path / "j", 10)
    journal = make_journal(boot_id="boot-b")
    ticket = journal.append(A, b"fire")
    journal.flush(60)
    assert ticket.name and ticket.name.n == 1 and ticket.name.epoch not in {name.epoch for name in before}
    assert events(before).items() <= contents(tmp_path / "j").items()
    assert faults == []
    journal.close()
    after = make_journal(boot_id="boot-c")
    second = after.append(A, b"fire")
    after.flush(60)
    assert second.name and (second.name.epoch, second.name.n) == (ticket.name.epoch, 2), "it was closed in order"


def test_killed_without_a_power_cut_the_epoch_goes_on(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault]
) -> None:
    before = crashed(tmp_path / "j", 10)
    journal = make_journal(boot_id="boot-a")
    ticket = journal.append(A, b"fire")
    journal.flush(60)
    assert ticket.name == Name(next(iter(before)).epoch, A, 11) and faults == []


def test_a_salvage_cut_short_is_taken_up_again(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    before = crashed(tmp_path / "j")
    header(tmp_path / "j" / "vital.db")
    make_journal().close()
    done = tmp_path / "j" / "vital.db.bad-1.done"
    done.unlink(missing_ok=True)
    faults.clear()
    make_journal()
    until(lambda: salvaged(faults))
    assert events(contents(tmp_path / "j")) == events(before)
    assert json.loads(done.read_text())["unreadable_pages"] == 0


def test_a_set_aside_cut_between_its_renames_mixes_no_files(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    before = crashed(tmp_path / "j", 100)
    path = tmp_path / "j" / "vital.db"
    path.rename(path.with_name("vital.db.bad-1"))  # and the power went before the -wal followed
    journal = make_journal()
    until(lambda: salvaged(faults))
    journal.flush(60)
    assert events(contents(tmp_path / "j")) == events(before)
    assert path.with_name("vital.db.bad-1-wal").exists()


def test_damage_after_damage_keeps_every_file_and_every_epoch(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    expected: Kept = {}
    for turn in range(3):
        journal = make_journal()
        until(lambda turn=turn: len(salvaged(faults)) >= turn)
        tickets = [journal.append(A, b"turn %d, %d" % (turn, i)) for i in range(20)]
        journal.flush(60)
        expected |= {ticket.name: ticket.body for ticket in tickets if ticket.name}
        journal.close()
        header(tmp_path / "j" / "vital.db")
    make_journal()
    until(lambda: len(salvaged(faults)) == 3)
    assert len(expected) == 60 and events(contents(tmp_path / "j")) == expected
    with JournalReader.open(tmp_path / "j") as reader:
        order = [name.epoch for name in (record.name for record in reader.records([A])) if name in expected]
    assert list(dict.fromkeys(order)) == list(dict.fromkeys(name.epoch for name in expected)), "oldest first"


def test_every_single_flipped_bit_is_either_caught_or_harmless(make_journal: MakeJournal, tmp_path: Path) -> None:
    journal: Journal = make_journal(background_check=False)
    for i in range(60):
        journal.append(A, b"alarm %d" % i, {"k": b"%d" % i})
        journal.append(T, b"reading %d" % i)
    journal.confirm("c", journal.vital.store.epoch if journal.vital.store else "", A, 3)
    journal.flush(60)
    journal.close()
    expected = contents(tmp_path / "j")
    chance = random.Random(20261123)
    caught = 0
    for file in ("vital.db", "bulk.db"):
        path = tmp_path / "j" / file
        image = path.read_bytes()
        used = [at for at in range(len(image)) if image[at]]
        for _ in range(300):
            at = chance.choice(used)
            path.write_bytes(image[:at] + bytes([image[at] ^ 1 << chance.randrange(8)]) + image[at + 1 :])
            if not _reads_whole(tmp_path / "j", expected):
                caught += 1
        path.write_bytes(image)
    assert caught > 400, "most used bytes matter"


def _reads_whole(directory: Path, expected: Kept) -> bool:
    """True: everything reads as written. False: damage, and verify says so. Anything else fails the test."""
    with JournalReader.open(directory) as reader:
        try:
            result = reader.verify()
            ok = result.ok
        except JournalError as refusal:
            assert refusal.code == "newer_schema"
            return False
        if ok:
            assert {record.name: record.body for record in reader.records()} == expected
        return ok


def test_a_wal_removed_under_the_open_file_costs_nothing(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    journal = make_journal()
    first = [journal.append(A, b"fire %d" % i, {"latched": b"%d" % i}) for i in range(30)]
    assert journal.flush(60)
    wal_removed(tmp_path / "j" / "vital.db")
    second = [journal.append(A, b"before it was noticed")]
    until(lambda: [fault for fault in faults if fault.code == "vanished"])
    second.append(journal.append(A, b"after"))
    assert journal.flush(60)
    assert [ticket.name.n for ticket in first + second if ticket.name] == list(range(1, 33)), "the epoch goes on"
    shutil.copytree(tmp_path / "j", tmp_path / "killed")  # as a process killed now would leave it
    kept = contents(tmp_path / "killed")
    assert [kept[ticket.name] for ticket in first + second if ticket.name] == [t.body for t in first + second]


@pytest.mark.parametrize("damage", [truncated, emptied])
def test_a_file_cut_short_under_the_journal_is_noticed_and_work_goes_on(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until, damage: Callable[[Path], None]
) -> None:
    journal = make_journal()
    for i in range(2000):
        journal.append(A, b"fire %d " % i + b"." * 200, {"latched": b"%d" % i})
    assert journal.flush(60)
    damage(tmp_path / "j" / "vital.db")
    until(lambda: [fault for fault in faults if fault.code == "set_aside"])
    last = journal.append(A, b"last")
    assert journal.flush(60) and last.name
    assert journal.state() == {"latched": b"1999"}, "memory still had it"
    assert [fault.code for fault in faults].count("set_aside") == 1, "and not the new one after it"


def test_a_file_that_gives_room_back_is_not_taken_for_cut_short(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    journal = make_journal(history_events=10, mandatory=("c",))
    path = tmp_path / "j" / "vital.db"
    for i in range(8000):
        journal.append(S, b"state %d " % i + b"." * 400)
    assert journal.flush(60)
    store = journal.vital.store
    assert store is not None
    store.checkpoint()
    largest = path.stat().st_size
    journal.confirm("c", store.epoch, S, 7990)
    until(lambda: journal.append(A, b"fire") and journal.flush(60) and path.stat().st_size < largest // 2)
    journal.append(A, b"fire")
    assert journal.flush(60)
    assert [fault.code for fault in faults if fault.code == "set_aside"] == []


def test_a_card_that_kept_nothing_of_what_it_said_it_had_written_is_given_no_name_again(
    make_journal: MakeJournal, tmp_path: Path
) -> None:
    directory = tmp_path / "j"
    journal = make_journal(boot_id="boot-a")
    card = {path: path.read_bytes() for path in directory.iterdir() if path.name.startswith("vital.db")}
    told = [journal.append(A, b"alarm %d" % i) for i in range(3)]
    assert journal.flush(60)
    journal.close()
    for path, content in card.items():
        path.write_bytes(content)
    again = make_journal(boot_id="boot-b")
    new = again.append(A, b"another alarm")
    assert again.flush(60)
    assert new.name not in {ticket.name for ticket in told}
