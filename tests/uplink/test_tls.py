"""TLS against a real mosquitto that demands client certificates: what is wrong is named, and nothing goes out in the clear."""

import asyncio
import gc
import ssl
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from buffer.records import Priority
from edge_agent.clock import SystemClock
from edge_agent.config.uplinks import Uplink
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.mqtt import MqttLink, MqttSettings
from edge_agent.uplink.path import RoutedPath
from edge_agent.uplink.trust import Trust
from tests.brokers import Broker, Certificates
from tests.uplink.in_1970 import told_in_1970
from tests.uplink.site import GATEWAY, MemoryJournal, event_body, running_centre, running_uplink, site_config, stored
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio


class Nobody:
    """A receiver that must not be called."""

    desk = None

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


async def refusal(
    broker: Broker, ca: Path | None, cert: Path | None, key: Path | None, *, host: str = "127.0.0.1"
) -> LinkError:
    """Why a session cannot be opened."""
    settings = MqttSettings(
        gateway=GATEWAY,
        host=host,
        port=broker.port,
        keepalive_s=30,
        expiry_s=40,
        trust=Trust(ca, cert, key) if ca is not None else None,
    )
    with pytest.raises(LinkError) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await MqttLink(settings, SystemClock(), RoutedPath().tcp).open(Nobody())  # type: ignore[arg-type]
    return caught.value


async def test_an_alarm_is_delivered_over_tls_with_client_certificates(tmp_path: Path) -> None:
    tls = Certificates(tmp_path / "tls")
    cert, key = tls.client(GATEWAY)
    centre_cert, centre_key = tls.client("centre")
    acl = (
        f"user {GATEWAY}\npattern write zg119/v1/%u/up/#\npattern write zg119/v1/%u/state\npattern read zg119/v1/%u/ack\n"
        "user centre\ntopic read zg119/v1/+/up/+\ntopic read zg119/v1/+/state\ntopic write zg119/v1/+/ack\n"
    )
    journal = MemoryJournal()
    for n in range(1, 501):
        journal.append(Priority.ALARM, event_body(n))
    with (
        Broker(tmp_path, tls=tls, acl=acl) as broker,
        running_centre(tmp_path / "c", broker, tls_ca=tls.ca_file, cert=centre_cert, key=centre_key) as db,
    ):
        config = site_config(tmp_path, broker.port, ca_file=tls.ca_file, cert_file=cert, key_file=key)
        async with running_uplink(config, journal) as uplink:
            await until(lambda: len(stored(db)) == 500)
            await until(lambda: not uplink.destinations[0].outbox.alarm_pending)
        assert stored(db) == list(range(1, 501))


async def test_a_broker_of_another_ca_is_refused(tmp_path: Path) -> None:
    tls, other = Certificates(tmp_path / "tls"), Certificates(tmp_path / "other")
    with Broker(tmp_path, tls=tls) as broker:
        assert (await refusal(broker, other.ca_file, *other.client(GATEWAY))).reason == "cert_wrong_ca"


def open_descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def test_a_refused_connection_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """A certificate may be wrong for weeks, and the small machine has 64 of them: no waiting for the garbage collector."""
    tls, other = Certificates(tmp_path / "tls"), Certificates(tmp_path / "other")
    serial = ssl._ssl._test_decode_cert(str(tls.server_cert))["serialNumber"]  # type: ignore[attr-defined]
    with Broker(tmp_path, tls=tls) as broker:
        where = {"gateway": GATEWAY, "host": "127.0.0.1", "port": broker.port, "keepalive_s": 30, "expiry_s": 40}
        gc.collect()
        gc.disable()
        try:
            for trust in (Trust(other.ca_file), Trust(tls.ca_file, revoked={int(serial, 16)}), Trust(tls.ca_file)):
                link = MqttLink(MqttSettings(**where, trust=trust), SystemClock(), RoutedPath().tcp)  # type: ignore[arg-type]
                reasons, before = set[str](), open_descriptors()
                for _ in range(10):
                    with pytest.raises(LinkError) as caught:
                        await link.open(Nobody())  # type: ignore[arg-type]
                    reasons.add(caught.value.reason)
                await until(lambda before=before: open_descriptors() <= before + 2, str(reasons))  # type: ignore[misc]
        finally:
            gc.enable()


async def test_a_broker_of_another_name_is_refused(tmp_path: Path) -> None:
    tls = Certificates(tmp_path / "tls", host="centre.example")
    with Broker(tmp_path, tls=tls) as broker:
        assert (await refusal(broker, tls.ca_file, *tls.client(GATEWAY))).reason == "cert_wrong_host"
        assert (await refusal(broker, tls.ca_file, *tls.client(GATEWAY), host="localhost")).reason == "cert_wrong_host"


