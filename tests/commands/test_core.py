"""Commands, duty checks and the clock in a whole core: real journal, real socket, the strict fake board."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from drivers.messages import PanelEvent
from edge_agent import commander
from edge_agent.alarm.patterns import DUTY_SOUND, FIRE_SOUND
from edge_agent.clock import SystemClock
from edge_agent.commands import NAMES
from edge_agent.config.model import Contact
from edge_agent.config.uplinks import Uplink
from edge_agent.local_api import ApiError, LocalClient, Peer
from edge_agent.model import Clock, Instant, Kind
from tests.core.house import ACK, CONTACT, House, Site, site
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio

S = 1_000_000_000


class ShiftedClock(SystemClock):
    """The kernel's clock, never synchronised, with its wall time moved by `shift_ns`."""

    shift_ns = 0

    def at(self, mono_ns: int) -> Instant:
        said = super().at(mono_ns)
        wall_ns = said.wall_ns + self.shift_ns
        return Instant(said.boot_id, mono_ns, wall_ns, Clock.UNSET if wall_ns < 10**18 else Clock.HOLDOVER)


def commanded(place: Site, *names: str) -> Site:
    uplinks = (
        Uplink(id="county", host="127.0.0.1", commands=names or NAMES),
        Uplink(id="city", host="127.0.0.1", mandatory=False, commands=("read_state", "duty_check")),
    )
    return place.set(uplinks=uplinks)


@asynccontextmanager
async def talking(house: House) -> AsyncIterator[LocalClient]:
    client = await LocalClient.connect(house.site.config.gateway.run_dir / "core.sock")
    try:
        yield client
    finally:
        await client.close()


async def ask(
    client: LocalClient, name: str, command: str = "c1", dest: str = "county", **more: Any
) -> Mapping[str, Any]:
    given = {"params": {}, "expires_wall_ns": None, "by": "", **more}
    answer = await client.request("command", dest=dest, command=command, name=name, **given)
    assert isinstance(answer, dict)
    return answer


