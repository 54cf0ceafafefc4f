"""A configuration a centre sent, and whether it counts. docs/decisions/0025.

It lies in one file beside the journal, written by the core alone: what was sent, the files it was made for, and how far it has
come. It stands in for those files as long as they are what they were; whoever edits them on site has the last word.
"""

import enum
import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from edge_agent.config.source import Content
from edge_agent.sealed import read_sealed, seal, write_whole

FILE: Final = "config.sent"
TRIAL_S: Final = 120.0  # so long the centre that sent it may take to confirm over it
OWED_MAX: Final = 8  # outcomes that wait for the journal; each start adds one at most
_FORMAT: Final = 1


class State(enum.StrEnum):
    """How far it has come."""

    NEW = "new"  # taken, no core has run on it yet
    TRIAL = "trial"  # a core runs on it for the first time; one that finds this at its start knows that it failed
    KEPT = "kept"  # the centre that sent it confirmed over it
    VOID = "void"  # put aside


@dataclass(frozen=True, slots=True)
class Letter:
    """One configuration as it came."""

    destination: str
    serial: int
    command: str  # the id of the command that brought it
    signed: str
    signature: str  # each start of a core verifies it again
    taken_wall_ns: int

    @property
    def text(self) -> str:
        """The configuration."""
        return str(json.loads(self.signed)["config"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one configuration, for the centre that sent it. `status` and `code` as docs/contract.md has them."""

    destination: str
    serial: int
    command: str
    status: str
    code: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent last, counting or not."""

    path: Path
    site: str
    state: State
    letter: Letter
    base: tuple[Content, ...]  # the files it stands in for
    serials: Mapping[str, int]  # the highest taken of each destination, so that none is taken twice
    previous: Letter | None = None  # what stood in for the same files before it was tried, and does again if that fails
    why: str = ""  # it is void: not_confirmed, edited, not_signed, not_written
    # written down here in the same instant as what they speak of, until the journal has them: a kill loses none
    owed: tuple[Outcome, ...] = ()

    @property
    def content(self) -> Content:
        """The configuration as a file of its own."""
        return Content(self.path, self.letter.text.encode("utf-8"), self.letter.taken_wall_ns, private=False)

    def counts_for(self, contents: Iterable[Content]) -> bool:
        """Whether it stands in for these files."""
        return self.state is not State.VOID and _bytes(self.base) == _bytes(contents)

    def owing(self, status: str, code: str) -> "Sent":
        """With one more outcome to tell: that of this letter."""
        letter = self.letter
        outcome = Outcome(letter.destination, letter.serial, letter.command, status, code)
        return replace(self, owed=(*self.owed, outcome)[-OWED_MAX:])

    def without(self, why: str) -> "Sent":
        """This one put aside: what stood in for the files before it does again, if there was anything."""
        if self.previous is None:
            return replace(self, state=State.VOID, why=why)
        return replace(self, state=State.KEPT, letter=self.previous, previous=None)


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
        return Sent(
            home / FILE,
            site,
            State(said["state"]),
            _letter(said["letter"]),
            tuple(content_of(one) for one in said["base"]),
            {str(name): int(serial) for name, serial in said["serials"].items()},
            _letter(said["previous"]) if said["previous"] is not None else None,
            str(said["why"]),
            tuple(Outcome(**one) for one in said.get("owed", [])),
        )
    except (LookupError, ValueError, TypeError, AttributeError):
        return None


def _letter(said: Mapping[str, Any]) -> Letter:
    letter = Letter(**said)
    if not isinstance(json.loads(letter.signed)["config"], str):
        raise TypeError("config")
    return letter


def write(sent: Sent) -> None:
    """Make it durable. Raise OSError."""
    said: dict[str, object] = {
        "format": _FORMAT,
        "site": sent.site,
        "state": sent.state.value,
        "why": sent.why,
        "serials": dict(sent.serials),
        "base": [as_dict(one) for one in sent.base],
        "letter": asdict(sent.letter),
        "previous": asdict(sent.previous) if sent.previous is not None else None,
        "owed": [asdict(one) for one in sent.owed],
    }
    write_whole(sent.path, seal(said), 0o600 if any(one.private for one in sent.base) else 0o640)


@dataclass(frozen=True, slots=True)
class Desk:
    """What a core needs to take a configuration in: where it is put, and the files it will stand in for."""

    home: Path
    site: str
    base: tuple[Content, ...]

    def take(self, letter: Letter) -> None:
        """Keep it for the next start. Raise OSError."""
        before, previous, serials = read(self.home, self.site), None, dict[str, int]()
        owed: tuple[Outcome, ...] = ()
        if before is not None:
            serials |= before.serials
            owed = before.owed
            previous = before.letter if before.state is State.KEPT and before.counts_for(self.base) else None
        serials[letter.destination] = letter.serial
        write(Sent(self.home / FILE, self.site, State.NEW, letter, self.base, serials, previous, owed=owed))


def move(sent: Sent, state: State) -> Sent:
    """Make it go on to a state, durably. Raise OSError."""
    moved = replace(sent, state=state)
    write(moved)
    return moved


def forget(sent: Sent, told: Collection[Outcome]) -> None:
    """The journal has these outcomes: take them off what lies there now. Raise OSError."""
    now = read(sent.path.parent, sent.site)
    if now is not None and any(one in told for one in now.owed):
        write(replace(now, owed=tuple(one for one in now.owed if one not in told)))
