"""As much of MQTT 5 as a node needs: connect, publish with QoS 1 and see the reason, hear some topics. asyncio, TLS by the caller.

micropython-lib's umqtt speaks 3.1.1 and does not tell why a broker refused: a denied alarm would look delivered.
Source: OASIS MQTT 5.0, clauses 3.1 to 3.12.
"""

import asyncio
import struct

PACKET_BYTES_MAX = 4096  # what the node takes
EXPIRY_S = 30  # while the gateway is away, copies of one record must not pile up at its broker
CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14


class MqttError(OSError):
    """The broker is gone, or said no; `reason` is its code, 0 if it said nothing."""

    def __init__(self, what: str, reason: int = 0) -> None:
        super().__init__(what)
        self.what, self.reason = what, reason


def length(number: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def string(value: str) -> bytes:
    """A string with its length."""
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw


def packet(kind: int, flags: int, body: bytes) -> bytes:
    """One control packet."""
    return bytes((kind << 4 | flags,)) + length(len(body)) + body


def connect(client_id: str, user: str, password: str, keepalive_s: int) -> bytes:
    """CONNECT with a clean start: what has to outlast a connection is in the node's flash, not at the broker."""
    flags = 0x02 | (0xC0 if user else 0)
    properties = b"\x27" + struct.pack(">I", PACKET_BYTES_MAX) + b"\x21" + struct.pack(">H", 4)
    body = string("MQTT") + bytes((5, flags)) + struct.pack(">H", keepalive_s) + length(len(properties)) + properties
    body += string(client_id)
    return packet(CONNECT, 0, body + string(user) + string(password) if user else body)


def publish(topic: str, payload: bytes, packet_id: int) -> bytes:
    """PUBLISH with QoS 1. The broker forgets it after a while: the record itself waits in flash and is said again."""
    expiry = b"\x05\x02" + struct.pack(">I", EXPIRY_S)
    return packet(PUBLISH, 0x02, string(topic) + struct.pack(">H", packet_id) + expiry + payload)


def subscribe(topic: str, packet_id: int) -> bytes:
    """SUBSCRIBE to one topic with QoS 0: what is lost is said again when the record is, or is asked for again."""
    return packet(SUBSCRIBE, 0x02, struct.pack(">H", packet_id) + b"\x00" + string(topic) + b"\x00")


class Client:
    """One connection. `on_message(topic, payload)` hears the topics that were subscribed to."""

    def __init__(self, reader, writer, on_message) -> None:
        """`reader`, `writer`: asyncio streams."""
        self._reader, self._writer, self._on_message = reader, writer, on_message
        self._next_id = 0
        self._answers: dict[int, int] = {}  # packet id -> reason
        self._answered = asyncio.Event()
        self._ponged = True
        self.failed: str = ""

    async def greet(self, client_id: str, user: str, password: str, keepalive_s: int) -> None:
        """CONNECT and CONNACK. Raise MqttError."""
        await self._send(connect(client_id, user, password, keepalive_s))
        try:
            kind, body = await self._read()
        except EOFError:
            raise MqttError("closed") from None
        if kind >> 4 != CONNACK or len(body) < 2:
            raise MqttError("no connack")
        if body[1] >= 0x80:
            raise MqttError("refused", body[1])

    async def listen(self, topic: str) -> None:
        """Subscribe. Raise MqttError."""
        self._next_id += 1
        await self._send(subscribe(topic, self._next_id))
        reason = await self._reason(self._next_id)
        if reason >= 0x80:
            raise MqttError("subscription denied", reason)

    async def say(self, topic: str, payload: bytes) -> None:
        """Publish and wait for the PUBACK. Raise MqttError with the broker's reason: nothing was delivered then."""
        self._next_id = self._next_id % 0xFFFF + 1
        await self._send(publish(topic, payload, self._next_id))
        reason = await self._reason(self._next_id)
        if reason >= 0x80:
            raise MqttError("denied", reason)

    async def ping(self) -> None:
        """PINGREQ. Raise MqttError if the one before was not answered."""
        if not self._ponged:
            raise MqttError("silent")
        self._ponged = False
        await self._send(packet(PINGREQ, 0, b""))

    async def serve(self) -> None:
        """Read until the connection ends; then `failed` says why, and whoever waits is woken."""
        try:
            while True:
                self._take(*await self._read())
        except (OSError, EOFError, ValueError, IndexError) as fault:
            self.failed = str(fault) or "closed"
        self._answered.set()

    def _take(self, head: int, body: bytes) -> None:
        kind = head >> 4
        if kind in (PUBACK, SUBACK):
            packet_id = struct.unpack(">H", body[:2])[0]
            # a PUBACK of two bytes is a success; the reasons of a SUBACK stand at its end
            self._answers[packet_id] = body[-1] if kind == SUBACK else body[2] if len(body) > 2 else 0
            self._answered.set()
        elif kind == PUBLISH:
            at = 2 + struct.unpack(">H", body[:2])[0]
            topic = body[2:at].decode()
            if head & 0x06:
                at += 2  # QoS 1 to a subscription of QoS 0 does not happen; its number is stepped over all the same
            size, at = _number(body, at)
            self._on_message(topic, body[at + size :])
        elif kind == PINGRESP:
            self._ponged = True
        elif kind == DISCONNECT:
            raise MqttError("disconnected", body[0] if body else 0)

    async def _reason(self, packet_id: int) -> int:
        while packet_id not in self._answers:
            if self.failed:
                raise MqttError(self.failed)
            self._answered.clear()
            await self._answered.wait()
        return self._answers.pop(packet_id)

    async def _read(self) -> tuple[int, bytes]:
        head = (await self._reader.readexactly(1))[0]
        size = shift = 0
        while True:
            byte = (await self._reader.readexactly(1))[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 21:
                raise MqttError("bad length")
        if size > PACKET_BYTES_MAX:
            raise MqttError("too large")
        return head, await self._reader.readexactly(size) if size else b""

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def goodbye(self) -> None:
        """DISCONNECT, if it can still be said."""
        try:
            self._writer.write(packet(DISCONNECT, 0, b"\x00"))
        except OSError:
            pass


def _number(body: bytes, at: int) -> tuple[int, int]:
    size = shift = 0
    while True:
        size |= (body[at] & 0x7F) << shift
        shift += 7
        at += 1
        if body[at - 1] < 0x80:
            return size, at
