"""Ending a task neither loses its fault nor the cancellation of whoever ends it."""

import asyncio

import pytest

from edge_agent.tasks import end

pytestmark = pytest.mark.asyncio


async def slow_to_end(cancelled: asyncio.Event, may_end: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        cancelled.set()
        await may_end.wait()


async def test_it_waits_for_the_end() -> None:
    cancelled, may_end = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(slow_to_end(cancelled, may_end))
    await asyncio.sleep(0)
    ending = asyncio.create_task(end(task))
    await cancelled.wait()
    assert not ending.done()
    may_end.set()
    await ending
    assert task.cancelled()


async def test_a_cancellation_of_the_caller_meanwhile_is_the_callers() -> None:
    cancelled = asyncio.Event()
    task = asyncio.create_task(slow_to_end(cancelled, asyncio.Event()))
    await asyncio.sleep(0)
    ran_on = False

    async def caller() -> None:
        nonlocal ran_on
        await end(task)
        ran_on = True

    calling = asyncio.create_task(caller())
    await cancelled.wait()
    calling.cancel()
    task.cancel()  # both end in the same turn of the loop
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert not ran_on
    assert task.done()


async def test_what_it_failed_with_is_raised_unless_forgiven() -> None:
    async def fails() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        task = asyncio.create_task(fails())
        await asyncio.sleep(0)
        await end(task)
    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await end(task, forgive=(OSError,))
    assert isinstance(task.exception(), ConnectionError)
