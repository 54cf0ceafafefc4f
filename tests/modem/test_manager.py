"""A modem of ModemManager's as a path, against a fake one on a real dbus-daemon of the test's own."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jeepney import message_bus, new_method_call
from jeepney.io.asyncio import DBusRouter, open_dbus_connection

from edge_agent.config.uplinks import Link
from edge_agent.config.uplinks import Modem as Settings
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.modem.bus import NAME, ROOT, Bus
from edge_agent.uplink.modem.hooks import Hooks
from edge_agent.uplink.modem.manager import ManagedModem, Pace, find, network_utc_ns
from edge_agent.uplink.modem.pin import PinMemory
from tests.modem.bench import echo_back, kept_running, quick_ladder, receive, tcp_server, trying
from tests.modem.fake_manager import FakeManager, Refusal, fake_manager, private_bus
from tests.waiting import until

pytestmark = pytest.mark.asyncio
FAST = Pace(poll_s=0.05, connect_s=0.3, searching_s=0.5, clock_s=0.2, boot_s=0.1)


@dataclass(slots=True)
class Bench:
    modem: ManagedModem
    reports: list[tuple[str, bool]] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    power_asked: int = 0

    async def reason(self, wanted: str) -> None:
        await until(lambda: self.modem.health.reason == wanted, f"{wanted}, is {self.modem.health.reason}")

    async def up(self) -> None:
        await until(lambda: self.modem.health.up, f"up, is {self.modem.health.reason}")


@contextlib.asynccontextmanager
async def bench(address: str, directory: Path, **settings: Any) -> AsyncIterator[Bench]:
    made: list[Bench] = []

    async def power() -> bool:
        made[0].power_asked += 1
        return True

    async def offer(utc_ns: int) -> None:
        made[0].times_ns.append(utc_ns)

    hooks = Hooks(
        power=power,
        offer_time=offer,
        report=lambda reason, active, fields: made[0].reports.append((reason, active)),
    )
    link = Link(id="lte", kind="cellular", modem=Settings(**{"device": "any", **settings}))
    modem = ManagedModem(
        link, hooks=hooks, ladder=quick_ladder(), pin=PinMemory(directory / "pin"), bus=address, pace=FAST
    )
    made.append(Bench(modem))
    async with kept_running(modem):
        yield made[0]


@pytest.fixture
def short() -> Any:
    """A directory short enough for a Unix socket."""
    made = Path(tempfile.mkdtemp(prefix="zg-mm-"))
    yield made
    shutil.rmtree(made)


@contextlib.asynccontextmanager
async def setting(
    directory: Path, start: Callable[[FakeManager], None] = lambda manager: None, **settings: Any
) -> AsyncIterator[tuple[Bench, FakeManager]]:
    async with private_bus(directory) as address, fake_manager(address) as manager:
        start(manager)
        async with bench(address, directory, **settings) as on:
            yield on, manager


async def test_a_connected_modem_is_a_path_through_its_interface_and_no_other(short: Path) -> None:
    async with setting(short) as (on, manager), tcp_server(echo_back) as port:
        manager.add(0)
        await on.reason("modem_connecting")
        with pytest.raises(LinkError, match="modem_connecting"):
            await on.modem.tcp("127.0.0.1", port)
        manager.connect(0, "lo")
        await on.up()
        sock = await on.modem.tcp("127.0.0.1", port)
        await asyncio.get_running_loop().sock_sendall(sock, b"through lo")
        assert await receive(sock, 10) == b"through lo"
        sock.close()
        manager.connect(0, "wwan0")
        await until(lambda: on.modem.interface == "wwan0", "the other interface")
        with pytest.raises(LinkError, match="no_interface"):
            await on.modem.tcp("127.0.0.1", port)
        shown = on.modem.snapshot()
        assert (shown["model"], shown["imei"], shown["signal"]) == ("EC20F", "***0018", {"percent": 67})


async def test_no_bus_no_manager_and_no_modem_are_waited_for(short: Path) -> None:
    address = f"unix:path={short / 'bus'}"
    async with bench(address, short) as on:
        await on.reason("modem_no_manager")
        async with private_bus(short):
            turns = on.modem.progress()
            await until(lambda: on.modem.progress() > turns + 1, "it has looked again")
            assert on.modem.health.reason == "modem_no_manager"  # a bus, and nobody of that name on it
            async with fake_manager(address) as manager:
                await on.reason("modem_no_port")
                manager.add(0)
                manager.connect(0)
                await on.up()
            await on.reason("modem_no_manager")
        assert not on.modem.health.up
        async with private_bus(short), fake_manager(address) as manager:
            manager.add(3)
            manager.connect(3)
            await on.up()


async def test_a_modem_that_was_pulled_and_put_back_is_found_under_its_new_index(short: Path) -> None:
    async with setting(short, device="ec20") as (on, manager):
        manager.add(0)
        manager.connect(0)
        manager.add(1, device="other")
        await on.up()
        del manager.modems[0]
        await on.reason("modem_no_port")
        manager.add(7)
        manager.connect(7, "wwan1")
        await on.up()
        assert on.modem.interface == "wwan1"
        assert on.modem.counts["found_anew"] == 2


async def test_a_call_that_is_cancelled_as_the_connection_closes_spoils_nothing(short: Path) -> None:
    async with private_bus(short) as address:
        silent = await open_dbus_connection(address)
        async with DBusRouter(silent) as router:
            await router.send_and_get_reply(new_method_call(message_bus, "RequestName", "su", (NAME, 4)))
        async with Bus(address) as bus:
            asking = asyncio.create_task(bus.call(ROOT, NAME, "Never"))
            await until(lambda: bus._router._replies._futures, "it waits for the answer")
            asyncio.get_running_loop().call_soon(asking.cancel)
        with pytest.raises(asyncio.CancelledError):
            await asking
        await silent.close()


async def test_an_unconnected_modem_is_connected_if_nobody_else_does_it(short: Path) -> None:
    async with setting(short, apn="cmiot") as (on, manager):
        manager.on_call["Connect"] = lambda body: (
            manager.connect(0) or ("o", ("/org/freedesktop/ModemManager1/Bearer/0",))
        )
        manager.add(0)
        await on.up()
        connects = [body for _, method, body in manager.calls if method == "Connect"]
        assert connects == [({"apn": ("s", "cmiot")},)]


async def test_a_disabled_modem_is_enabled(short: Path) -> None:
    async with setting(short) as (on, manager):
        manager.on_call["Enable"] = lambda body: manager.connect(0) if body == (True,) else None
        manager.add(0, State=("i", 3))
        await on.up()
        assert "Enable" in manager.methods()


HELD: list[tuple[dict[str, tuple[str, Any]], int, str]] = [
    ({"State": ("i", -1), "StateFailedReason": ("u", 2)}, 1, "modem_no_sim"),
    ({"State": ("i", 2), "UnlockRequired": ("u", 2)}, 1, "modem_sim_pin"),
    ({"State": ("i", 2), "UnlockRequired": ("u", 4)}, 1, "modem_sim_puk"),
    ({"State": ("i", 7)}, 3, "modem_denied"),
    ({"State": ("i", 7)}, 2, "modem_no_network"),
]


@pytest.mark.parametrize(("modem", "registration", "reason"), HELD)
async def test_what_a_person_has_to_mend_is_told_and_never_answered_with_a_reset(
    modem: dict[str, tuple[str, Any]], registration: int, reason: str, short: Path
) -> None:
    async with setting(short) as (on, manager):
        manager.registration = registration
        manager.add(0, **modem)
        await on.reason(reason)
        await until(lambda: on.modem.ladder.steps.get("retry", 0) >= 1, "held")
        assert (manager.methods(), on.power_asked) == ([], 0)
        assert on.reports.count((reason, True)) == 1
        manager.add(0)
        manager.connect(0)
        await on.up()
        assert (reason, False) in on.reports


async def test_a_pin_is_sent_once(short: Path) -> None:
    def refuse(body: tuple[Any, ...]) -> None:
        raise Refusal("Core.Failed")

    file = short / "sim.pin"
    file.write_text("9999")
    async with setting(short, pin_file=file) as (on, manager):
        manager.on_call["SendPin"] = refuse
        manager.add(0, State=("i", 2), UnlockRequired=("u", 2))
        await on.reason("modem_pin_wrong")
        await until(lambda: on.modem.ladder.steps.get("retry", 0) >= 1, "held")
        assert [body for _, method, body in manager.calls if method == "SendPin"] == [("9999",)]
        manager.on_call["SendPin"] = lambda body: manager.add(0) or manager.connect(0)
        file.write_text("1234")
        await on.up()


async def test_a_lost_echo_climbs_to_reset_and_to_the_power_pin(short: Path) -> None:
    async with setting(short) as (on, manager):
        manager.on_call["Connect"] = lambda body: ("o", ("/org/freedesktop/ModemManager1/Bearer/0",))
        manager.add(0)
        manager.connect(0)
        await on.up()
        async with trying(on.modem):
            await until(lambda: on.power_asked == 1, "the power pin")
        assert [m for m in manager.methods() if m != "GetNetworkTime"] == [
            "Disconnect",
            "Connect",
            "Enable",
            "Enable",
            "Reset",
        ]
        on.modem.echo_ok()
        assert on.modem.ladder.reasons == ()


async def test_a_failed_modem_is_restarted_and_a_modem_that_fell_off_gets_its_power_cycled(short: Path) -> None:
    async with setting(short) as (on, manager):
        manager.add(0, State=("i", -1), StateFailedReason=("u", 3))
        await on.reason("modem_sim_error")
        await until(lambda: "Reset" in manager.methods(), "reset")
        del manager.modems[0]
        await until(lambda: on.power_asked >= 1, "power")
        assert not on.modem.health.up


async def test_network_time_is_offered_as_utc(short: Path) -> None:
    async with setting(short) as (on, manager):
        manager.on_call["GetNetworkTime"] = lambda body: ("s", ("2026-11-25T12:00:00+08",))
        manager.add(0)
        manager.connect(0)
        await until(lambda: on.times_ns, "offered")
        assert set(on.times_ns) == {1795579200 * 10**9}


@pytest.mark.parametrize(
    ("told", "utc_s"),
    [
        ("2026-11-25T12:00:00+08", 1795579200),
        ("2026-11-25T04:00:00Z", 1795579200),
        ("2026-11-25T12:00:00+08:00", 1795579200),
        ("2026-11-25T12:00:00", None),
        ("1980-01-06T00:00:00+00", None),
        ("soon", None),
    ],
)
async def test_forms_of_network_time(told: str, utc_s: int | None) -> None:
    assert network_utc_ns(told) == (None if utc_s is None else utc_s * 10**9)


async def test_any_means_the_only_one() -> None:
    modem = {"Modem": {"DeviceIdentifier": "a", "Device": "/sys/a", "EquipmentIdentifier": "1"}}
    one = {"/org/freedesktop/ModemManager1/Modem/4": modem}
    two = {**one, "/org/freedesktop/ModemManager1/Modem/5": {"Modem": {"DeviceIdentifier": "b"}}}
    assert find(one, "any") == "/org/freedesktop/ModemManager1/Modem/4"
    assert find(two, "any") == ""
    assert [find(two, name) for name in ("b", "/sys/a", "1", "c")] == [
        "/org/freedesktop/ModemManager1/Modem/5",
        "/org/freedesktop/ModemManager1/Modem/4",
        "/org/freedesktop/ModemManager1/Modem/4",
        "",
    ]
