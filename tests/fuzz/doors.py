"""Every door of the product through which somebody else's bytes come in: name -> what is done with them, and inputs to begin with.

One table for all that judge them: hypothesis, the coverage-guided fuzzer, time and memory (judge.py). A door takes any bytes and
raises nothing; what its code raises on purpose is caught here, by name, where the product catches it too.
"""

import asyncio
import contextlib
import functools
import hmac
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from drivers.codecs import dlt645, dlt645_items, keyboard_wedge, modbus, node_frame, node_update, pn532, rdm6300
from drivers.codecs.aes import AesCbc
from drivers.codecs.at.lines import Line
from drivers.codecs.at.lines import LineReader as AtReader
from drivers.codecs.at.readings import read as read_at
from drivers.codecs.base import HELD_BYTES_MAX, Frame
from drivers.codecs.gb26875 import DIALECTS, STANDARD, FrameReader, decode_adu
from drivers.codecs.gb26875 import Frame as GbFrame
from drivers.codecs.registry import PROTOCOLS, build_codec
from drivers.ks_map import compile_profile as ks_profile
from drivers.mqtt_devices import MqttDevice, MqttDevices
from drivers.mqtt_profile import compile_profile as mqtt_profile
from drivers.profile import ProfileError, check, load_file, load_profiles
from drivers.receivers.contact_line import ContactLineTalk
from drivers.receivers.dc09 import Dc09Talk
from drivers.receivers.desk import Desk, Listed, Talk
from drivers.receivers.elec_7b7b import Elec7b7bTalk
from drivers.receivers.espa444 import EspaControl, EspaTalk
from drivers.receivers.frames import FramesTalk
from drivers.receivers.gb26875 import GbTalk, States
from drivers.receivers.gb26875_ask import Questions
from drivers.receivers.ks_breaker import Breaths, KsTalk
from drivers.receivers.nb import CoapTalk, LinesTalk, NbTalk
from drivers.receivers.node import NodeTalk
from edge_agent import sent_check
from edge_agent.cameras import digest, http, onvif, replay, rtp
from edge_agent.cameras.faults import CameraFault
from edge_agent.commands import RULES, Refusal, check_params
from edge_agent.config.load import load_contents
from edge_agent.config.reference import sample
from edge_agent.config.report import render
from edge_agent.config.source import Content
from edge_agent.local_api import ApiError, LocalServer, Peer, _Connection
from edge_agent.uplink import cbor, packed
from edge_agent.uplink.command_contract import decode_command
from edge_agent.uplink.contract import decode_ack
from simulators.centre.check import Rejected, read_batch
from tests.codecs.gb_fuzz import INPUT_BYTES_MAX

CAPTURES: Final = Path(__file__).parents[1] / "captures"
KEY: Final = bytes(range(32))
NOON: Final = datetime(2026, 11, 26, 4, tzinfo=UTC)
S: Final = 10**9
PROFILES: Final = load_profiles(())

Take = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Door:
    """`take` is given one input. `seeds`: sound inputs, so that damage reaches what is behind the checks.

    `ms`, `most_bytes`: what one may take. What a person hands in on site or from a desk is checked as a whole, on no alarm's way.
    """

    name: str
    take: Take
    seeds: tuple[bytes, ...]
    ms: float = 10.0
    most_bytes: int = INPUT_BYTES_MAX


def thread_ms(take: Take, data: bytes) -> float:
    """How long this thread worked on `data`."""
    began_ns = time.thread_time_ns()
    take(data)
    return (time.thread_time_ns() - began_ns) / 1e6


def _vectors() -> dict[str, list[bytes]]:
    """tests/captures by protocol."""
    found: dict[str, list[bytes]] = {}
    for path in sorted(CAPTURES.glob("*.json")):
        for one in json.loads(path.read_text("utf-8")):
            if not isinstance(one, dict) or "protocol" not in one:
                continue
            data = bytes.fromhex(one["hex"]) if "hex" in one else None
            if data is None and "data" in one:
                data = bytes.fromhex(one["data"]) if one["encoding"] == "hex" else one["data"].encode(one["encoding"])
            if data:
                found.setdefault(one["protocol"], []).append(data)
    return found


