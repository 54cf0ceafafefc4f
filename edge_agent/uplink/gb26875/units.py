"""Objects of records as data units, as many in each as one centre takes. Pure.

Neighbours of one type share a unit. A record that needs several is settled by the last of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from drivers.codecs.gb26875 import Dialect, encode_adu, fitting, room_for
from drivers.codecs.gb26875.objects import InformationObject


@dataclass(frozen=True, slots=True)
class Unit:
    """One data unit of a plan. Its confirm settles first..last (nothing if last < first).

    `joined` is how many units before it carry parts of the same record. `record` is the last one it tells of, 0 if none.
    """

    adu: bytes
    first: int
    last: int
    record: int
    joined: int = 0
    single: tuple["Unit", ...] = ()  # the same objects one by one, for a centre that declines them together


@dataclass(slots=True)
class Entry:
    """What one record is on the wire."""

    n: int
    kind: int = 0  # type of the unit
    objects: list[InformationObject] = field(default_factory=list)


class Packer:
    """Packs for one centre. `objects_max` 0: as many objects in a unit as fit."""

    def __init__(self, dialect: Dialect, objects_max: int) -> None:
        self._dialect, self._objects_max = dialect, objects_max

    def pack(self, entries: Sequence[Entry], first: int, last: int) -> list[Unit]:
        """The units of records first..last, each with what its confirm settles."""
        return _merged(self._pack(entries), first, last)

    def _pack(self, entries: Sequence[Entry]) -> Iterator[Unit]:
        """Units in order; one of no bytes stands for records with nothing to send."""
        run: list[Entry] = []
        for entry in entries:
            if run and (
                entry.kind != run[0].kind or sum(len(e.objects) for e in (*run, entry)) > self.room(entry.kind)
            ):
                yield from self._unit(run)
                run = []
            run.append(entry)
        if run:
            yield from self._unit(run)

    def _unit(self, run: Sequence[Entry]) -> Iterator[Unit]:
        kind, objects = run[0].kind, [item for entry in run for item in entry.objects]
        if not objects:
            yield Unit(b"", run[0].n, run[-1].n, 0)
        elif len(objects) <= self.room(kind):
            adu = encode_adu(kind, objects, self._dialect)
            single = tuple(self._single(entry) for entry in run) if len(run) > 1 else ()
            yield Unit(adu, run[0].n, run[-1].n, run[-1].n, single=single)
        else:  # one record that needs several units
            n, room = run[0].n, self.room(kind)
            parts = [objects[start : start + room] for start in range(0, len(objects), room)]
            for index, part in enumerate(parts):
                last, joined = (n, index) if index == len(parts) - 1 else (n - 1, 0)
                yield Unit(encode_adu(kind, part, self._dialect), n, last, n, joined)

    def _single(self, entry: Entry) -> Unit:
        adu = encode_adu(entry.kind, entry.objects, self._dialect) if entry.objects else b""
        return Unit(adu, entry.n, entry.n, entry.n)

    def fit(self, kind: int, objects: Sequence[InformationObject]) -> Sequence[InformationObject]:
        """The first of these objects that one unit has room for; of a type with texts they have no common size."""
        return fitting(kind, objects[: self._objects_max or None], self._dialect)

    def room(self, kind: int) -> int:
        """How many objects one unit of this type may have for this centre."""
        room = max(1, room_for(kind, self._dialect)) if kind else 1 << 30
        return min(room, self._objects_max) if self._objects_max and kind else room


def split(unit: Unit) -> list[Unit]:
    """The same objects in units of their own; empty for a unit that has one record only."""
    return _merged(unit.single, unit.first, unit.last)


def _merged(units: Iterable[Unit], first: int, last: int) -> list[Unit]:
    """The units that have bytes; what lies between and around them is settled with them."""
    kept: list[Unit] = []
    start = first
    for unit in units:
        if unit.adu:
            if unit.last < unit.first:  # part of a record that the last of its units settles
                kept.append(unit)
                continue
            kept.append(replace(unit, first=start))
            start = unit.last + 1
    if kept:
        kept[-1] = replace(kept[-1], last=last)
    return kept
