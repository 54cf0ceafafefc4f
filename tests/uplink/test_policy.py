"""The hands of the policy: which path is tried, who is blamed, and that a better one is made before the worse one is let go."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from buffer.records import Priority
from edge_agent.clock import SystemClock
from edge_agent.config.uplinks import Link
from edge_agent.uplink.choice import Rule
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.link import LinkError, Receiver, Session
from edge_agent.uplink.path import RoutedPath
from edge_agent.uplink.policy import PolicyLink, Way
from edge_agent.uplink.traffic import Traffic
from tests.waiting import until

pytestmark = pytest.mark.asyncio
NOBODY: Receiver = object()  # type: ignore[assignment]  # these sessions carry nothing


class FakeSession:
    max_bytes, window, waits_s, brief, sparing = 1000, 8, 20.0, False, False
    withheld = frozenset[Priority]()
    beside_bytes = 0

    def __init__(self) -> None:
        self.closed: asyncio.Future[LinkError] = asyncio.get_running_loop().create_future()

    def end(self, why: LinkError) -> None:
        if not self.closed.done():
            self.closed.set_result(why)

    async def close(self) -> None:
        self.end(LinkError("closed"))


class Road(RoutedPath):
    """A path whose echoes are written down, and a link over it that does as told."""

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(Link(id=name, kind=kind))
        self.refuses: str = ""
        self.sessions: list[FakeSession] = []
        self.echoes: list[bool] = []

    def echo_ok(self) -> None:
        self.echoes.append(True)

    def echo_lost(self) -> None:
        self.echoes.append(False)

    async def open(self, receiver: Receiver) -> Session:
        if self.refuses:
            raise LinkError(self.refuses)
        self.sessions.append(FakeSession())
        return self.sessions[-1]  # type: ignore[return-value]

    async def probe(self) -> bool:
        return not self.refuses


def roads(tmp_path: Path) -> tuple[PolicyLink, Road, Road, list[tuple[str, bool]]]:
    eth, cell = Road("eth", "ethernet"), Road("4g", "cellular")
    told: list[tuple[str, bool]] = []
    ledger = Ledger.open(tmp_path / "delivery.db")
    traffic = Traffic(
        [Link(id="eth"), Link(id="4g", kind="cellular")], ledger, SystemClock(), lambda link, percent: None
    )
    ways = [Way(Rule(id=road.id, probe_s=0.2, misses=2, hold_s=0.3), road, road, road.probe) for road in (eth, cell)]
    tell: Callable[[str, bool], None] = lambda path, up: told.append((path, up))  # noqa: E731 - a callback
    return PolicyLink(ways, rng=random.Random(1), traffic=traffic, tell=tell), eth, cell, told


async def test_the_next_path_is_tried_in_the_same_attempt_when_the_first_leads_nowhere(tmp_path: Path) -> None:
    policy, eth, cell, _ = roads(tmp_path)
    eth.refuses = "no_route"
    await policy.open(NOBODY)
    assert (policy.choice.current, len(cell.sessions), eth.echoes) == ("4g", 1, [False])


async def test_a_centre_that_says_no_is_not_asked_over_the_other_path_and_no_modem_is_blamed(tmp_path: Path) -> None:
    for reason, echoes in (("cert_not_yet_valid", [True]), ("connack", [True]), ("refused", []), ("cert_expired", [])):
        policy, eth, cell, _ = roads(tmp_path)
        eth.refuses = reason
        with pytest.raises(LinkError) as caught:
            await policy.open(NOBODY)
        assert caught.value.reason == reason
        assert (cell.sessions, eth.echoes) == ([], echoes)


@pytest.mark.parametrize("reason", ["cert_wrong_ca", "cert_wrong_host", "cert_revoked", "tls"])
async def test_behind_a_portal_or_an_impostor_the_next_attempt_takes_the_other_path(
    reason: str, tmp_path: Path
) -> None:
    """A school's firewall that looks into TLS, a portal that wants a log-in: the centre itself answers over 4G."""
    policy, eth, cell, _ = roads(tmp_path)
    eth.refuses = reason
    with pytest.raises(LinkError, match=reason):
        await policy.open(NOBODY)
    await policy.open(NOBODY)
    assert (policy.choice.current, len(cell.sessions)) == ("4g", 1)
    assert eth.echoes == [], "no modem is power-cycled for it"


async def test_a_better_path_is_opened_before_the_worse_one_is_let_go(tmp_path: Path) -> None:
    policy, eth, cell, told = roads(tmp_path)
    eth.refuses = "no_route"
    session = await policy.open(NOBODY)
    running = asyncio.create_task(policy.run())
    try:
        await until(lambda: ("eth", False) in told)
        eth.refuses = ""
        await until(lambda: eth.sessions, "opened over the better path")
        assert not cell.sessions[0].closed.done()
        why = await session.closed
        assert (why.reason, why.again) == ("path_changed", True)
        await session.close()
        await policy.open(NOBODY)
        assert (policy.choice.current, len(eth.sessions)) == ("eth", 1), "the one that was made is used"
        assert told[-1] == ("eth", True)
    finally:
        running.cancel()


async def test_a_move_that_fails_keeps_the_session_that_works(tmp_path: Path) -> None:
    policy, eth, cell, _ = roads(tmp_path)
    eth.refuses = "no_route"
    session = await policy.open(NOBODY)

    async def answers() -> bool:
        return True  # a port that takes connections, with nobody behind it

    policy._ways["eth"] = Way(policy._ways["eth"].rule, eth, eth, answers)
    running = asyncio.create_task(policy.run())
    try:
        await until(lambda: eth.echoes.count(False) > 2, "it tried to move, more than once")
        assert not session.closed.done()
        assert not cell.sessions[0].closed.done()
    finally:
        running.cancel()


async def test_what_is_no_batch_is_of_the_path_that_carried_it(tmp_path: Path) -> None:
    policy, eth, cell, _ = roads(tmp_path)
    eth.refuses = "no_route"
    session = await policy.open(NOBODY)
    running = asyncio.create_task(policy.run())

    def other() -> int:
        return policy._traffic.used("4g")[1]["other"]

    try:
        before = other()
        cell.sessions[0].beside_bytes = 5000
        await until(lambda: other() >= before + 5000, "counted while it lasts")
        cell.sessions[0].beside_bytes = 7000
        await session.close()
        assert before + 7000 <= other() < before + 9000, "once, to the end"
    finally:
        running.cancel()


async def test_a_path_that_fell_silent_is_probed_while_nobody_has_begun_again(tmp_path: Path) -> None:
    policy, eth, _, told = roads(tmp_path)
    session = await policy.open(NOBODY)
    running = asyncio.create_task(policy.run())
    try:
        eth.refuses = "no_route"
        session.end(LinkError("half_open", spread_s=5.0))
        why = await session.closed
        assert (why.again, why.spread_s) == (True, 5.0)
        await until(lambda: ("eth", False) in told, "known before the next session")
        await policy.open(NOBODY)
        assert policy.choice.current == "4g"
    finally:
        running.cancel()


async def test_silence_moves_on_at_once_and_a_close_in_order_waits(tmp_path: Path) -> None:
    for reason, again in (("half_open", True), ("disconnected", False)):
        policy, eth, _, _ = roads(tmp_path)
        session = await policy.open(NOBODY)
        session.end(LinkError(reason))
        assert (await session.closed).again is again
        assert eth.echoes == ([True, False] if again else [True])
