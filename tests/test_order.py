"""Of the order of tests for several workers: each begins with its share of the long ones, and all of them are run once."""

import pytest

from tests.order import shared_out


@pytest.mark.parametrize(
    ("tests", "long", "workers"), [(100, 9, 4), (7, 3, 2), (5, 5, 4), (3, 0, 4), (0, 0, 2), (9, 1, 1)]
)
def test_each_worker_begins_with_its_share_of_the_long_ones(tests: int, long: int, workers: int) -> None:
    ordered = shared_out(range(tests), lambda one: one >= tests - long, workers)
    assert sorted(ordered) == list(range(tests))
    shares, left = [], list(ordered)
    for worker in range(workers):  # as xdist cuts them
        count = len(left) // (workers - worker)
        shares.append([one >= tests - long for one in left[:count]])
        del left[:count]
    counts = [sum(share) for share in shares]
    assert max(counts) - min(counts) <= 1
    assert shares == [sorted(share, reverse=True) for share in shares]
