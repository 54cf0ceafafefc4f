"""How many messages may be on the wire: a real outbox, a session that only takes, and confirms that do not come."""

import asyncio
import math
import random
from collections import Counter
from typing import Any

import pytest

from buffer.records import Priority
from edge_agent.config.uplinks import Uplink
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.outbox import ALARM_RESERVE, Outbox
from edge_agent.uplink.sender import SPARE_EVERY_S, SPARE_SLOTS, Sender
from edge_agent.uplink.source import Source
from edge_agent.uplink.stream import Flight

WINDOW = 8


class Session:
    """Takes what it is given."""

    withheld = frozenset[Priority]()
    sparing = brief = False
    max_bytes = 60_000
    window = WINDOW

    def __init__(self, waits_s: float) -> None:
        self.waits_s = waits_s
        self.closed: asyncio.Future[LinkError] = asyncio.get_running_loop().create_future()
        self.sent: list[Flight] = []

    def encode(self, batch: Any) -> bytes:
        return b"{}" * len(batch.records)

    def send(self, flight: Flight, payload: bytes) -> None:
        self.sent.append(flight)


class Site:
    def __init__(self, waits_s: float) -> None:
        self.outbox, self.session = Outbox({}), Session(waits_s)
        self.outbox.connected()
        self.sender = Sender(
            Uplink(id="county", host="192.0.2.1"),
            self.outbox,
            Source(lambda: pytest.fail("nothing is read")),
            rng=random.Random(1),
            restamp=lambda body: body,
            counters=Counter(),
            wake=lambda: None,
            too_large=lambda batch: None,
        )
        self.sender.begin(self.session, 0.0)  # type: ignore[arg-type]
        self.fires = 0

    def fire(self, count: int = 1) -> None:
        for _ in range(count):
            self.fires += 1
            self.outbox.add_fresh("e1", self.fires, b'{"id":"x"}')
            self.sender.fill(self.session)  # type: ignore[arg-type]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    at = [100.0]
    monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda self: at[0])
    return at


@pytest.mark.asyncio
async def test_while_confirms_are_late_a_message_of_alarms_a_second_still_goes(now: list[float]) -> None:
    site = Site(waits_s=20.0)
    site.fire(50)
    assert len(site.session.sent) == WINDOW + ALARM_RESERVE
    for second in range(1, SPARE_SLOTS + 5):
        now[0] += SPARE_EVERY_S
        site.fire(2)
        assert len(site.session.sent) == WINDOW + ALARM_RESERVE + min(second, SPARE_SLOTS)
    spare = site.session.sent[WINDOW + ALARM_RESERVE :]
    assert (spare[0].batch.first, spare[0].batch.last) == (13, 51), "what had to wait shares one"
    assert [flight.batch.last for flight in spare] == [49 + 2 * second for second in range(1, SPARE_SLOTS + 1)]


@pytest.mark.asyncio
async def test_a_session_that_confirms_in_turn_is_given_no_more_than_it_takes(now: list[float]) -> None:
    """GB/T 26875.3 has one exchange open: more of them would only wait in its queue."""
    site = Site(waits_s=math.inf)
    for _ in range(30):
        now[0] += SPARE_EVERY_S
        site.fire()
    assert len(site.session.sent) == WINDOW + ALARM_RESERVE
