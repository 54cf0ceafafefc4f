"""Centre and uplink share a loop: it does not count the pauses of a busy machine."""

import asyncio
from collections.abc import Callable

import pytest

from tests.waiting import SteadyLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.SelectorEventLoop]]:
    with_core = item.path.name == "test_downlink.py"  # which reads the kernel's clock too
    return {"loop": asyncio.SelectorEventLoop if with_core else SteadyLoop}
