"""A real journal under tmp_path for each test, and waiting for conditions with a deadline."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from buffer.faults import StoreFault
from buffer.journal import Journal, JournalSettings


class MakeJournal(Protocol):
    def __call__(self, directory: Path | None = None, *, boot_id: str = "boot-a", **changes: Any) -> Journal: ...


@pytest.fixture
def faults() -> list[StoreFault]:
    return []


@pytest.fixture
def make_journal(tmp_path: Path, faults: list[StoreFault]) -> Iterator[MakeJournal]:
    """Opens journals in `tmp_path/j` (settings by keyword) and closes them after the test."""
    made: list[Journal] = []
    extra = ("disk", "on_batch", "mono_ns", "wall_ns", "new_epoch")

    def make(directory: Path | None = None, *, boot_id: str = "boot-a", **changes: Any) -> Journal:
        options = {name: changes.pop(name) for name in extra if name in changes}
        settings = JournalSettings(**{"reserve_bytes": 64 * 1024, "telemetry_linger_s": 0.05, **changes})
        journal = Journal.open(directory or tmp_path / "j", settings, faults.append, boot_id=boot_id, **options)
        made.append(journal)
        return journal

    yield make
    for journal in made:
        journal.close()


def until(condition: Callable[[], object], what: str = "", deadline_s: float = 20.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"still not: {what or condition}"
        time.sleep(0.005)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., None]:
    return until
