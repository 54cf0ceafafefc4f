"""NB-IoT detectors: what their reports tell, over UDP, CoAP and from files."""

import asyncio
import base64
import json
import socket
from pathlib import Path
from typing import Any, cast

import aiocoap
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.wanlin_nb import decode_ascii, decode_json
from drivers.messages import PanelEvent
from drivers.receivers.desk import Listed
from drivers.receivers.desk import Message as DeskMessage
from drivers.receivers.nb import CoapTalk, LinesTalk, NbTalk
from edge_agent.config.model import Receiver, ReceiverDevice
from edge_agent.model import Kind
from simulators import peers
from simulators.ports import free_port
from tests.core.house import Site
from tests.receivers.bench import Bench
from tests.waiting import PATIENCE_S

CAPTURES = Path(__file__).parents[1] / "captures"
IMEI = "860000000000000"
WANLIN = "N311V31I860000000000000H89860000000000000000X{}T28U99S18"


def captured(name: str) -> bytes:
    """The bytes of a capture, "protocol/name"."""
    vectors: list[dict[str, Any]] = json.loads((CAPTURES / f"{name.partition('/')[0]}.json").read_text("utf-8"))
    [vector] = [one for one in vectors if one["name"] == name]
    data = str(vector["data"])
    return bytes.fromhex(data) if vector["encoding"] == "hex" else data.encode()


class Detectors(Bench):
    def __init__(self, address: str = IMEI) -> None:
        super().__init__(Listed(id="det", address=address, silence_s=0))

    def send(self, data: bytes) -> None:
        self.take(NbTalk().feed(data, 0))

    def all_events(self) -> list[tuple[str, str]]:
        return [(seen.point, seen.event) for seen in self.seen if isinstance(seen, PanelEvent)]


def huaqiang(alert: int, *, code: int = 0, mode: int = 0) -> bytes:
    """The captured self-test report with other state bytes."""
    report = bytearray(captured("huaqiang-nb/smoke-selftest"))
    report[27], report[28], report[29] = alert, code, mode
    return bytes(report)


@pytest.mark.parametrize(
    ("alert", "code", "mode", "told"),
    [
        (0, 0, 0, []),
        (1, 0, 0, ["fire"]),
        (4, 0, 0, ["battery_fault"]),
        (0x80, 0, 0, ["fault"]),
        (0, 1, 0, ["fault"]),
        (1, 0, 0xFF, ["fire", "register"]),
    ],
)
def test_every_huaqiang_report_says_how_things_stand(alert: int, code: int, mode: int, told: list[str]) -> None:
    device = Detectors()
    device.send(huaqiang(alert, code=code, mode=mode))
    assert [event for _, event in device.events()] == told
    ends = {event for _, event in device.events(states=True)} - set(told)
    assert ends == {
        end
        for begin, end in (("fire", "fire_restore"), ("battery_fault", "battery_ok"), ("fault", "fault_restore"))
        if begin not in told
    }
    assert device.readings()["det/battery_v"] == 3.03
    assert device.readings()["det/battery_percent"] == 100


def test_a_report_in_base64_and_in_a_platforms_wrapping_is_the_same_report() -> None:
    wrapped = json.dumps({"IMEI": "1", "payload": {"APPdata": base64.b64encode(huaqiang(1)).decode()}}).encode()
    for data in (base64.b64encode(huaqiang(1)), wrapped):
        device = Detectors()
        device.send(data)
        assert ("det/device", "fire") in device.events()


def test_a_hydrants_day_of_backlog_is_history_and_only_its_newest_sample_the_state() -> None:
    device = Detectors()
    device.send(captured("huaqiang-nb/hydrant-backlog-48"))
    assert device.events() == [("det/pressure/low", "supervisory"), ("det/pressure", "status")]
    assert device.readings()["det/pressure_kpa"] == 0
    [history] = [seen for seen in device.seen if isinstance(seen, PanelEvent) and seen.event == "status"]
    samples = history.fields["samples_utc_s_kpa"]
    assert isinstance(samples, list)
    assert len(samples) == 48
    assert samples == sorted(samples, reverse=True), "newest first, half an hour apart"


@pytest.mark.parametrize(
    ("status", "told"),
    [("01", "fire"), ("1", "fire"), ("11", "fire_restore"), ("02", "battery_fault"), ("10", "test"), ("3", "tamper")],
)
def test_wanlin_text(status: str, told: str) -> None:
    device = Detectors()
    device.send(WANLIN.format(status).encode())
    assert device.events() == [("det/device", told)]


