"""Whose message it is, whether it was said before, what may go back and when."""

from collections.abc import Sequence

import pytest

from drivers.codecs.base import Refused
from drivers.messages import Observation, PanelEvent
from drivers.receivers.desk import (
    COMPLAINT_S,
    COPIES_MAX,
    STRANGERS_MAX,
    WAITING_MAX,
    Listed,
    Message,
    Say,
    Told,
    Value,
)
from tests.receivers.bench import Bench, S


def fire(key: bytes = b"1", who: str = "889", event: str = "fire") -> Message:
    return Message(who=who, raw=b"raw" + key, key=key, told=[Told("1-27", event)], yes=b"ACK", no=b"NO")


def test_nothing_is_confirmed_before_it_is_kept() -> None:
    bench = Bench()
    bench.take([fire()])
    assert bench.events() == [("panel2/1-27", "fire")]
    assert bench.said == []
    bench.settle()
    assert bench.said == [b"ACK"]


def test_what_the_flash_refused_is_not_confirmed_and_is_told_anew_when_it_comes_again() -> None:
    bench = Bench()
    bench.take([fire()])
    bench.settle(kept=False)
    assert bench.said == []
    bench.take([fire()])
    bench.settle()
    assert bench.said == [b"ACK"]
    assert bench.events() == [("panel2/1-27", "fire")] * 2
    assert bench.desk.counts["unkept"] == 1


def test_a_copy_is_confirmed_again_and_told_once() -> None:
    bench = Bench()
    bench.take([fire()])
    bench.take([fire()])
    assert bench.said == [], "the first is not kept yet"
    bench.settle()
    assert bench.said == [b"ACK"]
    bench.take([fire()])
    assert bench.said == [b"ACK"] * 2
    assert bench.events() == [("panel2/1-27", "fire")]
    bench.take([fire()], at_ns=61 * S)
    bench.settle()
    assert len(bench.events()) == 2, "after the resend time an equal message is another one"


def test_a_copy_that_waits_is_answered_over_the_newest_connection() -> None:
    bench, later = Bench(), list[bytes]()
    bench.take([fire()])
    bench.desk.take([fire()], later.append, 0)
    bench.settle()
    assert (bench.said, later) == ([], [b"ACK"])


def test_a_peer_that_says_one_thing_at_a_time_repeats_only_its_last() -> None:
    bench = Bench(copies=1)
    for message in (fire(), fire(), fire(event="fire_restore", key=b"2"), fire()):
        bench.take([message])
        bench.settle()
    assert [event for _, event in bench.events()] == ["fire", "fire_restore", "fire"], (
        "a sender may number all of them alike"
    )
    assert bench.said == [b"ACK"] * 4


def test_strangers_without_end_share_a_point() -> None:
    bench = Bench()
    for n in range(STRANGERS_MAX + 5):
        bench.take([fire(who=f"x{n}")])
    points = [point for point, event in bench.events() if event == "unknown"]
    assert len(points) == STRANGERS_MAX + 5, "every one is heard"
    assert set(points) == {f"net1/x{n}" for n in range(STRANGERS_MAX)} | {"net1/others"}


def test_readings_alone_and_handshakes_wait_for_nothing() -> None:
    bench = Bench()
    bench.take([Say(b"hello"), Message(who="889", raw=b"", values=[Value("p/kpa", 320.5)], yes=b"ACK")])
    assert bench.said == [b"hello", b"ACK"]
    assert bench.readings() == {"panel2/p/kpa": 320.5}


@pytest.mark.parametrize("event", ["fire", "fire_manual", "gas_alarm", "electrical_alarm"])
def test_a_fire_of_a_device_nobody_listed_is_an_alarm_all_the_same_and_never_confirmed(event: str) -> None:
    bench = Bench()
    bench.take([fire(who="4711", event=event)])
    bench.settle()
    assert bench.events() == [("net1/unlisted", "fault"), ("net1/4711", "unknown")]
    assert bench.said == [b"NO"]
    bench.take([fire(b"2", "4711", "fault"), fire(b"3", "4711", "fire_restore")])
    assert bench.events(states=True)[2:] == [("net1/4711", "fire_restore")]
    assert [refused.why for refused in bench.desk.refused()] == ["unlisted 4711"] * 3


