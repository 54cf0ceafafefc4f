"""A panel's clock out of what it tells: whole times, times without a date or year, old events, clocks that were set."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from drivers.codecs.registry import PROTOCOLS
from drivers.panel_clock import KEPT, has_time, present, read
from tests.codecs.test_panel_captures import VECTORS, wire

NEAR = datetime(2026, 1, 1, 0, 10, 0)
S = 1_000_000_000


@pytest.mark.parametrize(
    ("fields", "near", "expected"),
    [
        ({"time": "2026-11-26 14:30:15"}, None, datetime(2026, 11, 26, 14, 30, 15)),
        ({"time": "2026-11-26T14:30:15"}, None, datetime(2026, 11, 26, 14, 30, 15)),
        ({"time": "2026-11-26 14:30"}, None, datetime(2026, 11, 26, 14, 30)),
        ({"date": "2010-08-10", "time": "15:21"}, None, datetime(2010, 8, 10, 15, 21)),
        ({"month": 12, "day": 31, "time": "23:59:50"}, NEAR, datetime(2025, 12, 31, 23, 59, 50)),
        ({"month": 1, "day": 1, "time": "00:00:10"}, NEAR, datetime(2026, 1, 1, 0, 0, 10)),
        ({"month": 2, "day": 29, "time": "00:00:10"}, NEAR, datetime(2024, 2, 29, 0, 0, 10)),
        ({"time": "23:58:00"}, NEAR, datetime(2025, 12, 31, 23, 58)),
        ({"time": "00:20:00"}, NEAR, datetime(2026, 1, 1, 0, 20)),
        ({"time": "00:20:00"}, None, None),
        ({"month": 1, "day": 1, "time": "00:20"}, None, None),
        ({"date": "2026-02-31", "time": "00:20"}, NEAR, None),
        ({"time": "25:00"}, NEAR, None),
        ({"time": "later"}, NEAR, None),
        ({"time": None}, NEAR, None),
        ({"event": "fire"}, NEAR, None),
    ],
)
def test_a_time_is_read_as_far_as_the_panel_told_it(
    fields: Mapping[str, object], near: datetime | None, expected: datetime | None
) -> None:
    year_before = NEAR.replace(year=2024) if fields.get("day") == 29 else near
    assert read(fields, year_before) == expected


def test_every_captured_time_of_a_panel_is_read() -> None:
    timed = [fields for vector in VECTORS for fields in PROTOCOLS[vector["protocol"]](wire(vector)) if has_time(fields)]
    assert [fields for fields in timed if read(fields, NEAR) is None] == []
    assert len(timed) > 20


def test_the_clock_runs_on_from_what_was_told_last() -> None:
    told = [(10 * S, {"time": "2026-11-26 12:00:00"})]
    assert present(told, 75 * S, None) == datetime(2026, 11, 26, 12, 1, 5)
    assert present([], 75 * S, None) is None


def test_an_old_event_told_again_sets_no_clock_back_and_a_clock_that_was_set_back_is_believed_in_the_end() -> None:
    told = [(10 * S, {"time": "2026-11-26 12:00:00"}), (20 * S, {"time": "2026-11-25 08:00:00"})]
    assert present(told, 20 * S, None) == datetime(2026, 11, 26, 12, 0, 10)
    back = datetime(2026, 11, 26, 9, 0)
    told = [(n * S, {"time": (back + timedelta(seconds=n)).isoformat(" ")}) for n in range(KEPT)]
    assert present(told, KEPT * S, None) == back + timedelta(seconds=KEPT)


def test_a_time_without_a_date_is_that_of_the_day_it_was_told() -> None:
    midnight = datetime(2026, 11, 27, 0, 0, 30)
    assert present([(0, {"time": "23:59:40"})], 60 * S, midnight) == datetime(2026, 11, 27, 0, 0, 40)