def test_wanlin_gauges_and_json_and_ctwing() -> None:
    gauge, heartbeat, muted, gas = Detectors(), Detectors("10000000"), Detectors(""), Detectors("")
    gauge.send(captured("wanlin-nb-ascii/nb900-level"))
    assert gauge.events() == [("det/level/high", "supervisory")]
    assert gauge.readings() == {"det/level_m": 6.3}
    heartbeat.send(captured("wanlin-nb-json/nb306-heartbeat"))
    assert heartbeat.events() == []
    assert ("det/device", "fire_restore") in heartbeat.events(states=True)
    assert heartbeat.readings()["det/temperature_c"] == 21.9
    muted.send(captured("ctwing-json/smoke-notification"))
    assert muted.events() == [("det/device", "silence")], "muting is no alarm"
    gas.send(captured("ctwing-json/gas-alarm"))
    assert gas.events() == [("det/device", "gas_alarm")]


@pytest.mark.parametrize(("percent", "low"), [(99, False), (20, False), (19, True), (0, False)])
def test_a_battery_that_runs_down_is_told_though_the_detector_says_nothing_of_it(percent: int, low: bool) -> None:
    text, heartbeat = Detectors(), Detectors("10000000")
    text.send(WANLIN.replace("U99", f"U{percent}").format("10").encode())
    report = {"devId": "10000000", "electricQuantity": percent, "devState": 0}
    heartbeat.send(json.dumps(report).encode())
    for device in (text, heartbeat):
        assert (("det/device", "battery_fault") in device.events()) is low
    assert (("det/device", "battery_ok") in heartbeat.events(states=True)) is not low


def test_an_unknown_status_is_a_fault_that_names_it() -> None:
    device = Detectors()
    device.send(WANLIN.format("7").encode())
    [event] = [seen for seen in device.seen if isinstance(seen, PanelEvent)]
    assert (event.event, event.fields["said"], event.fields["reason"]) == ("fault", "status_7", "unparsed")


@given(
    st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "devState",
                            "payload",
                            "serviceData",
                            "Alarm_Status",
                            "temperature",
                            "devId",
                            "APPdata",
                            "IMEI",
                        ]
                    ),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_nothing_a_peer_sends_raises(data: bytes) -> None:
    for talk in (NbTalk(), CoapTalk(), LinesTalk()):
        bench = Detectors()
        bench.desk.hear(lambda talk=talk: [*talk.feed(data, 0), *talk.end(0)], data, bench.said.append, 0)  # type: ignore[misc]
        assert bench.bugs == []


def listening(port: int, transport: str, address: str) -> Receiver:
    return Receiver(
        id="nb",
        protocol="nb",
        devices=(ReceiverDevice(id="det", address=address),),
        listen="127.0.0.1",
        listen_port=port,
        transport=transport,
        allow=("127.0.0.1",),
    )


@pytest.mark.asyncio
async def test_an_independent_coap_client_is_answered_once_the_alarm_is_kept() -> None:
    port = free_port(socket.SOCK_DGRAM)
    site = Site().set(receivers=(listening(port, "coap", IMEI),))
    client = None
    try:
        async with site.running() as house:
            await house.until(lambda: house.source("nb")["up"], "it listens")
            client = await aiocoap.Context.create_client_context(transports=["simple6"])

            async def post(payload: bytes) -> str:
                message = aiocoap.Message(code=aiocoap.POST, payload=payload, uri=f"coap://127.0.0.1:{port}/t/d")
                async with asyncio.timeout(PATIENCE_S):
                    return str((await client.request(message).response).code)

            assert (await post(WANLIN.format("01").encode())).startswith("2.04")
            assert house.alarms() == ["det/device"]
            assert (await post(b"no report")).startswith("4.00")
            assert (await post(WANLIN.replace("8600", "8611").format("10").encode())).startswith("4.03")
        fires = [one for one in await site.records() if one["kind"] == Kind.FIRE]
        assert [(one["point"], one["active"]) for one in fires] == [("det/device", True)]
    finally:
        if client is not None:
            await client.shutdown()
        site.remove()


