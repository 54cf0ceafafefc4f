"""Certificates that a county has taken back, with a real openssl CA: refused by name; a list that is no good silences nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from buffer.records import Priority
from edge_agent.config.uplinks import Uplink
from edge_agent.uplink import trust
from edge_agent.uplink.main import UplinkProcess
from simulators.centre.gb26875 import GbCentre
from tests.brokers import Broker
from tests.openssl_ca import WEEK, RealCa
from tests.uplink.gb26875.site import body as gb_body
from tests.uplink.gb26875.site import fires, gb_config, gb_uplink
from tests.uplink.in_1970 import told_in_1970
from tests.uplink.site import GATEWAY, MemoryJournal, event_body, running_centre, running_uplink, site_config, stored
from tests.waiting import until

pytestmark = pytest.mark.asyncio
DAY: Final = timedelta(days=1)


@pytest.fixture
def ca(tmp_path: Path) -> RealCa:
    return RealCa(tmp_path / "county")


@pytest.fixture
def crl(tmp_path: Path, ca: RealCa) -> Iterator[Path]:
    """The list of the county, with nothing on it."""
    ca.write_crl(tmp_path / "ca.crl")
    yield tmp_path / "ca.crl"


class Said:
    """What the uplink tells people of the county."""

    def __init__(self, process: UplinkProcess) -> None:
        self.states: list[str] = []
        self.faults: list[str] = []
        process.core.uplink_state = lambda dest, up, reason, **more: self.states.append(f"{dest} {reason}")  # type: ignore[method-assign]
        process.core.fault = lambda dest, what, **more: self.faults.append(f"{dest} {what}")  # type: ignore[method-assign]


class Site:
    """A county that demands TLS, over either protocol, and the city beside it."""

    def __init__(self, directory: Path, protocol: str, ca: RealCa, **keys: object) -> None:
        self.directory, self.protocol, self.ca, self.keys = directory, protocol, ca, keys
        self.journal, self._made = MemoryJournal(), 0
        self.process: UplinkProcess
        self.said: Said
        self._close = AsyncExitStack()

    async def start(self) -> None:
        """Until the uplink runs."""
        enter = self._close.enter_context
        city = enter(Broker(self.directory / "b"))
        self._city_db = enter(running_centre(self.directory / "city", city))
        cert, key = self.ca.client(GATEWAY)
        files = {"ca_file": self.ca.ca_file, "cert_file": cert, "key_file": key, **self.keys}
        if self.protocol == "mqtt":
            self.broker = enter(Broker(self.directory / "a", tls=self.ca, persistent=True))  # type: ignore[arg-type]
            watch_cert, watch_key = self.ca.client("centre")
            where = {"tls_ca": self.ca.ca_file, "cert": watch_cert, "key": watch_key}
            self._county_db = enter(running_centre(self.directory / "county-db", self.broker, **where))
            config = site_config(self.directory, self.broker.port, **files)
        else:
            self._centre = GbCentre()
            await self._listen(0)
            config = gb_config(self.directory, replace(gb_uplink(self._port), **files))  # type: ignore[arg-type]
        config = replace(config, uplinks=(*config.uplinks, Uplink(id="city", host="127.0.0.1", port=city.port)))
        self.process = await self._close.enter_async_context(running_uplink(config, self.journal))
        self.said = Said(self.process)

    async def _listen(self, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self.ca.server_cert), str(self.ca.server_key))
        self._server = await asyncio.start_server(self._centre.serve, "127.0.0.1", port, ssl=context)
        self._port = self._server.sockets[0].getsockname()[1]

    async def restart_county(self) -> None:
        """On the same port, with the certificate that lies in its file now."""
        if self.protocol == "mqtt":
            # In order: it keeps the centre's session, or what is sent before the centre is back waits 20 s for its ack.
            self.broker.stop()
            self.broker.start()
            return
        self._server.close()
        await self._centre.stop()
        await self._listen(self._port)

    async def stop(self) -> None:
        """All of it."""
        await self._close.aclose()
        if self.protocol != "mqtt":
            self._server.close()
            await self._centre.stop()

    def fire(self) -> None:
        """One more."""
        self._made += 1
        self.journal.append(Priority.ALARM, event_body(self._made) if self.protocol == "mqtt" else gb_body(self._made))

    @property
    def all(self) -> list[int]:
        """The numbers of all fires."""
        return list(range(1, self._made + 1))

    def at_county(self) -> list[int]:
        """The numbers of those the county has."""
        return stored(self._county_db) if self.protocol == "mqtt" else sorted(set(fires(self._centre)))

    def at_city(self) -> list[int]:
        """The same of the city."""
        return stored(self._city_db)

    def owed(self) -> bool:
        """Whether the county is still to get an alarm."""
        return bool(self.process.destinations[0].outbox.alarm_pending)


@asynccontextmanager
async def site(directory: Path, protocol: str, ca: RealCa, **keys: object) -> AsyncIterator[Site]:
    made = Site(directory, protocol, ca, **keys)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


both = pytest.mark.parametrize("protocol", ["mqtt", "gb26875"])


@both
async def test_a_revoked_centre_is_refused_by_name_the_other_gets_the_fire_and_the_refusing_one_stays_owed(
    protocol: str, tmp_path: Path, ca: RealCa, crl: Path
) -> None:
    ca.revoke(ca.server_cert)
    ca.write_crl(crl)
    async with site(tmp_path, protocol, ca, crl_file=crl) as gateway:
        gateway.fire()
        await until(lambda: gateway.at_city() == gateway.all)
        await until(lambda: "county cert_revoked" in gateway.said.states)
        assert gateway.at_county() == []
        assert gateway.owed()
        ca.renew_server()  # the county makes itself another one
        await gateway.restart_county()
        await until(lambda: gateway.at_county() == gateway.all)
        await until(lambda: not gateway.owed())
        assert gateway.said.faults == []


@both
async def test_a_list_that_was_exchanged_counts_without_a_restart_and_for_an_open_connection_too(
    protocol: str, tmp_path: Path, ca: RealCa, crl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "LOOK_EVERY_S", 0.05)
    clean = crl.read_bytes()
    async with site(tmp_path, protocol, ca, crl_file=crl) as gateway:
        gateway.fire()
        await until(lambda: gateway.at_county() == gateway.all)
        connections = gateway.process.destinations[0].counters
        ca.write_crl(crl)  # a new one, as every week
        gateway.fire()
        await until(lambda: gateway.at_county() == gateway.all)
        assert connections["connections"] == 1, "a new list that does not name the centre costs no connection"
        ca.revoke(ca.server_cert)
        ca.write_crl(crl)
        await until(lambda: "county cert_revoked" in gateway.said.states)
        gateway.fire()
        await until(lambda: gateway.at_city() == gateway.all)
        assert gateway.owed()
        crl.with_suffix(".old").write_bytes(clean)
        crl.with_suffix(".old").rename(crl)  # it was a mistake
        await until(lambda: gateway.at_county() == gateway.all)


def outdated(ca: RealCa, crl: Path) -> None:
    ca.write_crl(crl, since=-2 * WEEK, until=-DAY)


def of_the_future(ca: RealCa, crl: Path) -> None:
    ca.write_crl(crl, since=DAY)


def of_another_ca(ca: RealCa, crl: Path) -> None:
    RealCa(ca.directory.parent / "other").write_crl(crl)


def forged(ca: RealCa, crl: Path) -> None:
    """Of a CA that took our county's name."""
    impostor = RealCa(ca.directory.parent / "impostor" / ca.directory.name)
    impostor.revoke(impostor.server_cert)  # of the same serial number as the centre's
    impostor.write_crl(crl)


