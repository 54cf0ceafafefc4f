"""A real journal under tmp_path for each test, and waiting for conditions with a deadline."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from buffer.faults import StoreFault
from buffer.journal import Journal, JournalSettings
from tests.waiting import eventually


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


@pytest.fixture
def until() -> Callable[..., None]:
    return eventually
