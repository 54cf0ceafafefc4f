"""Concentrators of KS breakers that dial in: who is asked, what is told, what is acknowledged and when."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs import ks_breaker
from drivers.ks_map import compile_profile
from drivers.messages import PointFault
from drivers.profile import load_profiles
from drivers.receivers.desk import CARRIERS_MAX, Heard, Listed, Message, Say
from drivers.receivers.ks_breaker import NODES_MAX, KsTalk
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


def said(heard: list[Heard]) -> list[bytes]:
    return [one.data for one in heard if isinstance(one, Say)]


def test_the_captured_heartbeat_comes_back_and_its_breaker_is_asked_one_question_at_a_time() -> None:
    talk, beat = KsTalk(PROFILE), VECTORS["heartbeat"]
    assert talk.tick(0) == []
    assert said(talk.feed(beat, 0)) == [beat, ks_breaker.ask_state(NODE)]
    assert talk.tick(S) == []  # the answer is awaited
    assert said(talk.tick(2 * S)) == [ks_breaker.ask_measure(NODE)]  # no longer
    measured = ks_breaker.encode(0x88, NODE, 0x64, bytes.fromhex("8007000000014020") + bytes(96))
    assert said(talk.feed(measured, 2 * S + 1)) == [ks_breaker.ask_state(NODE)]  # on at once: it is due


def test_the_captured_trip_is_an_electrical_alarm_with_what_was_measured_and_acknowledged_once_kept() -> None:
    bench = Bench(Listed(id="b1", address=TRIPPED, silence_s=120))
    talk = KsTalk(PROFILE)
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
    talk = KsTalk(PROFILE)
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
    bench.take(KsTalk(PROFILE).feed(VECTORS["fault-leakage"], 0))
    assert ("net1/unlisted", "fault") in bench.events()
    assert (f"net1/{TRIPPED}", "unknown") in bench.events()  # an electrical alarm of a stranger
    fault = bytearray(VECTORS["fault-leakage"])
    fault[5:11], fault[19] = bytes.fromhex(NODE), 40
    fault[-2] = sum(fault[4:-2]) & 0xFF
    bench.take(KsTalk(PROFILE).feed(bytes(fault), 0))
    assert ("b1/point-40", "fault") in bench.events()


def test_a_concentrators_last_breath_is_a_fault_of_its_supply_until_it_speaks_again() -> None:
    bench, talk, line = Bench(Listed(id="b1", address=NODE, silence_s=120)), KsTalk(PROFILE), Concentrator([])
    breath, point = line.power_down(), "net1/power/182106230096"
    bench.take(talk.feed(VECTORS["heartbeat"] + breath * 3, 0))
    assert bench.events() == [(point, "mains_fault")], "said up to three times, told once"
    assert bench.desk.refused() == ()
    bench.take(talk.feed(line.log_in(), 1))
    assert bench.events(states=True)[-1] == (point, "mains_ok")
    bench.take(talk.feed(breath, 2))
    bench.take(KsTalk(PROFILE).feed(line.beat(), 3))
    assert bench.events() == [(point, "mains_fault")] * 2
    assert bench.events(states=True)[-1] == (point, "mains_ok"), "over a new connection"
    [shown] = ks_breaker.decode(breath)
    assert (shown["kind"], shown["gateway"]) == ("power_down", "182106230096")
    nameless = ks_breaker.encode(0x80, "0" * 12, ks_breaker.POWER_DOWN, b"")
    bench.take(KsTalk(PROFILE).feed(nameless, 4))
    assert bench.events()[-1] == ("net1/power/unnamed", "mains_fault"), "whatever it holds"
    before, odd = len(bench.events()), ks_breaker.encode(0x80, NODE, ks_breaker.POWER_DOWN, bytes(8))
    for breath in (nameless, odd):  # no document says what it holds: who logged in over this connection has said it
        bench.take(KsTalk(PROFILE).feed(line.log_in() + breath, 5))
        bench.take(KsTalk(PROFILE).feed(line.beat(), 6))
    assert bench.events()[before:] == [(point, "mains_fault")] * 2, "or it would never be over"
    for n in range(1, 200):
        bench.take(KsTalk(PROFILE).feed(line.power_down(f"{n:012d}"), 5))
    points = {point for point, _ in bench.events(states=True)}
    assert len(points) == CARRIERS_MAX + 1
    assert "net1/power/others" in points


def test_damage_is_refused_and_other_masters_are_not_answered() -> None:
    bench = Bench(Listed(id="b1", address=NODE, silence_s=120))
    talk = KsTalk(PROFILE)
    bench.take(talk.feed(VECTORS["heartbeat-damaged"] + ks_breaker.ask_state(NODE), 0))
    assert [one.why for one in bench.desk.refused()] == ["sum"]
    assert bench.said == []


@given(st.lists(st.binary(max_size=200) | st.sampled_from(sorted(VECTORS.values())), max_size=8))
def test_anything_raises_nothing_and_only_questions_and_answers_are_said(pieces: list[bytes]) -> None:
    talk = KsTalk(PROFILE)
    for at, piece in enumerate(pieces):
        for heard in (*talk.feed(piece, at * S), *talk.tick(at * S)):
            if isinstance(heard, Say):
                [frame] = ks_breaker.LineReader().feed(heard.data)
                assert frame.control == ks_breaker.ASK or frame.function == ks_breaker.HEARTBEAT
            elif isinstance(heard, Message) and heard.yes:
                [frame] = ks_breaker.LineReader().feed(heard.yes)
                assert (frame.control, frame.function) == (ks_breaker.ACKNOWLEDGE, ks_breaker.FAULT)


def test_heartbeats_that_name_breakers_without_end_are_bounded() -> None:
    talk = KsTalk(PROFILE)
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