def audits(records: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    found = [record for record in records if record["kind"] == "command"]
    return [(r["point"], r["fields"]["status"], r["fields"].get("code", "")) for r in found]


async def test_a_command_acts_once_and_a_repeat_gets_the_same_answer_also_after_a_restart() -> None:
    async with site() as place:
        commanded(place)
        async with place.running() as house, talking(house) as client:
            house.core.take([PanelEvent("panel1/1-1", "fire", house.core.now_ns(), {}, b"")])
            first = await ask(client, "acknowledge", by="张三")
            assert first == {"status": "done", "result": {"acknowledged": 1}, "code": ""}
            house.core.take([PanelEvent("panel1/1-2", "fire", house.core.now_ns(), {}, b"")])
            assert await ask(client, "acknowledge") == {**first, "repeat": True}
            assert house.sounding(), "the second fire was not acknowledged by a repeat"
        async with place.running() as house, talking(house) as client:
            assert await ask(client, "acknowledge") == {**first, "repeat": True}
            assert house.sounding()
            assert (await ask(client, "silence", "c1"))["code"] == "id_reused"
        records = await place.records()
        assert audits(records) == [("command/acknowledge", "done", ""), ("command/silence", "refused", "id_reused")]
        [seen] = [r for r in records if r["kind"] == "acknowledge"]
        assert seen["fields"]["who"] == "uplink/county:张三"


async def test_two_askings_at_once_are_one_command() -> None:
    async with site() as place:
        async with commanded(place).running() as house, talking(house) as client:
            answers = await asyncio.gather(*(ask(client, "test_buzzer", params={"seconds": 1}) for _ in range(5)))
            assert [answer["status"] for answer in answers] == ["done"] * 5
            await house.until(lambda: not house.core.buzzer_test.running, "the test ends by itself")
        records = await place.records()
        assert audits(records) == [("command/test_buzzer", "done", "")]
        assert [(r["point"], r["active"]) for r in records if r["kind"] == "test"] == [
            ("buzzer", True),
            ("buzzer", False),
        ]


async def test_an_answer_is_given_once_its_event_is_durable() -> None:
    async with site() as place, commanded(place).running() as house, talking(house) as client:
        await ask(client, "duty_check", params={"minutes": 5})
        assert "c:county:c1" in house.core.journal.state()


@pytest.mark.parametrize(
    ("name", "params", "dest", "code"),
    [
        ("format_card", {}, "county", "unknown_command"),
        ("silence", {}, "city", "not_authorised"),
        ("duty_check", {"minutes": 0}, "county", "malformed"),
        ("acknowledge", {"alarm": "77"}, "county", "no_such_alarm"),
    ],
)
async def test_what_is_refused_is_written_down_with_its_reason(
    name: str, params: dict[str, object], dest: str, code: str
) -> None:
    async with site() as place:
        async with commanded(place).running() as house, talking(house) as client:
            answer = await ask(client, name, params=params, dest=dest)
            assert (answer["status"], answer["code"]) == ("refused", code)
        [(point, status, why)] = audits(await place.records())
        assert (status, why) == ("refused", code)
        assert point == ("command/unknown" if code == "unknown_command" else f"command/{name}")


async def test_an_expired_command_is_refused_by_a_clock_that_is_right_and_taken_by_one_that_is_not() -> None:
    clock = ShiftedClock()
    clock.shift_ns = -time.time_ns()
    async with site() as place, commanded(place).running(clock=clock) as house, talking(house) as client:
        past_ns = time.time_ns() - 5 * S
        assert (await ask(client, "silence", "a", expires_wall_ns=past_ns))["status"] == "done", (
            "in 1970 nothing is late"
        )
        assert (await ask(client, "set_clock", "b", params={"wall_ns": time.time_ns()}))["status"] == "done"
        late = await ask(client, "silence", "c", expires_wall_ns=past_ns)
        assert (late["status"], late["code"]) == ("refused", "expired")
        assert (await ask(client, "silence", "a", expires_wall_ns=past_ns))["repeat"], "what was done stays done"
        assert (await ask(client, "silence", "d", expires_wall_ns=time.time_ns() + 60 * S))["status"] == "done"


async def test_a_flood_is_refused_and_writes_the_card_only_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    for period in ("PERIOD_S", "REFUSED_PERIOD_S"):
        monkeypatch.setattr(commander, period, 3600.0)  # or a slow machine would be allowed more
    async with site() as place:
        async with commanded(place).running() as house, talking(house) as client:
            answers = [await ask(client, "read_state", f"c{n}") for n in range(100)]
            assert [answer["status"] for answer in answers[: commander.BURST]] == ["done"] * commander.BURST
            assert answers[-1]["code"] == "busy"
        written = audits(await place.records())
        assert commander.BURST <= len(written) <= commander.BURST + commander.REFUSED_BURST + 1


async def test_what_the_uplink_is_to_do_is_audited_when_it_says_so() -> None:
    async with site() as place:
        async with commanded(place).running() as house, talking(house) as client:
            query = {"limit": 3}
            assert (await ask(client, "history", params=query))["status"] == "accepted"
            done = {"dest": "county", "command": "c1", "status": "done", "result": {"records": 3}, "code": ""}
            await client.request("command_done", **done)
            await client.request("command_done", **done)  # told twice
            await client.request("command_refused", dest="county", command="", name="", code="retained", detail="")
            with pytest.raises(ApiError, match="no_such_uplink"):
                await client.request("command_refused", dest="mars", command="", name="", code="retained", detail="")
        assert audits(await place.records()) == [
            ("command/history", "done", ""),
            ("command/unknown", "refused", "retained"),
        ]


async def test_that_a_configuration_is_sound_only_the_uplink_may_say() -> None:
    asked = {"dest": "county", "command": "c1", "name": "apply_config", "params": {"signed": "x", "signature": "y"}}
    done = {"dest": "county", "command": "c1", "status": "done", "result": {"serial": 1}}
    us, somebody = Peer(1, os.getuid()), Peer(1, 4711)
    async with site() as place, commanded(place).running() as house:
        commander = house.core.commander
        assert commander._command(asked, us) == {"status": "accepted", "result": {}, "code": ""}
        with pytest.raises(ApiError):
            commander._done(done, somebody)
        answer = await commander._done(done, us)  # type: ignore[misc]
        assert (answer["status"], answer["code"]) == ("refused", "not_from_files"), "this core was given no files"
        await house.durable()
        assert ("command/apply_config", "refused", "not_from_files") in audits(await place.records())


async def test_a_time_that_needs_a_second_sample_is_not_its_own_second_however_often_it_is_asked() -> None:
    async with site() as place, commanded(place).running(clock=ShiftedClock()) as house, talking(house) as client:
        params = {"wall_ns": time.time_ns() + 86400 * S}
        first = await ask(client, "set_clock", "t1", params=params)
        assert (first["status"], first["code"]) == ("refused", "clock_needs_second")
        for _ in range(3):
            assert await ask(client, "set_clock", "t1", params=params) == {**first, "repeat": True}
        assert (await ask(client, "set_clock", "t2", params=params))["code"] == "clock_needs_second", "the same packet"
        assert house.core.clock.source == "kernel"
        params["wall_ns"] += S
        assert (await ask(client, "set_clock", "t3", params=params))["status"] == "done"


# --- duty checks ---------------------------------------------------------------------------------------------------------


async def test_the_button_acknowledges_a_fire_first_and_answers_the_duty_check_by_its_next_push() -> None:
    async with site() as place:
        async with commanded(place).running() as house, talking(house) as client:
            await ask(client, "duty_check", params={"minutes": 5})
            assert house.core.annunciator._outputs["buzzer"].pattern == DUTY_SOUND
            house.gpio.wire({CONTACT: True})
            assert house.core.annunciator._outputs["buzzer"].pattern == FIRE_SOUND
            await house.push(ACK)
            await house.until(lambda: not house.sounding(), "the fire is acknowledged")
            assert house.core.duty.waiting, "and the check still asks"
            assert house.core.annunciator._outputs["buzzer"].pattern == DUTY_SOUND
            await house.push(ACK)
            await house.until(lambda: not house.core.duty.waiting, "answered")
        records = await place.records()
        checks = [(r["active"], r["fields"].get("result")) for r in records if r["kind"] == "duty_check"]
        assert checks == [(True, None), (False, "answered")]


async def test_a_check_is_answered_by_an_operator_over_the_local_api_and_several_at_once() -> None:
    async with site() as place:
        async with commanded(place).running() as house, talking(house) as client:
            await ask(client, "duty_check", params={"minutes": 5})
            await ask(client, "duty_check", dest="city", params={"minutes": 9})
            open_now = await client.request("duty")
            assert [(check["dest"], check["minutes"]) for check in open_now] == [("county", 5), ("city", 9)]  # type: ignore[attr-defined]
            for operator in (-1, 256, "7", True):
                with pytest.raises(ApiError, match="bad_request"):
                    await client.request("duty_answer", operator=operator)
            assert await client.request("duty_answer", operator=7) == {"answered": 2}
            assert await client.request("duty_answer", operator=7) == {"answered": 0}
        ended = [r["fields"] for r in await place.records() if r["kind"] == "duty_check" and not r["active"]]
        assert [(e["dest"], e["result"], e["operator"]) for e in ended] == [
            ("county", "answered", 7),
            ("city", "answered", 7),
        ]


async def test_a_missed_check_is_told_at_its_deadline_over_a_restart_and_a_late_push_as_late() -> None:
    async with site() as place:
        commanded(place)
        async with place.running() as house, talking(house) as client:
            await ask(client, "duty_check", params={"minutes": 1})
            [check] = house.core.duty.checks()
            house.core.duty._put(
                check.key, replace(check, asked=replace(check.asked, mono_ns=check.asked.mono_ns - 58 * S))
            )
            house.core.finish([([], house.core.duty.dump())], house.core.now_ns())
            house.core.tell(Kind.TEST, "state-is-kept", {}, {})
        async with place.running() as house, talking(house) as client:
            await house.until(lambda: house.core.duty.checks()[0].missed, "missed two seconds later")
            assert await client.request("duty_answer", operator=0) == {"answered": 1}
        ended = [r["fields"]["result"] for r in await place.records() if r["kind"] == "duty_check" and not r["active"]]
        assert ended == ["missed", "late"]


# --- the clock -----------------------------------------------------------------------------------------------------------


async def test_records_from_before_the_clock_was_set_are_shown_right_after_and_the_clock_is_an_event() -> None:
    clock = ShiftedClock()
    clock.shift_ns = -time.time_ns()
    async with site() as place:
        commanded(place)
        async with place.running(clock=clock) as house, talking(house) as client:
            house.gpio.wire({CONTACT: True})
            [alarm] = await client.request("alarms")  # type: ignore[misc]
            assert alarm["clock"] == "unset"
            answer = await ask(client, "set_clock", params={"wall_ns": time.time_ns()})
            assert (answer["status"], answer["result"]["how"]) == ("done", "stepped")
            [alarm] = await client.request("alarms")  # type: ignore[misc]
            assert (alarm["clock"], alarm["at"]["restamped"]) == ("synced", True)
            assert abs(alarm["since_wall_ns"] - time.time_ns()) < 60 * S
            said = await client.request("time")
            assert isinstance(said, dict)
            assert (said["source"], said["clock"], list(said["boots"])) == ("centre", "synced", [f"tb:{said['boot']}"])
            refused = await ask(client, "set_clock", "c2", params={"wall_ns": 0})
            assert (refused["status"], refused["code"]) == ("refused", "clock_out_of_range")
            nitz = {"source": "nitz", "wall_ns": time.time_ns() + 900 * S, "uncertainty_ns": S}
            offered = await client.request("time_offer", at_mono_ns=house.core.now_ns(), **nitz)
            assert isinstance(offered, dict)
            assert (offered["taken"], offered["code"]) == (False, "outranked")
        [told] = [r for r in await place.records() if r["kind"] == "clock"]
        assert (told["fields"]["from"], told["fields"]["to"], told["fields"]["source"]) == ("unset", "synced", "centre")
        assert told["fields"]["boot"] == told["at"]["boot"]


async def test_a_step_of_the_kernels_clock_leaves_a_debounce_and_the_order_of_events_as_they_are() -> None:
    clock = ShiftedClock()
    async with site() as place:
        place.set(contacts=(Contact(id="pump-room", line=CONTACT, on_delay_s=0.4, off_delay_s=0.0),))
        async with place.running(clock=clock) as house:
            began_s = asyncio.get_running_loop().time()
            house.gpio.wire({CONTACT: True})
            clock.shift_ns = -86400 * S
            await house.until(lambda: house.alarms() == ["pump-room"], "it held for its delay")
            assert 0.35 < asyncio.get_running_loop().time() - began_s < PATIENCE_S
            clock.shift_ns = 86400 * S
            house.gpio.wire({CONTACT: False})
        changes = [r for r in await place.records() if r["point"] == "pump-room"]
        monos = [r["at"]["mono_ns"] for r in changes]
        assert [r["active"] for r in changes] == [True, False]
        assert monos == sorted(monos)
        assert changes[1]["at"]["wall_ns"] - changes[0]["at"]["wall_ns"] > 86400 * S, "only the label went"
