"""A stalled machine is not late on a steady loop, and a wait is still a wait."""

import asyncio
import socket
import time

import pytest

from tests.waiting import SteadyLoop, eventually, until


async def ask_across_a_stall() -> bytes:
    """A question over a real socket to an answer 2 ms away, within 0.1 s; the machine stands still for 0.3 s meanwhile."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()

    async def answer() -> None:
        question = await loop.sock_recv(theirs, 10)
        await asyncio.sleep(0.002)
        await loop.sock_sendall(theirs, question)

    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        answering = asyncio.create_task(answer())
        async with asyncio.timeout(0.1):
            await loop.sock_sendall(ours, b"well?")
            loop.call_soon(time.sleep, 0.3)
            said = await loop.sock_recv(ours, 10)
        await answering
        return said


def test_a_stall_is_not_late_on_a_steady_loop_and_is_on_a_plain_one() -> None:
    with asyncio.Runner(loop_factory=SteadyLoop) as steady:
        assert steady.run(ask_across_a_stall()) == b"well?"
    with pytest.raises(TimeoutError):
        asyncio.run(ask_across_a_stall())


def test_a_wait_on_a_steady_loop_lasts_and_a_silence_is_noticed() -> None:
    async def wait() -> float:
        began_s = asyncio.get_running_loop().time()
        await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time() - began_s

    began_s = time.monotonic()
    with asyncio.Runner(loop_factory=SteadyLoop) as loop:
        took_s = loop.run(wait())
    assert 0.1 <= took_s <= time.monotonic() - began_s


def test_bytes_without_end_do_not_hold_a_timer_back_for_ever() -> None:
    async def flooded() -> int:
        ours, theirs = socket.socketpair()
        turns = 0

        def heard() -> None:
            nonlocal turns
            turns += 1  # and leaves them there: the socket stays readable

        with ours, theirs:
            theirs.send(b"x")
            asyncio.get_running_loop().add_reader(ours, heard)
            await asyncio.sleep(0.02)
            asyncio.get_running_loop().remove_reader(ours)
        return turns

    with asyncio.Runner(loop_factory=SteadyLoop) as loop:
        assert loop.run(flooded()) > 0


def test_what_never_comes_fails_with_its_name() -> None:
    with pytest.raises(AssertionError, match="a miracle"):
        eventually(lambda: False, "a miracle", 0.02)
    with pytest.raises(AssertionError, match="a miracle"):
        asyncio.run(until(lambda: False, "a miracle", 0.02))