async def test_an_expired_broker_certificate_is_refused(tmp_path: Path) -> None:
    tls = Certificates(tmp_path / "tls", not_after=datetime.now(UTC) - timedelta(days=1))
    with Broker(tmp_path, tls=tls) as broker:
        assert (await refusal(broker, tls.ca_file, *tls.client(GATEWAY))).reason == "cert_expired"


async def test_a_certificate_that_is_not_yet_valid_points_at_the_clock(tmp_path: Path) -> None:
    tls = Certificates(tmp_path / "tls", not_before=datetime.now(UTC) + timedelta(days=30))
    with Broker(tmp_path, tls=tls) as broker:
        assert (await refusal(broker, tls.ca_file, *tls.client(GATEWAY))).reason == "cert_not_yet_valid"


async def test_a_box_in_1970_is_told_that_the_certificate_is_of_the_future(tmp_path: Path) -> None:
    tls = Certificates(tmp_path / "tls")
    with Broker(tmp_path, tls=tls) as broker:
        said = await told_in_1970(broker.port, tls.ca_file, *tls.client(GATEWAY))
    assert said == ["0", "cert_not_yet_valid"], "years since 1970, and why"


async def test_an_alarm_that_a_refused_centre_cannot_get_reaches_the_other_and_stays_owed_to_the_first(
    tmp_path: Path,
) -> None:
    tls, other = Certificates(tmp_path / "tls"), Certificates(tmp_path / "other")
    cert, key = other.client(GATEWAY)
    journal = MemoryJournal()
    for n in range(1, 6):
        journal.append(Priority.ALARM, event_body(n))
    with (
        Broker(tmp_path / "a", tls=tls) as refused,
        Broker(tmp_path / "b") as second,
        running_centre(tmp_path / "c", second) as db,
    ):
        config = site_config(tmp_path, refused.port, ca_file=other.ca_file, cert_file=cert, key_file=key)
        config = replace(config, uplinks=(*config.uplinks, Uplink(id="city", host="127.0.0.1", port=second.port)))
        async with running_uplink(config, journal) as process:
            heard: list[tuple[str, str]] = []
            process.core.uplink_state = lambda dest, up, reason, **detail: heard.append((dest, reason))  # type: ignore[method-assign]
            await until(lambda: stored(db) == [1, 2, 3, 4, 5])
            await until(lambda: ("county", "cert_wrong_ca") in heard, "the refusal is told on site")
            owed = {destination.id: destination.outbox.alarm_pending for destination in process.destinations}
            assert owed["county"], "nothing is credited to a centre nobody could verify"


async def test_a_gateway_without_a_certificate_is_told_that_it_was_rejected(tmp_path: Path) -> None:
    tls = Certificates(tmp_path / "tls")
    with Broker(tmp_path, tls=tls) as broker:
        assert (await refusal(broker, tls.ca_file, None, None)).reason == "client_cert_rejected"


async def test_a_gateway_with_a_certificate_of_another_ca_is_told_that_it_was_rejected(tmp_path: Path) -> None:
    tls, other = Certificates(tmp_path / "tls"), Certificates(tmp_path / "other")
    with Broker(tmp_path, tls=tls) as broker:
        assert (await refusal(broker, tls.ca_file, *other.client(GATEWAY))).reason == "client_cert_rejected"


async def test_old_tls_is_refused(tmp_path: Path) -> None:
    tls = Certificates(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(tls.server_cert, tls.server_key)
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
    old = Broker(tmp_path)
    old.port = server.sockets[0].getsockname()[1]
    assert (await refusal(old, tls.ca_file, *tls.client(GATEWAY))).reason == "tls"
    server.close()


async def test_no_certificate_authority_means_no_connection_to_another_machine(tmp_path: Path) -> None:
    tls = Certificates(tmp_path / "tls")
    with Broker(tmp_path, tls=tls) as broker:
        assert (await refusal(broker, None, None, None, host="192.0.2.1")).reason == "tls_required"


async def test_missing_files_and_absent_brokers_are_named(tmp_path: Path) -> None:
    tls = Certificates(tmp_path / "tls")
    broker = Broker(tmp_path, tls=tls)  # not started
    assert (await refusal(broker, tls.ca_file, *tls.client(GATEWAY))).reason == "refused"
    gone = await refusal(broker, tls.ca_file, tmp_path / "none.pem", tmp_path / "none.key")
    assert gone.reason == "key_file"
    assert (await refusal(broker, tls.ca_file, None, None, host="no-such-host.invalid")).reason == "no_name"
