"""EDGE_SMALL_MACHINE=1: gateway, broker, centre and the tests themselves share a ninth of a CPU.

The CPU alone: memory and descriptors of a gateway are limited where it is a process of its own (tests/net, tests/proof).
"""

import os
from collections.abc import Iterator

import pytest

from tests.proof.small_machine import ninth_of_a_cpu, throttled


@pytest.fixture(scope="session", autouse=True)
def _small_machine() -> Iterator[None]:
    if os.environ.get("EDGE_SMALL_MACHINE") != "1":
        yield
        return
    with ninth_of_a_cpu() as group:
        if group is None:
            pytest.skip("this machine has no control group to give")
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
        assert throttled(group) > 0, "the quota was never met: nothing was slowed down"
