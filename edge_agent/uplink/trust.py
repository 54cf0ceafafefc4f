"""What a centre's certificate is held against: the CA, what that has taken back, and what to do when the list of that is no good.

docs/decisions/0027-revoked-certificates.md: a certificate known as taken back is refused, always. A list that is missing, damaged,
outdated or of another CA is a fault for people and refuses nobody: it must not be what keeps an alarm from the centre.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from edge_agent.config.uplinks import Uplink
from edge_agent.crl import BYTES_MAX, Certificate, Crl, read_certificate, read_crls
from edge_agent.uplink.link import LinkError, Receiver, Session
from edge_agent.uplink.path import in_thread

log = logging.getLogger("edge.uplink")

LOOK_EVERY_S: Final = 60.0  # a list that was exchanged counts for a session that is open, too
REVOKED: Final = 23  # X509_V_ERR_CERT_REVOKED
# X509_V_ERR_*: no list of that CA, a wrong signature, not yet valid, outdated; the rest is damage
_LIST_FAULTS: Final = {3: "crl_wrong_ca", 8: "crl_wrong_ca", 11: "crl_not_yet_valid", 12: "crl_expired"}
_LIST_DAMAGE: Final = frozenset({4, 6, 15, 16, 33, 35, 36, 44, 54})
_DATED: Final = frozenset({"crl_not_yet_valid", "crl_expired"})  # what such a list names is still taken back
_DOUBTS: Final = frozenset({*_LIST_FAULTS.values(), "crl_damaged", "crl_missing"})

S = TypeVar("S", bound=Session)


def explain_verify(code: int) -> str | None:
    """Our code for an X509_V_ERR_* that has to do with lists; None for any other."""
    if code == REVOKED:
        return "cert_revoked"
    return _LIST_FAULTS.get(code, "crl_damaged" if code in _LIST_DAMAGE else None)


@dataclass
class Trust:
    """Of one centre; all connections to it, over whatever path, share it."""

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None
    crl_file: Path | None = None
    revoked: Collection[int] = ()  # serial numbers the configuration itself names
    _told: str = ""
    _watches: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self, attempt: Callable[["Meeting"], Awaitable[S]], receiver: Receiver) -> S:
        """A session that `attempt` opens: with the list, or without it and told to people if it is the list that is wrong.

        Raise whatever `attempt` does.
        """
        meeting = Meeting(self)
        try:
            session = await attempt(meeting)
        except LinkError as fault:
            if fault.reason not in _DOUBTS:
                raise
            meeting = Meeting(self, fault.reason)
            session = await attempt(meeting)
        if meeting.doubt and meeting.doubt != self._told and self.crl_file is not None:
            receiver.noticed(meeting.doubt, file=self.crl_file.name)
        self._told = meeting.doubt
        if self.crl_file is not None:
            watch = asyncio.create_task(self._watch(meeting, session), name="revocations")
            self._watches.add(watch)
            watch.add_done_callback(self._watches.discard)
            session.closed.add_done_callback(lambda _: watch.cancel())
        return session

    async def _watch(self, meeting: "Meeting", session: Session) -> None:
        """End a session whose far end is taken back while it is open. The next attempt gives the verdict, signatures and all."""
        seen: tuple[int, int, int] | None = None  # so that the first look asks: it may have changed since the handshake
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            stamp = await in_thread(self.stamp)
            if stamp != seen and await in_thread(lambda: listed(self.lists(), meeting.peer)):
                session.end(LinkError("cert_revoked", "while connected"))
                return
            seen = stamp

    def stamp(self) -> tuple[int, int, int] | None:
        """Changes when the file of the list does. May block."""
        try:
            found = self.crl_file.stat() if self.crl_file is not None else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino) if found is not None else None

    def lists(self) -> list[Crl]:
        """What the file says now; nothing if it cannot be read. May block."""
        try:
            return read_crls(self._read())
        except (OSError, ValueError) as fault:
            log.warning("crl not read: %s", fault)
            return []

    def context(self, meeting: "Meeting") -> ssl.SSLContext:
        """Verify always, TLS 1.2 at least, only the given CA. All files are read anew, so that new ones count at once. May block.

        Raise OSError, ssl.SSLError; LinkError `crl_missing`, `crl_damaged`.
        """
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert_file is not None:
            context.load_cert_chain(str(self.cert_file), str(self.key_file) if self.key_file is not None else None)
        known: list[Crl] = []
        if self.crl_file is not None and not meeting.doubt:
            self._load_list(context)
        elif meeting.doubt in _DATED:
            known = self.lists()
        _look_at_peer(context, meeting, known, frozenset(self.revoked))
        return context

    def _load_list(self, context: ssl.SSLContext) -> None:
        try:
            read_crls(self._read())
            context.load_verify_locations(str(self.crl_file))
        except (ValueError, ssl.SSLError) as fault:
            raise LinkError("crl_damaged", str(fault)) from fault
        except OSError as fault:
            raise LinkError("crl_missing", str(fault)) from fault
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF

    def _read(self) -> bytes:
        assert self.crl_file is not None
        with self.crl_file.open("rb") as stream:
            data = stream.read(BYTES_MAX + 1)
        if len(data) > BYTES_MAX:
            raise ValueError("a list this long is none of ours")
        return data


def trust_of(uplink: Uplink) -> Trust | None:
    """As configured; None without TLS."""
    if uplink.ca_file is None:
        return None
    revoked = frozenset(int(serial.replace(":", ""), 16) for serial in uplink.revoked)
    return Trust(uplink.ca_file, uplink.cert_file, uplink.key_file, uplink.crl_file, revoked)


@dataclass
class Meeting:
    """One connection: what is known of its far end."""

    trust: Trust
    doubt: str = ""  # what is wrong with the list, so that OpenSSL does not get it
    peer: bytes = b""  # the certificate it showed, in DER

    def context(self) -> ssl.SSLContext:
        """As `Trust.context`."""
        return self.trust.context(self)


def listed(lists: Collection[Crl], der: bytes) -> bool:
    """Whether a certificate is on one of the lists of its own CA."""
    certificate = _certificate(der)
    return certificate is not None and any(one.lists(certificate) for one in lists)


def _certificate(der: bytes) -> Certificate | None:
    try:
        return read_certificate(der)
    except ValueError:  # OpenSSL has verified it
        log.warning("the certificate of the far end cannot be read: it is not held against the list")
        return None


def _look_at_peer(context: ssl.SSLContext, meeting: Meeting, known: Collection[Crl], revoked: Collection[int]) -> None:
    """Have the handshake of a connection note the far end's certificate, and fail where we know by ourselves that it is revoked."""

    def judge(der: bytes | None) -> None:
        meeting.peer = der or b""
        if not known and not revoked:
            return
        certificate = _certificate(meeting.peer)
        if certificate is None or not (certificate.serial in revoked or listed(known, meeting.peer)):
            return
        fault = ssl.SSLCertVerificationError("certificate revoked")
        fault.verify_code, fault.verify_message = REVOKED, "certificate revoked"
        raise fault

    class Socket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            try:
                super().do_handshake(block)
                judge(self.getpeercert(binary_form=True))
            except (
                BaseException
            ):  # whoever wrapped it does not have it yet, and the fault's own frames would keep it open
                self.close()
                raise

    class Object(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            judge(self.getpeercert(binary_form=True))

    context.sslsocket_class, context.sslobject_class = Socket, Object
