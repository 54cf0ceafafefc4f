"""The TCP master against servers that answer late, wrongly, in pieces, or not at all."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from drivers.codecs.modbus import ReadRequest, tcp_frame
from drivers.modbus_master import Outcome, Result
from drivers.modbus_tcp import TcpLink, TcpMaster
from tests.waiting import steady, until

ASKED = ReadRequest(1, 3, 0, 2)
GOOD = bytes((3, 4, 0, 10, 0, 20))
BAD = bytes((3, 4, 0, 66, 0, 66))
Answer = Callable[["Server", int, int], Awaitable[None]]


class Server:
    """A server under the test's control: `answer(server, transaction, start)` is called for each question."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.port = 0
        self.connections = 0
        self.questions = 0
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    def send(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.connections += 1
        try:
            while True:
                frame = await reader.readexactly(12)
                self.questions += 1
                await self.answer(self, int.from_bytes(frame[:2], "big"), int.from_bytes(frame[8:10], "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class Bench:
    def __init__(self, server: Server, master: TcpMaster) -> None:
        self.server, self.master = server, master
        self.strays: Counter[str] = Counter()
        self.states: list[tuple[bool, str]] = []

    async def ask(self, *, limit_s: float = 1.0, start: int = 0) -> Outcome:
        return await self.master.exchange(ReadRequest(1, 3, start, 2), limit_s=limit_s)


@asynccontextmanager
async def bench(answer: Answer) -> AsyncIterator[Bench]:
    server = Server(answer)
    await server.open()
    master = TcpMaster(TcpLink("127.0.0.1", server.port))
    one = Bench(server, master)
    master.on_stray = lambda what, unit, count: one.strays.update({what: count})
    master.on_state = lambda up, reason, detail, at_ns: one.states.append((up, reason))
    task = asyncio.create_task(master.run())
    try:
        await until(lambda: master.up)
        yield one
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.close()


def run(answer: Answer, body: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        async with bench(answer) as one:
            await body(one)

    steady(main())


def test_an_answer_in_single_bytes_is_credited() -> None:
    async def answer(server: Server, transaction: int, start: int) -> None:
        for byte in tcp_frame(transaction, 1, GOOD):
            server.send(bytes((byte,)))
            await asyncio.sleep(0.001)

    async def body(b: Bench) -> None:
        assert (await b.ask()).values == (10, 20)

    run(answer, body)


def test_a_late_answer_is_counted_and_the_next_question_gets_its_own() -> None:
    async def answer(server: Server, transaction: int, start: int) -> None:
        if start == 0:
            await asyncio.sleep(0.2)
            server.send(tcp_frame(transaction, 1, BAD))
        else:
            server.send(tcp_frame(transaction, 1, GOOD))

    async def body(b: Bench) -> None:
        assert (await b.ask(limit_s=0.05)).result is Result.TIMEOUT
        outcome = await b.ask(start=100)
        assert (outcome.result, outcome.values) == (Result.OK, (10, 20))
        assert b.strays == {"late": 1}

    run(answer, body)


@pytest.mark.parametrize(
    "foreign",
    [
        lambda number: tcp_frame(number + 1, 1, BAD),
        lambda number: tcp_frame(0, 1, BAD),
        lambda number: tcp_frame(number, 2, BAD),
        lambda number: tcp_frame(number, 1, b"\x04" + BAD[1:]),
        lambda number: tcp_frame(number, 1, bytes((3, 2, 0, 66))),
        lambda number: tcp_frame(number, 1, bytes((3, 6, 0, 66, 0, 66, 0, 66))),
        lambda number: tcp_frame(number, 1, bytes((3, 4, 0, 66))),
        lambda number: tcp_frame(number, 1, bytes((0x84, 2))),
    ],
    ids=["number", "number 0", "unit", "function", "fewer", "more", "torn inside", "exception of another function"],
)
def test_a_frame_that_is_not_the_answer_is_skipped_and_the_answer_behind_it_credited(
    foreign: Callable[[int], bytes],
) -> None:
    async def answer(server: Server, transaction: int, start: int) -> None:
        server.send(foreign(transaction) + tcp_frame(transaction, 1, GOOD))

    async def body(b: Bench) -> None:
        outcome = await b.ask()
        assert (outcome.result, outcome.values) == (Result.OK, (10, 20))
        assert b.strays == {"foreign": 1}

    run(answer, body)


@pytest.mark.parametrize("function", [0x83, 0x80])
def test_an_exception_is_a_refusal(function: int) -> None:
    async def answer(server: Server, transaction: int, start: int) -> None:
        server.send(tcp_frame(transaction, 1, bytes((function, 11))))

    async def body(b: Bench) -> None:
        outcome = await b.ask()
        assert (outcome.result, outcome.exception) == (Result.REFUSED, 11)

    run(answer, body)


def test_a_stream_that_is_no_modbus_is_hung_up_and_opened_anew() -> None:
    async def answer(server: Server, transaction: int, start: int) -> None:
        server.send(b"HTTP/1.1 400" if server.connections == 1 else tcp_frame(transaction, 1, GOOD))

    async def body(b: Bench) -> None:
        assert (await b.ask()).result is Result.DOWN
        await until(lambda: b.master.up)
        assert (await b.ask()).values == (10, 20)
        assert b.states == [(True, "opened"), (False, "hang_up"), (True, "opened")]

    run(answer, body)


def test_a_server_that_goes_away_ends_the_question_at_once_and_is_found_again() -> None:
    async def answer(server: Server, transaction: int, start: int) -> None:
        if server.connections == 1:
            server.hang_up()
        else:
            server.send(tcp_frame(transaction, 1, GOOD))

    async def body(b: Bench) -> None:
        assert (await b.ask(limit_s=30)).result is Result.DOWN
        await b.server.close()
        await until(lambda: (False, "no_port") in b.states)
        await b.server.open()
        await until(lambda: b.master.up)
        assert (await b.ask()).values == (10, 20)

    run(answer, body)


def test_transaction_numbers_start_again_after_65535_and_never_use_0() -> None:
    seen: list[int] = []

    async def answer(server: Server, transaction: int, start: int) -> None:
        seen.append(transaction)
        server.send(tcp_frame(transaction, 1, GOOD))

    async def body(b: Bench) -> None:
        b.master._transaction = 65534
        for _ in range(3):
            assert (await b.ask()).values == (10, 20)
        assert seen == [65535, 1, 2]

    run(answer, body)
