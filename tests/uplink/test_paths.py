"""Real paths: two veth pairs to a centre in a namespace, one of them cut, black-holed or one-way, and nothing lost."""

import asyncio
import contextlib
import dataclasses
import errno
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from buffer.records import Priority
from edge_agent.config.model import Config
from edge_agent.config.uplinks import Link
from edge_agent.model import Kind
from edge_agent.uplink import path as path_module
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.main import UplinkProcess
from edge_agent.uplink.path import RoutedPath, longest_wait_ms, resolve
from edge_agent.uplink.sender import SPARING_BURST
from tests.brokers import Broker
from tests.proof.checker import spread_s
from tests.proof.site import note
from tests.uplink.netns import FarBroker, TwoWays, why_not
from tests.uplink.site import (
    GATEWAY,
    MemoryJournal,
    event_body,
    ring,
    running_centre,
    running_uplink,
    site_config,
    stored,
)
from tests.waiting import until

pytestmark = pytest.mark.asyncio
namespaces = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")


RTO_MAX_MS = Path("/proc/sys/net/ipv4/tcp_rto_max_ms")


async def test_a_connection_to_a_centre_repeats_what_is_lost_at_an_even_pace() -> None:
    with socket.create_server(("127.0.0.1", 0)) as centre, await RoutedPath().tcp(*centre.getsockname()) as sock:

        def option(number: int) -> int:
            return sock.getsockopt(socket.IPPROTO_TCP, number)

        assert option(socket.TCP_NODELAY) == option(path_module.TCP_THIN_LINEAR_TIMEOUTS) == 1
        control = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")
        if RTO_MAX_MS.exists():
            assert (option(path_module.TCP_RTO_MAX_MS), option(socket.TCP_USER_TIMEOUT)) == (1000, 120_000)
            assert control == (b"bbr" if has_bbr() else b"cubic")
        else:
            assert (option(socket.TCP_USER_TIMEOUT), control) == (0, b"cubic"), "Linux before 6.15"


def has_bbr() -> bool:
    with socket.socket() as sock, contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"bbr")
        return True
    return False


@pytest.mark.parametrize(
    ("rtt_us", "resent", "longest_ms"),
    [
        (200, 0, 1000),
        (250_000, 0, 1000),
        (600_000, 0, 2400),
        (90_000_000, 3, 120_000),
        (1_092_000, 1, 1000),  # as met on 4G, where the answer to the first greeting was lost
        (1_600_000, 1, 2400),  # NB-IoT, where it was only late
    ],
)
async def test_a_slow_link_is_given_time_to_answer(rtt_us: int, resent: int, longest_ms: int) -> None:
    assert longest_wait_ms(rtt_us, resent) == longest_ms


@pytest.fixture
def ways() -> Iterator[TwoWays]:
    with TwoWays() as made:
        yield made


def two_links(config: Config, ways: TwoWays) -> Config:
    """Quick, so that a test does not wait for what takes a minute in the field; test_choice.py holds the real times."""
    quick = {"probe_s": 1.0, "misses": 2, "hold_s": 2.0}
    links = (
        Link(id="eth", kind="ethernet", interface=ways.eth.interface, **quick),  # type: ignore[arg-type]
        Link(id="4g", kind="cellular", interface=ways.cell.interface, **quick),  # type: ignore[arg-type]
    )
    return dataclasses.replace(config, links=links)


def far_config(directory: Path, broker: FarBroker) -> Config:
    assert broker.tls is not None
    cert, key = broker.tls.client(GATEWAY)
    return site_config(
        directory,
        broker.port,
        host=broker.host,
        ca_file=broker.tls.ca_file,
        cert_file=cert,
        key_file=key,
        keepalive_s=2,
        unconfirmed_s=2.0,
    )


@asynccontextmanager
async def alarms_at(journal: MemoryJournal, uplink: UplinkProcess) -> AsyncIterator[None]:
    """Twenty alarms a second as long as the block lasts, told as the core tells them."""

    async def for_ever() -> None:
        while True:
            ring(uplink, journal)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(for_ever())
    try:
        yield
    finally:
        task.cancel()


def using(uplink: UplinkProcess) -> str | None:
    return uplink.paths._policies["county"].choice.current