def test_a_device_that_falls_silent_is_one_fault_and_its_next_word_ends_it() -> None:
    bench = Bench()
    bench.desk.opened(0)
    bench.desk.tick(89 * S)
    assert bench.links() == [("net1", True, "opened")]
    bench.desk.tick(90 * S)
    bench.desk.tick(200 * S)
    bench.take([Message(who="889", raw=b"")], 201 * S)
    assert bench.links()[1:] == [("panel2", False, "silent"), ("panel2", True, "answering")]
    bench.desk.tick(201 * S + 89 * S)
    assert len(bench.links()) == 3


def test_while_the_way_in_is_closed_no_device_is_called_silent() -> None:
    bench = Bench()
    bench.desk.opened(0)
    bench.desk.closed("hang_up", "", 10 * S)
    bench.desk.tick(1000 * S)
    assert bench.links() == [("net1", True, "opened"), ("net1", False, "hang_up")]
    bench.desk.opened(1000 * S)
    bench.desk.tick(1091 * S)
    assert bench.links()[-1] == ("panel2", False, "silent")


def test_a_device_that_may_be_silent_for_ever_is_never_called_silent() -> None:
    bench = Bench(Listed(id="panel2", address="", silence_s=0))
    bench.desk.opened(0)
    bench.desk.tick(10**6 * S)
    assert bench.links() == [("net1", True, "opened")]


def test_refusals_are_counted_kept_and_one_fault_that_ends_by_itself() -> None:
    bench = Bench()
    bench.desk.opened(0)
    for n in range(100):
        bench.take([Refused("noise", bytes([n]) * 1000, n * S)], n * S)
    assert bench.events() == [("net1/refused", "fault")]
    kept = bench.desk.refused()
    assert (len(kept), len(kept[0].raw), bench.desk.counts["refused"]) == (64, 256, 100)
    bench.desk.tick(round((99 + COMPLAINT_S) * S) - 1)
    assert ("net1/refused", "fault_restore") not in bench.events(states=True)
    bench.desk.tick(round((99 + COMPLAINT_S) * S))
    assert bench.events(states=True)[-1] == ("net1/refused", "fault_restore")


def test_what_peers_can_fill_is_bounded() -> None:
    bench = Bench()
    for n in range(WAITING_MAX + 100):
        bench.take([fire(n.to_bytes(4, "big"))])
    assert len(bench.waiting) == WAITING_MAX
    assert len(bench.events()) == WAITING_MAX + 100, "every one is heard"
    bench.settle()
    assert bench.said == [b"ACK"] * WAITING_MAX
    device = bench.desk._devices["889"]
    assert len(device.copies) == COPIES_MAX


def test_names_of_the_wire_make_points_that_the_house_can_hold() -> None:
    bench = Bench(Listed(id="panel2", address="", silence_s=0))
    names = ["a b/../c", "火警 1", "x" * 500, "/", ""]
    bench.take([Message(who="", raw=b"", told=[Told(name, "fault") for name in names])])
    points = [seen.point for seen in bench.seen if isinstance(seen, PanelEvent)]
    assert points == ["panel2/a_b/../c", "panel2/_1", "panel2/" + "x" * 64, "panel2/device", "panel2/device"]


def test_a_bug_costs_one_message_and_is_told() -> None:
    bench, real = Bench(), Bench()
    bench.take([Message(who="889", raw=b"")])

    def sink(observations: Sequence[Observation]) -> None:
        if any(isinstance(seen, PanelEvent) and seen.event == "fire" for seen in observations):
            raise KeyError("planted")
        real.seen.extend(observations)

    bench.desk.sink = sink
    bench.take([fire(b"1"), fire(b"2", event="fault")])
    assert real.events() == [("net1/bug", "unknown"), ("panel2/1-27", "fault")]
    assert [repr(bug) for bug in bench.bugs] == ["KeyError('planted')"]

    def broken() -> list[Message]:
        raise IndexError("planted too")

    bench.desk.hear(broken, b"raw", bench.said.append, 0)
    assert real.events()[2:] == [("net1/bug", "fault")]
    assert len(bench.bugs) == 2
