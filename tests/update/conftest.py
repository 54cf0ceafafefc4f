"""Keys that are made once: nothing in these tests changes one."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.update.maker import Maker
from tests.update.stand import Stand


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(tmp_path_factory.mktemp("update-maker") / "maker")


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    with tempfile.TemporaryDirectory(prefix="zg-update-") as place, Stand(Path(place)) as made:
        made.first()
        monkeypatch.setenv("PATH", made.environ["PATH"])
        yield made
