"""Every mood of a modem: what the driver makes of it, what it tells, what it never does, and that it comes back."""

import asyncio
import calendar
import json
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from drivers.codecs.at.fields import Reading
from drivers.codecs.at.readings import read
from edge_agent.tasks import end
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.modem.network_time import utc_ns
from edge_agent.uplink.modem.port import AtTimeout
from simulators.modem import ICCID, IMEI, ModemSim
from tests.modem.bench import FAMILIES, Bench, bench, datagram, quick_ladder, trying, udp_echo
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio

RESETS = ("AT+NRB", "AT+CFUN=1,1", "AT+QRST=1", "AT+CFUN=4")


async def expect_echo(on: Bench, port: int, data: bytes = b"ping") -> None:
    sock = await on.modem.udp("127.0.0.1", port)
    await asyncio.get_running_loop().sock_sendall(sock, data)
    assert await datagram(sock) == data
    sock.close()


def reset_of(sim: ModemSim) -> list[str]:
    return [line for line in sim.heard if line in RESETS]


HELD = [
    ("quectel", {"sim": "absent"}, "modem_no_sim"),
    ("sim7600", {"sim": "pin"}, "modem_sim_pin"),
    ("bc26", {"sim": "puk"}, "modem_sim_puk"),
    ("bc95", {"network": "denied"}, "modem_denied"),
    ("quectel", {"network": "emergency"}, "modem_emergency_only"),
    ("sim7020", {"network": "searching"}, "modem_no_network"),
    ("bc95", {"network": "blocked", "attached": False}, "modem_blocked"),
]


@pytest.mark.parametrize(("family", "mood", "reason"), HELD)
async def test_what_a_person_has_to_mend_is_told_once_and_never_answered_with_a_reset(
    family: str, mood: dict[str, str], reason: str, tmp_path: Path
) -> None:
    def set_mood(sim: ModemSim) -> None:
        for name, value in mood.items():
            setattr(sim, name, value)

    async with bench(tmp_path, family, start=set_mood) as on:
        await until(lambda: on.modem.health.reason == reason, reason)
        with pytest.raises(LinkError, match=reason):
            await on.modem.udp("127.0.0.1", 9)
        await until(lambda: on.modem.ladder.steps.get("retry", 0) >= 2, "tried again, slowly")
        assert (reset_of(on.sim), on.power_asked) == ([], 0)
        assert on.reports.count((reason, True)) == 1
        on.sim.sim, on.sim.network = "ready", "home"
        await on.up()
        assert (reason, False) in on.reports


async def test_a_right_pin_opens_the_sim(tmp_path: Path) -> None:
    (tmp_path / "sim.pin").write_text("1234\n")
    async with bench(tmp_path, "quectel", start=locked, pin_file=tmp_path / "sim.pin") as on:
        await on.up()
        assert not (tmp_path / "pin").exists()


async def test_a_wrong_pin_is_tried_once_also_across_restarts_until_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "sim.pin"
    file.write_text("9999")
    for _ in range(4):  # as often as the service is restarted
        async with bench(tmp_path, "quectel", start=locked, pin_file=file) as on:
            await until(lambda: on.modem.health.reason == "modem_pin_wrong", "pin wrong")
            tries = [line for line in on.sim.heard if line.startswith("AT+CPIN=")]
            assert len(tries) <= 1
            total = on.sim.pin_tries
    assert total == 3  # the last simulated SIM was not even asked
    async with bench(tmp_path, "quectel", start=locked, pin_file=file) as on:
        await until(lambda: on.modem.health.reason == "modem_pin_wrong", "pin wrong")
        file.write_text("1234")
        await on.up()


def locked(sim: ModemSim) -> None:
    sim.sim = "pin"


@pytest.mark.parametrize("family", ["bc95", "quectel"])
@pytest.mark.slow
async def test_a_hung_modem_climbs_to_the_power_pin_and_comes_back(family: str, tmp_path: Path) -> None:
    async with bench(tmp_path, family) as on, udp_echo() as (port, _):
        await on.up()
        sock = await on.modem.udp("127.0.0.1", port)
        on.sim.hung = True
        await until(lambda: on.power_asked, "the power pin is asked for")
        assert await datagram(sock) == b""  # the socket ends, it does not wait for ever
        sock.close()
        await on.up()
        assert on.sim.power_cuts >= 1
        assert on.modem.ladder.mended.get("power") == 1
        await expect_echo(on, port)


