"""How far an update has come, in one sealed file beside the slots; and what is asked for, in one file of the services'.

The links say what runs (edge_agent/update/slots.py). This says why, so that whoever starts after a cut can tell it.
"""

import enum
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from edge_agent.sealed import read_sealed, seal, sync, write_whole

DIRECTORY: Final = "update"  # below the slots' root: root's own
FILE, STAGED, OPEN, LOCK = "state.json", "bundle.zip", "open", "lock"
DAMAGED: Final = "damaged.json"  # which slots the last look found damaged
SPOOL: Final = "update"  # below the gateway's data_dir: the services' user may write there
REQUEST, BUNDLE = "request", "bundle"  # in the spool
REQUEST_BYTES_MAX: Final = 4096
UNTOLD_MAX: Final = 16
_FORMAT: Final = 1


class Phase(enum.StrEnum):
    """What the updater is at."""

    IDLE = "idle"
    TAKEN = "taken"  # a request is in hand; nothing has been switched
    TRYING = "trying"  # `slot` runs, and is not good yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for. `without_centre`: a person on site says that it works; only root may ask so, and only root for `back`."""

    id: str
    do: str = "install"  # install | back
    who: str = ""
    dest: str = ""  # the centre that asked, and
    command: str = ""  # by which command
    without_centre: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the updater knows."""

    floor: int = 0
    phase: Phase = Phase.IDLE
    request: Request | None = None
    tries: int = 0
    slot: str = ""
    version: str = ""
    counter: int = 0
    before: str = ""  # the version that runs, or ran before the trial
    boot: str = ""  # of the trial
    up: tuple[str, ...] = ()  # what answered before the switch
    previous: str = ""  # the slot a person may go back to; "" while there is none
    last: Mapping[str, object] | None = None  # how the last one ended
    untold: tuple[Mapping[str, object], ...] = ()  # what the core has not heard yet, oldest first

    def telling(self, fields: Mapping[str, object]) -> "State":
        """With one thing more that the core has to hear."""
        return replace(self, untold=(*self.untold, fields)[-UNTOLD_MAX:])


class Desk:
    """The files of one gateway: `root` is the slots', `spool` the services'."""

    def __init__(self, root: Path, spool: Path) -> None:
        self.directory, self.spool = root / DIRECTORY, spool
        self.staged = self.directory / STAGED

    def read(self) -> State:
        """What was written last; the beginning, if nothing sound was."""
        said = read_sealed(self.directory / FILE)
        try:
            return _state(said) if said is not None else State()
        except (LookupError, ValueError, TypeError, AttributeError):
            return State()

    def write(self, state: State) -> None:
        """Make it durable. Raise OSError."""
        write_whole(self.directory / FILE, seal({"format": _FORMAT, **asdict(state)}), 0o644)

    def damaged(self) -> dict[str, str]:
        """Slot -> the file in it that the last look found damaged."""
        said = (read_sealed(self.directory / DAMAGED) or {}).get("damaged")
        return {str(slot): str(file) for slot, file in said.items()} if isinstance(said, dict) else {}

    def write_damaged(self, found: Mapping[str, str]) -> None:
        """Make it durable. Raise OSError."""
        write_whole(self.directory / DAMAGED, seal({"damaged": dict(found)}), 0o644)

    def request(self) -> Request | None:
        """What is asked for in the spool. One that cannot be read is removed: it would be asked for ever."""
        file = self.spool / REQUEST
        try:
            fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError:  # a link, or no right to it
            file.unlink(missing_ok=True)
            return None
        with os.fdopen(fd, "rb") as stream:
            about = os.fstat(fd)
            data = stream.read(REQUEST_BYTES_MAX) if stat.S_ISREG(about.st_mode) else b""
        try:
            asked = _request(json.loads(data))
        except (LookupError, ValueError, TypeError):
            file.unlink(missing_ok=True)
            return None
        if about.st_uid == 0:
            return asked
        if asked.do != "install":
            file.unlink(missing_ok=True)
            return None
        return replace(asked, without_centre=False)

    def open(self) -> None:
        """Something is in hand: the path unit starts the updater again until `close`. Raise OSError."""
        (self.directory / OPEN).touch()
        sync(self.directory)

    def close(self) -> None:
        """Nothing is. Raise OSError."""
        for file in (self.directory / OPEN, self.staged, self.staged.with_suffix(".new")):
            file.unlink(missing_ok=True)
        sync(self.directory)

    def drop_request(self) -> None:
        """It is in hand, or over. Raise OSError."""
        for name in (REQUEST, BUNDLE):
            (self.spool / name).unlink(missing_ok=True)
        sync(self.spool)


def put_request(spool: Path, request: Request) -> None:
    """Ask, where the updater's path unit looks; the bundle lies beside it already. Raise OSError."""
    write_whole(spool / REQUEST, json.dumps(asdict(request)).encode(), 0o640)


def _state(said: dict[str, Any]) -> State:
    if said.pop("format") != _FORMAT:
        raise ValueError("format")
    said["phase"] = Phase(said["phase"])
    said["request"] = _request(said["request"]) if said["request"] is not None else None
    said["up"], said["untold"] = tuple(map(str, said["up"])), tuple(said["untold"])
    state = State(**said)
    if (
        type(state.floor) is not int
        or type(state.tries) is not int
        or not all(isinstance(o, dict) for o in state.untold)
    ):
        raise TypeError
    return state


def _request(said: Mapping[str, Any]) -> Request:
    """Raise TypeError, ValueError."""
    request = Request(**said)
    for one in fields(Request):
        value = getattr(request, one.name)
        if not isinstance(value, bool if one.name == "without_centre" else str):
            raise TypeError(one.name)
        if isinstance(value, str) and (len(value) > 120 or not value.isprintable()):
            raise ValueError(one.name)
    if request.do not in ("install", "back") or not request.id:
        raise ValueError("do")
    return request
