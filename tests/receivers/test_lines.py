"""ESPA 4.4.4 and Contact ID on serial lines: handshakes, what the texts mean, and real ptys with a core behind them."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.base import Frame
from drivers.codecs.espa444 import ACK, EOT, NAK, encode_call
from drivers.codecs.registry import build_codec
from drivers.profile import load_profiles
from drivers.receivers.contact_line import LINE_BYTES_MAX, ContactLineTalk
from drivers.receivers.desk import Listed, Talk
from drivers.receivers.espa444 import EspaControl, EspaTalk
from drivers.receivers.frames import FramesTalk
from edge_agent.config.model import Receiver, ReceiverDevice
from simulators.lines import ALIVE, AutomationPort, PagerPort, RawPort, StationPort
from tests.core.house import Site
from tests.receivers.bench import Bench, S

GENERIC = load_profiles(()).get("generic-printer")
SELECT = b"1\x052\x05"


class Line(Bench):
    def __init__(self, talk: Talk, address: str = "") -> None:
        super().__init__(Listed(id="dev", address=address, silence_s=120))
        self.talk = talk

    def send(self, data: bytes, at_ns: int = 0) -> bytes:
        """Send bytes; the flash keeps all at once. What comes back."""
        before = len(self.said)
        self.take(self.talk.feed(data, at_ns), at_ns)
        self.settle()
        return b"".join(self.said[before:])


def pager() -> Line:
    return Line(EspaTalk("2", build_codec(GENERIC)))


def test_a_call_is_taken_as_the_standard_has_it() -> None:
    line = pager()
    assert line.send(SELECT) == bytes((ACK,))
    assert line.send(encode_call("550", "FIRE ALARM 1-027")) == bytes((ACK,))
    assert line.send(bytes((EOT,))) == b""
    assert line.events() == [("dev/1-27", "fire")]
    assert line.links() == [("dev", True, "answering")]


def test_no_call_is_acknowledged_before_it_is_kept() -> None:
    line = pager()
    line.take(line.talk.feed(SELECT + encode_call("550", "FIRE ALARM 1-027"), 0))
    assert line.said == [bytes((ACK,))], "the selection only"
    line.settle(kept=False)
    assert len(line.said) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_any_slicing_gives_the_same(size: int) -> None:
    line = pager()
    stream = SELECT + encode_call("550", "FIRE ALARM 1-027") + bytes((EOT,)) + b"2\x05" + SELECT
    said = b"".join(line.send(stream[at : at + size]) for at in range(0, len(stream), size))
    assert said == bytes((ACK, ACK, EOT, ACK))


def test_a_poll_is_answered_with_nothing_to_say_and_other_stations_are_left_alone() -> None:
    line = pager()
    assert line.send(b"2\x05") == bytes((EOT,))
    assert line.send(b"1\x053\x05\x06" + encode_call("9", "FIRE")[:-1].replace(b"\x01", b"") + b"\x04") == b""
    assert line.events() == []


def test_a_damaged_call_is_asked_for_again() -> None:
    line = pager()
    line.send(SELECT)
    block = bytearray(encode_call("550", "FIRE ALARM 1-027"))
    block[-1] ^= 1
    assert line.send(bytes(block)) == bytes((NAK,))
    assert line.send(encode_call("550", "FIRE ALARM 1-027")) == bytes((ACK,))
    assert line.events() == [("net1/refused", "fault"), ("dev/1-27", "fire")]


def test_half_a_call_is_given_up_after_its_time() -> None:
    line = pager()
    line.send(SELECT + encode_call("550", "FIRE")[:8])
    line.take(line.talk.tick(2 * S))
    assert line.desk.counts["refused"] == 0
    line.take(line.talk.tick(3 * S))
    assert [one.why for one in line.desk.refused()] == ["truncated"]
    assert line.send(SELECT) == bytes((ACK,))


@pytest.mark.parametrize(
    ("text", "call_type", "priority", "told"),
    [
        ("FIRE ALARM 1-027", "1", "1", ("dev/1-27", "fire_restore")),
        ("TROUBLE L01D033", "3", "3", ("dev/1-33", "fault")),
        ("TROUBLE L01D033", "1", "3", ("dev/1-33", "fault_restore")),
        ("FIRE kitchen", "3", "1", ("dev/FIRE_kitchen", "fire")),
        ("SYSTEM RESET", "3", "3", ("dev/SYSTEM_RESET", "reset")),
        ("ZONE 3 KITCHEN", "3", "1", ("dev/ZONE_3_KITCHEN", "unknown")),
        ("ZONE 3 KITCHEN", "1", "1", ("dev/ZONE_3_KITCHEN", "fire_restore")),
        ("CALL ME 101", "3", "3", ("dev/CALL_ME_101", "fault")),
    ],
)
def test_what_a_text_means(text: str, call_type: str, priority: str, told: tuple[str, str]) -> None:
    line = pager()
    line.send(SELECT + encode_call("550", text, call_type=call_type, priority=priority))
    assert line.events() == [told]


def test_two_fires_that_name_no_address_are_two_points() -> None:
    line = pager()
    for text in ("FIRE kitchen", "FIRE hall", "火警 厨房".encode("gb18030").decode("latin-1")):
        line.send(SELECT + encode_call("550", text))
    points = [point for point, event in line.events() if event == "fire"]
    assert len(set(points)) == 3


@given(st.lists(st.binary(max_size=64), max_size=12))
def test_nothing_on_the_line_raises_and_a_call_behind_it_is_taken(pieces: list[bytes]) -> None:
    line = pager()
    for piece in pieces:
        line.send(piece)
    line.take(line.talk.tick(10 * S))
    line.send(b"\x04" + SELECT + encode_call("550", "FIRE ALARM 1-027") + b"\x04", 11 * S)
    assert line.bugs == []
    assert ("dev/1-27", "fire") in line.events()


def test_a_call_to_another_pager_is_not_ours_to_answer_and_its_fire_is_heard() -> None:
    line = pager()
    assert line.send(b"1\x053\x05\x06" + encode_call("9", "NURSE CALL 3", priority="1") + b"\x06\x04") == b""
    assert line.events() == []
    assert line.send(b"1\x053\x05\x06" + encode_call("9", "FIRE ALARM 1-027") + b"\x06\x04") == b""
    assert line.events() == [("dev/1-27", "fire")]
    assert line.send(SELECT) == bytes((ACK,))


# --- ESPA, we are the control station


def control() -> Line:
    return Line(EspaControl("1", "2", build_codec(GENERIC)))


def ticked(line: Line, at_s: float) -> bytes:
    """What we say by ourselves at that time, ticked twice a second as the driver does."""
    before = len(line.said)
    line.take(line.talk.tick(round(at_s * S)), round(at_s * S))
    return b"".join(line.said[before:])


def test_a_station_is_polled_and_says_its_call_when_it_may() -> None:
    line = control()
    assert [ticked(line, at_s) for at_s in (1.0, 1.5, 2.0)] == [b"\x04", b"", b"2\x05"], "a poll follows an end"
    assert ticked(line, 2.5) == b"", "one at a time"
    assert line.send(b"\x04", 2_600_000_000) == b""
    assert line.links() == [("dev", True, "answering")], "nothing to say is a sign of life"
    assert [ticked(line, at_s) for at_s in (3.0, 3.5, 4.0)] == [b"", b"", b"2\x05"]
    assert line.send(b"1\x05", 4_100_000_000) == bytes((ACK,))
    assert line.send(encode_call("1", "FIRE ALARM 1-027"), 4_200_000_000) == bytes((ACK,))
    assert line.send(b"\x04", 4_300_000_000) == b""
    assert line.events() == [("dev/1-27", "fire")]
    assert [ticked(line, at_s) for at_s in (5.0, 5.5)] == [b"", b"2\x05"]


def test_a_station_that_does_not_answer_is_given_up_each_time_and_is_silent_for_people() -> None:
    line, said = control(), list[bytes]()
    line.desk.opened(0)
    for at_s in range(2, 300):
        said.append(ticked(line, at_s / 2))
        assert line.send(said[-1], at_s * S // 2 + 1) == b"", "the echo of what we say is no answer"
    assert said.count(b"2\x05") >= 30
    assert said.count(b"\x04") >= said.count(b"2\x05"), "each poll follows an end of ours"
    line.desk.tick(121 * S)
    assert line.links() == [("net1", True, "opened"), ("dev", False, "silent")]


def test_who_was_given_the_line_keeps_it_while_it_speaks_and_loses_it_by_silence() -> None:
    line = control()
    ticked(line, 1.0)
    ticked(line, 2.0)
    line.send(b"1\x05", 2_100_000_000)
    block = encode_call("1", "FIRE ALARM 1-027")
    line.send(block[:-1], 10 * S)
    assert [ticked(line, at_s) for at_s in (12.0, 24.0)] == [b"", b""], "half a call is given up, the line is not"
    assert ticked(line, 25.5) == b"\x04"
    assert line.send(b"\x042\x05") == b"", "echo"
    assert ticked(line, 27.0) == b"2\x05"
    assert line.send(b"1\x05" + block, 27_100_000_000) == bytes((ACK, ACK))
    assert line.events()[-1] == ("dev/1-27", "fire")


def test_a_station_that_calls_another_pager_is_let_and_a_panel_that_polls_us_after_all_is_answered() -> None:
    line = control()
    ticked(line, 1.0)
    ticked(line, 2.0)
    assert line.send(b"3\x05\x06" + encode_call("3", "LUNCH") + b"\x06", 2_100_000_000) == b""
    assert ticked(line, 5.0) == b""
    assert line.send(b"\x04", 6 * S) == b""
    assert line.send(b"2\x051\x05" + encode_call("1", "FIRE ALARM 1-027") + b"\x04", 6_100_000_000) == bytes((ACK, ACK))
    assert line.events() == [("dev/1-27", "fire")]


@given(st.lists(st.binary(max_size=32), max_size=12))
def test_nothing_on_the_line_keeps_a_station_from_being_polled(pieces: list[bytes]) -> None:
    line = control()
    for number, piece in enumerate(pieces):
        line.send(piece, number * S)
        ticked(line, number + 0.5)
    said = b"".join(ticked(line, 100 + at_s / 2) for at_s in range(80))
    assert b"2\x05" in said
    assert line.bugs == []


@pytest.mark.asyncio
async def test_a_real_line_is_polled_and_the_station_on_it_raises_a_fire() -> None:
    site = Site()
    panel = StationPort(link=site.directory / "pager")
    panel.plug()
    device = ReceiverDevice(id="panel", silence_s=5.0)
    given_ = Receiver(
        id="espa", protocol="espa444", devices=(device,), port=str(site.directory / "pager"), station="1", polls="2"
    )
    try:
        async with site.set(receivers=(given_,)).running() as house:
            await house.until(lambda: house.source("panel")["up"], "it answers its polls")
            assert await panel.call("FIRE ALARM 1-027", spoil=1) == NAK
            assert await panel.call("FIRE ALARM 1-027") == ACK
            assert house.alarms() == ["panel/1-27"]
            assert house.sounding()
            panel.dumb = True
            await house.until(lambda: house.source("panel")["reason"] == "silent", "it answers no more")
            polls = panel.polls
            await house.until(lambda: panel.polls > polls, "and is asked on")
            panel.dumb = False
            await house.until(lambda: house.source("panel")["up"], "back")
        assert set(bytes(panel.heard)) <= {0x04, 0x05, 0x06, 0x15, ord("2")}, "polls and answers, and nothing else"
    finally:
        panel.unplug()
        site.remove()
        await asyncio.sleep(0)


# --- Contact ID


@pytest.mark.parametrize(
    ("line", "told", "answer"),
    [
        (b"1234181131010158\r\n", ("dev/01-015", "burglar"), b""),
        (b"1234 18 1110 00 129\n", ("dev/00-129", "fire"), b""),
        (b"5011 181234E11000129\x14", ("dev/00-129", "fire"), b"\x06"),
        (b"5011 181234R11000129\x14", ("dev/00-129", "fire_restore"), b"\x06"),
        (b"5011 181234E30100000\x14", ("dev/00-000", "mains_fault"), b"\x06"),
        (ALIVE.encode() + b"\x14", None, b"\x06"),
        (b"nonsense\x14", ("net1/refused", "fault"), b"\x15"),
        (b"nonsense\r", ("net1/refused", "fault"), b""),
    ],
)
def test_lines_of_an_automation_port(line: bytes, told: tuple[str, str] | None, answer: bytes) -> None:
    port = Line(ContactLineTalk())
    assert port.send(line) == answer
    assert port.events() == ([told] if told else [])


def test_a_wrong_check_digit_is_refused_and_hides_no_fire() -> None:
    port = Line(ContactLineTalk(), "1234")
    assert port.send(b"1234181131010157\r1234181110001291\r") == b""
    assert port.events() == [("net1/refused", "fault"), ("dev/00-129", "unknown")]


def test_glued_messages_are_told_each_and_a_cut_one_is_refused_once() -> None:
    port = Line(ContactLineTalk(), "1234")
    port.send(b"1234181110001291" * 2 + b"\r1234 18 1110 00 130 1234 18 31\r")
    assert port.events().count(("dev/00-130", "fire")) == 1
    assert port.events().count(("net1/refused", "fault")) == 1


def test_a_pause_ends_a_message_that_no_line_end_does_and_half_a_one_waits_for_its_rest() -> None:
    port = Line(ContactLineTalk(), "1234")

    def pause(at_ns: int) -> None:
        port.take(port.talk.tick(at_ns), at_ns)
        port.settle()

    port.send(b"123418111000129B" * 2)
    pause(S)
    assert port.events() == []
    pause(2 * S)
    assert port.events() == [("dev/00-129", "fire")]
    port.send(b"12341811100", 100 * S)
    pause(110 * S)
    port.send(b"01309", 111 * S)
    pause(113 * S)
    assert port.events()[1:] == [("dev/00-130", "fire")]
    port.send(b"123418111000131", 200 * S)  # no check digit: it may have been cut off
    pause(203 * S)
    assert port.events()[2:] == [("net1/refused", "fault"), ("dev/00-131", "unknown")]


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_nothing_on_a_contact_id_line_raises(pieces: list[bytes]) -> None:
    port = Line(ContactLineTalk())
    for piece in pieces:
        port.send(piece)
        assert len(port.talk._buffer) <= LINE_BYTES_MAX  # type: ignore[attr-defined]
    port.send(b"\r5011 181234E11000129\x14")
    assert ("dev/00-129", "fire") in port.events()
    assert port.bugs == []


# --- frames of a concentrator

RADIO = load_profiles(()).get("radio-concentrator")
NODE, OTHER = "00A1B2C3", "00A1B2C4"


def report(status: int, node: str = NODE, *, tenths_v: int = 30) -> bytes:
    body = b"\xaa\x55\x0b" + bytes.fromhex(node) + bytes((status, tenths_v, 23))
    return body + bytes((sum(body) & 0xFF,))


def concentrator(address: str = NODE) -> Line:
    return Line(FramesTalk(build_codec(RADIO)), address)


@pytest.mark.parametrize(
    ("status", "begun"),
    [(0, []), (1, ["fire"]), (0b1001, ["fire", "battery_fault"]), (0b110, ["fault", "burglar"]), (0x80, [])],
)
def test_every_bit_of_a_report_begins_or_ends_something(status: int, begun: list[str]) -> None:
    line = concentrator()
    line.send(report(status))
    assert line.events() == [("dev/device", event) for event in begun]
    ends = {event for _, event in line.events(states=True)} - set(begun)
    pairs = {"fire": "fire_restore", "fault": "fault_restore", "burglar": "tamper_restore"}
    pairs |= {"battery_fault": "battery_ok", "test": "test_restore"}
    assert ends == {end for begin, end in pairs.items() if begin not in begun}
    assert line.readings() == {"dev/battery_v": 3.0, "dev/temperature_c": 23}


def test_each_node_is_a_device_with_a_silence_of_its_own() -> None:
    bench = Bench(Listed(id="one", address=NODE, silence_s=90), Listed(id="two", address=OTHER, silence_s=90))
    talk = FramesTalk(build_codec(RADIO))
    bench.desk.opened(0)
    for at_s in range(0, 100, 10):
        bench.take(talk.feed(report(0), at_s * S), at_s * S)
        bench.desk.tick(at_s * S)
    assert bench.links()[1:] == [("one", True, "answering"), ("two", False, "silent")]
    bench.take(talk.feed(report(1, "00000000"), 100 * S))
    assert bench.events() == [("net1/unlisted", "fault"), ("net1/00000000", "unknown")]


def test_what_a_known_detector_says_and_nobody_understands_is_its_fault() -> None:
    nite = load_profiles(()).get("lantian-5li")
    told = Line(FramesTalk(build_codec(nite)))
    frame = bytearray.fromhex("2300000000000000000000000100010002001B0000 0023".replace(" ", ""))
    told.send(bytes(frame))
    assert told.events() == [("dev/device", "fire")], "any profile of frames will do"


def test_a_panel_with_frames_of_bits_says_what_is_over_too() -> None:
    codec = build_codec(RADIO)
    [frame] = codec.feed(report(0), 0)
    assert isinstance(frame, Frame)
    assert frame.event is None
    events = frame.fields["events"]
    assert isinstance(events, list)
    assert {one["event"] for one in events} >= {"fire_restore", "battery_ok"}
    assert all(one["is_state"] for one in events)


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_nothing_of_a_concentrator_raises_and_a_report_behind_it_is_heard(pieces: list[bytes]) -> None:
    line = concentrator()
    for number, piece in enumerate(pieces):
        line.send(piece, number * S)
    line.take(line.talk.tick(100 * S))
    line.send(report(1), 200 * S)
    assert line.bugs == []
    assert ("dev/device", "fire") in line.events()


# --- with a core, over real ptys


@pytest.mark.asyncio
async def test_a_pager_port_and_an_automation_port_with_a_core_behind_them() -> None:
    site = Site()
    links = {name: Path(site.directory) / name for name in ("pager", "auto", "radio")}
    receivers = (
        Receiver(
            id="espa",
            protocol="espa444",
            devices=(ReceiverDevice(id="panel", silence_s=60.0),),
            port=str(links["pager"]),
        ),
        Receiver(id="cid", protocol="contact-id", devices=(ReceiverDevice(id="arc"),), port=str(links["auto"])),
        Receiver(
            id="radio",
            protocol="frames",
            profile="our-radio",
            devices=(ReceiverDevice(id="smoke3", address=NODE),),
            port=str(links["radio"]),
        ),
    )
    site.set(receivers=receivers)
    box = RADIO.path.read_text("utf-8").replace('"template"', '"unproven"')
    box = box.replace('4 = "test"\n', "")  # the box has no such bit
    for directory in site.config.profile_dirs:
        directory.mkdir()
        (directory / "our-radio.toml").write_text(box, "utf-8")
    pager_port, automation = PagerPort(link=links["pager"]), AutomationPort(link=links["auto"])
    radio = RawPort(link=links["radio"])
    for port in (pager_port, automation, radio):
        port.plug()
    try:
        async with site.running() as house:
            await house.until(
                lambda: all(house.source(name)["up"] for name in ("espa", "cid", "radio")), "the ports are open"
            )
            assert await pager_port.poll() == EOT
            assert await pager_port.call("FIRE ALARM 1-027", spoil=1) == NAK
            assert await pager_port.call("FIRE ALARM 1-027") == ACK
            assert await automation.say("5011 181234E11000129") == ACK
            assert await automation.say(ALIVE) == ACK
            await radio.pace(report(0b1001, tenths_v=24))
            await house.until(lambda: len(house.alarms()) == 3, "the detector is heard")
            assert sorted(house.alarms()) == ["arc/00-129", "panel/1-27", "smoke3/device"]
            values = {row["id"]: row["value"] for row in house.core.points.snapshot()}
            assert values["smoke3/battery_v"] == 2.4
            assert house.sounding()
            pager_port.unplug()
            await house.until(lambda: house.source("espa")["reason"] in ("hang_up", "no_port"), "the port hung up")
            pager_port.plug()
            await house.until(lambda: house.source("espa")["up"], "and came back")
            assert await pager_port.call("SYSTEM RESET", priority="3") == ACK
            await house.until(lambda: not _burns(house, "panel/1-27"), "the reset ends it")
        points = [one["point"] for one in await site.records() if one["kind"] == "fire" and one["active"]]
        assert sorted(points) == ["arc/00-129", "panel/1-27", "smoke3/device"]
    finally:
        for port in (pager_port, automation, radio):
            port.unplug()
        site.remove()
        await asyncio.sleep(0)


def _burns(house: object, point: str) -> bool:
    alarms = house.core.alarms.alarms()  # type: ignore[attr-defined]
    return any(one.active and one.point == point for one in alarms)
