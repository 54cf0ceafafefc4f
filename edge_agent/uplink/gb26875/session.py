"""One connection to a GB/T 26875.3-2011 centre: frames over a socket, on the loop. The order of things is in `exchange`."""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from buffer.records import Priority
from drivers.codecs.gb26875 import Command, Dialect, Frame, FrameReader, Rejected
from edge_agent.uplink.contract import Batch
from edge_agent.uplink.gb26875.downlink import Reply, is_order
from edge_agent.uplink.gb26875.exchange import Exchange, Exchanges, Question
from edge_agent.uplink.gb26875.plan import Plan, Shown, Told
from edge_agent.uplink.gb26875.shared import COMMAND_7, Shared, frame_of, keepalive_of, tag_of
from edge_agent.uplink.gb26875.units import Unit, split
from edge_agent.uplink.link import LinkError, Receiver
from edge_agent.uplink.noticing import KEEPALIVE_MISSES
from edge_agent.uplink.stream import Flight

log = logging.getLogger("edge.gb26875")

# What goes first. An alarm of this moment overtakes all but the frame that tells the centre who speaks.
HELLO, FRESH, SNAPSHOT, RECORDS, KEEPALIVE = -3.0, -2.0, -1.0, 0.0, 9.0
PLAN_BYTES_MAX: Final = 1 << 20
REQUESTS_MAX: Final = 8  # of the centre, worked on at once
DECLINED: Final = "denied by the centre"
AROUND_BYTES: Final = 150  # TCP and TLS around a frame that is of no batch, and its confirm
CLOSE_S: Final = 0.5
# What shows the present and was denied to the last is shown again so much later, then ever later
DENIED_AGAIN_S: Final = 15.0
DENIED_AGAIN_MAX_S: Final = 3600.0


@dataclass(slots=True)
class _Sending:
    """A batch on its way."""

    flight: Flight
    shown: tuple[Shown, ...]  # the picture it leaves
    left: int = 0  # units not answered yet
    confirmed: set[int] = field(default_factory=set)  # units, by index
    settling: dict[int, Unit] = field(default_factory=dict)  # confirmed, but parts before them are not yet
    declined: set[int] = field(default_factory=set)  # records, by n
    doubtful: bool = False  # what puts the picture right behind the records was denied


class Wire(Protocol):
    """What carries frames: a stream's transport, or datagrams."""

    def write(self, data: bytes) -> None:
        """Send one frame."""

    def abort(self) -> None:
        """Let go."""


