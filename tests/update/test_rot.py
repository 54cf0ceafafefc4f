"""A slot that the card has damaged is found, told, and never switched to."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.local_api import ApiError, Peer
from edge_agent.model import Kind
from edge_agent.update import rot
from tests.core.house import Site
from tests.update.maker import Maker
from tests.update.stand import Stand
from tests.update.test_tools import AGENT, run


def rots(file: Path) -> None:
    """One bit, as a card loses it: nobody wrote, so neither size nor time of writing has changed."""
    before, data = file.stat(), bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def led_astray(link: Path) -> None:
    link.unlink()
    link.symlink_to("/bin/true")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("lib/a.py", rots),
        ("lib/a.py", emptied),
        ("lib/a.py", Path.unlink),
        ("lib/a.py", led_astray),
        ("bin/python", led_astray),
        ("lib64", Path.unlink),
        (rot.SUMS, rots),
        (rot.SUMS, emptied),
    ],
)
def test_whatever_happens_to_a_file_of_a_slot_is_seen(
    tmp_path: Path, name: str, damage: Callable[[Path], object]
) -> None:
    for directory in ("lib", "bin"):
        (tmp_path / directory).mkdir()
    (tmp_path / "lib" / "a.py").write_text("x = 1\n" * 100)
    (tmp_path / "bin" / "python").symlink_to("/usr/bin/python3")
    (tmp_path / "lib64").symlink_to("lib")
    assert (rot.has_sums(tmp_path), rot.damaged(tmp_path)) == (False, ""), "of one that has no list nothing is known"
    rot.write_sums(tmp_path)
    (tmp_path / "lib" / "new.pyc").write_text("more is no damage")
    assert (rot.has_sums(tmp_path), rot.damaged(tmp_path)) == (True, "")
    damage(tmp_path / name)
    assert rot.damaged(tmp_path) == name


def test_a_spare_slot_that_rots_is_told_once_never_gone_back_to_and_filled_anew(stand: Stand, maker: Maker) -> None:
    stand.ask(maker.bundle())
    stand.update(maker.keys)
    assert stand.links() == ("b", "b")
    assert rot.has_sums(stand.slots.path("b")), "what a bundle filled"
    assert rot.has_sums(stand.slots.path("a")), "what was filled by hand, now that it is the spare"
    stand.update(maker.keys)  # as the timer starts it
    assert (stand.steps()[3:], stand.desk.damaged()) == ([], {})

    rots(stand.slots.path("a") / "lib" / "old-1.py")
    stand.update(maker.keys)
    stand.update(maker.keys)
    assert stand.desk.damaged() == {"a": "lib/old-1.py"}
    [told] = stand.told[3:]
    assert (told["status"], told["slot"], told["file"], told["runs"]) == ("slot_damaged", "a", "lib/old-1.py", False)
    places = ("--config", stand.place / "etc", "--root", stand.root)
    code, said, _ = run(*AGENT, "update", "status", *places, "--lang", "en")
    assert code == 1
    assert "slot a is damaged (lib/old-1.py): nothing switches to it" in said

    stand.ask(None, "c-2", do="back")
    stand.update(maker.keys)
    assert stand.steps()[-1] == ("refused", "slot_damaged")
    assert (stand.links(), len(stand.restarts())) == (("b", "b"), 1), "and nothing was restarted for it"

    stand.ask(maker.bundle(version="9.2.0", counter=9), "c-3")
    stand.update(maker.keys)
    assert stand.steps()[-1] == ("confirmed", "")
    assert (stand.links(), stand.desk.damaged()) == (("a", "a"), {})
    assert stand.is_tidy()


def test_a_card_too_full_for_a_list_keeps_no_update_from_its_end(
    stand: Stand, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = rot.write_sums

    def full(slot: Path) -> None:
        if slot.name == "a":
            raise OSError(28, "No space left on device")
        listed(slot)

    monkeypatch.setattr(rot, "write_sums", full)
    stand.ask(maker.bundle())
    stand.update(maker.keys)
    assert (stand.steps()[-1], stand.links(), stand.is_tidy()) == (("confirmed", ""), ("b", "b"), True)
    assert not rot.has_sums(stand.slots.path("a"))


def test_a_slot_that_rots_while_it_runs_is_told_as_that(stand: Stand, maker: Maker) -> None:
    stand.ask(maker.bundle())
    stand.update(maker.keys)
    rots(next((stand.slots.path("b") / "lib").rglob("*.py")))
    stand.update(maker.keys)
    assert (stand.told[-1]["status"], stand.told[-1]["slot"], stand.told[-1]["runs"]) == ("slot_damaged", "b", True)
    assert stand.links() == ("b", "b")


@pytest.mark.asyncio
async def test_the_core_makes_it_a_fault_that_stays_until_somebody_has_seen_it() -> None:
    site, service = Site(), Peer(os.getpid(), 0)
    fields: dict[str, Any] = {"status": "slot_damaged", "slot": "a", "file": "lib/x.py", "runs": False}
    try:
        async with site.running() as house:
            answer: Any = house.core.update.told({"fields": fields}, service)
            assert await asyncio.wait_for(answer, 60) == {"kept": True}
            assert house.alarms(Kind.FAULT) == ["update/a"]
            assert house.core.update.as_dict()["last"] is None, "it is no step of an update"
            with pytest.raises(ApiError):
                house.core.update.told({"fields": {**fields, "status": "slot_sound"}}, service)
        [first, second] = [one for one in await site.records() if one["point"] == "update/a"]
        assert (first["kind"], first["active"], second["active"]) == ("fault", True, False)
        assert first["fields"] == {"reason": "slot_damaged", "file": "lib/x.py"}
    finally:
        site.remove()
