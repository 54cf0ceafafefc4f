"""A GB/T 26875.3-2011 session in UDP datagrams, for a centre that wants them: each holds whole frames, and nobody says goodbye."""

import asyncio
from typing import cast

from edge_agent.uplink.gb26875.session import GbSession


class Datagrams(asyncio.DatagramProtocol):
    """What a session writes to, and where its datagrams come from. The resends of the standard (6.5.4) mend what is lost."""

    def __init__(self, session: GbSession) -> None:
        self._session = session
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours, and knows its far end: the kernel drops what others send."""
        self._transport = cast(asyncio.DatagramTransport, transport)  # 3.11 does not call it one
        self._session.begin(self)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """One or several frames."""
        self._session.datagram_received(data)

    def error_received(self, exc: Exception) -> None:
        """Somebody on the way says that nobody listens there."""
        self._session.connection_lost(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._session.connection_lost(exc)

    def write(self, data: bytes) -> None:
        """Send one frame."""
        if self._transport is not None:
            self._transport.sendto(data)

    def abort(self) -> None:
        """Let go of the socket."""
        if self._transport is not None:
            self._transport.abort()
