"""The checker can fail: each fault a gateway could have is planted in a sound history, and it is named."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from simulators.centre.check import read_batch
from simulators.centre.sqlite_store import SqliteStore
from tests.proof.checker import Name, Taken, compare, read_centre
from tests.proof.site import GATEWAY


def body(n: int, *, code: str = "", mono_ns: int | None = None) -> dict[str, Any]:
    at = {"boot": "b", "mono_ns": n if mono_ns is None else mono_ns, "wall_ns": n, "clock": "synced"}
    point = f"panel1/{code or f'{n:06d}'}"
    return {"id": f"e{n}", "kind": "fire", "point": point, "active": True, "at": at, "source": "panel1"}


def name(n: int, epoch: str = "v-1") -> Name:
    return Name(epoch, "alarm", n)


COUNT = 20
SAID = {f"{n:06d}" for n in range(1, COUNT + 1)}


def history() -> tuple[dict[Name, dict[str, Any]], list[Taken]]:
    accepted = {name(n): body(n) for n in range(1, COUNT + 1)}
    return accepted, [Taken(key, dict(value)) for key, value in accepted.items()]


def wrong(accepted: dict[Name, dict[str, Any]], taken: list[Taken]) -> set[str]:
    return {key for key, count in compare(accepted, taken, said=SAID).counts().items() if count}


def test_a_sound_history_is_found_sound() -> None:
    assert compare(*history(), said=SAID).sound


def test_a_record_taken_out_of_a_copy_of_the_centres_database_is_lost(tmp_path: Path) -> None:
    accepted, _ = history()
    store = SqliteStore(tmp_path / "centre.db")
    records = ",".join(json.dumps({"n": key.n, **value}) for key, value in accepted.items())
    payload = f'{{"v":1,"gateway":"{GATEWAY}","epoch":"v-1","stream":"alarm","records":[{records}]}}'
    store.take_batch(read_batch(GATEWAY, "alarm", payload.encode()))
    store.commit()
    store.close()
    assert compare(accepted, read_centre(tmp_path / "centre.db"), said=SAID).sound
    with sqlite3.connect(tmp_path / "centre.db") as database:
        assert database.execute("DELETE FROM records WHERE n = 7").rowcount == 1
    verdict = compare(accepted, read_centre(tmp_path / "centre.db"), said=SAID)
    assert verdict.lost == [name(7)]
    assert verdict.holes == [name(7)]


def test_the_last_record_missing_is_lost_though_it_leaves_no_hole() -> None:
    accepted, taken = history()
    assert wrong(accepted, taken[:-1]) == {"lost"}


def test_one_event_under_two_names_is_doubled() -> None:
    accepted, taken = history()
    taken.append(Taken(name(COUNT + 1), body(COUNT)))
    assert wrong(accepted, taken) == {"doubled"}


def test_one_event_under_a_name_of_memory_and_one_of_the_journal_is_one_event() -> None:
    accepted, taken = history()
    taken.append(Taken(name(1, "mem-x"), body(3)))
    assert compare(accepted, taken, said=SAID).sound


def test_the_same_fire_said_as_two_events_is_found() -> None:
    accepted, taken = history()
    taken.append(Taken(name(COUNT + 1), body(COUNT + 1, code="000003")))
    assert wrong(accepted, taken) == {"said_twice"}


def test_a_fire_the_panel_never_spoke_of_is_invented() -> None:
    accepted, taken = history()
    taken.append(Taken(name(COUNT + 1), body(COUNT + 1, code="999999")))
    assert wrong(accepted, taken) == {"invented"}


def test_a_name_given_to_another_record_is_found() -> None:
    accepted, taken = history()
    accepted[name(5)] = body(5) | {"active": False}
    assert wrong(accepted, taken) == {"altered"}


def test_numbers_against_the_order_of_acceptance_are_found() -> None:
    accepted, taken = history()
    last = list(accepted)[-1]
    swapped = {last: accepted[last], **{key: value for key, value in accepted.items() if key != last}}
    assert wrong(swapped, taken) == {"disordered"}


def test_numbers_against_the_clock_are_found() -> None:
    accepted, taken = history()
    accepted[name(9)] = body(9, mono_ns=1)
    taken[8] = Taken(name(9), body(9, mono_ns=1))
    assert wrong(accepted, taken) == {"disordered"}
