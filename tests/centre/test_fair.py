"""Fair shares of the way to a store: whose turn it is, and for whom there is no room."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.uplink.intervals import Intervals
from simulators.centre import store_thread
from simulators.centre.check import ROOT
from simulators.centre.fair import NAMED_MAX, OTHERS, Room, Turns
from simulators.centre.packed import Brought, PackedEar, PackedKeeper
from simulators.centre.query import look
from simulators.centre.sqlite_store import SqliteStore
from simulators.centre.worker import Worker
from tests.centre.test_packed import KEY, Priority, brief_of
from tests.centre.test_service import GATEWAY


@dataclass(frozen=True, slots=True)
class Thing:
    gateway: str
    number: int


def things(names: str) -> list[Thing]:
    """`aab`: the first two of a, the first of b."""
    return [Thing(name, names[:at].count(name)) for at, name in enumerate(names)]


def filled(names: str) -> Turns[Thing]:
    turns = Turns[Thing]()
    for thing in things(names):
        turns.append(thing)
    return turns


def rest(turns: Turns[Thing]) -> Iterator[Thing]:
    while turns:
        yield turns.take()


def test_gateways_take_turns_and_what_one_brought_keeps_its_order() -> None:
    taken = list(rest(filled("aaaabbc")))
    assert "".join(thing.gateway for thing in taken) == "abcabaa"
    assert [thing.number for thing in taken if thing.gateway == "a"] == [0, 1, 2, 3]


def test_what_was_taken_and_is_put_back_is_taken_again_in_the_same_order() -> None:
    turns = filled("aabbc")
    taken = [turns.take() for _ in range(3)]
    for thing in reversed(taken):
        turns.put_back(thing)
    assert [turns.take() for _ in range(3)] == taken
    assert len(list(turns)) == 2


def test_what_is_removed_waits_no_more_and_what_does_not_wait_is_no_matter() -> None:
    turns = filled("aab")
    for thing in (*things("aab"), Thing("z", 0)):
        turns.remove(thing)
        turns.remove(thing)
    assert not turns
    turns.append(Thing("a", 9))
    turns.clear()
    assert list(turns) == []


def test_each_has_its_share_and_the_lanes_behind_leave_half_to_the_first() -> None:
    room = Room("alarm", most=10, share=3)
    assert [room.enter("loud", "alarm") for _ in range(5)] == [True] * 3 + [False] * 2
    assert room.enter("loud", "fault"), "its share of another lane is another"
    assert [room.enter(f"g{n}", "fault") for n in range(5)] == [True] * 4 + [False]
    assert [room.enter(f"g{n}", "alarm") for n in range(3)] == [True] * 2 + [False], "ten are in hand"
    assert room.take_refused() == {"loud": 2, "g4": 1, "g2": 1}
    room.leave("loud", "fault")
    assert room.enter("g4", "fault")
    room.leave("g4", "fault")
    assert room.enter("g2", "alarm")
    assert not room.take_refused()


def test_names_that_somebody_makes_up_take_no_room_to_count() -> None:
    room = Room("alarm", most=0, share=1)
    for n in range(3 * NAMED_MAX):
        assert not room.enter(f"g{n}", "alarm")
    refused = room.take_refused()
    assert (len(refused), refused[OTHERS]) == (NAMED_MAX + 1, 2 * NAMED_MAX)


class Bench:
    """A keeper whose thread does not run: each `turn` is ours."""

    def __init__(self, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.order: list[tuple[str, int]] = []  # lane and number of all that was taken
        real = PackedKeeper.take

        def noted(keeper: PackedKeeper, item: Brought) -> None:
            self.order.append((item.lane, item.sequence))
            real(keeper, item)

        monkeypatch.setattr(PackedKeeper, "take", noted)
        self._ear = PackedEar(lambda _: [(GATEWAY, KEY)])
        self.keeper = PackedKeeper(SqliteStore(db), self._ear, lambda *_: None, lambda _: None, lambda: None)

    def bring(self, numbers: Sequence[int], priority: Priority = Priority.ALARM) -> None:
        for n in numbers:
            heard = self._ear.hear(brief_of(n, priority=priority), None)
            assert isinstance(heard, Brought)
            self.keeper.bring(heard)

    def work(self) -> None:
        while not self.keeper.idle:
            self.keeper.turn(0)


def test_a_storm_of_alarms_lets_a_fault_through_each_few_and_goes_first_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "c.db", monkeypatch)
    bench.bring(range(1, 4), Priority.FAULT)
    bench.bring(range(1, 21))
    bench.work()
    faults = [at for at, (lane, _) in enumerate(bench.order) if lane == "fault"]
    assert faults == [store_thread.PASSED_MAX, 2 * store_thread.PASSED_MAX + 1, 22]
    for lane in ("alarm", "fault"):
        numbers = [n for name, n in bench.order if name == lane]
        assert numbers == sorted(numbers)
    bench.order.clear()
    bench.bring(range(4, 6), Priority.FAULT)
    bench.bring([21])
    bench.work()
    assert bench.order == [("alarm", 21), ("fault", 4), ("fault", 5)], "one alarm never waits behind what is no storm"
    bench.keeper.stop()


def test_what_came_by_mqtt_is_taken_in_turns_and_never_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(Worker, "take", lambda _, item: order.append(item.gateway))
    worker = Worker(
        SqliteStore(tmp_path / "c.db"), ("alarm", "bulk"), reply=lambda *_: None, works=lambda *_: None,
        stands=lambda *_: None, leads=lambda _: None, bug=lambda: None,
    )  # fmt: skip
    client = paho.Client(CallbackAPIVersion.VERSION2)
    for gateway in ("loud",) * 500 + ("quiet-1", "quiet-2"):
        worker.put("bulk", client, paho.MQTTMessage(0, f"{ROOT}/{gateway}/up/telemetry".encode()))
    while not worker.idle:
        worker.turn(0)
    assert order[:4] == ["loud", "quiet-1", "quiet-2", "loud"]
    assert order.count("loud") == 500
    worker.stop()


def test_the_store_is_asked_once_a_commit_what_it_has_of_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking costs as much as the gateway has briefs: for each frame of a flood it would hold up all others for seconds."""
    asked: list[str] = []
    real = SqliteStore.known

    def noted(store: SqliteStore, gateway: str, epoch: str, stream: str) -> Intervals:
        asked.append(stream)
        return real(store, gateway, epoch, stream)

    monkeypatch.setattr(SqliteStore, "known", noted)
    monkeypatch.setattr(store_thread, "GROUP_S", 60.0)
    bench = Bench(tmp_path / "c.db", monkeypatch)
    bench.bring(range(1, 21))
    bench.bring(range(1, 3), Priority.FAULT)
    bench.work()
    assert len(bench.order) == 22
    assert sorted(asked) == ["alarm", "fault"], "all 22 share a commit"
    bench.keeper.stop()


def test_what_was_refused_is_counted_in_the_store_though_nothing_else_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulators.centre.packed.SHARE_MAX", 2)
    bench = Bench(tmp_path / "c.db", monkeypatch)
    bench.bring(range(1, 6))
    bench.work()
    bench.bring(range(6, 8))
    bench.work()
    bench.bring(range(8, 11))
    bench.keeper._waiting["alarm"].clear()  # its bringer has gone
    bench.keeper.turn(0)
    with look(tmp_path / "c.db") as ask:
        assert ask.stats()["untaken"] == 3 + 1
    bench.keeper.stop()
