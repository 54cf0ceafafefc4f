"""The link of a destination over several paths: opens sessions on the best one, probes the others, moves, and counts bytes.

Who decides is edge_agent.uplink.choice; this is its hands. docs/links.md has what people see of it.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from buffer.records import Priority
from edge_agent.config import uplinks
from edge_agent.uplink.budget import OTHER
from edge_agent.uplink.choice import Choice, Rule
from edge_agent.uplink.contract import Batch
from edge_agent.uplink.link import Link, LinkError, Receiver, Session
from edge_agent.uplink.noticing import PROBE_NBIOT_S, PROBE_TCP_S, PROBE_WIDE_S, TICK_S
from edge_agent.uplink.path import Path
from edge_agent.uplink.stream import Flight
from edge_agent.uplink.traffic import Traffic

log = logging.getLogger("edge.policy")

PROBE_BYTES: Final = 320  # a TCP handshake and its end
SESSION_BYTES: Final = 6000  # TLS with two certificates, MQTT's greeting
MESSAGE_BYTES: Final = (
    420  # what a message costs beside its payload: TCP/IP, TLS, MQTT, the broker's and the centre's word
)
FRAME_BYTES: Final = 110  # the same of a packed frame: IP, UDP and its ACK; also all of an echo
IDLE_BYTES: Final = 500  # a minute of keep-alive
# Reasons of a path. "unconfirmed" and "no_keepalive" are those of GB/T 26875.3: there the confirms come from the centre itself.
SILENT: Final = frozenset(
    {
        *("half_open", "no_route", "connect_timeout", "no_interface", "no_name", "no_socket"),
        *("unconfirmed", "no_keepalive"),
    }
)
# A centre that is down, or somebody on the way: one who hangs up, or shows a certificate that is not the centre's (a portal that
# wants a log-in, a firewall that looks into TLS, an impostor). Another path may lead past them, so it is tried next.
CUT_SHORT: Final = frozenset(
    {"refused", "lost", "disconnected", "tls", "cert_wrong_ca", "cert_wrong_host", "cert_expired", "cert_revoked"}
)
ORDER: Final = {"ethernet": 10, "wifi": 20, "cellular": 30, "nbiot": 40}

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Way:
    """One path with what a destination does over it."""

    rule: Rule
    path: Path
    link: Link
    probe: Probe


def preference(link: uplinks.Link) -> int:
    """Its rank; lower is preferred."""
    return link.order if link.order is not None else ORDER[link.kind]


def rule_of(link: uplinks.Link) -> Rule:
    """The rule of a [[link]]."""
    probe_s = link.probe_s or (PROBE_NBIOT_S if link.kind == "nbiot" else PROBE_WIDE_S)
    return Rule(id=link.id, probe_s=probe_s, misses=link.misses, hold_s=link.hold_s)


def is_paths_fault(reason: str) -> bool:
    """Whether the way there is to blame, so that another way may do, rather than the centre."""
    return reason in SILENT or reason.startswith("modem_")


async def probe_tcp(path: Path, host: str, port: int) -> bool:
    """Whether the centre's port takes a connection over this path. One that refuses does not count: a router may say so."""
    try:
        async with asyncio.timeout(PROBE_TCP_S):
            sock = await path.tcp(host, port)
    except (OSError, TimeoutError, LinkError):
        return False
    sock.close()
    return True


