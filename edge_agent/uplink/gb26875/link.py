"""Opens connections to one GB/T 26875.3-2011 centre: a TCP client, in TLS where the configuration names a CA, or UDP."""

import asyncio
import contextlib
import copy
import socket
import struct
from functools import partial
from typing import Any, Final

from drivers.codecs.gb26875 import Command, Dialect, Frame, FrameReader, device_address
from edge_agent.clock import TimeSource
from edge_agent.config.model import Config
from edge_agent.config.uplinks import Gb26875, Uplink
from edge_agent.uplink.contract import STREAMS
from edge_agent.uplink.gb26875.datagrams import Datagrams
from edge_agent.uplink.gb26875.downlink import Downlink
from edge_agent.uplink.gb26875.plan import Writer
from edge_agent.uplink.gb26875.session import GbSession
from edge_agent.uplink.gb26875.shared import GbSettings, Shared, frame_of, keepalive_of
from edge_agent.uplink.gb26875.survey import places_of
from edge_agent.uplink.link import LinkError, Receiver, Session
from edge_agent.uplink.path import Dial, in_thread
from edge_agent.uplink.tls import explain, is_this_machine
from edge_agent.uplink.trust import Meeting, trust_of

OPEN_S: Final = 40.0
TLS_S: Final = 10.0
NO_LINGER: Final = struct.pack("ii", 1, 0)
PROBE_TRANSMISSIONS: Final = 2
DATAGRAM_BYTES_MAX: Final = 2048


class GbLink:
    """`edge_agent.uplink.paths.WideLink`. Serial numbers, what the centre was shown and what it asked outlive a connection."""

    def __init__(self, config: Config, uplink: Uplink, clock: TimeSource, dial: Dial) -> None:
        """`dial` gives a connected socket (edge_agent.uplink.path)."""
        agreed = uplink.gb26875
        assert agreed is not None, "the configuration was checked"
        self._uplink, self._dial, self._datagrams = uplink, dial, agreed.transport == "udp"
        self._trust = trust_of(uplink)
        style: Any = agreed.address_style
        settings = GbSettings(
            source=device_address(agreed.source, style),
            target=device_address(agreed.target, style),
            any_address=agreed.any_address,
            timeout_s=agreed.timeout_s,
            resends=agreed.resends,
            open_exchanges=agreed.open_exchanges,
        )
        self._noticing = _Noticing()
        places, _ = places_of(config, residual_current_type=agreed.residual_current_type)
        writer = Writer(
            places,
            dialect_of(agreed),
            objects_max=agreed.objects_max,
            now=clock.now,
            notice=self._noticing,
            centre=uplink.id,
            takes=[priority for priority in STREAMS if uplink.takes(priority.stream)],
        )
        self._shared = Shared(settings, writer, clock, Downlink(config, clock, uplink.commands))

    def over(self, dial: Dial) -> "GbLink":
        """The same link by another way: a question that comes again over it is known, and so is what the centre was shown."""
        other = copy.copy(self)
        other._dial = dial
        return other

    async def open(self, receiver: Receiver) -> Session:
        """Connect. Raise LinkError. That the far end is the centre shows when it confirms the first frame."""
        self._noticing.receiver = receiver
        uplink = self._uplink
        if uplink.ca_file is None and not uplink.plain and not is_this_machine(uplink.host):
            raise LinkError("tls_required")
        if self._trust is None:
            return await self._open(receiver, None)
        return await self._trust.open(partial(self._open, receiver), receiver)

    async def _open(self, receiver: Receiver, meeting: Meeting | None) -> Session:
        session = GbSession(self._shared, receiver)
        try:
            async with asyncio.timeout(OPEN_S):
                await self._connect(session, meeting)
        except TimeoutError:
            await session.close()
            raise LinkError("connect_timeout") from None
        except asyncio.CancelledError:
            await session.close()
            raise
        except Exception as fault:  # sockets, TLS, files, names: each has its words
            await session.close()
            raise explain(fault) from fault
        return session

    async def _connect(self, session: GbSession, meeting: Meeting | None) -> None:
        uplink, loop = self._uplink, asyncio.get_running_loop()
        context = await in_thread(meeting.context) if meeting is not None else None
        wire = await self._dial(uplink.host, uplink.port)
        if self._datagrams:
            await loop.create_datagram_endpoint(lambda: Datagrams(session), sock=wire)
            return
        # Closed is reset: what the kernel still holds must not arrive behind the next connection's frames, where a status of
        # minutes ago would be the newest the centre knows. It is unconfirmed, so that it goes again.
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        if context is None:
            await loop.create_connection(lambda: session, sock=wire)
        else:
            await loop.create_connection(
                lambda: session, sock=wire, ssl=context, server_hostname=uplink.host, ssl_handshake_timeout=TLS_S
            )

    async def probe(self, within_s: float) -> bool:
        """Whether the centre answers a keep-alive over this path: of datagrams nothing less is proof. No session is needed."""
        try:
            async with asyncio.timeout(within_s):
                wire = await self._dial(self._uplink.host, self._uplink.port)
                with contextlib.closing(wire):
                    return await self._echo(wire, within_s / PROBE_TRANSMISSIONS)
        except (OSError, TimeoutError, LinkError):
            return False

    async def _echo(self, wire: socket.socket, wait_s: float) -> bool:
        loop, shared = asyncio.get_running_loop(), self._shared
        serial = shared.serials.take({})
        command, make = keepalive_of(shared.writer)
        for _ in range(PROBE_TRANSMISSIONS):
            await loop.sock_sendall(wire, frame_of(shared, serial, command, make()).encode())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while not self._is_answer(await loop.sock_recv(wire, DATAGRAM_BYTES_MAX), serial):
                        pass  # of somebody else, or to somebody else
                    return True
        return False

    def _is_answer(self, datagram: bytes, serial: int) -> bool:
        dialect = self._shared.writer.dialect
        found = FrameReader(extra_commands=dialect.extra_commands).feed(datagram, 0)
        answers = (Command.CONFIRM, Command.DENY, *dialect.extra_commands)  # who says no is there, too
        return any(isinstance(one, Frame) and one.serial == serial and one.command in answers for one in found)


class _Noticing:
    """What the writer of a link has for people goes to whoever has its latest session."""

    def __init__(self) -> None:
        self.receiver: Receiver | None = None

    def __call__(self, what: str, **params: object) -> None:
        if self.receiver is not None:
            self.receiver.noticed(what, **params)


def dialect_of(centre: Gb26875) -> Dialect:
    """How this centre speaks, for the codec. The configuration's checks are as strict as the codec's."""
    agreed: Any = centre  # texts of the configuration that are one of the codec's words
    return Dialect(
        version=agreed.version,
        user_version=agreed.user_version,
        time=agreed.time,
        component_address=agreed.component_address,
        device_address=agreed.address_style,
        adu_max=agreed.adu_max,
        recovery=agreed.recovery,
        recovery_types=agreed.recovery_types,
        residual_current_type=agreed.residual_current_type,
        residual_current_step_ma=agreed.residual_current_step_ma,
        trailing_time=agreed.trailing_time,
        description=agreed.description,
        keepalive=agreed.keepalive,
        keepalive_s=agreed.keepalive_s,
        extra_commands=frozenset({7}) if agreed.keepalive == "command-7" else frozenset(),
    )
