"""Both ends of a wire share a loop here: it does not count the pauses of a busy machine."""

from collections.abc import Callable

import pytest

from tests.waiting import SteadyLoop


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], SteadyLoop]]:
    return {"steady": SteadyLoop}