class PolicyLink:
    """`edge_agent.uplink.link.Link` over several ways, best first. `run` beside it."""

    def __init__(
        self,
        ways: Sequence[Way],
        *,
        rng: random.Random,
        traffic: Traffic,
        tell: Callable[[str, bool], None] = lambda path, up: None,
        moved: Callable[[str | None], None] = lambda path: None,
        media_metered: bool = False,
    ) -> None:
        """`tell` hears of paths that come and go, `moved` which path carries the session. `media_metered`: pictures go over
        paths that are paid by the byte, too.
        """
        self._ways = {way.rule.id: way for way in ways}
        self._loop = asyncio.get_running_loop()
        self.choice = Choice([way.rule for way in ways], rng)
        self._traffic, self._tell, self._moved = traffic, tell, moved
        self._media_metered = media_metered
        self._receiver: Receiver | None = None
        self._session: _PathSession | None = None
        self._ready: tuple[str, Session] | None = None  # opened over a better path, to be taken up by `open`
        self._moving = False
        self._between = False  # a session was lost and another path is there: none is attempted yet
        self._turns = 0
        self._idle_s = 0.0

    def progress(self) -> int:
        """Grows while `run` lives."""
        return self._turns

    async def open(self, receiver: Receiver) -> Session:
        """A session over the best path that gives one. Raise LinkError: the reason of the most preferred that failed."""
        self._receiver, self._between = receiver, False
        ready, self._ready = self._ready, None
        if ready is not None:
            return self._begin(*ready)
        first: LinkError | None = None
        for name in self.choice.candidates(self._loop.time()):
            try:
                return self._begin(name, await self._open(name, receiver))
            except LinkError as fault:
                log.info("path=%s not opened: %s", name, fault)
                first = first or fault
                if not is_paths_fault(fault.reason):
                    break  # the centre, or something close to it, said no: another path would hear the same
        assert first is not None
        raise first

    async def _open(self, name: str, receiver: Receiver) -> Session:
        way = self._ways[name]
        self._traffic.count(name, OTHER, FRAME_BYTES if way.path.packed else SESSION_BYTES)
        try:
            return await way.link.open(receiver)
        except LinkError as fault:
            self._blame(name, fault.reason)
            raise
        except (OSError, TimeoutError) as fault:
            self._miss(name)
            reason = "connect_timeout" if isinstance(fault, TimeoutError) else "no_route"
            raise LinkError(reason, str(fault)) from fault

    def _blame(self, name: str, reason: str) -> None:
        """What a session that did not open says of its path. A modem is not power-cycled because a certificate has expired."""
        if is_paths_fault(reason):
            self._miss(name)
        elif reason in CUT_SHORT:
            self.choice.missed(name, self._loop.time())
            self._tell_changes()
        else:  # the centre spoke, if only to say no
            self._answered(name)

    def _begin(self, name: str, inner: Session) -> "_PathSession":
        self.choice.opened(name, self._loop.time())
        self._ways[name].path.echo_ok()
        self._tell_changes()
        self._moved(name)
        session = self._session = _PathSession(
            name, self._ways[name].path, inner, self._traffic, media_metered=self._media_metered
        )
        inner.closed.add_done_callback(lambda closed: self._inner_closed(session, closed.result()))
        log.info("session over path=%s switches=%d", name, self.choice.switches)
        return session

    def _inner_closed(self, session: "_PathSession", why: LinkError) -> None:
        if self._session is not session:
            return
        if self._moving and why.reason == "taken_over":
            session.lost = why  # the broker closes the old session when the new one greets it
            return
        self._lose(session, why)

    def _lose(self, session: "_PathSession", why: LinkError) -> None:
        now_s = self._loop.time()
        self._session = None
        silent = is_paths_fault(why.reason)
        self.choice.ended(session.path, now_s, silent=silent)
        if silent:
            self._ways[session.path].path.echo_lost()
        self._tell_changes()
        self._moved(None)
        self._between = again = silent and self.choice.elsewhere(session.path, now_s)
        session.over(LinkError(why.reason, why.detail, again=again, spread_s=why.spread_s))

    # --- beside the session -----------------------------------------------------------------------------------------------------

    async def run(self) -> NoReturn:
        """Probe what carries no session, and move the session to a better path that has held. Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._turns += 1
                now_s = self._loop.time()
                for name in self.choice.due(now_s, between=self._between):
                    tasks.create_task(self._probe(name), name=f"probe:{name}")
                better = self.choice.better(now_s)
                if better is not None and self._session is not None and not self._moving:
                    self._moving = True
                    tasks.create_task(self._move(better, self._session), name=f"move:{better}")
                if self._session is not None:
                    self._session.count_beside()
                if self._session is not None and now_s - self._idle_s >= 60.0:
                    self._idle_s = now_s
                    self._ways[self._session.path].path.echo_ok()
                    idle = FRAME_BYTES if self._session.brief else IDLE_BYTES
                    self._traffic.count(self._session.path, OTHER, idle)
                await asyncio.sleep(TICK_S)
        raise AssertionError("unreachable")

    async def _probe(self, name: str) -> None:
        self._traffic.count(name, OTHER, FRAME_BYTES if self._ways[name].path.packed else PROBE_BYTES)
        try:
            answered = await self._ways[name].probe()
        except BaseException:  # cancelled too: `choice` waits for a word, and would never ask this path again
            self._miss(name)
            raise
        if answered:
            self._answered(name)
        else:
            self._miss(name)

    def _answered(self, name: str) -> None:
        self.choice.answered(name, self._loop.time())
        self._ways[name].path.echo_ok()
        self._tell_changes()

    def _miss(self, name: str) -> None:
        self.choice.missed(name, self._loop.time())
        self._ways[name].path.echo_lost()
        self._tell_changes()

    async def _move(self, name: str, session: "_PathSession") -> None:
        """Open over the better path first; only then end the old session. What it has not confirmed is sent again."""
        try:
            if self._receiver is not None:
                opened = await self._open(name, self._receiver)
                if self._session is session:
                    self._session, self._ready = None, (name, opened)
                    self.choice.ended(session.path, self._loop.time(), silent=False)
                    session.over(LinkError("path_changed", f"{session.path} -> {name}", again=True))
                else:
                    await opened.close()
        except LinkError as fault:
            log.info("path=%s not moved to: %s", name, fault)
        finally:
            self._moving = False
            if self._session is session and session.lost is not None:
                self._lose(session, session.lost)

    def _tell_changes(self) -> None:
        for path, up in self.choice.take_changes():
            self._tell(path, up)


class _PathSession:
    """A session that knows its path. It ends when its inner one does, or when a better path has taken over."""

    def __init__(self, path: str, way: Path, inner: Session, traffic: Traffic, *, media_metered: bool) -> None:
        spared = way.metered and not media_metered
        self._spared = frozenset((Priority.MEDIA,)) if spared else frozenset[Priority]()
        self.path, self._inner, self._traffic = path, inner, traffic
        self.max_bytes, self.brief = inner.max_bytes, inner.brief
        self.window, self.waits_s = inner.window, inner.waits_s
        self.sparing = way.metered
        self.closed: asyncio.Future[LinkError] = asyncio.get_running_loop().create_future()
        self.lost: LinkError | None = None
        self._counted = 0

    @property
    def beside_bytes(self) -> int:
        """As the inner session."""
        return self._inner.beside_bytes

    @property
    def withheld(self) -> frozenset[Priority]:
        """What the session does not carry, or its budget does not allow."""
        return self._inner.withheld | self._spared | self._traffic.withheld(self.path)

    def encode(self, batch: Batch) -> Sized:
        """As the inner session."""
        return self._inner.encode(batch)

    def send(self, flight: Flight, payload: Any) -> None:
        """As the inner session, counted."""
        extra = FRAME_BYTES if self.brief else MESSAGE_BYTES
        self._traffic.count(self.path, flight.batch.priority.stream, len(payload) + extra)
        self._inner.send(flight, payload)

    def count_beside(self) -> None:
        """What went over it that is no batch, since the last time."""
        size, self._counted = self.beside_bytes - self._counted, self.beside_bytes
        if size:
            self._traffic.count(self.path, OTHER, size)

    def send_state(self, snapshot: dict[str, object] | None, *, core: bool, alarm_waits: bool) -> bool:
        """As the inner session."""
        return self._inner.send_state(snapshot, core=core, alarm_waits=alarm_waits)

    def end(self, why: LinkError) -> None:
        """The inner session is over; whoever opened it decides what comes next, and then this one is."""
        self._inner.end(why)

    def over(self, why: LinkError) -> None:
        """This one is over."""
        self.count_beside()
        if not self.closed.done():
            self.closed.set_result(why)

    async def close(self) -> None:
        """As the inner session."""
        await self._inner.close()
        self.over(LinkError("closed"))