class GbSession(asyncio.Protocol):
    """`edge_agent.uplink.link.Session`."""

    brief = sparing = False
    withheld = frozenset[Priority]()
    max_bytes, waits_s = PLAN_BYTES_MAX, math.inf

    def __init__(self, shared: Shared, receiver: Receiver) -> None:
        self._shared = shared
        self._settings, self._writer, self._clock = shared.settings, shared.writer, shared.clock
        self._seen, self._downlink, self._receiver = shared.seen, shared.downlink, receiver
        self._dialect: Dialect = shared.writer.dialect
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[LinkError] = self._loop.create_future()
        self.window = self._settings.open_exchanges + 1  # the one on the wire, and the next at hand
        self._exchanges = Exchanges(shared.serials, self._settings.open_exchanges)
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._reader = FrameReader(extra_commands=self._dialect.extra_commands)
        self._wire: Wire | None = None
        self._stream: asyncio.Transport | None = None
        self._requests: set[asyncio.Task[None]] = set()
        self._heard_s = self._loop.time()
        self._keeping: asyncio.TimerHandle | None = None
        self._waiting: asyncio.TimerHandle | None = None  # for the rest of a packet
        self.beside_bytes = 0
        self._showing: asyncio.TimerHandle | None = None  # the present again, after a denial
        self._shows_denied = 0
        self._singly = False  # the centre declined objects together and took them one by one
        self.counters = {"frames": 0, "resent": 0, "foreign": 0, "rejected": 0, "denied": 0}

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        assert isinstance(transport, asyncio.Transport), "a stream"
        self._stream = transport
        self.begin(transport)

    def begin(self, wire: Wire) -> None:
        """Frames go over `wire` from now on."""
        self._wire = wire
        self._watch()

    def pause_writing(self) -> None:
        """The centre takes none of our answers: it is asked nothing more of, or they would fill our memory."""
        if self._stream is not None:
            self._stream.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        if self._stream is not None:
            self._stream.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Whatever the centre sends."""
        self._read(self._reader.feed(data, self._now_ns()))

    def _read(self, items: Iterable[Frame | Rejected]) -> None:
        for item in items:
            if isinstance(item, Rejected):
                self._rejected(item)
            else:
                self._take(item)
        deadline_ns = self._reader.deadline_ns()
        if self._waiting is None and deadline_ns is not None and not self.closed.done():
            self._waiting = self._loop.call_at(deadline_ns / 1e9, self._give_up_partial)

    def _give_up_partial(self) -> None:
        """The rest of a packet did not come. What was caught behind it, perhaps a duty check, waits for no further byte."""
        self._waiting = None
        self._read(self._reader.tick(self._now_ns()))

    def _now_ns(self) -> int:
        return round(self._loop.time() * 1e9)

    def datagram_received(self, data: bytes) -> None:
        """A datagram of the centre: a frame that is not whole in it never will be."""
        self.data_received(data)
        self._reader = FrameReader(extra_commands=self._dialect.extra_commands)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.end(LinkError("lost", repr(exc) if exc is not None else "closed by the centre"))

    # --- edge_agent.uplink.link.Session -----------------------------------------------------------------------------------------

    def encode(self, batch: Batch) -> Plan:
        """The units of a batch."""
        return self._writer.write(batch)

    def send(self, flight: Flight, payload: Plan) -> None:
        """Queue the units of a batch; what needs none is settled."""
        for first, last in payload.without:
            self._loop.call_soon(self._receiver.settled, flight, first, last)
        if not payload.units:
            self._loop.call_soon(self._receiver.finished, flight)
            return
        batch = flight.batch
        rank = FRESH if batch.priority is Priority.ALARM and not batch.replay else RECORDS + batch.priority
        sending = _Sending(flight, payload.shown)
        units = [part for unit in payload.units for part in (split(unit) if self._singly and unit.single else [unit])]
        for index, unit in enumerate(units):
            self._send_unit(sending, index, unit, rank)
        if payload.unsure:
            self._receiver.unsure()
        self._pump()

    def send_state(self, snapshot: dict[str, object] | None, *, core: bool, alarm_waits: bool) -> bool:
        """Type 21, so that the centre knows who speaks, then what the core says is so now: frames that an alarm overtakes."""
        self._exchanges.drop_state()
        if snapshot is None:
            self._writer.unsure()
        present = self._writer.present(snapshot) if snapshot is not None else []
        self._state(HELLO, lambda: self._writer.device_unit(core=core))
        self._tell(present)
        self._pump()
        return True

    async def close(self) -> None:
        """Let go. The protocol has no farewell."""
        self.end(LinkError("closed"))
        if self._wire is not None:
            self._wire.abort()
        for task in list(self._requests):
            task.cancel()
        if self._requests:
            await asyncio.wait(self._requests, timeout=CLOSE_S)

    # --- exchanges we begin -----------------------------------------------------------------------------------------------------

    def _send_unit(self, sending: _Sending, index: int, unit: Unit, rank: float) -> None:
        sending.left += 1
        self._exchanges.add(
            Exchange(
                rank=rank,
                command=Command.SEND,
                make=lambda: unit.adu,
                confirmed=lambda: self._unit_confirmed(sending, index, unit),
                denied=lambda: self._unit_denied(sending, index, unit, rank),
                transmissions=1 + self._settings.resends,
            )
        )

    def _unit_confirmed(self, sending: _Sending, index: int, unit: Unit) -> None:
        sending.confirmed.add(index)
        if unit.last >= unit.first:
            sending.settling[index] = unit
        whole = [
            place
            for place, waits in sending.settling.items()  # the parts of a record may be confirmed in any order
            if all(place - part in sending.confirmed for part in range(1, waits.joined + 1))
        ]
        for place in whole:
            settled = sending.settling.pop(place)
            self._receiver.settled(sending.flight, settled.first, settled.last)
        if not whole:
            self._receiver.alive()
        self._unit_over(sending)

    def _unit_denied(self, sending: _Sending, index: int, unit: Unit, rank: float) -> None:
        self.counters["denied"] += 1
        if unit.single:
            self._singly = True  # perhaps it takes no two objects in one frame
            for part in split(unit):
                self._send_unit(sending, index, part, rank)
        elif unit.record and unit.record not in sending.declined:
            sending.declined.add(unit.record)
            self._receiver.declined(sending.flight, unit.record, DECLINED)
        elif not unit.record:
            sending.doubtful = True
            self._show_later()
        self._unit_over(sending)

    def _unit_over(self, sending: _Sending) -> None:
        sending.left -= 1
        if not sending.left:
            self._receiver.finished(sending.flight)
            if sending.doubtful:
                self._writer.doubt(sending.shown)
            else:
                self._tell(self._writer.taken(sending.shown))

    def _tell(self, units: Iterable[Told]) -> None:
        """Show the present, until what the centre took is the present."""
        for told in units:
            self._state(SNAPSHOT, lambda told=told: told.adu, shown=told.shown)  # type: ignore[misc]  # a constant

    def _told(self, shown: tuple[Shown, ...]) -> None:
        self._receiver.alive()
        self._tell(self._writer.taken(shown))

    def _state(self, rank: float, make: Callable[[], bytes], shown: tuple[Shown, ...] = ()) -> None:
        self._exchanges.add(
            Exchange(
                rank=rank,
                command=Command.SEND,
                make=make,
                confirmed=lambda: self._told(shown),
                denied=self._state_denied,
                transmissions=1 + self._settings.resends,
                state=True,
            )
        )

    def _state_denied(self) -> None:
        self._receiver.state_denied(Command.DENY, "type 1, 2 or 21")
        self._show_later()

    def _show_later(self) -> None:
        """A centre that takes no such unit at all is asked ever more seldom."""
        if self._showing is None:
            wait_s = min(DENIED_AGAIN_S * 2.0 ** min(self._shows_denied, 8), DENIED_AGAIN_MAX_S)
            self._shows_denied += 1
            self._showing = self._loop.call_later(wait_s, self._show_again)

    def _show_again(self) -> None:
        self._showing = None
        self._receiver.unsure()

    def _pump(self) -> None:
        while not self.closed.done() and (exchange := self._exchanges.next()) is not None:
            self._transmit(exchange)

    def _transmit(self, exchange: Exchange) -> None:
        if exchange.adu is None:
            exchange.adu = exchange.make()
        assert exchange.serial is not None, "the queue gave it one"
        self.counters["frames"] += 1
        self.counters["resent"] += exchange.sent > 1
        packet = frame_of(self._shared, exchange.serial, exchange.command, exchange.adu).encode()
        if exchange.state or exchange.sent > 1:
            self.beside_bytes += len(packet) + AROUND_BYTES
        self._write(packet)
        self._timers[exchange.serial] = self._loop.call_later(self._settings.timeout_s, self._timed_out, exchange)

    def _timed_out(self, exchange: Exchange) -> None:
        assert exchange.serial is not None, "it was sent"
        self._timers.pop(exchange.serial, None)
        if not self._exchanges.timed_out(exchange):
            waited_s = exchange.sent * self._settings.timeout_s
            hint = f", {self.counters['foreign']} answers that fit nothing" if self.counters["foreign"] else ""
            reason = "no_keepalive" if exchange.keepalive else "unconfirmed"
            self.end(LinkError(reason, f"{exchange.sent} transmissions in {waited_s:.0f} s{hint}"))
            return
        self._pump()

    # --- what the centre sends --------------------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        if frame.command == Command.CONFIRM:
            self._confirmed(frame)
        elif (
            frame.command == COMMAND_7
        ):  # answers a keep-alive; one of the centre's own has a number of its own counting
            if self._exchanges.command_of(frame.serial) == COMMAND_7:
                self._confirmed(frame)
        elif frame.command == Command.DENY:
            self._denied(frame)
        elif frame.command in (Command.REQUEST, Command.CONTROL):
            self._requested(frame)
        elif frame.command != Command.RESPONSE:
            self._answer(frame, Command.DENY)

    def _rejected(self, item: Rejected) -> None:
        """A check error is denied (6.5), unless it was itself an answer: denials of denials have no end."""
        self.counters["rejected"] += 1
        if self.counters["rejected"].bit_count() == 1:  # the first, and ever fewer of a flood
            told = self.counters["rejected"], item.reason, len(item.raw)
            log.warning("rejected count=%d reason=%s bytes=%d", *told)
        frame = item.frame
        if frame is not None and frame.command not in (Command.CONFIRM, Command.DENY, Command.RESPONSE):
            self._answer(frame, Command.DENY)

    def _ours(self, frame: Frame) -> bool:
        if self._settings.any_address or frame.target == self._settings.source:
            return True
        self.counters["foreign"] += 1
        return False

    def _confirmed(self, frame: Frame) -> None:
        if not self._ours(frame):
            return
        exchange = self._exchanges.confirm(frame.serial)
        if exchange is None:
            self.counters["foreign"] += 1
            return
        self._stop_timer(frame.serial)
        self._heard_s = self._loop.time()
        exchange.confirmed()
        self._pump()

    def _denied(self, frame: Frame) -> None:
        if not self._ours(frame):
            return
        exchange, is_over = self._exchanges.deny(frame.serial)
        if exchange is None:
            self.counters["foreign"] += 1
            return
        self._stop_timer(frame.serial)
        self._heard_s = self._loop.time()
        if is_over:
            exchange.denied()
        self._pump()

    def _stop_timer(self, serial: int) -> None:
        timer = self._timers.pop(serial, None)
        if timer is not None:
            timer.cancel()

    # --- requests and controls of the centre --------------------------------------------------------------------------------------

    def _requested(self, frame: Frame) -> None:
        now_s, name = self._loop.time(), self._downlink.name
        if is_order(frame):
            question = self._seen.find((frame.serial, frame.source, frame.command, frame.adu), now_s, name)
        else:  # reading twice harms nothing, and a centre that reads a whole site leaves no room for its orders
            question = Question(name(), now_s)
        if question.answer:
            self._reply(question.answer)
        elif question.busy:
            return
        elif len(self._requests) >= REQUESTS_MAX:
            self._answer(frame, Command.DENY)
        else:
            question.busy = True
            task = self._loop.create_task(self._work(frame, question), name="gb-request")
            self._requests.add(task)
            task.add_done_callback(partial(self._worked, question))

    def _worked(self, question: Question, task: asyncio.Task[None]) -> None:
        question.busy = False  # also where the connection went in the middle of it: its next asking has the same name
        self._requests.discard(task)

    async def _work(self, frame: Frame, question: Question) -> None:
        try:
            reply = await self._downlink.answer(frame, question.id, self._receiver, self._writer)
        except Exception:  # a bug of ours: the centre is told no, instead of waiting, and its other requests go on
            log.exception("request type=%s", frame.adu[:1].hex())
            reply = Reply(Command.DENY)
        answer = frame.answer(reply.command, self._tag(), reply.adu).encode()
        if not reply.for_now:
            question.answer, question.at_s = answer, self._loop.time()
        self._reply(answer)

    def _answer(self, frame: Frame, command: Command) -> None:
        self._reply(frame.answer(command, self._tag()).encode())

    # --- the line ---------------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """The keep-alive: when nothing was confirmed for its period and nothing is on the wire that would show."""
        if self.closed.done() or self._dialect.keepalive == "none":
            return
        now_s = self._loop.time()
        due_s = self._heard_s + self._dialect.keepalive_s
        if now_s >= due_s and not len(self._exchanges):
            self._exchanges.add(self._keepalive())
            self._pump()
        if now_s >= due_s:
            due_s = now_s + 1.0
        self._keeping = self._loop.call_at(due_s, self._watch)

    def _keepalive(self) -> Exchange:
        command, make = keepalive_of(self._writer)
        return Exchange(
            rank=KEEPALIVE,
            command=command,
            make=make,
            confirmed=self._receiver.alive,
            denied=self._receiver.alive,  # it answers
            transmissions=KEEPALIVE_MISSES,
            keepalive=True,
        )

    def _tag(self) -> bytes:
        return tag_of(self._shared)

    def _reply(self, data: bytes) -> None:
        self.beside_bytes += len(data) + AROUND_BYTES
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self._wire is not None and not self.closed.done():
            self._wire.write(data)

    def end(self, why: LinkError) -> None:
        """It is over."""
        for timer in (*self._timers.values(), self._keeping, self._waiting, self._showing):
            if timer is not None:
                timer.cancel()
        self._timers.clear()
        if not self.closed.done():
            self.closed.set_result(why)
