"""The order in which several workers take the tests: the long ones first, so that none is left to run alone at the end."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def shared_out(tests: Sequence[T], is_long: Callable[[T], bool], workers: int) -> list[T]:
    """xdist's worksteal cuts this list into one piece a worker: each piece begins with its share of the long ones."""
    long, short = [one for one in tests if is_long(one)], [one for one in tests if not is_long(one)]
    ordered: list[T] = []
    for worker in range(workers):
        share = long[worker::workers]
        room = max(0, (len(tests) - len(ordered)) // (workers - worker) - len(share))
        ordered += share + short[:room]
        del short[:room]
    return ordered + short