@namespaces
@pytest.mark.parametrize("mood", ["cut", "black_hole", "one_way"])
@pytest.mark.slow
async def test_a_lost_path_is_left_and_taken_again_without_losing_an_alarm(
    tmp_path: Path, ways: TwoWays, mood: str
) -> None:
    journal = MemoryJournal()
    with FarBroker(tmp_path, ways) as broker:
        config = two_links(far_config(tmp_path, broker), ways)
        watch = {"host": ways.watch.far_address, "port": broker.watch_port}
        with running_centre(tmp_path / "centre", broker, **watch) as db:
            async with running_uplink(config, journal) as uplink:
                told: list[tuple[str, bool | None]] = []
                uplink.core.link_state = lambda link, up, reason, **detail: told.append((link, up))  # type: ignore[method-assign]
                async with alarms_at(journal, uplink):
                    await until(lambda: using(uplink) == "eth" and len(stored(db)) > 10)
                    getattr(ways.eth, mood)()
                    lost_s = time.monotonic()
                    await until(lambda: using(uplink) == "4g", "fail-over")
                    arrived = len(stored(db))
                    await until(lambda: len(stored(db)) > arrived + 20, "alarms over the other path")
                    moved_s = time.monotonic() - lost_s
                    await until(lambda: ("eth", False) in told, "the loss is told")
                    ways.eth.heal()
                    await until(lambda: using(uplink) == "eth", "the way back")
                    arrived = len(stored(db))
                    await until(lambda: len(stored(db)) > arrived + 20, "alarms over the first path again")
                head = journal.heads()[journal.epoch, Priority.ALARM]
                await until(lambda: len(stored(db)) == head, "everything")
                there, of = stored(db), "path lost to alarms over the other (probe_s 1, misses 2)"
                found = {"alarms": head, "lost": head - len(set(there)), "doubled": len(there) - len(set(there))}
                note(f"path-{mood}", {**found, "delay_s": spread_s([moved_s], of)})
                assert stored(db) == list(range(1, head + 1))
                assert told[-1] == ("eth", True) or ("eth", True) in told[told.index(("eth", False)) :]
                assert uplink.paths._policies["county"].choice.switches == 2


@namespaces
async def test_a_socket_leaves_by_its_interface_whatever_the_routes_prefer(ways: TwoWays) -> None:
    listening = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", ways.namespace, "python3", "-c",
        "import socket; s=socket.create_server(('0.0.0.0', 7119)); print('up', flush=True)\n"
        "while True: c,a=s.accept(); c.sendall(a[0].encode()); c.close()",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert listening.stdout is not None
    try:
        await listening.stdout.readline()
        seen = []
        for way in (ways.eth, ways.cell):
            sock = await RoutedPath(Link(id="x", interface=way.interface)).tcp(ways.centre, 7119)
            seen.append((await asyncio.get_running_loop().sock_recv(sock, 100)).decode())
            sock.close()
        assert seen[0] != seen[1]
        ways.cell.cut()
        with pytest.raises((OSError, TimeoutError)):
            await RoutedPath(Link(id="x", interface=ways.cell.interface)).tcp(ways.centre, 7119)
    finally:
        listening.kill()
        await listening.wait()


async def test_an_interface_that_is_not_there_is_named() -> None:
    with pytest.raises(LinkError) as caught:
        await RoutedPath(Link(id="x", interface="nosuch0")).tcp("127.0.0.1", 9)
    assert caught.value.reason in ("no_interface", "not_allowed")


async def test_a_kernel_that_allows_no_binding_is_named() -> None:
    class Refusing(socket.socket):
        def setsockopt(self, *arguments: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

    with Refusing(socket.AF_INET, socket.SOCK_STREAM) as sock, pytest.raises(LinkError) as caught:
        path_module.bind_to(sock, "eth0")
    assert caught.value.reason == "not_allowed"


async def test_a_dead_name_server_costs_the_last_known_address_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for port in range(1000, 1000 + path_module.NAMES_MAX):  # many others were asked for before: the newest is kept
        await resolve("127.0.0.1", port)
    assert await resolve("localhost", 7)

    def hang(*arguments: object, **named: object) -> object:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(path_module.socket, "getaddrinfo", hang)
    assert await resolve("localhost", 7)
    with pytest.raises(LinkError) as caught:
        await resolve("nobody-asked-before.invalid", 7)
    assert caught.value.reason == "no_name"


async def test_a_router_that_calls_itself_every_name_does_not_hide_a_centre_that_was_met_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own line is down; the other path's connections ask the same name server."""
    answers: list[str] = []

    def told(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[-1], port))]

    monkeypatch.setattr(socket, "getaddrinfo", told)
    monkeypatch.setattr(path_module, "_known", {})
    with socket.create_server(("127.0.0.1", 0)) as centre:
        port, name = centre.getsockname()[1], "centre.example"

        async def met(address: str) -> str:
            answers.append(address)
            with await RoutedPath().tcp(name, port) as sock:
                return str(sock.getpeername()[0])

        assert await met("127.0.0.1") == "127.0.0.1"
        for lie in ("127.0.0.2", "127.0.0.2", "127.0.0.3"):
            assert await met(lie) == "127.0.0.1"
        narrow, tried = RoutedPath(), list[str]()
        for _ in range(4):
            with await narrow.udp(name, port) as sock:
                tried.append(sock.getpeername()[0])
            narrow.echo_lost()
        assert tried == ["127.0.0.3", "127.0.0.2", "127.0.0.1", "127.0.0.3"]
    for n in range(50):
        answers.append(f"127.0.1.{n}")
        assert len(await resolve(name, port)) <= 1 + path_module.OLDER_MAX


