"""What a destination needs of a protocol: open a session, hand over batches, hear what became of them."""

import asyncio
from collections.abc import Sized
from typing import Any, Protocol

from buffer.records import Priority
from edge_agent.uplink.commands import CommandDesk
from edge_agent.uplink.contract import Ack, Batch
from edge_agent.uplink.stream import Flight


class LinkError(Exception):
    """A link that cannot be opened or was lost. `reason` is an ASCII code of `edge_agent.texts.uplink`; `detail` is for the log.

    `again`: another path is there, so that there is nothing to wait for; but at random up to `spread_s`, if no alarm waits, where
    every gateway of the county may have noticed the same in this moment.
    """

    def __init__(self, reason: str, detail: str = "", *, again: bool = False, spread_s: float = 0.0) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail.encode("ascii", "backslashreplace").decode()[:200]
        self.again, self.spread_s = again, spread_s


class Receiver(Protocol):
    """Called on the loop. None of these may block."""

    desk: CommandDesk  # where the centre's commands go

    def taken(self, flight: Flight) -> None:
        """The broker has the batch; the centre may not."""
        ...

    def denied(self, flight: Flight, code: int, detail: str) -> None:
        """The broker will not take the batch."""
        ...

    def state_denied(self, code: int, detail: str) -> None:
        """The broker will not take the state message."""
        ...

    def commands_denied(self, detail: str) -> None:
        """The broker will not let us hear or answer commands; everything else goes on."""
        ...

    def answered(self, ack: Ack) -> None:
        """The centre says what it has."""
        ...

    def settled(self, flight: Flight, first: int, last: int) -> None:
        """The centre has these records of the batch, or there is nothing of them to tell it."""
        ...

    def declined(self, flight: Flight, n: int, why: str) -> None:
        """The centre answered no to this record, sent alone and again as its protocol asks."""
        ...

    def finished(self, flight: Flight) -> None:
        """Nothing more of the batch is on the wire: what of it is not settled is due again."""
        ...

    def alive(self) -> None:
        """The centre answered something that is no record: it is there."""
        ...

    def unsure(self) -> None:
        """What the centre was shown may lack what happened: it is to be shown what is so now."""
        ...

    def noticed(self, what: str, **params: object) -> None:
        """Something a person has to look at although the link is up. `what` is an ASCII code of edge_agent.texts.uplink."""
        ...


class Session(Protocol):
    """One connection. When `closed` is done it is over; its result says why."""

    max_bytes: int  # of one encoded batch
    window: int  # batches it takes at once
    waits_s: float  # a batch unconfirmed for longer means a dead connection; inf: the session finds that out by itself

    @property
    def withheld(self) -> frozenset[Priority]:
        """Streams that must not go over it now: it does not carry them, or its budget is used up."""
        ...

    @property
    def sparing(self) -> bool:
        """Whether its bytes cost money: the alarms of a storm share messages."""
        ...

    @property
    def beside_bytes(self) -> int:
        """Sent and heard so far that is no batch: the state, answers, and what was sent again."""
        ...

    brief: bool  # carries ALARM and FAULT in brief only: what the centre then has is `told`, not yet done
    closed: asyncio.Future[LinkError]

    def encode(self, batch: Batch) -> Sized:
        """What `send` puts on the wire; its length is in bytes."""
        ...

    def send(self, flight: Flight, payload: Any) -> None:
        """Hand a batch over. It waits behind what has a higher priority and before what has a lower one."""
        ...

    def send_state(self, snapshot: dict[str, object] | None, *, core: bool, alarm_waits: bool) -> bool:
        """Say that the gateway is here, and its core with what that knows, or that there is none. False: without the snapshot,
        for an alarm would wait behind it. `snapshot` is None where `core` has not said it yet, or is not there.
        """
        ...

    def end(self, why: LinkError) -> None:
        """It is over: `closed` is done, soon if not at once. The first reason counts."""
        ...

    async def close(self) -> None:
        """Say goodbye if the wire still listens, and let go."""
        ...


class Link(Protocol):
    """Opens sessions to one destination."""

    async def open(self, receiver: Receiver) -> Session:
        """Raise LinkError, naming what is wrong."""
        ...
