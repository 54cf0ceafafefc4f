"""Ways to the gateway: MQTT 5 over TLS, or one sealed datagram a record. Both send one record and wait for its confirm."""

import asyncio
import json
import socket

from . import mqtt5, record

CONNECT_S = 15
POLL_S = 0.02
KEEPALIVE_S = 60


class MqttWire:
    """The gateway's broker. `settings`: node, host, port, user, password, ca (a file in DER; without it the line is plain).

    `on_offer(what, payload)` hears "offer" and "part"; None: this node takes no updates.
    """

    def __init__(self, settings: dict, on_ack, on_offer) -> None:
        self._settings, self._on_ack, self._on_offer = settings, on_ack, on_offer
        self._client: mqtt5.Client = None
        self._writer: asyncio.StreamWriter = None
        self._task: asyncio.Task = None
        self._epoch = b""

    async def open(self, epoch: bytes) -> None:
        """Connect and listen for confirms. Raise OSError."""
        settings, node = self._settings, self._settings["node"]
        self._epoch = epoch
        reader, self._writer = await asyncio.wait_for(self._dial(), CONNECT_S)
        self._client = mqtt5.Client(reader, self._writer, self._hear)
        await asyncio.wait_for(
            self._client.greet(node, settings.get("user", node), settings.get("password", ""), KEEPALIVE_S), CONNECT_S
        )
        self._task = asyncio.create_task(self._client.serve())
        await asyncio.wait_for(self._client.listen(self._topic("ack")), CONNECT_S)
        if self._on_offer is not None:
            try:
                for what in ("part", "offer"):
                    await asyncio.wait_for(self._client.listen(self._topic(what)), CONNECT_S)
            except mqtt5.MqttError as fault:
                if not fault.reason:
                    raise
                # a broker that knows nothing of updates: records go all the same

    async def send(self, n: int, body: bytes, now_s: int) -> None:
        """One record, until the broker has it. The gateway's own confirm comes by `on_ack`. Raise OSError."""
        payload = record.to_json(self._epoch, n, body, now_s)
        await asyncio.wait_for(self._client.say(self._topic("up"), payload), CONNECT_S)

    async def ask(self, payload: bytes) -> None:
        """Tell the gateway something about an update it offers. Raise OSError."""
        try:
            await asyncio.wait_for(self._client.say(self._topic("want"), payload), CONNECT_S)
        except mqtt5.MqttError as fault:
            if not fault.reason:
                raise

    async def idle(self) -> None:
        """Called now and then: a connection that is dead is found. Raise OSError."""
        if self._client.failed:
            raise OSError(self._client.failed)
        await self._client.ping()

    async def close(self) -> None:
        """Whatever state it is in."""
        client, writer, task = self._client, self._writer, self._task
        self._client = self._writer = self._task = None
        if task is not None:
            task.cancel()
        if client is not None:
            client.goodbye()
        if writer is not None:
            try:
                writer.close()
                await asyncio.wait_for(writer.wait_closed(), 1)
            except (OSError, EOFError, asyncio.TimeoutError):
                pass

    async def _dial(self):
        host, port, ca = self._settings["host"], self._settings["port"], self._settings.get("ca")
        if not ca:
            return await asyncio.open_connection(host, port)
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_mode = ssl.CERT_REQUIRED
        with open(ca, "rb") as file:
            context.load_verify_locations(cadata=file.read())
        return await asyncio.open_connection(host, port, ssl=context, server_hostname=host)

    def _topic(self, what: str) -> str:
        return "zg119/node/%s/%s" % (self._settings["node"], what)

    def _hear(self, topic: str, payload: bytes) -> None:
        what = topic.rsplit("/", 1)[-1]
        if what != "ack":
            self._on_offer(what, payload)
            return
        try:
            said = json.loads(payload)
            if said["e"] == self._epoch.hex():
                self._on_ack(int(said["n"]))
        except (ValueError, KeyError, TypeError):
            pass  # no confirm of ours; the record is sent again


class UdpWire:
    """The gateway's receiver. `settings`: node, host, port, key (64 hex digits)."""

    def __init__(self, settings: dict, on_ack) -> None:
        self._settings, self._on_ack = settings, on_ack
        self._key = bytes.fromhex(settings["key"])
        self._sock: socket.socket = None
        self._task: asyncio.Task = None
        self._epoch = b""

    async def open(self, epoch: bytes) -> None:
        """A datagram socket. Raise OSError."""
        self._epoch = epoch
        where = socket.getaddrinfo(self._settings["host"], self._settings["port"], 0, socket.SOCK_DGRAM)[0]
        self._sock = socket.socket(where[0], socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.connect(where[-1])
        self._task = asyncio.create_task(self._serve())

    async def send(self, n: int, body: bytes, now_s: int) -> None:
        """One datagram; the seconds it has waited take the place of when it was made. Raise OSError."""
        node = self._settings["node"]
        self._sock.send(record.seal(self._key, record.RECORD, node, self._epoch, n, record.aged(body, now_s)))

    async def idle(self) -> None:
        """Nothing: the next record finds out."""

    async def close(self) -> None:
        """Whatever state it is in."""
        if self._task is not None:
            self._task.cancel()
        if self._sock is not None:
            self._sock.close()
        self._sock = self._task = None

    async def _serve(self) -> None:
        while True:
            try:
                frame = self._sock.recv(128)
            except OSError:  # nothing there, or a port that nobody listens at
                await asyncio.sleep(POLL_S)
                continue
            n = record.read_ack(self._key, self._settings["node"], self._epoch, frame or b"")
            if n >= 0:
                self._on_ack(n)
            elif not frame:
                await asyncio.sleep(POLL_S)


def wire(settings: dict, on_ack, on_offer):
    """The one the configuration names. Nothing is offered in datagrams."""
    if settings.get("transport") == "udp":
        return UdpWire(settings, on_ack)
    return MqttWire(settings, on_ack, on_offer)
