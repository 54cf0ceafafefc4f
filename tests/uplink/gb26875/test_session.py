"""The wire to a GB/T 26875.3 centre over real sockets, against the reference centre and everything it can do wrong."""

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from buffer.records import Priority
from drivers.codecs.gb26875 import Command, Dialect, decode_adu
from drivers.codecs.gb26875.objects import DeviceStatus
from edge_agent.config.uplinks import Gb26875Point
from edge_agent.model import Kind
from edge_agent.uplink.gb26875.session import GbSession
from simulators.centre.gb26875 import GbCentre
from simulators.centre.gb_faults import FAULTS, FaultName
from tests.brokers import Certificates
from tests.uplink.gb26875.peer import done, journal_of, scripted
from tests.uplink.gb26875.site import SOURCE, TIMEOUT_S, body, fires, gb_centre, gb_config, gb_uplink, units
from tests.uplink.gb26875.test_plan import CONFIG, reading
from tests.uplink.site import MemoryJournal, running_uplink
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio


async def test_a_connection_begins_with_the_device_then_alarms_and_each_is_confirmed(tmp_path: Path) -> None:
    async with (
        gb_centre() as centre,
        running_uplink(gb_config(tmp_path, gb_uplink(centre.port)), journal_of(3)) as process,
    ):
        await until(done(process))
        first = centre.received[0]
        assert first.unit.type == 21
        assert first.source == SOURCE
        assert fires(centre) == [1, 2, 3]
        assert [one.serial for one in centre.received] == list(range(len(centre.received)))


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "no-swap"])
@pytest.mark.parametrize("times", [1, 3])
async def test_whatever_a_centre_does_wrong_every_alarm_arrives_and_none_is_credited_falsely(
    tmp_path: Path, fault: FaultName, times: int
) -> None:
    """Matrix row N4. Once is mended within the exchange; three times takes all resends."""
    async with gb_centre() as centre:
        centre.faults.slow_s = 1.5 * TIMEOUT_S
        centre.faults.add(fault, times=times, types=frozenset({2}))
        config = gb_config(tmp_path, gb_uplink(centre.port, objects_max=1))
        async with running_uplink(config, journal_of(4)) as process:
            await until(done(process), fault)
            assert centre.faults.struck[fault] == times
            assert sorted(set(fires(centre))) == [1, 2, 3, 4]
            connections = process.destinations[0].counters["connections"]
            assert (connections == 1) == (fault != "reset"), "three resends are enough for all but a reset"
            assert process.destinations[0].counters["confirmed"] == 4


@pytest.mark.parametrize("fault", ["no-confirm", "silent", "wrong-serial", "wrong-checksum", "half", "no-swap"])
async def test_without_a_true_confirm_the_exchange_fails_the_link_says_why_and_nothing_is_lost(
    tmp_path: Path, fault: FaultName
) -> None:
    async with gb_centre() as centre:
        centre.faults.add(fault, types=frozenset({2}))
        config = gb_config(tmp_path, gb_uplink(centre.port, timeout_s=0.2))
        async with running_uplink(config, journal_of(2)) as process:
            destination = process.destinations[0]
            await until(lambda: destination.standing.reason == "unconfirmed", "down")
            assert destination.outbox.pending(Priority.ALARM) == 2
            sent = centre.faults.struck[fault]
            assert sent == 4, "one transmission and three resends"
            frames = [one.frame for one in centre.received if one.unit.type == 2]
            assert len({frame.serial for frame in frames}) <= 1, "a resend keeps its serial number"
            centre.faults.clear()
            await until(done(process))
            assert set(fires(centre)) == {1, 2}
            assert destination.standing.up


async def test_a_centre_that_confirms_to_a_wrong_address_is_believed_only_if_configured(tmp_path: Path) -> None:
    async with gb_centre() as centre:
        centre.faults.add("no-swap")
        config = gb_config(tmp_path, gb_uplink(centre.port, any_address=True))
        async with running_uplink(config, journal_of(2)) as process:
            await until(done(process))
            assert process.destinations[0].counters["connections"] == 1


async def test_a_resend_keeps_the_serial_number_and_renews_the_time_of_the_frame(tmp_path: Path) -> None:
    async with (
        scripted() as (peer, port),
        running_uplink(gb_config(tmp_path, gb_uplink(port, timeout_s=1.1)), MemoryJournal()),
    ):
        first, second = await peer.frame(), await peer.frame()
        assert (first.serial, first.adu, first.command) == (second.serial, second.adu, second.command)
        assert first.sent != second.sent