def garbage(ca: RealCa, crl: Path) -> None:
    crl.write_bytes(crl.read_bytes()[:200])


def absent(ca: RealCa, crl: Path) -> None:
    crl.unlink()


SPOILT: Final = {
    outdated: "crl_expired",
    of_the_future: "crl_not_yet_valid",
    of_another_ca: "crl_wrong_ca",
    forged: "crl_wrong_ca",
    garbage: "crl_damaged",
    absent: "crl_missing",
}


@pytest.mark.parametrize(("protocol", "spoil"), [*(("mqtt", spoil) for spoil in SPOILT), ("gb26875", outdated)])
async def test_a_list_that_is_no_good_is_a_fault_for_people_and_keeps_no_fire_from_the_centre(
    protocol: str, spoil: Callable[[RealCa, Path], None], tmp_path: Path, ca: RealCa, crl: Path
) -> None:
    spoil(ca, crl)
    told = SPOILT[spoil]
    async with site(tmp_path, protocol, ca, crl_file=crl) as gateway:
        gateway.fire()
        await until(lambda: gateway.at_county() == gateway.all)
        await until(lambda: gateway.said.faults == [f"county {told}"])
        await gateway.restart_county()
        gateway.fire()
        await until(lambda: gateway.at_county() == gateway.all)
        assert gateway.said.faults == [f"county {told}"], "told once, not at each connection"


