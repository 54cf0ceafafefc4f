"""The way in over a serial line: one Talk, whoever is at the other end."""

import contextlib
from collections.abc import Callable

from drivers.receivers.desk import Desk, Talk
from drivers.serial_link import LinkDown, SerialLink


class LineDoor:
    """A serial port that may vanish and come back. What had begun before it went is refused when it is back."""

    def __init__(self, link: SerialLink, make_talk: Callable[[], Talk], desk: Desk) -> None:
        self._link, self._make_talk, self._desk = link, make_talk, desk
        self._talk = make_talk()

    async def run(self) -> None:
        """Until cancelled."""
        self._link.on_bytes = self._bytes
        self._link.on_state = self._state
        await self._link.run()

    def tick(self, at_ns: int) -> None:
        """See Door."""
        self._desk.hear(lambda: self._talk.tick(at_ns), b"", self._reply, at_ns)

    def counters(self) -> dict[str, int]:
        """See Door."""
        return {"rx_bytes": self._link.rx_bytes, "tx_bytes": self._link.tx_bytes, "reopened": self._link.reopened}

    def _bytes(self, data: bytes, at_ns: int) -> None:
        self._desk.hear(lambda: self._talk.feed(data, at_ns), data, self._reply, at_ns)

    def _state(self, up: bool, reason: str, detail: str, at_ns: int) -> None:
        if up:
            self._desk.opened(at_ns)
            return
        self._desk.hear(lambda: self._talk.end(at_ns), b"", self._reply, at_ns)
        self._talk = self._make_talk()
        self._desk.closed(reason, detail, at_ns)

    def _reply(self, data: bytes) -> None:
        with contextlib.suppress(LinkDown):  # the port's own task tells of it
            self._link.write(data)