async def test_without_a_power_pin_the_path_is_given_up_and_tried_again_slowly(tmp_path: Path) -> None:
    ladder = quick_ladder(enabled=frozenset({"reopen", "bearer", "radio", "restart"}))
    async with bench(tmp_path, "bc95", ladder=ladder, start=lambda sim: setattr(sim, "hung", True)) as on:
        await until(lambda: ladder.given_up, "given up")
        assert on.power_asked == 0
        on.sim.hung = False
        await on.up()
        assert not ladder.given_up


async def test_a_port_that_vanishes_with_the_power_and_returns_is_taken_again(tmp_path: Path) -> None:
    async with bench(tmp_path, "quectel", usb=True) as on, udp_echo() as (port, _):
        await on.up()
        await on.sim.power(False)
        await until(lambda: on.modem.health.reason == "modem_no_port", "port gone")
        await on.sim.power(True)
        await on.up()
        assert on.modem.counters()["reopened"] == 1
        await expect_echo(on, port)


async def test_a_lost_echo_climbs_the_ladder_and_an_echo_ends_it(tmp_path: Path) -> None:
    async with bench(tmp_path, "quectel") as on, udp_echo() as (port, _):
        await on.up()
        sock = await on.modem.udp("127.0.0.1", port)
        on.sim.deaf = True  # registered, connected, five bars, no traffic
        async with trying(on.modem):
            assert await datagram(sock) == b""  # rung 1: the uplink opens a new one
            sock.close()
            await until(lambda: "AT+QIDEACT=1" in on.sim.heard, "rung 2")
            await until(lambda: "AT+CFUN=4" in on.sim.heard, "rung 3")
            await until(lambda: "AT+CFUN=1,1" in on.sim.heard, "rung 4")
            await until(lambda: on.power_asked == 1, "rung 5")
        await on.up()
        await expect_echo(on, port)
        on.modem.echo_ok()
        assert on.modem.ladder.reasons == ()
        assert on.modem.ladder.mended == {"power": 1}
        steps = on.modem.ladder.steps
        assert [steps.get(name) for name in ("reopen", "bearer", "radio", "restart", "power")] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_radio_that_somebody_left_off_is_switched_on(family: str, tmp_path: Path) -> None:
    """The ladder's third rung, killed between its two commands, or not heard: without this it would search for ever."""
    async with bench(tmp_path, family, start=lambda sim: setattr(sim, "radio", False)) as on:
        await on.up()
        before = on.modem.counts["radio_found_off"]
        assert before and on.sim.radio
        on.sim.radio = False
        await until(lambda: on.modem.counts["radio_found_off"] > before, "seen")
        await until(lambda: on.sim.radio, "on again")
        await on.up()
        assert on.power_asked == 0


@pytest.mark.parametrize("family", ["bc95", "quectel", "sim7600"])
async def test_noise_and_announcements_inside_answers_cost_nothing(family: str, tmp_path: Path) -> None:
    def stormy(sim: ModemSim) -> None:
        sim.garbage, sim.storm = 0.3, True

    async with bench(tmp_path, family, start=stormy) as on, udp_echo() as (port, _):
        await on.up()
        for n in range(8):
            await expect_echo(on, port, b"%d" % n * 50)
        assert on.modem.counters()["noise"] > 10
        assert on.power_asked == 0


@pytest.mark.parametrize("family", ["bc95", "sim7600"])
async def test_without_announcements_data_is_found_by_looking(family: str, tmp_path: Path) -> None:
    async with bench(tmp_path, family) as on, udp_echo() as (port, _):
        await on.up()
        on.sim.mute = True
        await expect_echo(on, port)


