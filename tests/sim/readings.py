"""Every reading the journal has taken, by its name and a hash, beside what each honest centre has under that name.

A centre that has a reading has that reading (all but the wall time, which may be put right once the clock is). One that it lacks
was declared to it as a gap, and where nothing may leave without its word (a mandatory centre) a gap record says why
(docs/journal.md: "What a loss looks like").
"""

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from buffer.waiting import Ticket
from edge_agent.uplink.intervals import Intervals
from simulators.centre.check import encode

Name = tuple[str, int]  # epoch, n
Print = tuple[int, int]  # of the reading; of its time by the wall, 0 where that was put right

UNHEARD_S = 20.0  # after its name: by then the uplink has looked for it


def print_of(body: Mapping[str, Any]) -> Print:
    """Two records with the same one are the same."""
    at = body.get("at", {})
    rest = {key: value for key, value in body.items() if key != "at"}
    first = zlib.crc32(encode([rest, at.get("boot"), at.get("mono_ns")]).encode())
    return first, 0 if at.get("restamped") else zlib.crc32(encode(at).encode())


def _agree(one: Print, other: Print) -> bool:
    return one[0] == other[0] and (one[1] == other[1] or not one[1] or not other[1])


class _Held:
    """What one centre has of readings, and what it was told it will not get."""

    def __init__(self) -> None:
        self.has: dict[Name, Print] = {}
        self.declared: dict[str, Intervals] = {}  # by the batches
        self.explained: dict[str, Intervals] = {}  # by gap records


END = 1 << 40  # "to the end of that epoch, wherever that was"


class Readings:
    """`fail` is told the invariant and what is wrong. `centres`: the honest ones; of the `mandatory` each needs its gap record."""

    def __init__(
        self,
        fail: Callable[[str, str], None],
        now_s: Callable[[], float],
        counts: Counter[str],
        centres: Iterable[str],
        mandatory: Iterable[str],
    ) -> None:
        self._fail, self._now_s, self._counts = fail, now_s, counts
        self._held = {centre: _Held() for centre in centres}
        self._mandatory = frozenset(mandatory)
        self._nameless: dict[int, Print] = {}  # handed in; a core that died may not have heard that it is kept
        self._kept: dict[Name, Print] = {}
        self._owed: dict[Name, float] = {}  # kept, since when, and not at every centre yet

    def handed(self, body: bytes) -> None:
        """The journal is asked to keep one."""
        found = print_of(json.loads(body))
        self._nameless[found[0]] = found

    def settled(self, ticket: Ticket) -> None:
        """The core hears what became of one."""
        if ticket.name is not None:  # what was refused with an I/O error may be found on the medium all the same
            self._counts["readings kept"] += 1
            self._name((ticket.name.epoch, ticket.name.n), print_of(json.loads(ticket.body)))

    def _name(self, name: Name, found: Print) -> None:
        self._nameless.pop(found[0], None)
        if not _agree(self._kept.setdefault(name, found), found):
            self._fail("I1", f"the name {name} was given to two readings")
        if any(name not in held.has for held in self._held.values()):
            self._owed.setdefault(name, self._now_s())

    def taken(self, centre: str, epoch: str, n: int, body: dict[str, Any]) -> None:
        """A centre has committed a record of the stream."""
        held, name, found = self._held[centre], (epoch, n), print_of(body)
        if not _agree(held.has.setdefault(name, found), found):
            self._fail("I1", f"reading {name} came to {centre} again as another")
        if (gap := body.get("gap")) is not None:
            if "epoch" in gap:
                last = END if gap["to"] is None else gap["to"]
                held.explained.setdefault(gap["epoch"], Intervals()).add(gap["from"], last)
            return
        if name not in self._kept:
            if found[0] not in self._nameless:
                self._fail("I2", f"{centre} has a reading {name} that was never kept: {body}")
                return
            self._name(name, self._nameless[found[0]])
        if not _agree(self._kept[name], found):
            self._fail("I1", f"reading {name} is another at {centre}: {body}")
        self._counts["readings at centre"] += 1
        if all(name in others.has for others in self._held.values()):
            self._owed.pop(name, None)

    def gap(self, centre: str, epoch: str, first: int, last: int) -> None:
        """A batch has declared that these will not come."""
        self._held[centre].declared.setdefault(epoch, Intervals()).add(first, last)

    def check(self) -> None:
        """At rest: each is at every centre, or was given up as it should be."""
        now_s = self._now_s()
        for name, since_s in list(self._owed.items()):
            if now_s - since_s < UNHEARD_S:
                continue
            del self._owed[name]
            for centre, held in self._held.items():
                if name not in held.has:
                    self._counts["readings given up"] += 1
                    self._given_up(name, centre, held)

    def _given_up(self, name: Name, centre: str, held: _Held) -> None:
        epoch, n = name
        if n not in held.declared.get(epoch, ()):
            self._fail("I1", f"reading {name} was kept, is not at {centre}, and was not declared lost")
        elif centre in self._mandatory and n not in held.explained.get(epoch, ()):
            self._fail("I1", f"reading {name} was declared lost to {centre}, and no gap record says why")
