"""The fake board's socket, and the simulated wiring that speaks to it."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from drivers.gpio import GpioError, InputSpec
from drivers.gpio.fake import MAX_CLIENTS, MAX_QUEUED_BYTES, FakeGpio
from simulators.board import Board
from tests.waiting import PATIENCE_S

BUZZER, CONTACT = 17, 12
pytestmark = pytest.mark.asyncio


def power_up(path: Path) -> FakeGpio:
    gpio = FakeGpio(path)
    gpio.open(inputs={CONTACT: InputSpec()}, outputs={BUZZER: False})
    return gpio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "board.sock"


@pytest_asyncio.fixture
async def gpio(path: Path) -> AsyncIterator[FakeGpio]:
    gpio = power_up(path)
    yield gpio
    gpio.close()


async def test_another_process_closes_a_contact_and_hears_the_buzzer(gpio: FakeGpio, path: Path) -> None:
    gpio.watch(lambda line, level, at_ns: gpio.write(BUZZER, level))
    async with await Board.connect(path) as board:
        assert board.outputs == {BUZZER: False}
        sent_ns = board.set(CONTACT, 1)
        heard_ns = await board.wait_output(BUZZER, 1, after_ns=sent_ns)
        assert sent_ns <= heard_ns
        board.set(CONTACT, 0)
        await board.wait_output(BUZZER, 0, after_ns=heard_ns + 1)
        assert gpio.read(CONTACT) is False


async def test_waiting_for_a_level_that_is_there_returns_at_once_and_one_that_never_comes_times_out(
    gpio: FakeGpio, path: Path
) -> None:
    async with await Board.connect(path) as board:
        at_ns = await board.wait_output(BUZZER, 0)
        assert at_ns > 0
        with pytest.raises(TimeoutError):
            await board.wait_output(BUZZER, 1, timeout_s=0.05)
        with pytest.raises(TimeoutError):
            await board.wait_output(BUZZER, 0, timeout_s=0.05, after_ns=at_ns + 1)


async def test_a_contact_keeps_its_level_while_the_core_is_down(path: Path) -> None:
    gpio = power_up(path)
    async with await Board.connect(path) as board:
        board.set(CONTACT, 1)
        gpio.write(BUZZER, True)
        await board.wait_output(BUZZER, 1)
        gpio.close()
        again = power_up(path)
        assert again.read(CONTACT) is True  # from the first moment, before the wiring has connected anew
        await board.wait_connected(connection=2)
        assert board.outputs == {BUZZER: False}
        board.set(CONTACT, 0)
        edges = asyncio.Event()
        again.watch(lambda line, level, at_ns: edges.set())
        await asyncio.wait_for(edges.wait(), PATIENCE_S)
        assert again.read(CONTACT) is False
        again.close()


async def test_a_level_set_while_the_core_is_down_is_there_when_it_starts(path: Path) -> None:
    gpio = power_up(path)
    async with await Board.connect(path) as board:
        gpio.close()
        board.set(CONTACT, 1)
        again = power_up(path)
        assert again.read(CONTACT) is True
        again.close()


async def test_a_new_site_starts_with_open_contacts(gpio: FakeGpio, path: Path) -> None:
    async with await Board.connect(path) as board:
        board.set(CONTACT, 1)
    gpio.close()
    again = power_up(path)
    async with await Board.connect(path):
        pass
    again.close()
    third = power_up(path)
    assert third.read(CONTACT) is False
    third.close()


async def test_two_cores_cannot_be_the_same_board(gpio: FakeGpio, path: Path) -> None:
    with pytest.raises(GpioError, match="busy"):
        power_up(path)
    gpio.write(BUZZER, True)  # and the first goes on
    async with await Board.connect(path) as board:
        await board.wait_output(BUZZER, 1)


async def test_the_socket_a_killed_core_left_behind_is_no_obstacle(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    gpio = power_up(path)
    async with await Board.connect(path):
        pass
    gpio.close()
    assert not path.exists()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"hello\n", "not_understood"),
        (b'{"set": {"12": 7}}\n', "not_understood"),
        (b'{"set": [1]}\n', "not_understood"),
        (b'{"set": {"x": 1}}\n', "not_understood"),
        (b"[" * 10_000 + b"\n", "not_understood"),
        (b"\xff\xfe\n", "not_understood"),
        (b'{"set": {"12": 1, "99": 1}}\n', "bad_line"),
    ],
)
async def test_a_line_that_is_not_understood_is_answered_and_changes_nothing(
    gpio: FakeGpio, path: Path, line: bytes, error: str
) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    await reader.readline()
    writer.write(line)
    assert json.loads(await asyncio.wait_for(reader.readline(), PATIENCE_S))["error"] == error
    assert gpio.read(CONTACT) is False
    writer.close()


async def test_a_line_without_end_ends_the_connection(gpio: FakeGpio, path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    await reader.readline()
    writer.write(b"x" * 100_000)
    with contextlib.suppress(ConnectionResetError):  # the rest of it was not read
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    writer.close()


async def test_a_client_that_never_reads_is_dropped_and_the_others_hear_everything(gpio: FakeGpio, path: Path) -> None:
    deaf_reader, deaf = await asyncio.open_unix_connection(path, limit=64)
    await deaf_reader.read(1)  # accepted; its transport stops reading at once
    deaf.transport.pause_reading()
    async with await Board.connect(path) as board:
        changes = 2 * (MAX_QUEUED_BYTES // 40) + 20_000
        for number in range(changes):
            gpio.write(BUZZER, number % 2 == 0)
            if number % 500 == 0:
                await asyncio.sleep(0)  # the other one reads
        gpio.write(BUZZER, True)
        last_ns = await board.wait_output(BUZZER, 1, timeout_s=PATIENCE_S)
        assert last_ns > 0
        assert len(gpio._server._clients) == 1
    deaf.close()


async def test_a_ninth_client_is_turned_away(gpio: FakeGpio, path: Path) -> None:
    held = [await asyncio.open_unix_connection(path) for _ in range(MAX_CLIENTS)]
    for reader, _ in held:
        await asyncio.wait_for(reader.readline(), PATIENCE_S)
    reader, writer = await asyncio.open_unix_connection(path)
    assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    for _, each in [*held, (reader, writer)]:
        each.close()


async def test_only_the_owner_may_play_the_wiring(gpio: FakeGpio, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
