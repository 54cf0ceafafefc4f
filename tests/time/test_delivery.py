"""Records from before the clock was right, all the way to a centre: dated when sent, and put right when they were sent before."""

import time
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config.uplinks import Uplink
from simulators.centre.query import look
from tests.brokers import Broker
from tests.commands.programs import asker
from tests.commands.test_core import ShiftedClock, ask, talking
from tests.core.house import CONTACT, site
from tests.uplink.site import running_centre, running_uplink
from tests.waiting import until

pytestmark = pytest.mark.asyncio

S = 1_000_000_000


def fire(db: Path) -> dict[str, Any] | None:
    """The `at` of the fire, as the centre has it."""
    with look(db) as centre:
        found = [event for event in centre.events() if event["kind"] == "fire"]
    at = found[0]["at"] if found else None
    return at if isinstance(at, dict) else None


async def test_a_fire_of_1970_arrives_undated_is_dated_by_a_resend_and_one_sent_later_is_dated_at_once(
    tmp_path: Path,
) -> None:
    clock = ShiftedClock()
    clock.shift_ns = -time.time_ns()
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        async with site() as place:
            commands = ("set_clock", "resend")
            place.set(uplinks=(Uplink(id="county", host="127.0.0.1", port=broker.port, commands=commands),))
            config = place.config
            async with place.running(clock=clock) as house, talking(house) as client, running_uplink(config) as uplink:
                house.gpio.wire({CONTACT: True})
                await until(lambda: fire(db) is not None, "the fire is at the centre")
                early = fire(db)
                assert early is not None
                assert (early["clock"], early.get("restamped")) == ("unset", None)
                assert (await ask(client, "set_clock", params={"wall_ns": time.time_ns()}))["status"] == "done"
                await uplink.clock.refresh()
                assert uplink.clock.now().clock == "synced"
                [stream] = [s for s in uplink.destinations[0].outbox.streams() if s.priority == 0]
                with asker(broker, config.gateway.id) as centre:
                    asked = {"epoch": stream.epoch, "stream": "alarm", "first": 1, "last": 1}
                    centre.send("resend", command="again", params=asked)
                    assert (await centre.answer("again"))["result"] == {"due": 1}
                await until(lambda: (fire(db) or {}).get("restamped"), "the centre has it dated")
                late = fire(db)
                assert late is not None
                assert (late["boot"], late["mono_ns"]) == (early["boot"], early["mono_ns"])
                assert abs(late["wall_ns"] - time.time_ns()) < 60 * S
    with Broker(tmp_path / "2") as broker, running_centre(tmp_path / "centre-2", broker) as db:
        async with site() as place:
            place.set(uplinks=(Uplink(id="county", host="127.0.0.1", port=broker.port, commands=("set_clock",)),))
            async with place.running(clock=ShiftedClockOf1970()) as house, talking(house) as client:
                house.gpio.wire({CONTACT: True})
                await ask(client, "set_clock", params={"wall_ns": time.time_ns()})
                await house.durable()
                async with running_uplink(place.config):
                    await until(lambda: fire(db) is not None, "sent after the clock was right")
                at = fire(db)
                assert at is not None
                assert (at["clock"], at["restamped"]) == ("synced", True)


class ShiftedClockOf1970(ShiftedClock):
    def __init__(self) -> None:
        super().__init__()
        self.shift_ns = -time.time_ns()
