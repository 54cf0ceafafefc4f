"""A bad path for datagrams: a relay that loses, delays, doubles and reorders them, both ways."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Mood:
    """Each way. May be changed at any time."""

    loss: float = 0.0  # 0 to 1
    delay_s: float = 0.0
    jitter_s: float = 0.0  # either side of the delay: so datagrams overtake each other
    double: float = 0.0
    up: bool = True


class DatagramRelay:
    """Relays 127.0.0.1:`port` to `target_port`, each sender through a socket of its own, as a carrier's NAT does."""

    def __init__(self, target_port: int, rng: random.Random, mood: Mood) -> None:
        self.target_port, self.rng, self.mood = target_port, rng, mood
        self.port = 0
        self.sizes: list[int] = []  # of what came from the gateways
        self._near: asyncio.DatagramTransport | None = None
        self._far: dict[Any, asyncio.DatagramTransport] = {}
        self._opening: set[asyncio.Future[None]] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        self._near, _ = await loop.create_datagram_endpoint(
            lambda: _Ear(self._from_gateway), local_addr=("127.0.0.1", 0)
        )
        self.port = self._near.get_extra_info("sockname")[1]

    def forget(self) -> None:
        """As a carrier that forgets its translations: answers on their way are lost, new ones leave by a new port."""
        for transport in self._far.values():
            transport.close()
        self._far.clear()

    def close(self) -> None:
        """Stop."""
        self.forget()
        if self._near is not None:
            self._near.close()

    def _from_gateway(self, data: bytes, sender: Any) -> None:
        self.sizes.append(len(data))
        self._pass(lambda: self._to_centre(data, sender))

    def _to_centre(self, data: bytes, sender: Any) -> None:
        if (transport := self._far.get(sender)) is not None:
            transport.sendto(data)
            return
        self._opening.add(opening := asyncio.ensure_future(self._open(data, sender)))
        opening.add_done_callback(self._opening.discard)

    async def _open(self, first: bytes, sender: Any) -> None:
        def back(data: bytes, _: Any) -> None:
            self._pass(lambda: self._near.sendto(data, sender) if self._near is not None else None)

        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Ear(back), remote_addr=("127.0.0.1", self.target_port)
        )
        self._far.setdefault(sender, transport).sendto(first)

    def _pass(self, deliver: Any) -> None:
        mood = self.mood
        for _ in range(2 if self.rng.random() < mood.double else 1):
            if not mood.up or self.rng.random() < mood.loss:
                continue
            delay_s = max(0.0, mood.delay_s + self.rng.uniform(-mood.jitter_s, mood.jitter_s))
            asyncio.get_running_loop().call_later(delay_s, deliver)


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, heard: Any) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._heard(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there: as good as lost."""