# --- links that cost ----------------------------------------------------------------------------------------------------------


async def test_a_storm_shares_messages_where_bytes_cost(tmp_path: Path) -> None:
    """SPARING_BURST promises how many by the clock, so it is asked with the time that the storm took here."""
    journal = MemoryJournal()
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        config = dataclasses.replace(site_config(tmp_path, broker.port), links=(Link(id="x", kind="cellular"),))
        async with running_uplink(config, journal) as uplink:
            began_s, counters = time.monotonic(), uplink.destinations[0].counters
            await until(lambda: counters["connections"])
            for _ in range(1000):
                ring(uplink, journal)
                await asyncio.sleep(0.004)
            await until(lambda: stored(db) == list(range(1, 1001)), "complete")
            messages, every_s = SPARING_BURST
            most = messages * counters["connections"] + (time.monotonic() - began_s) / every_s + 1
            assert counters["batches"] <= most


async def test_where_bytes_cost_nothing_each_alarm_goes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a metered link allows at once never comes again here: who spared bytes would stop at the 21st alarm."""
    messages, _ = SPARING_BURST
    monkeypatch.setattr("edge_agent.uplink.sender.SPARING_BURST", (messages, 3600.0))
    journal = MemoryJournal()
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        config = dataclasses.replace(site_config(tmp_path, broker.port), links=(Link(id="x", kind="ethernet"),))
        async with running_uplink(config, journal) as uplink:
            for n in range(1, messages + 11):
                ring(uplink, journal)
                await until(lambda n=n: n in stored(db), "an alarm alone")  # type: ignore[misc]
            ring(uplink, journal, 970)
            await until(lambda: stored(db) == list(range(1, messages + 981)), "a storm, complete")


async def test_the_picture_after_each_connection_is_bytes_of_the_month_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def snapshot(self: UplinkProcess) -> dict[str, object]:
        return {"alarms": [{"id": f"{n:0100}"} for n in range(300)], "points": []}  # 33 kB

    monkeypatch.setattr(UplinkProcess, "_snapshot", snapshot)
    with Broker(tmp_path) as broker:
        config = dataclasses.replace(site_config(tmp_path, broker.port), links=(Link(id="4g", kind="cellular"),))
        async with running_uplink(config, MemoryJournal()) as uplink:
            await until(lambda: uplink.paths._traffic.used("4g")[1].get("other", 0) > 33_000, "counted")


async def test_a_used_up_month_lets_alarms_through_holds_the_rest_and_is_remembered(tmp_path: Path) -> None:
    journal = MemoryJournal()
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        link = Link(id="4g", kind="cellular", monthly_mb=0.1)
        config = dataclasses.replace(site_config(tmp_path, broker.port), links=(link,))
        async with running_uplink(config, journal) as uplink:
            faults: list[str] = []
            uplink.core.fault = lambda dest, what, **params: faults.append(what)  # type: ignore[method-assign]
            for n in range(1, 2001):  # a storm of faults, 0.6 MB of them
                journal.append(Priority.FAULT, event_body(n, Kind.LINK))
            await until(lambda: stored(db, "fault"))
            await until(lambda: Priority.FAULT in uplink.paths._traffic.withheld("4g"))
            ring(uplink, journal, 399)
            await until(lambda: len(stored(db)) == 399, "alarms are exempt")
            _, used = uplink.paths._traffic.used("4g")
            assert used["fault"] < 0.3 * 100_000 + 70_000, "its share, and the one batch that went over it"
            assert faults[-1] == "budget_100"
            outbox = uplink.destinations[0].outbox
            assert outbox.pending(Priority.FAULT) > 0
            await until(lambda: outbox.in_flight == 0, "what has gone is stored: the centre takes faults after alarms")
            _, used = uplink.paths._traffic.used("4g")
        async with running_uplink(config, journal) as uplink:
            _, again = uplink.paths._traffic.used("4g")
            assert again["alarm"] == used["alarm"]
            held = stored(db, "fault")
            uplink._on_record(journal.epoch, Priority.ALARM, journal.append(Priority.ALARM, event_body(400)), None)
            await until(lambda: len(stored(db)) == 400, "alarms go on")
            assert stored(db, "fault") == held
