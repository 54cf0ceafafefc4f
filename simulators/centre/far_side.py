"""What is wrong with a far side of the centre, its broker or its database: told once when it comes, once when it is over.

Several threads meet each far side (an MQTT session for each lane, a connection for each worker), and all of them see it go.
"""

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from edge_agent.system_words import system_words
from edge_agent.terminal import print_lines, printable
from edge_agent.texts import text
from simulators.centre.store import Database, StoreFault, is_server

log = logging.getLogger("edge.centre")

DETAIL_CHARS: Final = 300
# The worst of what several of them see is what people are told.
RANK: Final = ("away", "denied", "refused")


@dataclass(frozen=True, slots=True)
class Trouble:
    """`state` is what people are told of once; `why` is a text `centre.why_…`; `detail` is what the other program said."""

    state: Literal["away", "denied", "refused"]
    why: str
    detail: str = ""


class FarSide:
    """`tell` is called with what is wrong, or None once nothing is any more, in the thread that noticed."""

    def __init__(self, tell: Callable[[Trouble | None], None]) -> None:
        self._tell = tell
        self._troubles: dict[str, Trouble] = {}
        self._told = ""
        self._lock = threading.Lock()

    def bad(self, who: str, trouble: Trouble) -> None:
        """`who` has trouble. Any thread."""
        with self._lock:
            self._troubles[who] = trouble
            self._look()

    def well(self, who: str) -> None:
        """`who` has none. Any thread."""
        with self._lock:
            if self._troubles.pop(who, None) is not None:
                self._look()

    def has_trouble(self, who: str) -> bool:
        """Whether `who` has."""
        with self._lock:
            return who in self._troubles

    def _look(self) -> None:
        """Tell what is new. Under the lock, so that two threads cannot tell it in the wrong order."""
        worst = max(self._troubles.values(), key=lambda trouble: RANK.index(trouble.state), default=None)
        state = worst.state if worst is not None else ""
        if state != self._told:
            self._told = state
            self._tell(worst)


def logged(name: str) -> FarSide:
    """A far side that nobody watches but the log."""

    def tell(trouble: Trouble | None) -> None:
        if trouble is None:
            log.warning("%s back", name)
        else:
            log.error("%s %s why=%s detail=%s", name, trouble.state, trouble.why, ascii(trouble.detail))

    return FarSide(tell)


def told_to_people(side: Literal["broker", "database"], where: str, lang: str) -> FarSide:
    """A far side whose troubles are words on standard error: which, where, why, what to do."""

    def tell(trouble: Trouble | None) -> None:
        if trouble is None:
            said = text(f"centre.{side}_back", lang, where=where)
        else:
            said = text(f"centre.{side}_{trouble.state}", lang, where=where, why=why_words(trouble, lang))
        with contextlib.suppress(
            OSError
        ):  # nobody reads it: what was noticed in the midst of storing must not end that
            print_lines([said], err=True)

    return FarSide(tell)


def broker_away(fault: BaseException | None) -> Trouble:
    """Why a connection to the broker could not be made."""
    detail = ""
    if isinstance(fault, ssl.SSLCertVerificationError):
        why, detail = "broker_certificate", fault.verify_message
    elif isinstance(fault, ssl.SSLError):
        why, detail = "broker_tls", fault.strerror or str(fault)
    elif isinstance(fault, ConnectionRefusedError):
        why = "broker_shut"
    elif isinstance(fault, socket.gaierror):
        why = "broker_no_name"
    elif isinstance(fault, TimeoutError):
        why = "broker_silent"
    else:
        why, detail = "broker_network", fault.strerror or str(fault) if isinstance(fault, OSError) else str(fault)
    return Trouble("away", why, detail)


# What PostgreSQL and its driver say, and the text that says what it means; the first that fits.
_POSTGRES: Final = (
    ("password authentication failed", "db_login"),
    ("no pg_hba.conf entry", "db_login"),
    ("does not exist", "db_none"),
    ("too many clients", "db_full_house"),
    ("remaining connection slots", "db_full_house"),
    ("fsync = off", "db_fsync"),
    ("has version", "db_newer"),
    ("read-only transaction", "db_standby"),
    ("No space left on device", "db_disk_full"),
    ("could not translate host name", "db_no_name"),
    ("failed to resolve host", "db_no_name"),
    ("timeout expired", "db_silent"),
    ("connection failed", "db_shut"),
    ("connection is bad", "db_shut"),
    ("the connection is lost", "db_lost"),
    ("connection is closed", "db_lost"),
    ("terminating connection", "db_lost"),
    ("server closed the connection", "db_lost"),
    ("consuming input failed", "db_lost"),
)
_SQLITE: Final = (
    ("has version", "db_newer"),
    ("database or disk is full", "file_full"),
    ("database is locked", "file_locked"),
    ("unable to open database file", "file_no_place"),
    ("file is not a database", "file_foreign"),
)


def database_away(fault: StoreFault, db: Database) -> Trouble:
    """Why a database stores nothing."""
    said = " ".join(str(fault).split())
    known, other = (_POSTGRES, "db_other") if is_server(db) else (_SQLITE, "file_other")
    return Trouble("away", next((why for words, why in known if words in said), other), said[:DETAIL_CHARS])


def why_words(trouble: Trouble, lang: str) -> str:
    """Why, and what to do next. What the other program said stands behind it."""
    words = text(f"centre.why_{trouble.why}", lang)
    return f"{words} ({printable(system_words(trouble.detail, lang))})" if trouble.detail else words
