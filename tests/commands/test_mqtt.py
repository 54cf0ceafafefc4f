"""Commands over a real mosquitto: topics, correlation, refusals, and one act whatever is killed."""

import asyncio
import contextlib
import json
import time
from pathlib import Path

import pytest

from edge_agent.commands import Answer, Refusal, Status
from edge_agent.model import Clock, Instant
from edge_agent.uplink.command_contract import COMMAND_BYTES_MAX, decode_command, encode_answer, response_topic
from simulators.process import Program
from tests.brokers import Broker
from tests.commands.programs import Asker, asker, program_of, statuses, with_centre, write_site
from tests.core.house import CONTACT, site
from tests.proof.checker import spread_s
from tests.proof.site import note
from tests.uplink.site import running_centre, running_uplink, stored
from tests.waiting import PATIENCE_S, until

S = 1_000_000_000


@pytest.mark.asyncio
async def test_every_command_is_answered_on_its_response_topic_with_its_correlation_data(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        async with site() as place:
            config = with_centre(place, broker.port)
            async with place.running() as house, running_uplink(config) as uplink:
                gateway = config.gateway.id
                with asker(broker, gateway) as centre:
                    await until(lambda: uplink.core.present and uplink.destinations[0].counters["connections"])
                    own = f"zg119/v1/{gateway}/rsp/desk-7"
                    centre.send("duty_check", params={"minutes": 5}, topic=own, correlation=b"\x00\xffq", by="李四")
                    assert (await centre.answer())["status"] == "done"
                    assert centre.answers[0][:2] == (own, b"\x00\xffq")
                    assert house.core.duty.waiting
                    house.gpio.wire({CONTACT: True})
                    for command, name, params in (
                        ("c2", "read_state", {}),
                        ("c3", "history", {"limit": 5, "kinds": ["fire"]}),
                        ("c4", "initialise", {}),
                        ("c5", "set_clock", {"wall_ns": time.time_ns()}),
                        ("c6", "acknowledge", {}),
                    ):
                        await house.durable()
                        centre.send(name, command=command, params=params)
                        answer = await centre.answer(command)
                        assert answer["status"] == "done", answer
                        assert (answer["v"], answer["gateway"], answer["name"]) == (1, gateway, name)
                    _, _, state = centre.answers[1]
                    assert [alarm["point"] for alarm in state["result"]["alarms"]] == ["pump-room"]
                    [record] = centre.answers[2][2]["result"]["records"]
                    assert (record["kind"], record["stream"], record["n"]) == ("fire", "alarm", 1)
                    resend = {"epoch": record["epoch"], "stream": "alarm", "first": 1, "last": 9}
                    centre.send("resend", command="c7", params=resend)
                    assert (await centre.answer("c7"))["status"] == "done"
                    assert (await centre.answer("c7"))["result"]["due"] in (0, 1), (
                        "0: it is on the wire, nobody acks it here"
                    )
            audits = [r["fields"] for r in await place.records() if r["kind"] == "command"]
            assert [audit["command"] for audit in audits] == ["c1", "c2", "c3", "c4", "c5", "c6", "c7"]
            assert audits[0]["by"] == "李四"


@pytest.mark.asyncio
async def test_what_must_not_be_done_is_refused_answered_and_written_down(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        async with site() as place:
            config = with_centre(place, broker.port, "read_state", "test_buzzer")
            gateway = config.gateway.id
            with asker(broker, gateway) as centre:
                centre.send("test_buzzer", command="old", retain=True)  # poison that waits at the broker
                broker.freeze()  # or it may give the poison out before there is a core that could write it down
                async with place.running() as house, running_uplink(config) as uplink:
                    await until(lambda: uplink.core.present)
                    broker.thaw()
                    assert (await centre.answer("old"))["code"] == "retained"
                    for command, code, given in (
                        ("r1", "no_expiry", {"expiry_s": None}),
                        ("r2", "unknown_command", {"name": "reset_panel"}),
                        ("r3", "not_authorised", {"name": "silence"}),
                        ("r4", "malformed", {"params": {"seconds": 99}}),
                        ("r5", "malformed", {"until_wall_ns": "tomorrow"}),
                        ("", "malformed", {"raw": b"{"}),
                        ("", "too_large", {"raw": b" " * (COMMAND_BYTES_MAX + 1)}),
                        ("r8", "malformed", {"correlation": b"x" * 200}),
                        ("", "response_topic", {"topic": f"zg119/v1/{gateway}/state"}),
                    ):
                        seen = len(centre.answers)
                        centre.send(**{"name": "test_buzzer", "command": command, **given})  # type: ignore[arg-type]
                        await until(lambda seen=seen: len(centre.answers) > seen, code)
                        answer = centre.answers[-1][2]
                        assert (answer["status"], answer["code"]) == ("refused", code)
                        assert answer["id"] in (command, ""), "as far as it could be read"
                    assert not house.core.buzzer_test.running
            codes = [r["fields"]["code"] for r in await place.records() if r["kind"] == "command"]
            assert sorted(codes) == sorted(
                ["retained", "no_expiry", "unknown_command", "not_authorised", "malformed", "malformed", "malformed",
                 "too_large", "malformed", "response_topic"]
            )  # fmt: skip


@pytest.mark.asyncio
async def test_a_broker_that_does_not_let_us_answer_is_told_on_site_and_costs_no_record(tmp_path: Path) -> None:
    acl = "topic deny zg119/v1/+/rsp\ntopic readwrite #\n"
    with Broker(tmp_path, acl=acl) as broker, running_centre(tmp_path / "centre", broker) as db:
        async with site() as place:
            config = with_centre(place, broker.port)
            async with place.running() as house, running_uplink(config) as uplink:
                faults: list[str] = []
                uplink.core.fault = lambda dest, what, **more: faults.append(what)  # type: ignore[method-assign]
                await until(lambda: uplink.core.present and uplink.destinations[0].counters["connections"])
                with asker(broker, config.gateway.id) as centre:
                    centre.send("read_state")
                    await until(lambda: "commands_denied" in faults, "a person hears of it")
                house.gpio.wire({CONTACT: True})
                await until(lambda: stored(db) == [1], "the fire arrives")
                await until(lambda: not uplink.destinations[0].outbox.alarm_pending)
                assert uplink.destinations[0].standing.up
                assert uplink.destinations[0].counters["connections"] == 1, "nobody hung up for it"


@pytest.mark.asyncio
@pytest.mark.slow
async def test_one_act_though_core_and_uplink_are_killed_between_asking_and_answering(tmp_path: Path) -> None:
    """Real processes, kill -9 at different moments, the same command again and again until it is answered."""
    with Broker(tmp_path) as broker:
        async with site() as place:
            config = with_centre(place, broker.port)
            directory = write_site(place, broker.port)
            with asker(broker, config.gateway.id) as centre:
                answered_s: list[float] = []
                for round_, (victim, wait_s) in enumerate(
                    (("run", 0.0), ("uplink", 0.05), ("run", 0.3), ("uplink", 0.0))
                ):
                    programs = {name: program_of(directory, name) for name in ("run", "uplink")}
                    try:
                        for program in programs.values():
                            await program.start()
                        answered_s.append(
                            await asked_until_answered(centre, programs[victim], f"test-{round_}", wait_s)
                        )
                    finally:
                        for program in programs.values():
                            await program.stop(PATIENCE_S)
            kept = statuses(place)
            done = [r["fields"]["command"] for r in kept if r["point"] == "command/test_buzzer"]
            found = {"kills": 4, "lost": 4 - len(set(done)), "doubled": len(done) - len(set(done))}
            note("commands-killed", {**found, "delay_s": spread_s(answered_s, "killed to the answer")})
            assert done == ["test-0", "test-1", "test-2", "test-3"], "each was carried out once"
            sounded = [r for r in kept if r["point"] == "buzzer" and r["active"]]
            assert 2 <= len(sounded) <= 4, "at most once each; where the core lived it is written down for certain"


async def asked_until_answered(centre: Asker, victim: Program, command: str, wait_s: float) -> float:
    """Seconds from the kill to the answer."""
    ask = {"name": "test_buzzer", "command": command, "params": {"seconds": 1}}
    await until(lambda: ask_and_list(centre, command), "the site is up")
    centre.send(**ask)  # type: ignore[arg-type]
    await asyncio.sleep(wait_s)  # the kill falls anywhere in the command
    killed_s = time.monotonic()
    await victim.kill()
    await victim.start()
    deadline_s = time.monotonic() + PATIENCE_S

    def answered() -> bool:
        return any(a["id"] == command and a["status"] == "done" for _, _, a in centre.answers)

    while not answered():
        assert time.monotonic() < deadline_s, "no answer"
        centre.send(**ask)  # type: ignore[arg-type]
        with contextlib.suppress(AssertionError):
            await until(answered, within_s=1.0)
    assert (await centre.answer(command))["result"] == {"seconds": 1}
    return time.monotonic() - killed_s


_pings = 0


def ask_and_list(centre: Asker, command: str) -> list[object]:
    global _pings
    _pings += 1
    if _pings % 50 == 1:
        centre.send("read_state", command=f"ping-{command}-{_pings}", expiry_s=5)
    return [a for _, _, a in centre.answers if a["id"].startswith(f"ping-{command}-") and a["status"] == "done"]


# --- pure ----------------------------------------------------------------------------------------------------------------


HALF_A_PAIR = b'{"v":1,"id":"c1","name":"silence","by":"\\ud800"}'


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{}", b'{"v":2}', b"\xff", b"[" * 9000, b'{"v":1,"id":7}', HALF_A_PAIR]
)
def test_what_cannot_be_read_is_refused_and_never_raises_anything_else(payload: bytes) -> None:
    with pytest.raises(Refusal):
        decode_command(payload, retained=False, expiry_s=5)


@pytest.mark.parametrize(
    "topic", ["zg119/v1/g/rsp-of-mine", "zg119/v1/g/rsp/+", "zg119/v1/g/rsp/#", "x", "zg119/v1/other/rsp"]
)
def test_only_topics_below_its_own_rsp_are_answered_on(topic: str) -> None:
    with pytest.raises(Refusal, match="response_topic"):
        response_topic("g", topic)


def test_an_answer_says_what_became_of_which_command() -> None:
    answer = Answer(Status.DONE, {"minutes": 5}, repeat=True)
    said = json.loads(encode_answer("g", "c1", "duty_check", answer, Instant("b", 1, 2, Clock.SYNCED)))
    assert said == {
        "v": 1, "gateway": "g", "id": "c1", "name": "duty_check", "status": "done", "result": {"minutes": 5}, "code": "",
        "repeat": True, "sent": {"boot": "b", "mono_ns": 1, "wall_ns": 2, "clock": "synced"},
    }  # fmt: skip
