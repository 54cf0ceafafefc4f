"""When the lamp may go steady."""

from pathlib import Path

import pytest

from edge_agent.uplink.core_link import CoreLink
from edge_agent.uplink.reports import HALF_DELIVERED_MAX, CoreReports

pytestmark = pytest.mark.asyncio


async def _nothing(present: bool) -> None:
    pass


def reports(tmp_path: Path, *mandatory: str) -> tuple[CoreReports, list[str]]:
    core = CoreLink(tmp_path / "none.sock", on_record=lambda *record: None, on_present=_nothing)
    told: list[str] = []
    core.delivered = told.extend  # type: ignore[method-assign, assignment]
    return CoreReports(core, mandatory), told


async def test_a_lamp_waits_for_every_mandatory_centre_and_for_no_other(tmp_path: Path) -> None:
    told_on, told = reports(tmp_path, "county", "province")
    told_on.delivered("operator", ["a"])
    told_on.delivered("county", ["a", "b"])
    told_on.delivered("county", ["a"])
    assert told == []
    told_on.delivered("province", ["b", "a"])
    assert told == ["b", "a"]


async def test_with_one_mandatory_centre_its_word_is_enough(tmp_path: Path) -> None:
    told_on, told = reports(tmp_path, "county")
    told_on.delivered("county", ["a"])
    assert told == ["a"]


async def test_what_only_some_centres_have_is_bounded(tmp_path: Path) -> None:
    told_on, told = reports(tmp_path, "county", "province")
    told_on.delivered("county", [f"e{n}" for n in range(HALF_DELIVERED_MAX + 10)])
    told_on.delivered("province", ["e0", f"e{HALF_DELIVERED_MAX}"])
    assert told == [f"e{HALF_DELIVERED_MAX}"]
