"""The RTU master on real ptys: every way a line can lie, and none of them credited."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from drivers.codecs.modbus import Answer, Frame, ReadRequest, rtu_frame
from drivers.modbus_master import Outcome, Result
from drivers.modbus_rtu import Owed, RtuLink, RtuMaster
from simulators.modbus_slave import Fault, Slave, SlaveLine
from tests.waiting import PATIENCE_S, steady, until

TIMEOUT_S = 0.15
LOW = ReadRequest(1, 3, 0, 4)
HIGH = ReadRequest(1, 3, 100, 4)  # same slave, same function, same length: only the values tell them apart
OTHER = ReadRequest(2, 3, 0, 4)
LOW_WORDS, HIGH_WORDS, OTHER_WORDS = (0, 1, 2, 3), (100, 101, 102, 103), (500, 501, 502, 503)


class Bench:
    """Two slaves on a pty and a master asking them."""

    def __init__(self, line: SlaveLine, master: RtuMaster) -> None:
        self.line, self.master = line, master
        self.strays: Counter[str] = Counter()
        master.on_stray = self._stray

    def _stray(self, what: str, unit: int, count: int) -> None:
        self.strays[what] += count

    async def ask(self, request: ReadRequest) -> Outcome:
        return await self.master.exchange(request, limit_s=TIMEOUT_S)

    async def ask_until_sure(self, request: ReadRequest, *, tries: int = 40) -> list[Outcome]:
        """Ask as a bus would, honouring what the master says, until an answer is credited."""
        outcomes = []
        for _ in range(tries):
            outcomes.append(await self.ask(request))
            if outcomes[-1].result is Result.OK:
                return outcomes
            await asyncio.sleep(outcomes[-1].wait_s)
        raise AssertionError(outcomes)


@asynccontextmanager
async def bench(*, echo: bool = False, baud: int | None = None) -> AsyncIterator[Bench]:
    slaves = [
        Slave(1, holding={n: n for n in range(200)}, fault=Fault(latency_s=0.002)),
        Slave(2, holding={n: 500 + n for n in range(200)}, fault=Fault(latency_s=0.002)),
    ]
    line = SlaveLine(slaves, baud=baud, echo=echo)
    path = line.plug()
    master = RtuMaster(RtuLink(path, baud=115200, timeout_s=TIMEOUT_S, gap_s=0.01))
    task = asyncio.create_task(master.run())
    try:
        await until(lambda: master.up)
        yield Bench(line, master)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        line.unplug()


def run(body: Callable[[Bench], Awaitable[None]], *, echo: bool = False, baud: int | None = None) -> None:
    async def main() -> None:
        async with bench(echo=echo, baud=baud) as one:
            await body(one)

    steady(main())


def test_a_sound_answer_is_credited_with_its_latency() -> None:
    async def body(b: Bench) -> None:
        outcome = await b.ask(LOW)
        assert (outcome.result, outcome.values) == (Result.OK, LOW_WORDS)
        assert 0.002 <= outcome.latency_s < TIMEOUT_S

    run(body)


@pytest.mark.parametrize("garbage", [b"\x00", b"\xff\xff\xfe", b"\x01\x03\x08\x00", bytes(range(40))])
def test_garbage_before_an_answer_is_skipped(garbage: bytes) -> None:
    async def body(b: Bench) -> None:
        b.line.slaves[1].fault = Fault(garbage=garbage)
        for _ in range(3):
            outcome = await b.ask(LOW)
            assert (outcome.result, outcome.values) == (Result.OK, LOW_WORDS)
        assert b.strays["garbage"] >= 2 * len(garbage)

    run(body)


def test_garbage_after_an_answer_does_not_spoil_the_next_one() -> None:
    async def body(b: Bench) -> None:
        b.line.slaves[1].fault = Fault(trailing=b"\x00\xff\x01\x03")
        assert (await b.ask(LOW)).values == LOW_WORDS
        assert (await b.ask(HIGH)).values == HIGH_WORDS

    run(body)


def test_the_echo_of_our_own_question_is_removed_and_counted() -> None:
    async def body(b: Bench) -> None:
        for request, words in ((LOW, LOW_WORDS), (HIGH, HIGH_WORDS), (OTHER, OTHER_WORDS)):
            outcome = await b.ask(request)
            assert (outcome.values, outcome.echoed) == (words, True)
        assert b.strays == {}

    run(body, echo=True)


def test_an_echo_alone_is_no_answer() -> None:
    async def body(b: Bench) -> None:
        b.line.slaves[1].fault = Fault(dead=True)
        assert (await b.ask(LOW)).result is Result.TIMEOUT

    run(body, echo=True)


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (Fault(dead=True), Result.TIMEOUT),
        (Fault(bad_crc=True), Result.CRC),
        (Fault(torn=1), Result.CRC),
        (Fault(torn=6), Result.CRC),
        (Fault(unit=9), Result.FOREIGN),
        (Fault(short=1), Result.FOREIGN),
    ],
    ids=["dead", "crc", "torn by one", "torn by six", "foreign unit", "fewer registers than asked"],
)
def test_a_faulty_answer_is_named_and_the_next_sound_one_credited(fault: Fault, result: Result) -> None:
    async def body(b: Bench) -> None:
        b.line.slaves[1].once.append(fault)
        outcome = await b.ask(LOW)
        assert (outcome.result, outcome.values) == (result, ())
        assert (await b.ask_until_sure(HIGH))[-1].values == HIGH_WORDS

    run(body)


@pytest.mark.parametrize("bare", [False, True], ids=["function 83", "function 80"])
def test_an_exception_is_a_refusal_however_it_is_spelt(bare: bool) -> None:
    async def body(b: Bench) -> None:
        b.line.slaves[1].once.append(Fault(exception=2, bare=bare))
        outcome = await b.ask(LOW)
        assert (outcome.result, outcome.exception, outcome.values) == (Result.REFUSED, 2, ())

    run(body)


def test_a_pause_inside_a_frame_does_not_lose_it() -> None:
    async def body(b: Bench) -> None:
        b.line.slaves[1].fault = Fault(gap_s=0.06)
        assert (await b.ask(LOW)).values == LOW_WORDS

    run(body)


@pytest.mark.parametrize("latency_s", [0.17, 0.2, 0.25, 0.32, 0.4, 0.5, 0.7, 1.1])
def test_a_late_answer_never_answers_the_next_question_to_the_same_slave(latency_s: float) -> None:
    """The bad case: same unit, function and length, so nothing in the frame tells the two apart."""

    async def body(b: Bench) -> None:
        slave = b.line.slaves[1]
        slave.once.append(Fault(latency_s=latency_s))
        assert (await b.ask(LOW)).result is Result.TIMEOUT
        for request, words in ((HIGH, HIGH_WORDS), (LOW, LOW_WORDS), (HIGH, HIGH_WORDS)):
            outcomes = await b.ask_until_sure(request)
            assert outcomes[-1].values == words

    run(body)


@pytest.mark.parametrize("latency_s", [0.17, 0.22, 0.3, 0.45, 0.6])
def test_a_slave_that_is_always_late_is_never_credited_with_the_wrong_register(latency_s: float) -> None:
    async def body(b: Bench) -> None:
        slave = b.line.slaves[1]
        slave.fault = Fault(latency_s=latency_s)
        for turn in range(12):
            request, words = ((LOW, LOW_WORDS), (HIGH, HIGH_WORDS))[turn % 2]
            outcome = await b.ask(request)
            assert outcome.values in ((), words)
            await asyncio.sleep(min(outcome.wait_s, 0.5))
        assert b.strays["late"] > 0
        slave.fault = Fault(latency_s=0.002)  # it recovers, and so do we
        assert (await b.ask_until_sure(HIGH))[-1].values == HIGH_WORDS

    run(body)


@pytest.mark.parametrize("latency_s", [0.17, 0.25, 0.4, 0.7])
def test_late_answers_of_single_registers_are_not_mixed_up_either(latency_s: float) -> None:
    """With one register there is no shorter question to tell the answers apart by."""

    async def body(b: Bench) -> None:
        one, two = ReadRequest(1, 3, 10, 1), ReadRequest(1, 3, 20, 1)
        b.line.slaves[1].once.extend([Fault(latency_s=latency_s)] * 2)
        for request, words in ((one, (10,)), (two, (20,)), (one, (10,)), (two, (20,))):
            for _ in range(30):
                outcome = await b.ask(request)
                assert outcome.values in ((), words)
                await asyncio.sleep(outcome.wait_s)
                if outcome.values:
                    break
            else:
                raise AssertionError("never in step again")

    run(body)


def test_a_late_answer_of_one_slave_is_not_an_answer_of_another() -> None:
    async def body(b: Bench) -> None:
        b.line.slaves[1].once.append(Fault(latency_s=TIMEOUT_S + 0.04))
        b.line.slaves[2].fault = Fault(latency_s=0.08)
        assert (await b.ask(LOW)).result is Result.TIMEOUT
        outcome = await b.ask(OTHER)
        assert (outcome.result, outcome.values) == (Result.OK, OTHER_WORDS)
        assert b.strays["late"] == 1

    run(body)


def test_frames_and_noise_nobody_asked_for_answer_nothing() -> None:
    async def body(b: Bench) -> None:
        b.line.send(rtu_frame(1, bytes((3, 8)) + bytes(8)) * 3 + b"\x55" * 700)
        await until(lambda: b.strays["foreign"] == 3)
        assert (await b.ask(LOW)).values == LOW_WORDS

    run(body)


def test_a_chattering_line_does_not_stop_the_master() -> None:
    async def body(b: Bench) -> None:
        async def chatter() -> None:
            while True:
                b.line.send(b"\xaa")
                await asyncio.sleep(0.004)

        task = asyncio.create_task(chatter())
        async with asyncio.timeout(PATIENCE_S):
            assert (await b.ask(LOW)).result in (Result.CRC, Result.OK)
        task.cancel()
        assert (await b.ask_until_sure(LOW))[-1].values == LOW_WORDS

    run(body)


def test_a_port_that_goes_away_ends_the_question_at_once() -> None:
    async def body(b: Bench) -> None:
        b.line.slaves[1].fault = Fault(dead=True)
        asking = asyncio.create_task(b.master.exchange(LOW, limit_s=30))
        await until(lambda: bool(b.line.slaves[1].asked))
        b.line.unplug()
        assert (await asyncio.wait_for(asking, 25)).result is Result.DOWN
        assert (await b.ask(LOW)).result is Result.DOWN

    run(body)


def test_faults_of_every_kind_in_a_row_credit_only_true_values() -> None:
    async def body(b: Bench) -> None:
        faults = [
            Fault(), Fault(dead=True), Fault(latency_s=0.2), Fault(garbage=b"\x00\x01\x03"), Fault(torn=3), Fault(),
            Fault(bad_crc=True), Fault(unit=2), Fault(exception=4), Fault(exception=1, bare=True), Fault(latency_s=0.35),
            Fault(short=2), Fault(gap_s=0.03), Fault(trailing=b"\x03\x08"), Fault(latency_s=0.16), Fault(latency_s=0.16),
        ]  # fmt: skip
        b.line.slaves[1].once.extend(replace(fault, latency_s=max(fault.latency_s, 0.002)) for fault in faults * 2)
        credited = 0
        for turn in range(60):
            request, words = ((LOW, LOW_WORDS), (HIGH, HIGH_WORDS))[turn % 2]
            outcome = await b.ask(request)
            assert outcome.values in ((), words)
            credited += bool(outcome.values)
            await asyncio.sleep(min(outcome.wait_s, 0.3))
        assert credited > 20

    run(body, echo=True)


class HeldPort:
    """A port without a line: the test is what comes in; pauses are noted and end when it says so."""

    up = True
    write_raises: Exception | None = None

    def __init__(self, path: str, *, baud: int, framing: str) -> None:
        self.written: list[bytes] = []
        self.pauses: list[float] = []
        self.on_bytes: Callable[[bytes, int], None] = lambda data, at_ns: None
        self.on_state: Callable[[bool, str, str, int], None] = lambda up, reason, detail, at_ns: None

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()

    def char_s(self, count: int = 1) -> float:
        return count / 960

    def write(self, data: bytes) -> None:
        if self.write_raises is not None:
            raise self.write_raises
        self.written.append(data)

    def pause(self, until_s: float, over: Callable[[], None]) -> None:
        self.pauses.append(until_s)

    def hear(self, data: bytes) -> float:
        now_s = asyncio.get_running_loop().time()
        self.on_bytes(data, round(now_s * 1e9))
        return now_s


def _held() -> tuple[RtuMaster, HeldPort]:
    master = RtuMaster(RtuLink("held", open_port=HeldPort))  # type: ignore[arg-type]
    port = master._port
    assert isinstance(port, HeldPort)
    port.on_bytes = master._bytes
    return master, port


def test_an_answer_is_left_to_the_kernel_until_it_can_be_whole_and_heard_at_once_when_overdue() -> None:
    async def scenario() -> None:
        master, port = _held()
        asking = asyncio.create_task(master.exchange(LOW, limit_s=PATIENCE_S))
        await until(lambda: bool(port.written))
        answer = rtu_frame(1, bytes((3, 8)) + b"".join(word.to_bytes(2, "big") for word in LOW_WORDS))
        first_s = port.hear(answer[:1])  # an exception would end with the fifth
        assert port.pauses == [pytest.approx(first_s + port.char_s(4))]
        head_s = port.hear(answer[1:5])
        assert port.pauses[1:] == [pytest.approx(head_s + port.char_s(len(answer) - 5))]
        port.hear(answer[5:8])  # the pause is over, and these are all that came
        assert len(port.pauses) == 2
        port.hear(answer[8:])
        outcome = await asking
        assert (outcome.result, outcome.values) == (Result.OK, LOW_WORDS)

    asyncio.run(scenario())


@pytest.mark.parametrize("busy", [False, True])
def test_a_bug_met_while_asking_is_raised_to_who_asked(busy: bool) -> None:
    async def scenario() -> None:
        master, port = _held()
        port.write_raises = RuntimeError("planted")
        if busy:
            port.hear(b"\xff")  # the question waits for silence, and is asked by a timer
        with pytest.raises(RuntimeError, match="planted"):
            async with asyncio.timeout(PATIENCE_S):
                await master.exchange(LOW, limit_s=PATIENCE_S)

    asyncio.run(scenario())


# -- what is owed: pure ------------------------------------------------------------------------------------------------
def test_a_smaller_question_is_chosen_whose_answer_looks_like_none_owed() -> None:
    owed = Owed()
    owed.ask(LOW, 0.0)
    owed.ask(replace(LOW, count=1), 0.2)
    assert owed.confuses(HIGH, 0.4)
    assert owed.narrower(HIGH, 1) == replace(HIGH, count=2)
    assert owed.narrower(HIGH, 2) == replace(HIGH, count=2)
    assert owed.narrower(replace(HIGH, count=1), 1) is None
    assert not owed.confuses(HIGH, 60.0)  # nothing stays on its way for ever


def test_a_credited_answer_settles_all_that_was_asked_before() -> None:
    owed = Owed()
    owed.ask(LOW, 0.0)
    owed.ask(replace(LOW, count=2), 0.2)
    assert owed.credit(Answer((1, 2)), 0.25)
    assert not owed.confuses(LOW, 0.3)


def test_an_answer_that_two_questions_fit_is_credited_to_neither_and_the_slave_is_held() -> None:
    owed = Owed()
    owed.ask(LOW, 0.0)
    owed.ask(HIGH, 1.0)
    assert not owed.credit(Answer((1, 2, 3, 4)), 1.1)
    assert owed.hold_s(1.1) == pytest.approx(1.6)  # 1.5 times the lateness it would have had
    owed.late(Frame(1, bytes((3, 8)) + bytes(8), False))
    assert owed.hold_s(1.2) == 0.0  # the second one came: nothing is owed any more
