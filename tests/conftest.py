"""For every test: hypothesis neither judges speed, which belongs in benchmarks/, nor makes a run differ from the one before.

`pytest --hypothesis-profile=explore` looks at new examples instead of the same ones.
"""

import pytest
from hypothesis import settings

from tests.order import shared_out

settings.register_profile("house", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("house")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Beside other workers (-n), those marked slow come first."""
    if (worker := getattr(config, "workerinput", None)) is not None:
        items[:] = shared_out(items, lambda item: item.get_closest_marker("slow") is not None, worker["workercount"])
