"""Modem and driver share a loop: it does not count the pauses of a busy machine."""

import asyncio
from collections.abc import Callable

import pytest

from tests.waiting import SteadyLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.SelectorEventLoop]]:
    with_others = item.path.name in ("test_delivery.py", "test_power_pin.py")  # whose clocks are their own
    return {"loop": asyncio.SelectorEventLoop if with_others else SteadyLoop}
