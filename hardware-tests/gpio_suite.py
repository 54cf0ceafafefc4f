"""What every GPIO back end must do: one suite for the fake, for stand-ins of the libraries, and for a real board.

The file that imports these tests provides the fixture `bench`.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import pytest

from drivers.gpio import Gpio, GpioError, InputSpec

Edge = tuple[int, bool, int]


class Bench(Protocol):
    """A port with one free input and one free output, and a hand that reaches both from outside."""

    gpio: Gpio
    input: int
    output: int
    unused: int

    def drive(self, level: bool) -> None:
        """Put the input at this logical level, as a contact would: True is closed."""

    def seen(self) -> bool:
        """The level at the output's pin."""


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - a condition of another thread or chip has no event
            await asyncio.sleep(0.002)


def opened(bench: Bench, *, out: bool = False) -> list[Edge]:
    edges: list[Edge] = []
    bench.gpio.watch(lambda line, level, at_ns: edges.append((line, level, at_ns)))
    bench.gpio.open(inputs={bench.input: InputSpec()}, outputs={bench.output: out})
    return edges


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(GpioError) as refused:
        action()
    return refused.value.code


@pytest.mark.asyncio
async def test_an_edge_is_told_on_the_loop_with_its_level_and_moment(bench: Bench) -> None:
    bench.drive(False)
    edges = opened(bench)
    assert bench.gpio.read(bench.input) is False
    before_ns = time.monotonic_ns()
    bench.drive(True)
    await until(lambda: len(edges) >= 1)
    bench.drive(False)
    await until(lambda: len(edges) >= 2)
    assert [(line, level) for line, level, _ in edges] == [(bench.input, True), (bench.input, False)]
    assert before_ns <= edges[0][2] <= edges[1][2] <= time.monotonic_ns()


@pytest.mark.asyncio
async def test_a_contact_closed_before_the_start_reads_closed_without_an_edge(bench: Bench) -> None:
    bench.drive(True)
    edges = opened(bench)
    assert bench.gpio.read(bench.input) is True
    assert edges == []


@pytest.mark.asyncio
async def test_each_of_two_watchers_is_told(bench: Bench) -> None:
    bench.drive(False)
    edges, others = opened(bench), list[Edge]()
    bench.gpio.watch(lambda line, level, at_ns: others.append((line, level, at_ns)))
    bench.drive(True)
    await until(lambda: len(edges) == 1 and len(others) == 1)
    assert edges == others


@pytest.mark.asyncio
async def test_an_output_starts_at_its_level_and_follows_every_write(bench: Bench) -> None:
    opened(bench, out=True)
    assert bench.seen() is True
    bench.gpio.write(bench.output, False)
    assert (bench.seen(), bench.gpio.read(bench.output)) == (False, False)
    bench.gpio.write(bench.output, True)
    assert (bench.seen(), bench.gpio.read(bench.output)) == (True, True)


@pytest.mark.asyncio
async def test_a_line_that_was_not_requested_is_refused(bench: Bench) -> None:
    opened(bench)
    assert code_of(lambda: bench.gpio.write(bench.unused, True)) == "not_requested"
    assert code_of(lambda: bench.gpio.read(bench.unused)) == "not_requested"


@pytest.mark.asyncio
async def test_writing_an_input_is_refused(bench: Bench) -> None:
    opened(bench)
    assert code_of(lambda: bench.gpio.write(bench.input, True)) == "direction"


@pytest.mark.asyncio
async def test_one_line_cannot_be_input_and_output(bench: Bench) -> None:
    lines = {bench.input: InputSpec()}
    assert code_of(lambda: bench.gpio.open(inputs=lines, outputs={bench.input: False})) == "direction"


@pytest.mark.asyncio
async def test_opening_twice_is_busy_and_the_first_goes_on(bench: Bench) -> None:
    opened(bench)
    assert code_of(lambda: opened(bench)) == "busy"
    bench.gpio.write(bench.output, True)
    assert bench.seen() is True


@pytest.mark.asyncio
@pytest.mark.parametrize("line", [-1, 4096])
async def test_a_line_the_chip_does_not_have_is_refused_and_nothing_is_held(bench: Bench, line: int) -> None:
    assert code_of(lambda: bench.gpio.open(inputs={line: InputSpec()}, outputs={bench.output: True})) == "bad_line"
    opened(bench)  # so nothing of the refused request is still held


@pytest.mark.asyncio
async def test_a_closed_port_says_so(bench: Bench) -> None:
    opened(bench)
    bench.gpio.close()
    assert code_of(lambda: bench.gpio.read(bench.input)) == "not_open"
    assert code_of(lambda: bench.gpio.write(bench.output, True)) == "not_open"
    bench.gpio.close()  # and closing again is harmless


@pytest.mark.asyncio
async def test_recovering_drives_the_outputs_to_the_last_level_asked_for_and_still_tells_edges(bench: Bench) -> None:
    bench.drive(False)
    edges = opened(bench)
    bench.gpio.close()
    assert code_of(lambda: bench.gpio.write(bench.output, True)) == "not_open"
    bench.gpio.recover()
    assert bench.seen() is True
    edges.clear()
    bench.drive(True)
    await until(lambda: [(line, level) for line, level, _ in edges] == [(bench.input, True)])
