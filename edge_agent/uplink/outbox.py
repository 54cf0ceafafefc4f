"""What one destination still has to get, is getting, and has. Pure: no clock, no file, no socket.

Each stream of each epoch is a set of numbers 1..head, of which some are `done` (confirmed) and some on the wire. Whatever is
neither is due: a lost confirm, a dropped connection, a range the centre asks for again only take numbers out of a set.

Over packed frames a record is `told` in brief: not due there again, yet still due in full over any other path.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from buffer.records import Priority
from edge_agent.uplink.contract import STREAMS, Batch, Refusal, StreamAck
from edge_agent.uplink.intervals import Intervals, Range
from edge_agent.uplink.source import Found
from edge_agent.uplink.stream import Flight, Stream

ALARM_RESERVE = 4  # slots beyond the window that only fresh alarms may take
FLOOR_EVERY = (
    8  # one pick in so many goes to the lowest stream that waits, so that a storm above never starves it; no picture's
)
DOUBT_S = 2.0  # what the centre misses may be in the hands of another of its consumers for this long
FRESH_MAX = 1024  # alarm bodies that came with the wake-up, kept until sent


@dataclass(frozen=True, slots=True)
class Want:
    """What to read and send next."""

    stream: Stream
    first: int
    last: int
    replay: bool


class Outbox:
    """All streams of one destination."""

    def __init__(
        self,
        done: Mapping[tuple[str, Priority], Intervals],
        refused: Iterable[tuple[str, Priority, int]] = (),
        *,
        takes: Collection[Priority] = STREAMS,
        told: Mapping[tuple[str, Priority], Intervals] | None = None,
        brief_is_all: bool = False,
    ) -> None:
        """`done`, `refused` and `told` are what the ledger remembers; `takes` are the streams this destination gets.

        `brief_is_all`: no path of it carries records in full, so what was told is done.
        """
        self._takes = takes
        self._loaded_told = dict(told or {})
        self._brief_is_all = brief_is_all
        self._brief = False
        self._streams: dict[tuple[str, Priority], Stream] = {}
        self._order: list[str] = []  # epochs, oldest first
        self._loaded = dict(done)
        self._loaded_refused = list(refused)
        self._fresh: dict[tuple[str, int], bytes] = {}
        self._picks = 0
        self._sent = 0
        self.in_flight = 0
        self.in_flight_bytes = 0

    def streams(self) -> list[Stream]:
        """All streams, highest priority first, oldest epoch first."""
        rank = {epoch: position for position, epoch in enumerate(self._order)}
        return sorted(self._streams.values(), key=lambda s: (s.priority, rank.get(s.epoch, len(rank))))

    def get(self, epoch: str, priority: Priority) -> Stream | None:
        """The stream, if it is known."""
        return self._streams.get((epoch, priority))

    def epochs(self, order: Iterable[str]) -> None:
        """The journal's epochs, oldest first."""
        self._order = list(order)

    def grow(self, epoch: str, priority: Priority, head: int) -> bool:
        """The journal has records up to `head`. Return whether that is news."""
        if priority not in self._takes:
            return False
        stream = self._streams.get((epoch, priority))
        if stream is None:
            done = self._loaded.pop((epoch, priority), None) or Intervals()
            told = self._loaded_told.pop((epoch, priority), None) or Intervals()
            stream = Stream(epoch, priority, done=done, told=told, brief=self._brief)
            stream.busy = stream.settled().copy()
            stream.refused = {n for e, p, n in self._loaded_refused if (e, p) == (epoch, priority) and n not in done}
            self._streams[epoch, priority] = stream
        if head <= stream.head:
            return False
        stream.head = head
        return True

    def add_fresh(self, epoch: str, n: int, body: bytes) -> None:
        """An alarm that came with its body: it needs no disk to be sent."""
        self.grow(epoch, Priority.ALARM, n)
        if len(self._fresh) < FRESH_MAX:
            self._fresh[epoch, n] = body

    def connected(self, *, brief: bool = False) -> None:
        """A new connection: what there is now is replay, what comes from now on is live. `brief`: it carries briefs only."""
        self._brief = brief
        for stream in self._streams.values():
            stream.mark = stream.head
            stream.doubted, stream.doubted_later = Intervals(), Intervals()  # the centre speaks of all anew
            if brief is not stream.brief:
                stream.brief = brief
                stream.free(1, stream.head)

    def pending(self, priority: Priority) -> int:
        """Records of this priority not confirmed yet."""
        return sum(s.head - s.done.count() for s in self._streams.values() if s.priority is priority)

    @property
    def alarm_pending(self) -> bool:
        """Whether the centre knows nothing yet of an alarm, not even in brief."""
        return any(
            s.priority is Priority.ALARM
            and s.done.through < s.head
            and (not s.told or Intervals([*s.done, *s.told]).through < s.head)
            for s in self._streams.values()
        )

    # --- choosing -----------------------------------------------------------------------------------------------------------

    def take_fresh(self, window: int, blocked: frozenset[Priority], max_bytes: int) -> Batch | None:
        """A batch of alarms whose bodies are at hand, if there is one to send. Uses slots no backlog may take."""
        if self.in_flight >= window + ALARM_RESERVE or Priority.ALARM in blocked:
            return None
        for epoch, start in list(self._fresh):
            stream, n = self._streams[epoch, Priority.ALARM], start
            if n in stream.busy or n in stream.refused:
                del self._fresh[epoch, n]
                continue
            records: list[tuple[int, bytes]] = []
            room = max_bytes
            while (
                (body := self._fresh.get((epoch, n))) is not None
                and n not in stream.busy
                and (not records or room >= len(body))
            ):
                records.append((n, body))
                del self._fresh[epoch, n]
                room -= len(body)
                n += 1
                if stream.limit is not None and len(records) >= stream.limit:
                    break
            first, last = records[0][0], records[-1][0]
            return Batch(
                epoch=epoch,
                priority=Priority.ALARM,
                first=first,
                last=last,
                records=records,
                replay=last <= stream.mark,
                dup=bool(stream.ever.overlap(first, last)),
            )
        return None

    def pick(self, window: int, budget_bytes: int, blocked: frozenset[Priority]) -> Want | None:
        """What to read next, or None while the window is full or nothing is due. One slot always stays free for alarms."""
        if self.in_flight >= max(1, window - 1) or (self.in_flight and self.in_flight_bytes >= budget_bytes):
            return None
        bulk = sum(len(s.flights) for s in self._streams.values() if s.priority >= Priority.TELEMETRY)
        full = bulk >= max(1, window - 2)  # the ceiling: a slot always stays free for faults and status
        wants = [
            Want(stream, *due, replay=not live)
            for stream in self.streams()
            for live in (True, False)
            if stream.priority not in blocked and not (full and stream.priority >= Priority.TELEMETRY)
            if (due := stream.due(live=live)) is not None
        ]
        if not wants:
            return None
        self._picks += 1
        if self._picks % FLOOR_EVERY == 0:
            return max(wants, key=lambda want: (want.stream.priority is not Priority.MEDIA, want.stream.priority))
        return min(wants, key=lambda want: (want.stream.priority, want.replay))

    def compose(self, want: Want, found: Found) -> Batch | None:
        """The batch for what was read of `want`, with holes as gaps, or None if nothing of it is due any more.

        Holes that may still fill are held back: they are neither sent nor declared before `salvaged` is called.
        """
        stream, records = want.stream, found.records
        end = want.last if found.whole else (records[-1][0] if records else want.first - 1)
        if not found.sure:
            self._hold(stream, want.first, end, records)
        due = stream.busy.first_missing(want.first, end)
        if due is None:
            return None
        first, last = due
        kept = [(n, body) for n, body in records if first <= n <= last and n not in stream.refused]
        if stream.limit is not None and len(kept) > stream.limit:
            kept = kept[: stream.limit]
            last = kept[-1][0]
        gaps: list[tuple[int, int, str]] = []
        expected = first
        for n, _ in [*kept, (last + 1, b"")]:
            gaps += self._gaps(stream, expected, n - 1)
            expected = n + 1
        return Batch(
            epoch=stream.epoch,
            priority=stream.priority,
            first=first,
            last=last,
            records=kept,
            gaps=gaps,
            replay=want.replay,
            dup=bool(stream.ever.overlap(first, last)),
        )

    @staticmethod
    def _hold(stream: Stream, first: int, last: int, records: list[tuple[int, bytes]]) -> None:
        for n, _ in [*records, (last + 1, b"")]:
            while (hole := stream.busy.first_missing(first, n - 1)) is not None:
                stream.held.add(*hole)
                stream.busy.add(*hole)
            first = n + 1

    def salvaged(self) -> None:
        """Nothing more will be salvaged: what is missing now is due, to be declared gone unless it is there after all."""
        for stream in self._streams.values():
            held, stream.held = stream.held, Intervals()
            for hole in held:
                stream.free(*hole)

    @staticmethod
    def _gaps(stream: Stream, first: int, last: int) -> list[tuple[int, int, str]]:
        gaps: list[tuple[int, int, str]] = []
        for n in sorted(n for n in stream.refused if first <= n <= last):
            if first < n:
                gaps.append((first, n - 1, "gone"))
            gaps.append((n, n, "refused"))
            first = n + 1
        if first <= last:
            gaps.append((first, last, "gone"))
        return gaps

    # --- the life of a batch --------------------------------------------------------------------------------------------------

    def sent(self, batch: Batch, size: int, now_s: float, event_ids: tuple[str, ...] = ()) -> Flight:
        """The batch goes on the wire now."""
        stream = self._streams[batch.epoch, batch.priority]
        self._sent += 1
        flight = Flight(stream, batch, size, now_s, self._sent, event_ids)
        stream.flights.append(flight)
        stream.busy.add(batch.first, batch.last)
        stream.ever.add(batch.first, batch.last)
        flight.asked = bool(stream.asked.overlap(batch.first, batch.last))
        stream.asked.discard(batch.first, batch.last)
        self.in_flight += 1
        self.in_flight_bytes += size
        return flight

    def back(self, flight: Flight) -> None:
        """The batch was not taken: it is due again."""
        if flight in flight.stream.flights:
            flight.stream.release(flight)
            self.in_flight -= 1
            self.in_flight_bytes -= flight.bytes

    def back_all(self) -> None:
        """The connection is gone: all that is unconfirmed is due again."""
        for stream in self._streams.values():
            for flight in list(stream.flights):
                if flight.asked:
                    stream.asked.add(flight.batch.first, flight.batch.last)
                self.back(flight)

    def resend(self, epoch: str, priority: Priority, first: int, last: int) -> int:
        """The centre asks for a range by command: it is due again, confirmed or not. Return how many numbers are."""
        stream = self._streams.get((epoch, priority))
        if stream is None:
            return 0
        last = min(last, stream.head)
        before = stream.asked.count()
        stream.asked.add(first, last)
        stream.ask()
        for flight in stream.flights:
            stream.busy.add(flight.batch.first, flight.batch.last)
            stream.asked.discard(flight.batch.first, flight.batch.last)  # it is on the wire already
        return stream.asked.count() - before

    def oldest_s(self) -> float | None:
        """When the oldest unconfirmed batch was sent."""
        return min((f.sent_s for s in self._streams.values() for f in s.flights), default=None)

    def settle(self, stream: Stream, first: int, last: int) -> list[Flight]:
        """These records are done with. Return the batches that are confirmed by it."""
        for kept in (stream.done, stream.busy):
            kept.add(first, last)
        stream.parked.discard(first, last)
        return self._settle(stream)

    def park(self, stream: Stream, n: int) -> None:
        """Not this one for now; what is behind it goes on."""
        for kept in (stream.parked, stream.busy):
            kept.add(n, n)

    def unpark(self, stream: Stream, n: int) -> None:
        """The record is due again."""
        if n in stream.parked:
            stream.parked.discard(n, n)
            stream.free(n, n)

    def acknowledge(self, ack: StreamAck, now_s: float) -> list[Flight]:
        """The centre has this. Return the batches that are confirmed by it.

        What is settled only grows, so acks may come in any order. What is missing may be an old tale, or on its way through another
        consumer of the centre: a batch that its successors overtook, or a range once confirmed, is doubted and not yet lost.
        """
        stream = self._streams.get((ack.epoch, ack.priority))
        if stream is None:
            return []
        before = stream.done.through
        high = min(ack.high, stream.head)  # nobody has what was never accepted
        present = Intervals([(1, min(ack.through, stream.head)), (ack.through + 1, high)])
        for first, last in ack.missing:
            present.discard(first, last)
        for first, last in present:
            stream.busy.add(first, last)
            if stream.brief:
                stream.told.add(first, last)
            if not stream.brief or self._brief_is_all:
                stream.done.add(first, last)
            for doubted in (stream.doubted, stream.doubted_later):
                doubted.discard(first, last)
        stream.ask()
        confirmed = self._settle(stream)
        if stream.done.through > before:
            stream.asked_again = 0
            stream.refused = {n for n in stream.refused if n > stream.done.through}
        self._doubt(stream, ack.missing, max((flight.order for flight in confirmed), default=0), now_s)
        return confirmed

    @staticmethod
    def _doubt(stream: Stream, missing: Sequence[Range], newest: int, now_s: float) -> None:
        # over a brief session only what was told: what went in full is asked for where it can go in full
        parts = [part for first, last in missing for part in stream.confirmed.overlap(first, last)]
        parts += [
            (flight.batch.first, flight.batch.last)
            for flight in stream.flights  # the wire keeps order; datagrams do not, and their session sends them again
            if flight.order < newest
            and not stream.brief
            and any(a <= flight.batch.first and flight.batch.last <= b for a, b in missing)
        ]
        if parts and not stream.doubted and not stream.doubted_later:
            stream.doubted_s = now_s
        for first, last in parts:
            (stream.doubted if stream.doubted_s == now_s else stream.doubted_later).add(first, last)

    def send_lost_again(self, now_s: float, *, ask_again_s: float) -> None:
        """What was doubted for DOUBT_S is lost: it is due again. A range once confirmed is, at most once every `ask_again_s`."""
        for stream in self._streams.values():
            if now_s < stream.doubted_s + DOUBT_S or not (stream.doubted or stream.doubted_later):
                continue
            for flight in list(stream.flights):
                if stream.doubted.covers(flight.batch.first, flight.batch.last):
                    self.back(flight)
            if not self._ask_again(stream, now_s, ask_again_s):
                continue
            for first, last in stream.doubted:  # it goes out anew, and is doubted anew when that is overtaken
                stream.doubted_later.discard(first, last)
            stream.doubted, stream.doubted_later = stream.doubted_later, Intervals()
            stream.doubted_s = now_s

    def _ask_again(self, stream: Stream, now_s: float, ask_again_s: float) -> bool:
        """Give up what is doubted of the confirmed. Return False if it is too early for that."""
        lost = [part for first, last in stream.doubted for part in stream.confirmed.overlap(first, last)]
        if not lost:
            return True
        if now_s < stream.ask_not_before_s:
            return False
        stream.asked_again += 1
        stream.ask_not_before_s = now_s + ask_again_s * 2.0 ** min(stream.asked_again - 1, 6)
        for first, last in lost:
            stream.told.discard(first, last)  # who lost it in full has it no more in brief
            if not stream.brief or self._brief_is_all:
                stream.done.discard(first, last)
            stream.free(first, last)
        return True

    def refuse(self, refusal: Refusal) -> bool:
        """Move a record aside: its number is declared as a gap instead. Return False if it was aside already or is unknown.

        Call it after `acknowledge` of the same message.
        """
        stream = self._streams.get((refusal.epoch, refusal.priority))
        if (
            stream is None
            or not 1 <= refusal.n <= stream.head
            or refusal.n in stream.refused
            or refusal.n in stream.done
        ):
            return False
        stream.refused.add(refusal.n)
        for flight in list(stream.flights):  # the rest of its batch was answered in the same message
            if flight.batch.first <= refusal.n <= flight.batch.last:
                self.back(flight)
        stream.busy.discard(refusal.n, refusal.n)
        return True

    def reject(self, flight: Flight) -> int | None:
        """The centre cannot read this batch. Halve what follows; return n if it was a single record, which is the culprit."""
        stream, count = flight.stream, len(flight.batch.records)
        self.back(flight)
        if count == 1:
            stream.limit = None
            return flight.batch.records[0][0]
        stream.limit = max(1, count // 2)
        return None

    def flight_of(self, name: str) -> Flight | None:
        """The batch on the wire that is called `name` (see contract.correlation)."""
        epoch, _, rest = name.partition("/")
        for stream in self._streams.values():
            if stream.epoch == epoch:
                for flight in stream.flights:
                    if rest == f"{stream.priority.stream}/{flight.batch.first}-{flight.batch.last}":
                        return flight
        return None

    def _settle(self, stream: Stream) -> list[Flight]:
        settled = stream.settled()
        confirmed = [f for f in stream.flights if settled.covers(f.batch.first, f.batch.last)]
        for flight in confirmed:
            self.back(flight)
        if confirmed and stream.limit is not None:
            stream.limit = stream.limit * 2 if stream.limit < 1024 else None
        return confirmed
