"""A paho MQTT 5 client that lives on the asyncio loop: it is given its socket and moved by readiness, no thread."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

LOOK_S: Final = 1.0


class LoopClient(paho.Client):
    """One connection over `wire`; another one is another client, so what paho remembers dies with it."""

    wire: socket.socket

    def __init__(self, client_id: str, said: logging.Handler) -> None:
        """`said` hears what paho has to say of errors."""
        super().__init__(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5, reconnect_on_failure=False
        )
        logger = logging.Logger("paho", logging.ERROR)  # not registered anywhere: it goes with this client
        logger.addHandler(said)
        self.enable_logger(logger)
        self._each_second: Callable[[], object] = lambda: None
        self._looks: asyncio.TimerHandle | None = None

    def attach(
        self,
        readable: Callable[[], object],
        writable: Callable[[], object],
        each_second: Callable[[], object] = lambda: None,
    ) -> bool:
        """After connect(): call these when the socket is ready, until paho closes it, and look each second whether a keep-alive is
        due or was not answered, until `forget`. False: the socket is closed already.
        """
        loop = asyncio.get_running_loop()
        sock: Any = self.socket()
        if sock is None:
            return False

        def register(client: paho.Client, userdata: object, sock: Any) -> None:
            loop.add_writer(sock, writable)

        def unregister(client: paho.Client, userdata: object, sock: Any) -> None:
            loop.remove_writer(sock)

        def closed(client: paho.Client, userdata: object, sock: Any) -> None:
            loop.remove_reader(sock)
            loop.remove_writer(sock)

        self.on_socket_register_write, self.on_socket_unregister_write = register, unregister
        self.on_socket_close = closed
        loop.add_reader(sock, readable)
        if self.want_write():
            loop.add_writer(sock, writable)
        self._each_second = each_second
        self._looks = loop.call_later(LOOK_S, self._look)
        return True

    def _look(self) -> None:
        self._looks = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        self.loop_misc()
        self._each_second()

    def read(self, packet_bytes_max: int) -> bool:
        """Take in what has come. False: a packet larger than that is on its way, from a broker that ignores what we asked for."""
        while True:
            self.loop_read()
            sock = self.socket()
            if sock is None:
                return True
            if self._in_packet["remaining_length"] > packet_bytes_max:
                return False
            pending = getattr(sock, "pending", None)  # decrypted bytes do not make the socket readable
            if pending is None or not pending():
                return True

    def forget(self) -> None:
        """Call nobody any more: no cycle keeps either side alive."""
        if self._looks is not None:
            self._looks.cancel()
        self._each_second = lambda: None
        self.on_connect = self.on_subscribe = self.on_publish = self.on_message = self.on_disconnect = None
        self.on_socket_register_write = self.on_socket_unregister_write = self.on_socket_close = None

    def _create_socket_connection(self) -> socket.socket:
        return self.wire


def topic_of(message: paho.MQTTMessage) -> str | None:
    """The topic of a message; None if it is not UTF-8."""
    with contextlib.suppress(UnicodeDecodeError):
        return message.topic
    return None