async def test_a_core_that_is_too_busy_to_say_what_is_so_is_waited_for_and_not_called_absent(tmp_path: Path) -> None:
    """Else what burns is shown to this centre by its records alone, for as long as the connection lasts."""
    burning = {"kind": "fire", "point": "panel1/1-027", "source": "panel1", "state": "active", "name": ""}
    free = asyncio.Event()

    async def busy(do: str, **params: object) -> object:
        await free.wait()
        return {"alarms": [burning], "points": []}.get(do)

    async with gb_centre() as centre, running_uplink(gb_config(tmp_path, gb_uplink(centre.port))) as process:
        process.core.ask_patiently = busy  # type: ignore[method-assign]
        await until(lambda: centre.received, "the connection begins all the same")
        assert not fires(centre)
        free.set()
        await until(lambda: fires(centre) == [27])
        told = units(centre, 21)
        assert told and not any(item.status & 0b100 for item in told), "nobody watches: bit 2"  # type: ignore[attr-defined]


async def test_a_late_confirm_of_the_last_connection_is_not_credited_in_this_one(tmp_path: Path) -> None:
    async with (
        scripted() as (peer, port),
        running_uplink(gb_config(tmp_path, gb_uplink(port, resends=0)), journal_of(1)) as process,
    ):
        hello = await peer.frame()
        peer.answer(hello)
        alarm = await peer.frame()
        assert alarm.adu[0] == 2
        await peer.gone()  # not confirmed: the gateway gives the connection up
        hello = await peer.frame()
        peer.answer(alarm)  # what the last connection waited for
        peer.answer(hello)
        again = await peer.frame()
        assert again.adu == alarm.adu
        assert again.serial != alarm.serial
        assert not done(process)()
        peer.answer(again)
        await until(done(process))