@pytest.mark.parametrize(("protocol", "spoil"), [("mqtt", outdated), ("mqtt", of_the_future), ("gb26875", outdated)])
async def test_what_an_outdated_list_names_is_still_refused(
    protocol: str, spoil: Callable[[RealCa, Path], None], tmp_path: Path, ca: RealCa, crl: Path
) -> None:
    ca.revoke(ca.server_cert)
    spoil(ca, crl)
    async with site(tmp_path, protocol, ca, crl_file=crl) as gateway:
        gateway.fire()
        await until(lambda: gateway.at_city() == gateway.all)
        await until(lambda: "county cert_revoked" in gateway.said.states)
        assert gateway.at_county() == []
        assert gateway.owed()


@both
async def test_a_serial_number_in_the_configuration_is_refused_without_any_list(
    protocol: str, tmp_path: Path, ca: RealCa
) -> None:
    async with site(tmp_path, protocol, ca, revoked=("0A", ca.serial(ca.server_cert))) as gateway:
        gateway.fire()
        await until(lambda: gateway.at_city() == gateway.all)
        await until(lambda: "county cert_revoked" in gateway.said.states)
        assert gateway.at_county() == []
        ca.renew_server()
        await gateway.restart_county()
        await until(lambda: gateway.at_county() == gateway.all)


async def test_a_ca_in_the_file_of_the_list_is_not_trusted(tmp_path: Path, ca: RealCa, crl: Path) -> None:
    """OpenSSL loads CAs and lists by one call: whoever can exchange the list must not become the centre by that."""
    ours = RealCa(tmp_path / "ours")
    crl.write_bytes(crl.read_bytes() + ca.ca_file.read_bytes())
    async with site(tmp_path, "mqtt", ca, crl_file=crl, ca_file=ours.ca_file) as gateway:
        gateway.fire()
        await until(lambda: "county cert_wrong_ca" in gateway.said.states)
        assert gateway.at_county() == []


async def test_in_1970_it_is_the_clock_that_is_named_and_not_the_list(tmp_path: Path, ca: RealCa, crl: Path) -> None:
    with Broker(tmp_path, tls=ca) as broker:  # type: ignore[arg-type]
        said = await told_in_1970(broker.port, ca.ca_file, *ca.client(GATEWAY), crl)
    assert said == ["0", "cert_not_yet_valid"], "years since 1970, and why"


async def test_a_gateway_whose_own_certificate_is_revoked_is_told_so_by_the_broker(
    tmp_path: Path, ca: RealCa, crl: Path
) -> None:
    cert, key = ca.client(GATEWAY)
    ca.revoke(cert)
    ca.write_crl(crl)
    with Broker(tmp_path, tls=ca, config=f"crlfile {crl}") as broker:  # type: ignore[arg-type]
        config = site_config(tmp_path, broker.port, ca_file=ca.ca_file, cert_file=cert, key_file=key)
        journal = MemoryJournal()
        journal.append(Priority.ALARM, event_body(1))
        async with running_uplink(config, journal) as process:
            said, destination = Said(process), process.destinations[0]
            await until(lambda: "county client_cert_rejected" in said.states)
            await until(lambda: destination.outbox.alarm_pending, "the fire stays owed")
            assert destination.counters["connections"] == 0
            assert not [state for state in said.states if state.endswith((" connected", " confirmed"))]