VECTORS: Final = _vectors()


def seeds(*protocols: str) -> tuple[bytes, ...]:
    return tuple(data for name in protocols for data in VECTORS.get(name, ()))


def examples(profile: str) -> tuple[bytes, ...]:
    """The examples and counter-examples of a profile that are bytes."""
    data = PROFILES.get(profile).data
    tables = [one for key in ("example", "counter_example") for one in cast("list[dict[str, str]]", data.get(key, []))]
    return tuple(bytes.fromhex(one["hex"]) if "hex" in one else one["text"].encode("gb18030") for one in tables)


# --- what is done with the bytes of a door ------------------------------------------------------------------------------------


class Panel:
    """A panel's line: what is read at once, and the same cut in two over a pause. As on site, one codec hears it all."""

    def __init__(self, profile: str) -> None:
        self.codec = build_codec(PROFILES.get(profile))
        self.now_ns = 0

    def take(self, data: bytes) -> None:
        for piece in (data, data[: len(data) // 2], data[len(data) // 2 :]):
            self.now_ns += S
            for item in self.codec.feed(piece, self.now_ns):
                if isinstance(item, Frame):
                    self.codec.reply(item)
            assert self.codec.held_bytes() <= HELD_BYTES_MAX, "holds too much"
        self.now_ns += 1000 * S
        self.codec.tick(self.now_ns)
        assert self.codec.held_bytes() == 0, "keeps bytes for ever"


def talk(make: Callable[[], Talk], data: bytes) -> None:
    """A peer of a receiver, its device listed or not, and what it is answered."""
    one, desk = make(), Desk("net1", (Listed(id="d", address="889", silence_s=90),), lambda done: done(True))
    desk.on_bug = _raise
    for at, piece in enumerate((data, data[: len(data) // 2], data[len(data) // 2 :])):
        desk.hear(functools.partial(one.feed, piece, at * S), piece, len, at * S)  # type: ignore[arg-type]
        desk.hear(functools.partial(one.tick, at * S), b"", len, at * S)  # type: ignore[arg-type]
    desk.hear(functools.partial(one.end, 9 * S), b"", len, 9 * S)  # type: ignore[arg-type]


def _raise(bug: Exception) -> None:
    raise bug


def gb26875(data: bytes) -> None:
    reader = FrameReader()
    for item in [*reader.feed(data, 0), *reader.tick(1 << 62)]:
        if isinstance(item, GbFrame):
            gb_unit(item.adu)
    assert reader.held_bytes() == 0
    gb_unit(data)


def gb_unit(adu: bytes) -> None:
    """An application data unit, of a device and of a centre, in every dialect."""
    for dialect in DIALECTS.values():
        for uplink in (True, False):
            decode_adu(adu, dialect, uplink=uplink)


def modbus_rtu(data: bytes) -> None:
    for function, count in ((3, 4), (1, 20)):
        request, reader = modbus.ReadRequest(1, function, 0, count), modbus.LineReader()
        reader.expect(request)
        reader.feed(data)
        reader.settle()
    modbus.decode_frames(data)
    modbus.decode_eastron_frames(data)


def modbus_tcp(data: bytes) -> None:
    with contextlib.suppress(ValueError):  # "there is no way back": the master hangs up
        for frame in modbus.take_tcp(bytearray(data)):
            modbus.match_pdu(modbus.ReadRequest(1, 3, 0, 4), frame.pdu)


def dlt(data: bytes) -> None:
    reader = dlt645.LineReader()
    for one in [*reader.feed(data), *reader.settle()]:
        if isinstance(one, dlt645.Frame):
            dlt645_items.fields_of(one)
    dlt645_items.decode_frames(data)


def mqtt_payload(data: bytes) -> None:
    devices = MqttDevices("mqtt1", _MQTT, [one.profile for one in _MQTT], 0)
    for topic in _TOPICS:
        devices.take(topic, data, retained=False, now_ns=S)
    devices.tick(200 * S, broker_up=True)


def command(data: bytes) -> None:
    with contextlib.suppress(Refusal):
        asked = decode_command(data, retained=False, expiry_s=60)
        if asked.name in RULES:
            check_params(asked.name, asked.params)


def acknowledgement(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        decode_ack(data)


def cbor_batch(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        cbor.decode(data)
    with contextlib.suppress(Rejected):
        read_batch("gw-test-1", "alarm", data)


def packed_frame(data: bytes) -> None:
    """As it is, and with a mark that fits, so that what is in it is read."""
    for frame in (data, data + hmac.digest(KEY, data, "sha256")[: packed.MAC_BYTES]):
        with contextlib.suppress(ValueError):
            packed.unseal(KEY, frame)


def node_record(data: bytes) -> None:
    node_frame.decode(data)
    marked = data[: -node_frame.MARK_BYTES]
    marked += hmac.digest(KEY, marked, "sha256")[: node_frame.MARK_BYTES]
    for frame in (data, marked):
        talk(lambda: NodeTalk({"node-1": KEY}), frame)


def node_file(data: bytes) -> None:
    for read in (node_update.read, node_update.read_word):
        with contextlib.suppress(ValueError):
            read(data)


def local_api(data: bytes) -> None:
    """Lines of a client, their answers made to the end."""
    server = LocalServer(Path("/nowhere"), {"status": lambda request, peer: {"seen": sorted(request)}, "ack": _refuse})
    loop = _loop()

    async def work() -> None:
        one = _Connection(server)
        one.data_received(data)
        while one.work():
            pass

    loop.run_until_complete(work())


def _refuse(request: Mapping[str, object], peer: Peer) -> object:
    raise ApiError("no_such_alarm", alarm=request["alarm"])


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def configuration(data: bytes) -> None:
    for finding in load_contents([Content(Path("/etc/x/config.toml"), data, 0)]).findings:
        render(finding, "zh")


def sent_configuration(data: bytes) -> None:
    with contextlib.suppress(sent_check.Refused):
        sent_check.opened(data)


def profile(data: bytes) -> None:
    _SCRATCH.write_bytes(data)
    with contextlib.suppress(ProfileError):
        check(load_file(_SCRATCH))


def modem(data: bytes) -> None:
    reader = AtReader()
    for token in reader.feed(data + b"\r\n"):
        if isinstance(token, Line):
            for asked in ("-", "CEREG?", "CCLK?"):
                read_at(token.text, asked)
    PROTOCOLS["at"](data)


def camera_http(data: bytes) -> None:
    """An answer of a camera, body and all, and its challenges answered."""

    async def work() -> None:
        reader = asyncio.StreamReader(limit=http.HEAD_MAX)
        reader.feed_data(data)
        reader.feed_eof()
        with contextlib.suppress(CameraFault, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            answer = await http._head(reader)
            who = digest.Credentials("admin", "secret")
            for one in digest.challenges(answer.headers.get("www-authenticate", [])):
                digest.authorization(one, who, "GET", "/", cnonce="00")
            await http._body(reader, answer, 1 << 20)

    _loop().run_until_complete(work())


def camera_onvif(data: bytes) -> None:
    with contextlib.suppress(CameraFault):
        body = onvif.parse(data)
        onvif.camera_time_ns(body)
        onvif.place(onvif.text_of(body, "Uri"))


def camera_stream(data: bytes) -> None:
    """The description of a stream, and its packets."""
    with contextlib.suppress(CameraFault):
        replay.read_sdp(data)
    replay._rtcp_kinds(data)
    for codec in (rtp.H264, rtp.H265):
        wire = rtp.Depacketizer(codec)
        for piece in (data, data[len(data) // 2 :], b"\x90\xe0\0\1\0\0\0\1ssrc" + data):
            wire.feed(piece)
        wire.end()


def tags(data: bytes) -> None:
    """RDM6300 and PN532 readers, and those that are a keyboard."""
    for take in (rdm6300.take_reads, pn532.take_frames):
        buffer = bytearray(data)
        take(buffer)
        assert len(buffer) <= 1024, "keeps more than a frame"
    keyboard_wedge.Typing().feed(data)
    for name in ("rdm6300", "pn532"):
        PROTOCOLS[name](data)


def shown(name: str, data: bytes) -> None:
    """`edge-agent decode`: what comes of it is JSON."""
    json.dumps(PROTOCOLS[name](data))


# --- the table ----------------------------------------------------------------------------------------------------------------

_SCRATCH: Final = Path(f"/dev/shm/edge-agent-fuzz-{random.SystemRandom().getrandbits(48):x}.toml")
_MQTT: Final = [
    MqttDevice(str(n), mqtt_profile(PROFILES.get(name).data, name=name), "hall")
    for n, name in enumerate(("zigbee2mqtt-smoke", "tasmota-contact", "tasmota-zigbee-smoke", "edge-node"))
]
_TOPICS: Final = (
    *("zigbee2mqtt/hall", "zigbee2mqtt/hall/availability", "zigbee2mqtt/bridge/state", "zigbee2mqtt/nobody"),
    *("tele/b/SENSOR", "tele/hall/LWT", "stat/hall/RESULT", "zg119/node/hall/up"),
)
_KS: Final = ks_profile(PROFILES.get("ks-breaker").data, name="ks-breaker")
_GENERIC: Final = PROFILES.get("generic-printer")
_JSON: Final = (
    b'{"v":1,"acks":[{"epoch":"e","stream":"alarm","through":3,"missing":[[5,6]],"high":9}]}',
    b'{"v":1,"refused":[{"epoch":"e","stream":"alarm","n":1,"why":"\\ud800"}],"rejected":[{"batch":"b","why":"x"}]}',
    b'{"v":1,"id":"c1","name":"history","params":{"limit":5,"streams":["alarm"]},"by":"a","until_wall_ns":1}',
    b'{"id":1,"do":"watch","what":["event"]}\n{"id":"\\ud800","do":"ack","alarm":[1e999]}\n',
    b'{"smoke":true,"battery":80,"tamper":false}',
    b'{"gateway":"g","replaces":"c","serial":1,"config":"[gateway]"}',
)
_HTTP: Final = (
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="a\\"b", qop="auth", nonce="n", algorithm=SHA-256\r\n\r\n',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\xff\xd8\xff\xe0\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
)
_ONVIF: Final = (
    b'<s:Envelope xmlns:s="a"><s:Body><t:UTCDateTime xmlns:t="b"><t:Date><t:Year>2026</t:Year><t:Month>1</t:Month><t:Day>1</t:Day>'
    b"</t:Date><t:Time><t:Hour>1</t:Hour><t:Minute>2</t:Minute><t:Second>3</t:Second></t:Time></t:UTCDateTime>"
    b"<t:Uri xmlns:t='b'>http://[::1]:80/a?b</t:Uri></s:Body></s:Envelope>",
)
_SDP: Final = (
    b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 sprop-parameter-sets=Z0IAKQ==,aM48gA==\r\na=control:1\r\n",
    b"\x90\xe0\0\1\0\0\0\1ssrc\xab\xac\0\3" + bytes(12) + b"\x7c\x85abc",
)
_GB: Final = ("gb26875.3", "gb26875.3-dialect", "gb26875.3-adu")


def _doors() -> list[Door]:
    at = tuple(
        one for name in ("at", *(f"at-{n}" for n in ("common", "quectel", "simcom", "bc95"))) for one in seeds(name)
    )
    told = {
        "gb26875": (gb26875, seeds(*_GB)),
        "modbus-rtu": (modbus_rtu, seeds("modbus-eastron", "modbus-afd-xy16")),
        "modbus-tcp": (
            modbus_tcp,
            (modbus.tcp_frame(1, 1, b"\x03\x08" + bytes(8)), modbus.tcp_frame(1, 1, b"\x83\x02")),
        ),
        "dlt645": (dlt, seeds("dlt645-2007", "dlt645-1997")),
        "mqtt-payload": (mqtt_payload, (*seeds("zigbee2mqtt-smoke", "tasmota-contact", "edge-node"), *_JSON)),
        "mqtt-command": (command, _JSON),
        "mqtt-ack": (acknowledgement, _JSON),
        "cbor": (cbor_batch, (b"\xa4\x00\x01\x01\x61e\x02\x01\x0a\x81\xa1\x14\x01", *_JSON)),
        "packed": (packed_frame, tuple(one[: -packed.MAC_BYTES] for one in _packed())),
        "node-record": (node_record, seeds("edge-node-frame")),
        "node-file": (node_file, (b"ZGU2\x00\x02{}" + bytes(256), b'{"of":"00010203","version":3,"begin":0}')),
        "local-api": (local_api, _JSON),
        "configuration": (configuration, (sample("zh").encode(), b'[gateway]\nid = "ZG-1"\n[[panel]]\nid = "p1"\n')),
        "sent-configuration": (sent_configuration, _JSON),
        "profile": (profile, tuple(p.path.read_bytes() for p in PROFILES.list() if p.path.stat().st_size < 3000)),
        "modem": (modem, (*at, b'+CEREG: 2,1,"1A2B","0100",9\r\nOK\r\n', b"+QIRD: 3\r\nabc\r\n")),
        "camera-http": (camera_http, _HTTP),
        "camera-onvif": (camera_onvif, _ONVIF),
        "camera-stream": (camera_stream, _SDP),
        "tag-readers": (tags, (*seeds("rdm6300", "pn532"), keyboard_wedge.type_text("1234"))),
    }
    words = build_codec(_GENERIC)
    talks: dict[str, tuple[Callable[[], Talk], tuple[bytes, ...]]] = {
        "gb26875": (lambda: GbTalk(STANDARD, States(), lambda: NOON, Questions(STANDARD)), seeds("gb26875.3")),
        "dc09": (lambda: Dc09Talk({"": None, "1234": None}, lambda: NOON, random.Random(1)), seeds("sia-dc09")),
        "dc09-keyed": (lambda: Dc09Talk({"": AesCbc(KEY[:16])}, lambda: NOON, random.Random(1)), seeds("sia-dc09")),
        "contact-id": (ContactLineTalk, tuple(one + b"\n" for one in seeds("contact-id"))),
        "espa": (lambda: EspaTalk("2", words), (b"1\x052\x05", *seeds("espa444"))),
        "espa-control": (lambda: EspaControl("1", "2", words), (b"\x06\x04", *seeds("espa444"))),
        "frames": (lambda: FramesTalk(build_codec(PROFILES.get("radio-concentrator"))), examples("radio-concentrator")),
        "ks": (lambda: KsTalk(_KS, Breaths([], list)), seeds("ks-breaker-68")),
        "7b7b": (Elec7b7bTalk, seeds("elec-4g-7b7b")),
        "nb-udp": (NbTalk, seeds(*_NB)),
        "nb-coap": (CoapTalk, tuple(b"\x44\x02\x12\x34tokn\xb1r\xff" + one for one in seeds(*_NB))),
        "nb-lines": (LinesTalk, tuple(one.hex().encode() + b"\n" for one in seeds(*_NB))),
    }
    alone = sorted(
        name for name in PROTOCOLS if name not in PROFILES.names() and name not in ("at", "rdm6300", "pn532")
    )
    return [
        *(Door(name, take, given, *_PATIENT.get(name, ())) for name, (take, given) in told.items()),
        *(Door(f"receiver-{n}", functools.partial(talk, make), given) for n, (make, given) in talks.items()),
        *(
            Door(f"panel-{one.name}", Panel(one.name).take, (*seeds(one.name), *examples(one.name)))
            for one in PROFILES.list()
            if one.kind == "panel"
        ),
        *(Door(f"decode-{name}", functools.partial(shown, name), seeds(name)) for name in alone),
    ]


# A broken file is taken apart to say all that is wrong with it, and a profile may name thousands of points.
_PATIENT: Final[Mapping[str, tuple[float, int]]] = {"profile": (500.0, 16 << 20), "configuration": (100.0, 4 << 20)}
_NB: Final = ("huaqiang-nb", "wanlin-nb-ascii", "wanlin-nb-json", "ctwing-json")


def _packed() -> list[bytes]:
    return [bytes.fromhex(one["hex"]) for one in json.loads((CAPTURES / "packed.json").read_text("utf-8"))["frames"]]


DOORS: Final[Mapping[str, Door]] = {door.name: door for door in _doors()}
