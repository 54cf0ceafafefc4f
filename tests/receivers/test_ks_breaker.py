"""Concentrators of KS breakers that dial in: who is asked, what is told, what is acknowledged and when."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs import ks_breaker
from drivers.ks_map import compile_profile
from drivers.messages import PointFault
from drivers.profile import load_profiles
from drivers.receivers import ks_breaker as ks_receiver
from drivers.receivers.desk import CARRIERS_MAX, Heard, Listed, Message, Say
from drivers.receivers.ks_breaker import LINGER_NS, NAMES_MAX, NODES_MAX, Breaths, KsTalk
from edge_agent.config.model import Receiver, ReceiverDevice
from edge_agent.model import Kind
from simulators.breaker import Breaker, Concentrator
from simulators.ports import free_port
from tests.core.house import Site
from tests.receivers.bench import Bench, S

VECTORS = {
    vector["name"].partition("/")[2]: bytes.fromhex(vector["data"])
    for vector in json.loads((Path(__file__).parents[1] / "captures/ks-breaker-68.json").read_text("utf-8"))
}
TRIPPED, NODE = "202106171055", "072110320044"
PROFILE = compile_profile(load_profiles([]).get("ks-breaker").data)


def connected(breaths: Breaths | None = None) -> KsTalk:
    """A new connection, of a receiver of its own unless `breaths` are those of one."""
    return KsTalk(PROFILE, breaths or Breaths([], list))


def said(heard: list[Heard]) -> list[bytes]:
    return [one.data for one in heard if isinstance(one, Say)]


def test_the_captured_heartbeat_comes_back_and_its_breaker_is_asked_one_question_at_a_time() -> None:
    talk, beat = connected(), VECTORS["heartbeat"]
    assert talk.tick(0) == []
    assert said(talk.feed(beat, 0)) == [beat, ks_breaker.ask_state(NODE)]
    assert talk.tick(S) == []  # the answer is awaited
    assert said(talk.tick(2 * S)) == [ks_breaker.ask_measure(NODE)]  # no longer
    measured = ks_breaker.encode(0x88, NODE, 0x64, bytes.fromhex("8007000000014020") + bytes(96))
    assert said(talk.feed(measured, 2 * S + 1)) == [ks_breaker.ask_state(NODE)]  # on at once: it is due


def test_the_captured_trip_is_an_electrical_alarm_with_what_was_measured_and_acknowledged_once_kept() -> None:
    bench = Bench(Listed(id="b1", address=TRIPPED, silence_s=120))
    talk = connected()
    bench.take(talk.feed(VECTORS["fault-leakage"] * 2, 0))
    assert bench.events() == [("b1/leakage_trip", "electrical_alarm")]  # the copy is not told again
    assert bench.readings()["b1/leakage_ma"] == 24
    assert bench.said == []
    bench.settle()
    [answer] = bench.said
    [frame] = ks_breaker.LineReader().feed(answer)
    assert (frame.control, frame.node, frame.function) == (3, TRIPPED, 0x2A)
    assert frame.data == bytes.fromhex("0003010000" + "01001A0001" + "00000000010100")


def test_states_begin_and_end_trips_and_an_answer_too_short_is_no_value() -> None:
    bench = Bench(Listed(id="b1", address=NODE, silence_s=120))
    talk = connected()
    head = bytes.fromhex("8007000000010020")
    points = bytearray(26)
    points[0] = points[6] = points[25] = 1
    bench.take(talk.feed(ks_breaker.encode(0x88, NODE, 0x64, head + bytes(points)), 0))
    assert bench.events() == [("b1/overcurrent_trip_a", "fault"), ("b1/leakage_trip", "electrical_alarm")]
    assert ("b1/leakage_trip", "electrical_restore") not in bench.events(states=True)
    assert ("b1/overload_trip_a", "fault_restore") in bench.events(states=True)
    assert bench.readings() == {"b1/switch_closed": True}
    bench.take(talk.feed(VECTORS["measure"].replace(bytes.fromhex("072209200014"), bytes.fromhex(NODE)), 0))
    short = ks_breaker.encode(0x88, NODE, 0x64, bytes.fromhex("8007000000014000") + bytes(20))
    bench.take(talk.feed(short, 1))
    assert "b1/leakage_ma" in {seen.point for seen in bench.seen if isinstance(seen, PointFault)}


def test_a_breaker_nobody_listed_and_a_trip_nobody_named_are_told() -> None:
    bench = Bench(Listed(id="b1", address=NODE, silence_s=120))
    bench.take(connected().feed(VECTORS["fault-leakage"], 0))
    assert ("net1/unlisted", "fault") in bench.events()
    assert (f"net1/{TRIPPED}", "unknown") in bench.events()  # an electrical alarm of a stranger
    fault = bytearray(VECTORS["fault-leakage"])
    fault[5:11], fault[19] = bytes.fromhex(NODE), 40
    fault[-2] = sum(fault[4:-2]) & 0xFF
    bench.take(connected().feed(bytes(fault), 0))
    assert ("b1/point-40", "fault") in bench.events()


def test_a_concentrators_last_breath_is_a_fault_of_its_supply_until_it_speaks_again() -> None:
    bench, line, breaths = Bench(Listed(id="b1", address=NODE, silence_s=120)), Concentrator([]), Breaths([NODE], list)
    talk = connected(breaths)
    breath, point = line.power_down(), "net1/power/182106230096"
    bench.take(talk.feed(VECTORS["heartbeat"] + breath * 3, 0))
    assert bench.events() == [(point, "mains_fault")], "said up to three times, told once"
    assert bench.desk.refused() == ()
    bench.take(talk.feed(line.log_in(), 1))
    assert bench.events(states=True)[-1] == (point, "mains_ok")
    bench.take(talk.feed(breath, 2))
    bench.take(connected(breaths).feed(line.beat(), 3))
    assert bench.events() == [(point, "mains_fault")] * 2
    assert bench.events(states=True)[-1] == (point, "mains_ok"), "over a new connection"
    [shown] = ks_breaker.decode(breath)
    assert (shown["kind"], shown["gateway"]) == ("power_down", "182106230096")
    nameless = ks_breaker.encode(0x80, "0" * 12, ks_breaker.POWER_DOWN, b"")
    bench.take(connected(breaths).feed(nameless, 4))
    assert bench.events()[-1] == ("net1/power/unnamed", "mains_fault"), "whatever it holds"
    before, odd = len(bench.events()), ks_breaker.encode(0x80, NODE, ks_breaker.POWER_DOWN, bytes(8))
    for breath in (nameless, odd):  # no document says what it holds: who logged in over this connection has said it
        bench.take(connected(breaths).feed(line.log_in() + breath, 5))
        bench.take(connected(breaths).feed(line.beat(), 6))
    assert bench.events()[before:] == [(point, "mains_fault")] * 2, "or it would never be over"
    for n in range(1, 200):
        bench.take(connected(breaths).feed(line.power_down(f"{n:012d}"), 5))
    points = {point for point, _ in bench.events(states=True)}
    assert len(points) == CARRIERS_MAX + 1
    assert "net1/power/others" in points


def state_of(node: str) -> bytes:
    """What a breaker answers when it is asked for its state."""
    return ks_breaker.encode(0x88, node, 0x64, bytes.fromhex("8007000000010020") + bytes(26))


@pytest.mark.parametrize("claims", ["", "0A0B0C0D0E0F"], ids=["nameless", "a name nobody logs in under"])
def test_a_last_breath_that_no_login_can_end_is_over_when_every_breaker_has_been_heard_again(claims: str) -> None:
    bench = Bench(Listed(id="b1", address=NODE, silence_s=120), Listed(id="b2", address=TRIPPED, silence_s=120))
    line, breaths = Concentrator([]), Breaths([NODE, TRIPPED], list)
    point = f"net1/power/{claims or 'unnamed'}"
    other = connected(breaths)
    bench.take(other.feed(line.log_in() + line.beat() + state_of(NODE), 0))
    bench.take(connected(breaths).feed(line.power_down(claims), S))
    assert bench.events() == [(point, "mains_fault")]

    def over(at_ns: int) -> bool:
        bench.take(other.tick(at_ns))
        return (point, "mains_ok") in bench.events(states=True)

    for at_ns in (2 * S, S + LINGER_NS - 1):  # on its reserve it may answer for a while
        bench.take(other.feed(state_of(NODE) + state_of(TRIPPED), at_ns))
    assert not over(S + LINGER_NS)
    bench.take(other.feed(line.log_in() + line.beat() + state_of(NODE), 2 * S + LINGER_NS))
    assert not over(3 * S + LINGER_NS), "another concentrator speaks, and one of the breakers"
    bench.take(connected(breaths).feed(state_of(TRIPPED), 4 * S + LINGER_NS))
    assert over(4 * S + LINGER_NS)
    assert bench.events() == [(point, "mains_fault")]
    bench.take(connected(breaths).feed(line.power_down(claims), 5 * S + LINGER_NS))
    assert bench.events() == [(point, "mains_fault")] * 2, "the next one is news"


def test_a_last_breath_without_a_name_is_over_too_when_its_connection_speaks_on_and_a_new_name_when_it_logs_in() -> (
    None
):
    bench, line, breaths = Bench(Listed(id="b1", address=NODE, silence_s=120)), Concentrator([]), Breaths([NODE], list)
    talk = connected(breaths)
    bench.take(talk.feed(line.power_down(""), 0))
    bench.take(connected(breaths).feed(line.beat("000000000000"), 1))
    assert bench.events(states=True) == [("net1/power/unnamed", "mains_fault")], (
        "somebody else's heartbeat ends nothing"
    )
    bench.take(talk.feed(line.beat(), 2))
    assert ("net1/power/unnamed", "mains_ok") in bench.events(states=True)
    bench.take(connected(breaths).feed(line.power_down("112233445566"), 3))
    bench.take(connected(breaths).feed(line.log_in("112233445566"), 4))
    assert bench.events(states=True)[-1] == ("net1/power/112233445566", "mains_ok")


def test_one_that_logged_in_is_over_by_its_own_word_only() -> None:
    bench, line, breaths = Bench(Listed(id="b1", address=NODE, silence_s=120)), Concentrator([]), Breaths([NODE], list)
    bench.take(connected(breaths).feed(line.log_in() + line.power_down(), 0))
    other = connected(breaths)
    bench.take(other.feed(state_of(NODE), 2 * LINGER_NS))
    bench.take(other.tick(2 * LINGER_NS))
    assert [event for _, event in bench.events(states=True)].count("mains_ok") == 1, "that of its login"


def test_last_breaths_under_ever_new_names_are_bounded() -> None:
    breaths, line = Breaths([NODE], list), Concentrator([])
    for n in range(1, 500):
        connected(breaths).feed(line.power_down(f"{n:012d}"), n)
        connected(breaths).feed(line.log_in(f"9{n:011d}"), n)
    assert (len(breaths._since_ns), len(breaths._names)) == (NAMES_MAX + 1, NAMES_MAX)
    breaths.heard(NODE, 500 + LINGER_NS)
    assert "others" in breaths.over(500 + LINGER_NS), "what the desk tells of all that are too many ends as well"


def test_damage_is_refused_and_other_masters_are_not_answered() -> None:
    bench = Bench(Listed(id="b1", address=NODE, silence_s=120))
    talk = connected()
    bench.take(talk.feed(VECTORS["heartbeat-damaged"] + ks_breaker.ask_state(NODE), 0))
    assert [one.why for one in bench.desk.refused()] == ["sum"]
    assert bench.said == []


@given(st.lists(st.binary(max_size=200) | st.sampled_from(sorted(VECTORS.values())), max_size=8))
def test_anything_raises_nothing_and_only_questions_and_answers_are_said(pieces: list[bytes]) -> None:
    talk = connected()
    for at, piece in enumerate(pieces):
        for heard in (*talk.feed(piece, at * S), *talk.tick(at * S)):
            if isinstance(heard, Say):
                [frame] = ks_breaker.LineReader().feed(heard.data)
                assert frame.control == ks_breaker.ASK or frame.function == ks_breaker.HEARTBEAT
            elif isinstance(heard, Message) and heard.yes:
                [frame] = ks_breaker.LineReader().feed(heard.yes)
                assert (frame.control, frame.function) == (ks_breaker.ACKNOWLEDGE, ks_breaker.FAULT)


def test_heartbeats_that_name_breakers_without_end_are_bounded() -> None:
    talk = connected()
    for n in range(200):
        nodes = b"".join(bytes.fromhex(f"{n:04d}{m:08d}") for m in range(30))
        talk.feed(ks_breaker.encode(0x80, "0" * 12, 0x8D, bytes(6) + nodes + bytes(2)), n * S)
    assert len(talk._due) <= 2 * NODES_MAX


@pytest.mark.asyncio
async def test_a_concentrator_that_dials_in_is_polled_and_its_trip_acknowledged_by_the_core() -> None:
    port = free_port()
    receiver = Receiver(
        id="breakers", protocol="ks68", listen="127.0.0.1", listen_port=port, allow=("127.0.0.1",),
        devices=(ReceiverDevice(id="b1", address=TRIPPED), ReceiverDevice(id="b2", address=NODE)),
    )  # fmt: skip
    site = Site().set(receivers=(receiver,))
    line = Concentrator([Breaker(TRIPPED), Breaker(NODE)], resend_s=0.5)
    try:
        async with site.running() as house:
            await house.until(lambda: house.source("breakers")["up"], "it listens")
            await line.dial("127.0.0.1", port)
            await house.until(lambda: house.source("b1")["up"] and house.source("b2")["up"], "both answer")
            line.trip(TRIPPED, 26)
            await house.until(lambda: house.alarms(Kind.ELECTRICAL) == ["b1/leakage_trip"], "it is heard")
            await house.until(lambda: not line.breakers[TRIPPED].unacknowledged, "it is acknowledged")
            line.power_down()
            await house.until(
                lambda: house.alarms(Kind.MAINS_FAULT) == ["breakers/power/182106230096"], "its last breath"
            )
            line.beat()
            alarms = house.core.alarms
            await house.until(
                lambda: all(a.kind != Kind.MAINS_FAULT or not a.active for a in alarms.alarms()), "it speaks"
            )
            assert {kind for breaker in line.breakers.values() for kind in breaker.asked} <= {"state", "measure"}
        told = [one for one in await site.records() if one["kind"] == Kind.ELECTRICAL]
        assert [(one["point"], one["active"]) for one in told] == [("b1/leakage_trip", True)]
        told = [one for one in await site.records() if one["kind"] == Kind.MAINS_FAULT]
        assert [one["active"] for one in told] == [True, False]
    finally:
        line.hang_up()
        site.remove()


@pytest.mark.asyncio
async def test_a_last_breath_without_a_name_is_over_after_a_restart_of_the_gateway_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ks_receiver, "LINGER_NS", 0)
    port, point = free_port(), "breakers/power/unnamed"
    receiver = Receiver(
        id="breakers", protocol="ks68", listen="127.0.0.1", listen_port=port, allow=("127.0.0.1",),
        devices=(ReceiverDevice(id="b1", address=NODE),),
    )  # fmt: skip
    site = Site().set(receivers=(receiver,))
    line = Concentrator([Breaker(NODE)])
    try:
        async with site.running() as house:
            await house.until(lambda: house.source("breakers")["up"], "it listens")
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(line.power_down(""))
            await house.until(lambda: house.alarms(Kind.MAINS_FAULT) == [point], "it is heard")
            await house.durable()
            writer.transport.abort()
        async with site.running() as house:
            await house.until(lambda: house.source("breakers")["up"], "it listens")
            assert house.core.points.standing("breakers") == [(point, "mains_fault")]
            await line.dial("127.0.0.1", port)
            await house.until(lambda: house.core.points.standing("breakers") == [], "its breaker answers")
        told = [one for one in await site.records() if one["kind"] == Kind.MAINS_FAULT]
        assert [(one["point"], one["active"]) for one in told] == [(point, True), (point, False)]
    finally:
        line.hang_up()
        site.remove()
