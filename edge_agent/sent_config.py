"""A configuration a centre sent, and whether it counts. docs/decisions/0025.

It lies in one file beside the journal, written by the core alone: what was sent, the files it was made for, and how far it has
come. It stands in for those files as long as they are what they were; whoever edits them on site has the last word.
"""

import enum
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from edge_agent.config.source import Content
from edge_agent.model import Instant
from edge_agent.sealed import read_sealed, seal, write_whole

FILE: Final = "config.sent"
TRIAL_S: Final = 120.0  # so long the centre that sent it may take to confirm over it
_FORMAT: Final = 1


class State(enum.StrEnum):
    """How far it has come."""

    NEW = "new"  # taken, no core has run on it yet
    TRIAL = "trial"  # a core runs on it for the first time; one that finds this at its start knows that it failed
    KEPT = "kept"  # the centre that sent it confirmed over it
    VOID = "void"  # put aside


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent last, counting or not. `serials` are the highest taken of each destination, so that none is taken twice."""

    path: Path
    site: str
    state: State
    destination: str
    serial: int
    command: str
    signed: str  # as it came, with its signature: each start of a core verifies it again
    signature: str
    base: tuple[Content, ...]  # the files it stands in for
    taken_wall_ns: int
    serials: Mapping[str, int] = field(default_factory=dict)
    why: str = ""  # it is void: not_confirmed, edited, not_signed, not_written

    @property
    def text(self) -> str:
        """The configuration. What was sealed had one."""
        return str(json.loads(self.signed)["config"])

    @property
    def content(self) -> Content:
        """The configuration as a file of its own."""
        return Content(self.path, self.text.encode("utf-8"), self.taken_wall_ns, private=False)

    def counts_for(self, contents: Iterable[Content]) -> bool:
        """Whether it stands in for these files."""
        return self.state is not State.VOID and _bytes(self.base) == _bytes(contents)


def check_of(contents: Iterable[Content]) -> str:
    """A name for a configuration: sixteen hex digits. Whoever sends a new one says by it which one that replaces."""
    crc = adler = 1
    for content in contents:
        part = str(content.file).encode() + b"\0" + len(content.data).to_bytes(4, "big") + content.data
        crc, adler = zlib.crc32(part, crc), zlib.adler32(part, adler)
    return f"{crc:08x}{adler:08x}"


def _bytes(contents: Iterable[Content]) -> dict[Path, bytes]:
    return {content.file: content.data for content in contents}


def content_of(said: Mapping[str, Any]) -> Content:
    """One file out of what was sealed. Raise KeyError, AttributeError or TypeError."""
    return Content(Path(said["file"]), said["text"].encode("utf-8"), said["mtime_ns"], said["private"])


def as_dict(content: Content) -> dict[str, object]:
    """One file to be sealed. What was accepted is UTF-8."""
    text = content.data.decode("utf-8")
    return {"file": str(content.file), "mtime_ns": content.mtime_ns, "private": content.private, "text": text}


def read(home: Path, site: str) -> Sent | None:
    """What lies in `home` of this site; None if there is nothing sound."""
    said = read_sealed(home / FILE)
    try:
        if said is None or said["format"] != _FORMAT or said["site"] != site:
            return None
        assert isinstance(json.loads(said["signed"])["config"], str)
        return Sent(
            home / FILE,
            site,
            State(said["state"]),
            said["destination"],
            said["serial"],
            said["command"],
            said["signed"],
            said["signature"],
            tuple(content_of(one) for one in said["base"]),
            said["taken_wall_ns"],
            {str(name): int(serial) for name, serial in said["serials"].items()},
            str(said["why"]),
        )
    except (LookupError, ValueError, TypeError, AttributeError, AssertionError):
        return None


def write(sent: Sent) -> None:
    """Make it durable. Raise OSError."""
    said: dict[str, object] = {
        "format": _FORMAT,
        "site": sent.site,
        "state": sent.state.value,
        "destination": sent.destination,
        "serial": sent.serial,
        "command": sent.command,
        "taken_wall_ns": sent.taken_wall_ns,
        "serials": dict(sent.serials),
        "why": sent.why,
        "base": [as_dict(one) for one in sent.base],
        "signed": sent.signed,
        "signature": sent.signature,
    }
    write_whole(sent.path, seal(said), 0o600 if any(one.private for one in sent.base) else 0o640)


@dataclass(frozen=True, slots=True)
class Desk:
    """What a core needs to take a configuration in: where it is put, and the files it will stand in for."""

    home: Path
    site: str
    base: tuple[Content, ...]

    def take(self, *, destination: str, command: str, serial: int, signed: str, signature: str, at: Instant) -> None:
        """Keep it for the next start. Raise OSError."""
        before = read(self.home, self.site)
        serials = dict(before.serials if before is not None else {}) | {destination: serial}
        path = self.home / FILE
        new = Sent(
            path,
            self.site,
            State.NEW,
            destination,
            serial,
            command,
            signed,
            signature,
            self.base,
            at.wall_ns,
            serials,
        )
        write(new)


def move(sent: Sent, state: State, why: str = "") -> Sent:
    """Make it go on to a state, durably. Raise OSError."""
    moved = replace(sent, state=state, why=why)
    write(moved)
    return moved