async def test_a_slow_modem_and_a_slow_lossless_network_are_borne(tmp_path: Path) -> None:
    async with bench(tmp_path, "bc95", start=lambda sim: setattr(sim, "slow_s", 0.1)) as on, udp_echo() as (port, _):
        await on.up()
        on.sim.delay_s = 0.5
        await expect_echo(on, port)


async def test_an_answer_that_comes_too_late_is_never_credited_to_the_next_command(tmp_path: Path) -> None:
    async with bench(tmp_path, "quectel") as on:
        await on.up()
        on.sim.slow_s = 1.0
        port = on.modem.port
        for late in ("+CSQ", "+CEREG?", "+CGMM"):
            with pytest.raises(AtTimeout):
                await port.ask(late, timeout_s=0.1)
        on.sim.slow_s = 0.0
        answer = await port.ask("+COPS?")
        assert [line.text for line in answer.lines] == ['+COPS: 0,2,"46000"']


@pytest.mark.parametrize("prompt_s", [0.1, 0.5], ids=["seen", "late"])
async def test_a_prompt_whose_data_has_gone_is_left_and_swallows_no_command(
    prompt_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The uplink lets go of a socket while the modem is asked to take what was sent: it waits for those bytes, and takes any."""
    async with bench(tmp_path, "quectel") as on, udp_echo() as (port, echo):
        await on.up()
        sock = await on.modem.udp("127.0.0.1", port)
        on.sim.slow_s = prompt_s
        with monkeypatch.context() as patch:
            patch.setattr(on.modem.port, "_prompt", lambda: None)  # the sender goes before it has answered
            sending = asyncio.create_task(on.modem.port.ask("+QISEND=0,400", data=b"x" * 400))
            await until(lambda: "AT+QISEND=0,400" in on.sim.heard, "it is asked")
            if prompt_s < 0.5:
                await until(lambda: on.sim._data is not None, "it waits for the data")
            await end(sending)
        on.sim.slow_s = 0.0
        assert (await on.modem.port.ask("+COPS?")).first("COPS?") is not None
        assert (on.modem.port.timeouts, echo.got) == (0, [])
        sock.close()


async def test_an_announcement_nobody_knows_is_not_taken_for_the_modems_name(tmp_path: Path) -> None:
    """Announcements of the start fall into the answer of ATI, whose first line tells later where a late answer ends."""
    known = ["Quectel", "EC20F", "Revision: EC20CEFAGR06A05M4G"]
    for said in ("+QUSIM: 1", "ALL READY"):
        async with (
            bench(tmp_path, "quectel", start=partial(set_identity, [said, *known])) as on,
            udp_echo() as (port, _),
        ):
            await on.up()
            set_identity(known, on.sim)
            on.sim.slow_s = 0.2
            asking = asyncio.create_task(on.modem.port.ask("+QTEMP"))
            await until(lambda: "AT+QTEMP" in on.sim.heard, "it is asked")
            await end(asking)
            on.sim.slow_s = 0.0
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    await on.up()
                    try:
                        await expect_echo(on, port)
                        break
                    except LinkError:  # a name that never comes is waited for, once
                        continue
            assert on.power_asked == 0


def set_identity(lines: list[str], sim: ModemSim) -> None:
    setattr(sim._talk, "identity", tuple(lines))  # noqa: B010 - its class says that it is the class's


async def test_a_modem_that_restarts_by_itself_is_set_up_again(tmp_path: Path) -> None:
    async with bench(tmp_path, "bc95") as on, udp_echo() as (port, _):
        await on.up()
        sock = await on.modem.udp("127.0.0.1", port)
        await on.sim.restart()
        assert await datagram(sock) == b""
        sock.close()
        await until(lambda: on.modem.counts["restarted_itself"] == 1, "seen")
        await on.up()
        await expect_echo(on, port)
        assert list(on.sim.heard).count("AT+CPSMS=0") == 2


async def test_an_attempt_nobody_waited_for_does_not_block_the_next_one(tmp_path: Path) -> None:
    async with bench(tmp_path, "quectel") as on, udp_echo() as (port, _):
        await on.up()
        on.sim.slow_s = 0.3
        opening = asyncio.create_task(on.modem.udp("127.0.0.1", port))
        await until(lambda: any(line.startswith("AT+QIOPEN") for line in on.sim.heard), "it is asked")
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        on.sim.slow_s = 0.0
        await until(lambda: not on.sim.heard[-1].startswith("AT+QIOPEN"), "the answer nobody waits for has come")
        await expect_echo(on, port)


async def test_a_context_of_the_networks_own_may_go(tmp_path: Path) -> None:
    async with bench(tmp_path, "quectel") as on, udp_echo() as (port, _):
        await on.up()
        sock = await on.modem.udp("127.0.0.1", port)
        on.sim.say("+CGEV: NW PDN DEACT 2")
        await asyncio.get_running_loop().sock_sendall(sock, b"not ours")
        assert await datagram(sock) == b"not ours"
        sock.close()


async def test_no_number_of_sim_or_modem_reaches_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with bench(tmp_path, "quectel") as on:
        await on.up()
        await until(lambda: on.modem.seen.iccid, "ICCID read")
        assert on.modem.seen.iccid == ICCID
        assert (ICCID in caplog.text, IMEI in caplog.text) == (False, False)
        assert (ICCID in str(on.modem.snapshot()), IMEI in str(on.modem.snapshot())) == (False, False)


# --- time ---------------------------------------------------------------------------------------------------------------------

NOON_NS = calendar.timegm((2026, 11, 25, 4, 0, 0)) * 10**9  # 12:00 in China
AT_NOON = datetime(2026, 11, 25, 4, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("family", "believed_ns"), [("quectel", None), ("bc95", NOON_NS + 10**11), ("sim7600", NOON_NS + 10**11)]
)
async def test_network_time_is_offered_as_utc(family: str, believed_ns: int | None, tmp_path: Path) -> None:
    def noon(sim: ModemSim) -> None:
        sim.utc = lambda: AT_NOON

    async with bench(tmp_path, family, start=noon, wall_ns=lambda: believed_ns) as on:
        await until(lambda: on.times_ns, "offered")
        assert set(on.times_ns) == {NOON_NS}


async def test_a_modem_without_network_time_offers_nothing_until_it_has_it(tmp_path: Path) -> None:
    async with bench(tmp_path, "quectel", start=lambda sim: setattr(sim, "nitz", False)) as on:
        await until(lambda: list(on.sim.heard).count("AT+QLTS=1") >= 2, "asked twice")
        assert on.times_ns == []
        on.sim.utc, on.sim.nitz = (lambda: AT_NOON), True
        await until(lambda: on.times_ns, "offered")


@pytest.mark.parametrize("told", ['+CCLK: "26/11/25,12:00:00+32"', '+CCLK: "26/11/25,04:00:00+32"'])
async def test_local_or_utc_is_decided_by_what_we_believe_and_by_nothing_else(told: str) -> None:
    reading = read(told)
    assert isinstance(reading, Reading)
    assert utc_ns(reading, None, NOON_NS + 60 * 10**9) == NOON_NS
    assert utc_ns(reading, None, None) is None
    assert utc_ns(reading, None, NOON_NS + 86400 * 10**9) is None  # neither is near: say nothing


# --- the simulator on its own ---------------------------------------------------------------------------------------------------


async def test_the_simulator_on_its_own_takes_its_moods_from_stdin(tmp_path: Path) -> None:
    port = tmp_path / "modem"
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulators.modem",
        "bc95",
        "--link",
        str(port),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdin is not None
    assert program.stdout is not None

    async def said() -> object:
        assert program.stdout is not None
        return json.loads(await asyncio.wait_for(program.stdout.readline(), PATIENCE_S))

    try:
        assert await said() == {"did": "ready", "link": str(port)}
        assert port.is_symlink()
        for line, answer in (("sim absent", {"did": "sim"}), ("sim gone", {"error": "no mood 'sim gone'"})):
            program.stdin.write(line.encode() + b"\n")
            assert await said() == answer
        program.stdin.write(b"quit\n")
        assert await asyncio.wait_for(program.wait(), PATIENCE_S) == 0
        assert not port.is_symlink()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