async def test_a_connection_that_is_given_up_is_reset_so_that_nothing_of_it_arrives_later(tmp_path: Path) -> None:
    """What a kernel sends again after a cut would come behind the next connection's frames, and be the newest the centre knows."""
    gone: list[Exception | None] = []

    class Mute(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            gone.append(exc)

    server = await asyncio.get_running_loop().create_server(Mute, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with running_uplink(gb_config(tmp_path, gb_uplink(port, resends=0)), journal_of(1)):
            await until(lambda: gone)
    assert isinstance(gone[0], ConnectionResetError)


async def test_an_alarm_waits_for_no_more_than_the_one_open_exchange(tmp_path: Path) -> None:
    journal = journal_of(60, Kind.FEEDBACK, Priority.STATUS)
    async with (
        scripted() as (peer, port),
        running_uplink(gb_config(tmp_path, gb_uplink(port, objects_max=1, timeout_s=5.0)), journal) as process,
    ):
        peer.answer(await peer.frame())
        open_exchange = await peer.frame()
        journal.append(Priority.ALARM, body(1))
        turns = process.destinations[0].progress()
        process._on_record("e1", Priority.ALARM, 1, body(1))
        await until(lambda: process.destinations[0].progress() > turns, "it has had its turn")
        assert peer.empty(), "one open exchange"
        peer.answer(open_exchange)
        fire = await peer.frame()
        assert decode_adu(fire.adu).objects[0].status & 0b10  # type: ignore[union-attr]


async def test_a_resend_gives_way_to_an_alarm(tmp_path: Path) -> None:
    journal = journal_of(5, Kind.FEEDBACK, Priority.STATUS)
    async with (
        scripted() as (peer, port),
        running_uplink(gb_config(tmp_path, gb_uplink(port, objects_max=1, timeout_s=0.5)), journal) as process,
    ):
        peer.answer(await peer.frame())
        status = await peer.frame()
        process._on_record("e1", Priority.ALARM, 1, body(1))
        fire = await peer.frame()
        assert fire.serial != status.serial, "the status timed out, and the fire went before its resend"
        peer.answer(fire)
        again = await peer.frame()
        assert (again.serial, again.adu) == (status.serial, status.adu)


async def test_a_centre_that_takes_no_two_objects_in_a_frame_gets_them_one_by_one(tmp_path: Path) -> None:
    async with (
        scripted() as (peer, port),
        running_uplink(gb_config(tmp_path, gb_uplink(port)), journal_of(5)) as process,
    ):
        singles = 0
        while not done(process)():
            frame = await peer.frame()
            many = frame.adu[0] == 2 and frame.adu[1] > 1
            singles += frame.adu[0] == 2 and not many
            peer.answer(frame, Command.DENY if many else Command.CONFIRM)
            await until(lambda: done(process)() or not peer.empty())
        assert singles == 5
        assert process.destinations[0].counters["refused"] == 0


async def test_one_record_the_centre_denies_holds_up_nothing(tmp_path: Path) -> None:
    async with (
        scripted() as (peer, port),
        running_uplink(gb_config(tmp_path, gb_uplink(port, objects_max=1)), journal_of(4)) as process,
    ):

        def taken() -> set[int]:
            stream = process.destinations[0].outbox.get("e1", Priority.ALARM)
            return {n for n in range(1, 5) if stream is not None and n in stream.done}

        while len(taken()) < 3:
            frame = await peer.frame()
            is_second = frame.adu[0] == 2 and frame.adu[7:9] == b"\x02\x00"
            peer.answer(frame, Command.DENY if is_second else Command.CONFIRM)
            await until(lambda: len(taken()) == 3 or not peer.empty())
        assert taken() == {1, 3, 4}
        assert process.destinations[0].counters["refused"] == 0


async def test_confirms_in_odd_order_settle_what_they_are_for_and_a_denied_one_goes_again_alone(tmp_path: Path) -> None:
    async with scripted() as (peer, port):
        uplink = gb_uplink(port, objects_max=1, open_exchanges=4, timeout_s=PATIENCE_S)
        async with running_uplink(gb_config(tmp_path, uplink), journal_of(4)) as process:
            sent = await peer.frames(2, 4)
            for place in (2, 0, 3):
                peer.answer(sent[place])
                peer.answer(sent[place])  # said twice, it is nobody's the second time
            peer.answer(sent[1], Command.DENY)
            [again] = await peer.frames(2, 1)
            assert (again.serial, again.adu) == (sent[1].serial, sent[1].adu)
            stream = process.destinations[0].outbox.get("e1", Priority.ALARM)
            assert stream is not None
            assert [n for n in range(1, 5) if n in stream.done] == [1, 3, 4]
            peer.answer(again)
            await until(done(process))
            assert process.destinations[0].counters["connections"] == 1


@pytest.mark.parametrize("order", [(2, 1, 0), (2, 0, 1), (1, 2, 0), (0, 1, 2)])
async def test_a_record_of_several_frames_is_settled_once_all_are_confirmed_in_whatever_order(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    rules = (Gb26875Point(points=("meter1/*",), analogue_type=8, scale=10.0),)
    journal = MemoryJournal()
    journal.append(Priority.TELEMETRY, reading(**{f"x{n}_v": 1.0 for n in range(70)}))
    async with scripted() as (peer, port):
        uplink = gb_uplink(port, open_exchanges=3, timeout_s=PATIENCE_S)
        config = replace(gb_config(tmp_path, uplink), buses=CONFIG.buses, gb26875_points=rules)
        async with running_uplink(config, journal) as process:
            parts = await peer.frames(3, 3)
            assert [len(decode_adu(part.adu).objects) for part in parts] == [31, 31, 8]
            for place in order[:-1]:
                peer.answer(parts[place])
            peer.answer(parts[0]._replace(serial=0x7FFF))
            session = process.destinations[0]._session
            assert isinstance(session, GbSession)
            await until(lambda: session.counters["foreign"] == 1, "all before it are read")
            assert not done(process, Priority.TELEMETRY)(), "one is missing"
            peer.answer(parts[order[-1]])
            await until(done(process, Priority.TELEMETRY))
            assert peer.empty(), "and nothing of it goes again"


@pytest.mark.parametrize("form", ["empty-send-data", "device-status", "one-byte", "command-7"])
async def test_each_keepalive_is_sent_when_nothing_else_is_and_three_misses_end_the_link(
    tmp_path: Path, form: str
) -> None:
    expected = {"empty-send-data": (2, b""), "one-byte": (2, b"\x16"), "command-7": (7, b"")}
    async with (
        scripted() as (peer, port),
        running_uplink(
            gb_config(tmp_path, gb_uplink(port, keepalive=form, keepalive_s=0.3, timeout_s=0.2)), MemoryJournal()
        ) as process,
    ):
        reasons: list[str] = []
        process.core.uplink_state = lambda dest, up, reason, **more: reasons.append(reason)  # type: ignore[method-assign]
        peer.answer(await peer.frame())
        beat = await peer.frame()
        assert expected.get(form, (2, beat.adu)) == (beat.command, beat.adu)
        if form == "device-status":
            assert isinstance(decode_adu(beat.adu).objects[0], DeviceStatus)
        peer.answer(beat, Command.CONFIRM if form != "command-7" else 7)
        destination = process.destinations[0]
        await until(lambda: destination.standing.up, "the centre answers")
        missed = [await peer.frame() for _ in range(3)]
        assert len({frame.serial for frame in missed}) == 1
        await peer.gone()
        await until(lambda: "no_keepalive" in reasons, "it says why")


async def test_a_keepalive_of_the_centres_own_confirms_no_record(tmp_path: Path) -> None:
    """It counts by itself, and its number may be that of a fire that waits for its confirm."""
    async with (
        scripted() as (peer, port),
        running_uplink(
            gb_config(tmp_path, gb_uplink(port, keepalive="command-7", timeout_s=0.5)), journal_of(1)
        ) as process,
    ):
        peer.answer(await peer.frame())
        fire = await peer.frame()
        peer.write(fire.answer(7, fire.sent).encode())
        again = await peer.frame()
        assert (again.serial, again.adu) == (fire.serial, fire.adu), "it goes again"
        assert not done(process)()
        peer.answer(again)
        await until(done(process))


async def test_a_centre_that_reads_none_of_our_answers_is_not_read_either(tmp_path: Path) -> None:
    """What it asks and we answer would else pile up in our memory."""
    async with (
        scripted() as (peer, port),
        running_uplink(gb_config(tmp_path, gb_uplink(port)), MemoryJournal()) as process,
    ):
        hello = await peer.frame()
        peer.answer(hello)
        await until(lambda: process.destinations[0].standing.up)
        session = process.destinations[0]._session
        assert isinstance(session, GbSession)
        assert session._stream is not None
        session._stream.set_write_buffer_limits(0)
        session._stream.write(
            hello._replace(adu=bytes((200, 1)) + bytes(1022)).encode() * 8000
        )  # more than the kernel takes
        assert not session._stream.is_reading()
        await until(lambda: session._stream is not None and session._stream.is_reading(), "it has taken all of it")


async def test_a_bcd_centre_with_other_addresses_and_versions_is_spoken_to_its_way(tmp_path: Path) -> None:
    dialect = Dialect(time="bcd", component_address="point-loop", user_version=3, version=2)
    async with gb_centre(dialect) as centre:
        more = {"time": "bcd", "component_address": "point-loop", "user_version": 3, "version": 2}
        uplink = gb_uplink(centre.port, source="C0A801046D1D", target="FFFFFFFFFFFF", address_style="wire", **more)
        async with running_uplink(gb_config(tmp_path, uplink), journal_of(1)) as process:
            await until(done(process))
        frame = centre.received[-1].frame
        assert (frame.version, frame.user_version, frame.source.hex()) == (2, 3, "c0a801046d1d")
        assert frame.target == b"\xff" * 6
        (item,) = units(centre, 2)
        assert item.address == b"\x01\x00\x01\x00"  # type: ignore[union-attr]
        assert centre.received[-1].unit.problems == ()


async def test_a_frame_with_a_check_error_is_denied_and_a_denial_never_is(tmp_path: Path) -> None:
    async with (
        scripted() as (peer, port),
        running_uplink(gb_config(tmp_path, gb_uplink(port, timeout_s=5.0)), MemoryJournal()),
    ):
        hello = await peer.frame()
        question = hello.answer(Command.REQUEST, hello.sent, bytes((88, 1, 0)))._replace(serial=500)
        raw = bytearray(question.encode())
        raw[-3] ^= 0xFF
        peer.write(bytes(raw))
        denial = await peer.frame()
        assert (denial.command, denial.serial) == (Command.DENY, question.serial)
        peer.write(denial.answer(Command.DENY, hello.sent).encode())
        for command in (Command.CONFIRM, Command.DENY):
            broken = bytearray(hello.answer(command, hello.sent).encode())
            broken[-3] ^= 0xFF
            peer.write(bytes(broken))
        peer.write(question.encode())
        assert (await peer.frame()).command == Command.RESPONSE, "nothing was said in between"


async def test_with_a_ca_the_connection_is_encrypted_and_a_foreign_certificate_refused(tmp_path: Path) -> None:
    ours, theirs = Certificates(tmp_path / "ours"), Certificates(tmp_path / "theirs")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(ours.server_cert), str(ours.server_key))
    centre = GbCentre()
    server = await asyncio.start_server(centre.serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        for certificates, arrives in ((theirs, False), (ours, True)):
            config = gb_config(tmp_path, replace(gb_uplink(port), ca_file=certificates.ca_file))
            async with running_uplink(config, journal_of(1)) as process:
                destination = process.destinations[0]
                await until(done(process) if arrives else lambda: destination.standing.reason == "cert_wrong_ca")  # noqa: B023
            assert bool(fires(centre)) == arrives
    finally:
        server.close()
        await centre.stop()


async def test_a_centre_elsewhere_is_not_spoken_to_in_plain_by_oversight(tmp_path: Path) -> None:
    config = gb_config(tmp_path, replace(gb_uplink(5201), host="192.0.2.1"))
    async with running_uplink(config, journal_of(1)) as process:
        await until(lambda: process.destinations[0].standing.reason == "tls_required")
        assert process.destinations[0].counters["connections"] == 0


async def test_the_reference_centre_is_what_these_tests_think_it_is() -> None:
    """The fault menu has what matrix row N4 names."""
    assert {"no-confirm", "deny", "wrong-serial", "half", "glued", "dripped"} <= set(FAULTS)
    assert GbCentre().faults.strike(2) is None
