"""Opens connections to one GB/T 26875.3-2011 centre: a TCP client, in TLS where the configuration names a CA, or UDP."""

import asyncio
import contextlib
import socket
import struct
from typing import Any, Final

from drivers.codecs.gb26875 import Dialect, device_address
from edge_agent.clock import TimeSource
from edge_agent.config.model import Config, Gb26875, Uplink
from edge_agent.uplink.gb26875.datagrams import Datagrams
from edge_agent.uplink.gb26875.downlink import Downlink
from edge_agent.uplink.gb26875.plan import Writer
from edge_agent.uplink.gb26875.session import GbSession, GbSettings, Shared
from edge_agent.uplink.gb26875.survey import places_of
from edge_agent.uplink.link import LinkError, Receiver, Session
from edge_agent.uplink.mqtt import explain, is_this_machine, tls_context
from edge_agent.uplink.path import Dial, in_thread

OPEN_S: Final = 40.0
TLS_S: Final = 10.0
NO_LINGER: Final = struct.pack("ii", 1, 0)


class GbLink:
    """`edge_agent.uplink.link.Link`. Serial numbers, and what the centre was shown, outlive a connection."""

    def __init__(self, config: Config, uplink: Uplink, clock: TimeSource, dial: Dial) -> None:
        """`dial` gives a connected socket (edge_agent.uplink.path)."""
        agreed = uplink.gb26875
        assert agreed is not None, "the configuration was checked"
        self._uplink, self._dial, self._datagrams = uplink, dial, agreed.transport == "udp"
        style: Any = agreed.address_style
        settings = GbSettings(
            source=device_address(agreed.source, style),
            target=device_address(agreed.target, style),
            any_address=agreed.any_address,
            timeout_s=agreed.timeout_s,
            resends=agreed.resends,
            open_exchanges=agreed.open_exchanges,
        )
        self._receiver: Receiver | None = None
        places, _ = places_of(config, residual_current_type=agreed.residual_current_type)
        writer = Writer(places, dialect_of(agreed), objects_max=agreed.objects_max, now=clock.now, notice=self._notice)
        self._shared = Shared(settings, writer, clock, Downlink(config, clock))

    async def open(self, receiver: Receiver) -> Session:
        """Connect. Raise LinkError. That the far end is the centre shows when it confirms the first frame."""
        self._receiver = receiver
        uplink = self._uplink
        if uplink.ca_file is None and not uplink.plain and not is_this_machine(uplink.host):
            raise LinkError("tls_required")
        session = GbSession(self._shared, receiver)
        try:
            async with asyncio.timeout(OPEN_S):
                await self._connect(session)
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

    async def _connect(self, session: GbSession) -> None:
        uplink, loop = self._uplink, asyncio.get_running_loop()
        context = None
        if (ca_file := uplink.ca_file) is not None:
            context = await in_thread(lambda: tls_context(ca_file, uplink.cert_file, uplink.key_file))
        wire = await self._dial(uplink.host, uplink.port)
        if self._datagrams:
            await loop.create_datagram_endpoint(lambda: Datagrams(session), sock=wire)
            return
        with contextlib.suppress(OSError):  # one end of a modem driver's pair of sockets has no such option
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Closed is reset: what the kernel still holds must not arrive behind the next connection's frames, where a status of
        # minutes ago would be the newest the centre knows. It is unconfirmed, so that it goes again.
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        if context is None:
            await loop.create_connection(lambda: session, sock=wire)
        else:
            await loop.create_connection(
                lambda: session, sock=wire, ssl=context, server_hostname=uplink.host, ssl_handshake_timeout=TLS_S
            )

    def _notice(self, what: str, **params: object) -> None:
        if self._receiver is not None:
            self._receiver.noticed(what, **params)


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
