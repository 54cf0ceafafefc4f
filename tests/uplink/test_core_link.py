"""The uplink and a core over the real Unix socket: reports, wake-ups, restarts of the core."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from buffer.records import Priority
from edge_agent.local_api import LocalServer, Peer
from tests.brokers import Broker
from tests.uplink.site import GATEWAY, MemoryJournal, event_body, running_centre, running_uplink, site_config, stored
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio


class Core:
    """As much of a core as the uplink talks to."""

    def __init__(self, path: Path) -> None:
        self.alarms: list[dict[str, object]] = []
        self.told: list[tuple[str, Mapping[str, object]]] = []
        names = ("confirm", "delivered", "uplink_state", "uplink_fault", "alive")
        handlers = {name: self._hear(name) for name in names}
        handlers |= {"alarms": lambda request, peer: self.alarms, "points": lambda request, peer: []}
        handlers |= {"undelivered": lambda request, peer: [alarm["event_id"] for alarm in self.alarms]}
        self.server = LocalServer(path, handlers)

    def _hear(self, name: str):  # type: ignore[no-untyped-def]
        def handler(request: Mapping[str, object], peer: Peer) -> object:
            self.told.append((name, request))
            return None

        return handler

    def push_alarm(self, epoch: str, n: int, body: bytes) -> None:
        self.server.push("journal", {"epoch": epoch, "stream": "alarm", "n": n, "body": body.decode()})

    def confirmed(self, epoch: str, stream: str) -> int:
        found = [
            r["through"] for name, r in self.told if name == "confirm" and (r["epoch"], r["stream"]) == (epoch, stream)
        ]
        return max((through for through in found if isinstance(through, int)), default=0)

    def delivered(self) -> list[str]:
        return [i for name, r in self.told if name == "delivered" for i in r["ids"]]  # type: ignore[attr-defined]

    def states(self) -> list[tuple[object, object]]:
        return [(r["up"], r["reason"]) for name, r in self.told if name == "uplink_state"]


@contextlib.asynccontextmanager
async def running_core(path: Path) -> AsyncIterator[Core]:
    core = Core(path)
    await core.server.start()
    try:
        yield core
    finally:
        await core.server.close()


async def test_an_alarm_pushed_with_its_body_is_delivered_although_the_journal_cannot_be_read(tmp_path: Path) -> None:
    class DeadDisk(MemoryJournal):
        def heads(self) -> Mapping[tuple[str, Priority], int]:
            raise OSError(5, "Input/output error")

        def read(self, *args: object, **kwargs: object) -> list[object]:  # type: ignore[override]
            raise OSError(5, "Input/output error")

    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        config = site_config(tmp_path, broker.port)
        async with running_core(config.gateway.run_dir / "core.sock") as core, running_uplink(config, DeadDisk()):  # type: ignore[arg-type]
            await until(lambda: core.server.watched("journal"))
            core.push_alarm("mem-boot-1", 1, event_body(1))
            await until(lambda: stored(db) == [1])
            await until(lambda: core.confirmed("mem-boot-1", "alarm") == 1)
            await until(lambda: core.delivered() == [json.loads(event_body(1))["id"]])
            await until(lambda: (True, "confirmed") in core.states())
            assert stored(db) == [1]


async def test_an_uplink_that_starts_first_finds_the_core_and_survives_its_restarts(tmp_path: Path) -> None:
    journal = MemoryJournal()
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        config = site_config(tmp_path, broker.port)
        path = config.gateway.run_dir / "core.sock"
        journal.append(Priority.ALARM, event_body(1))
        async with running_uplink(config, journal) as uplink:
            await until(lambda: stored(db) == [1], "without any core")
            for n in (2, 3):
                async with running_core(path) as core:
                    await until(lambda: core.confirmed("e1", "alarm") == n - 1)  # noqa: B023
                    await until(core.states)
                    journal.append(Priority.ALARM, event_body(n))
                    core.push_alarm("e1", n, event_body(n))
                    await until(lambda: core.confirmed("e1", "alarm") == n)  # noqa: B023
                await until(lambda: not uplink.core.present)
        assert stored(db) == [1, 2, 3]


@pytest.mark.parametrize("a_look", [2000, 10], ids=["at once", "after a storm"])
async def test_an_alarm_confirmed_while_the_core_was_away_gets_its_lamp_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_look: int
) -> None:
    monkeypatch.setattr("edge_agent.uplink.main.ALARMS_A_LOOK", a_look)  # the alarm may lie several looks back
    journal = MemoryJournal()
    for n in range(1, 51):
        journal.append(Priority.ALARM, event_body(n))
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        config = site_config(tmp_path, broker.port)
        async with running_uplink(config, journal) as uplink:
            await until(lambda: len(stored(db)) == 50 and not uplink.destinations[0].outbox.alarm_pending)
        waiting = json.loads(event_body(7))["id"]
        async with running_core(config.gateway.run_dir / "core.sock") as core:
            core.alarms = [{"event_id": waiting, "delivered": False}, {"event_id": "other", "delivered": False}]
            async with running_uplink(config, journal):  # a new process: it remembers only its ledger
                await until(core.delivered)
                assert core.delivered() == [waiting]


async def test_an_uplink_with_nothing_to_tell_says_that_it_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.uplink.core_link.ALIVE_S", 0.1)
    with Broker(tmp_path) as broker:
        config = site_config(tmp_path, broker.port)
        async with running_core(config.gateway.run_dir / "core.sock") as core, running_uplink(config, MemoryJournal()):
            await until(lambda: [name for name, _ in core.told].count("alive") >= 3)
            assert not [name for name, _ in core.told if name in ("confirm", "delivered")], "there was nothing to tell"


@contextlib.contextmanager
def states_heard(broker: Broker) -> Iterator[list[dict[str, Any]]]:
    """Every state the gateway tells a centre that was there before it."""
    heard, subscribed = list[dict[str, Any]](), threading.Event()
    centre = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    centre.on_message = lambda client, userdata, message: heard.append(json.loads(message.payload))
    centre.on_subscribe = lambda *_: subscribed.set()
    centre.connect(broker.host, broker.port)
    centre.loop_start()
    try:
        centre.subscribe(f"zg119/v1/{GATEWAY}/state", 1)
        assert subscribed.wait(PATIENCE_S)
        yield heard
    finally:
        centre.disconnect()
        centre.loop_stop()


async def test_a_core_that_answers_late_is_at_no_time_told_as_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late: what is asked in passing has given it up long before."""
    monkeypatch.setattr("edge_agent.uplink.core_link.REQUEST_S", 0.05)
    journal = MemoryJournal()
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db, states_heard(broker) as heard:
        config = site_config(tmp_path, broker.port)
        async with running_core(config.gateway.run_dir / "core.sock") as core:
            late: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            core.server.handlers = {**core.server.handlers, "alarms": lambda request, peer: late}
            async with running_uplink(config, journal) as uplink:
                await until(lambda: heard and uplink.core.present)
                journal.append(Priority.FAULT, event_body(1))
                await until(lambda: stored(db, "fault") == [1], "records go their way")
                assert await uplink.core.ask("alarms") is None
                assert [(state["core"], state["snapshot"]) for state in heard] == [(True, {"truncated": True})]
                late.set_result([{"id": "a-1"}])
                await until(lambda: heard[-1]["snapshot"].get("alarms") == [{"id": "a-1"}])
                assert all(state["core"] for state in heard)


async def test_a_core_that_says_nothing_any_more_is_told_as_absent_and_records_go_their_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.uplink.core_link.ALIVE_S", 0.1)
    monkeypatch.setattr("edge_agent.uplink.core_link.SILENT_S", 0.2)
    journal = MemoryJournal()
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db, states_heard(broker) as heard:
        config = site_config(tmp_path, broker.port)
        async with running_core(config.gateway.run_dir / "core.sock") as core:
            never: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            core.server.handlers = dict.fromkeys(core.server.handlers, lambda request, peer: never)
            async with running_uplink(config, journal):
                await until(lambda: any(not state["core"] for state in heard), "it is told")
                journal.append(Priority.FAULT, event_body(1))
                await until(lambda: stored(db, "fault") == [1])
