"""The command `history`: pages that neither miss nor repeat, filters, bounds."""

import asyncio
import json
from pathlib import Path

import pytest

from buffer.records import Priority
from edge_agent.commands import Refusal
from edge_agent.model import Kind
from edge_agent.uplink import history
from edge_agent.uplink.main import open_journal
from edge_agent.uplink.source import Source, SourceError
from tests.uplink.site import event_body, fill_journal

pytestmark = pytest.mark.asyncio


async def pages(source: Source, query: dict[str, object]) -> list[list[dict[str, object]]]:
    """Every page of a query, until there is no more."""
    found: list[list[dict[str, object]]] = []
    while True:
        page = await history.find(source, query, lambda body: body)
        records = page["records"]
        assert isinstance(records, list)
        found.append(records)
        if page["next"] is None:
            return found
        query = {**query, "before": json.loads(json.dumps(page["next"]))}


async def test_pages_together_are_the_whole_journal_newest_first(tmp_path: Path) -> None:
    fill_journal(tmp_path, Priority.ALARM, (event_body(n) for n in range(1, 301)))
    fill_journal(tmp_path, Priority.STATUS, (event_body(1000 + n, Kind.RESET) for n in range(1, 151)))
    source = Source(lambda: open_journal(tmp_path))
    found = await pages(source, {"limit": 40})
    assert all(len(page) <= 40 for page in found)
    names = [(record["stream"], record["n"]) for page in found for record in page]
    assert sorted(names) == sorted([("alarm", n) for n in range(1, 301)] + [("status", n) for n in range(1, 151)])
    for stream in ("alarm", "status"):
        numbers = [n for name, n in names if name == stream]
        assert numbers == sorted(numbers, reverse=True)  # type: ignore[type-var]
    only = [record for page in await pages(source, {"limit": 200, "streams": ["status"]}) for record in page]
    assert {record["kind"] for record in only} == {"reset"}
    assert len(only) == 150
    since = [r for page in await pages(source, {"since_wall_ns": 1_800_000_000_000_000_290}) for r in page]
    assert sorted(r["n"] for r in since if r["stream"] == "alarm") == list(range(290, 301))  # type: ignore[type-var]
    until = {"streams": ["alarm"], "until_wall_ns": 1_800_000_000_000_000_011, "kinds": ["fire"]}
    assert [r["n"] for page in await pages(source, until) for r in page] == list(range(10, 0, -1))
    source.close()


async def test_one_query_looks_at_so_much_and_no_more_and_says_where_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_journal(tmp_path, Priority.ALARM, (event_body(n) for n in range(1, 601)))
    monkeypatch.setattr(history, "LOOKED_AT_MAX", 300)
    monkeypatch.setattr(history, "PAGE_BYTES_MAX", 2000)
    source = Source(lambda: open_journal(tmp_path))
    page = await history.find(source, {"kinds": ["reset"]}, lambda body: body)
    assert page["records"] == []
    assert page["next"] == {"alarm": [json.loads(json.dumps(page["next"]))["alarm"][0], 201]}
    sizes = [sum(len(json.dumps(record)) for record in page) for page in await pages(source, {"limit": 200})]
    assert max(sizes) < 4000
    source.close()


async def test_a_journal_that_cannot_be_read_is_a_refusal_with_its_reason() -> None:
    class Broken(Source):
        async def history(self, *arguments: object) -> list[object]:  # type: ignore[override]
            raise SourceError("OperationalError: disk I/O error")

    source = Broken(lambda: open_journal(Path("/nowhere")))
    with pytest.raises(Refusal, match="journal_unreadable"):
        await history.find(source, {}, lambda body: body)
    source.close()
    await asyncio.sleep(0)
