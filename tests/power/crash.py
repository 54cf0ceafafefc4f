"""What a medium may hold after the power went at any point of a log. Pure; harsher than ext4 with data=ordered on an honest card.

- What was written before the last sync of its file is there.
- Each later write is there, is not, or is torn at 512-byte sectors, on its own: so later ones may be there and earlier ones not.
  Where the file grew for a write that is not there, the hole reads as zeros, or as something else.
- Names (create, rename, unlink; mkdir, rmdir, symlink) change in order. Those after the last sync of the directory are there up to
  some point. In the "ext4" world a sync of any file or directory brings all names before it, as ext4's own journal does; in the
  "posix" world only the sync of the directory they are in does. What is in a directory that is not there is not there.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.power.oplog import Directory, Link, Op

SECTOR = 512
Content = bytes | bytearray | Link | Directory
NAMES = frozenset({"create", "rename", "unlink", "mkdir", "rmdir", "symlink"})
HOWS = ("lost", "chance", "kept", "chance", "chance")


def put(buffer: bytearray, offset: int, data: bytes | memoryview) -> None:
    """Write into a file's content; a hole reads as zeros."""
    end = offset + len(data)
    if len(buffer) < end:
        buffer.extend(bytes(end - len(buffer)))
    buffer[offset:end] = data


def resize(buffer: bytearray, size: int) -> None:
    """Truncate a file's content, or lengthen it with zeros."""
    if len(buffer) > size:
        del buffer[size:]
    else:
        buffer.extend(bytes(size - len(buffer)))


def torn(chance: random.Random, offset: int, data: bytes, unit: int) -> Iterator[tuple[int, bytes]]:
    """The sectors of a write that reached the medium."""
    for sector in range(offset // unit, (offset + len(data) - 1) // unit + 1):
        if chance.random() < 0.5:
            first, last = max(offset, sector * unit), min(offset + len(data), (sector + 1) * unit)
            yield first, data[first - offset : last - offset]


def apply(buffer: bytearray, op: Op, chance: random.Random | None, *, unit: int = SECTOR) -> None:
    """Let a write or truncate come to a file whole (`chance` None), or as chance has it."""
    fate = 1.0 if chance is None else chance.random()
    if op.kind == "truncate":
        if fate >= 0.5:
            resize(buffer, op.size)
    elif fate >= 0.5:
        put(buffer, op.offset, op.data)
    elif fate >= 0.25:
        assert chance is not None
        for first, piece in torn(chance, op.offset, op.data, unit):
            put(buffer, first, piece)
    elif fate >= 0.2 and op.offset + len(op.data) > len(buffer):
        assert chance is not None
        put(buffer, len(buffer), chance.randbytes(op.offset + len(op.data) - len(buffer)))


@dataclass(frozen=True, slots=True)
class State:
    """Contents by name after a cut just before operation `cut`; its own, whatever the medium goes on to."""

    cut: int
    how: str  # kept: nothing was lost; lost: all that was not synced; chance
    files: Mapping[str, bytes | Link | Directory]


class Medium:
    """Follows a log operation by operation; gives the states a cut could leave at any point."""

    def __init__(self, world: str = "ext4", files: Mapping[str, Content] | None = None) -> None:
        """`files`: what was there before the log began; its files have the first serials, by name."""
        self._names_with_any_sync = {"ext4": True, "posix": False}[world]
        self._held: dict[int, bytearray | Link | Directory] = {}
        self._names: dict[str, int] = {}
        self._pending: list[Op] = []
        self.cut = 0
        for serial, name in enumerate(sorted(files or {})):
            content = (files or {})[name]
            self._held[serial] = bytearray(content) if isinstance(content, bytes | bytearray) else content
            self._names[name] = serial

    def advance(self, op: Op) -> None:
        """One operation more."""
        self.cut += 1
        any_name = self._names_with_any_sync
        if op.kind == "sync":
            self._settle(lambda o: o.file == op.file and o.kind not in NAMES, lambda o: any_name)
        elif op.kind == "sync_directory":
            self._settle(lambda o: False, lambda o: any_name or o.path.rpartition("/")[0] == op.path)
        elif op.kind != "mark":
            if op.kind in ("symlink", "mkdir"):  # what they hold comes with their name
                self._held[op.file] = Link(op.to) if op.kind == "symlink" else Directory()
            self._pending.append(op)

    def _settle(self, mine: Callable[[Op], bool], names: Callable[[Op], bool]) -> None:
        left = []
        for op in self._pending:
            if op.kind in NAMES:
                if names(op):
                    _rename(self._names, op)
                    continue
            elif mine(op):
                apply(self._bytes(op.file), op, None)
                continue
            left.append(op)
        self._pending = left

    def _bytes(self, file: int) -> bytearray:
        held = self._held.setdefault(file, bytearray())
        assert isinstance(held, bytearray)
        return held

    def state(self, how: str, chance: random.Random) -> State:
        """One possible state of now."""
        names, contents = dict(self._names), {}
        changes = [op for op in self._pending if op.kind in NAMES]
        kept = {"kept": len(changes), "lost": 0, "chance": chance.randint(0, len(changes))}[how]
        for op in changes[:kept]:
            _rename(names, op)
        if how != "lost":
            for op in self._pending:
                if op.kind not in NAMES:
                    if op.file not in contents:
                        contents[op.file] = bytearray(self._bytes(op.file))
                    apply(contents[op.file], op, None if how == "kept" else chance)
        there = {name: contents.get(file, self._held.get(file, b"")) for name, file in names.items()}
        reachable = {name: _frozen(held) for name, held in there.items() if _is_reachable(name, there)}
        return State(self.cut, how, reachable)


def _frozen(held: Content) -> bytes | Link | Directory:
    """A copy: the medium writes on in what it holds."""
    return bytes(held) if isinstance(held, bytearray) else held


def _is_reachable(name: str, there: Mapping[str, Content]) -> bool:
    above = name.rpartition("/")[0]
    return not above or (isinstance(there.get(above), Directory) and _is_reachable(above, there))


def _rename(names: dict[str, int], op: Op) -> None:
    if op.kind in ("create", "mkdir", "symlink"):
        names[op.path] = op.file
    elif op.kind in ("unlink", "rmdir"):
        names.pop(op.path, None)
    else:
        names.pop(op.path, None)
        names[op.to] = op.file


def states(
    ops: Sequence[Op], *, count: int, seed: int, world: str = "ext4", files: Mapping[str, Content] | None = None
) -> Iterator[State]:
    """`count` states spread evenly over the log, in turn all lost, by chance, all kept. State i hangs on (seed, i)."""
    medium, done = Medium(world, files), 0
    for index, op in enumerate(ops, 1):
        medium.advance(op)
        while done < count * index // len(ops):
            yield medium.state(HOWS[done % len(HOWS)], random.Random(f"{seed}/{done}"))
            done += 1