@pytest.mark.asyncio
async def test_the_simulated_detector_over_plain_udp_and_coap() -> None:
    port, coap_port = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    receivers = (listening(port, "udp", IMEI), listening(coap_port, "coap", "860000000000001"))
    two = Receiver(
        **{**_as_dict(receivers[1]), "id": "nb2", "devices": (ReceiverDevice(id="det2", address="860000000000001"),)}
    )
    site = Site().set(receivers=(receivers[0], two))
    try:
        async with site.running() as house:
            await house.until(lambda: house.source("nb")["up"] and house.source("nb2")["up"], "both listen")
            plain = peers.Line(peers.Where(host="127.0.0.1", port=port, udp=True))
            wrapped = peers.Line(peers.Where(host="127.0.0.1", port=coap_port, udp=True))
            await plain.open()
            await wrapped.open()
            assert await peers.NbDetector(plain, IMEI, in_coap=False).say("fire", "") == "sent"
            assert await peers.NbDetector(wrapped, "860000000000001", in_coap=True).say("fire", "") == "2.04"
            await house.until(lambda: sorted(house.alarms()) == ["det/device", "det2/device"], "both are heard")
            plain.close()
            wrapped.close()
    finally:
        site.remove()


def _as_dict(receiver: Receiver) -> dict[str, Any]:
    return {name: getattr(receiver, name) for name in receiver.__slots__}


@pytest.mark.asyncio
async def test_a_folder_is_taken_in_once_it_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "import"
    receiver = Receiver(id="nb", protocol="nb", devices=(ReceiverDevice(id="det", address=IMEI),), folder=folder)
    site = Site().set(receivers=(receiver,))
    try:
        folder.mkdir()
        lines = [
            huaqiang(1).hex(),
            WANLIN.format("02"),
            "nonsense",
            captured("wanlin-nb-json/nb306-heartbeat").decode(),
        ]
        (folder / ".writing").write_text("nonsense")
        (folder / "a.txt").write_text("\n".join(lines))
        async with site.running() as house:

            def counters() -> dict[str, int]:
                return cast(dict[str, int], house.source("nb")["counters"])

            # A file is counted once its new name is on the card, which a thread sees to: the name may be seen first.
            await house.until(lambda: counters()["files"] == 1, "it is taken in")
            assert house.alarms() == ["det/device"]
            assert (counters()["refused"], counters()["unlisted"]) == (1, 1)
        assert sorted(file.name for file in folder.iterdir()) == [".writing", "a.txt.done"]
        kinds = {one["kind"] for one in await site.records() if one["point"] == "det/device"}
        assert kinds == {Kind.FIRE, Kind.BATTERY_FAULT}
    finally:
        site.remove()


REST = json.dumps({"devId": IMEI, "devState": 0})
NB306_FIRE = json.dumps({"devId": IMEI, "devState": 1})


@pytest.mark.parametrize(
    "data",
    [
        huaqiang(0) + huaqiang(1),
        base64.b64encode(huaqiang(0) + huaqiang(1)),
        base64.b64encode(huaqiang(0)) + b"\r\n" + base64.b64encode(huaqiang(1)),
        f"[{REST}, {NB306_FIRE}]".encode(),
        f"[7, {NB306_FIRE}]".encode(),
        f"{REST}\r\n{NB306_FIRE}\r\n".encode(),
        f"{WANLIN.format('10')}\r\n{WANLIN.format('01')}\r\n".encode(),
        f"{WANLIN.format('10')}\n{NB306_FIRE}".encode(),
        f"cut off\n{WANLIN.format('01')}".encode(),
    ],
)
def test_every_report_of_a_datagram_is_told(data: bytes) -> None:
    detectors = Detectors()
    detectors.send(data)
    assert ("det/device", "fire") in detectors.all_events()


def test_a_list_in_coap_is_told_whole_and_answered_once() -> None:
    request = aiocoap.Message(
        transport_tuning=aiocoap.Reliable, code=aiocoap.POST, payload=f"[{REST}, {NB306_FIRE}]".encode()
    )
    request.mtype, request.mid, request.token = aiocoap.CON, 7, b"\x01"
    heard = CoapTalk().feed(request.encode(), 0)
    messages = [one for one in heard if isinstance(one, DeskMessage)]
    assert [bool(one.yes) for one in messages] == [False, True]
    assert [told.event for told in messages[1].told] == ["fire"]


def test_decode_shows_every_report_of_a_list_or_of_several_lines() -> None:
    assert [one["event"] for one in decode_json(f"[{REST}, {NB306_FIRE}]".encode())] == [None, "fire"]
    lines = f"{WANLIN.format('10')}\r\n{WANLIN.format('01')}\r\n".encode()
    assert [one["event"] for one in decode_ascii(lines)] == ["selftest", "fire"]
