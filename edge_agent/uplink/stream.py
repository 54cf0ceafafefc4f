"""One stream of one epoch towards one destination: which of its numbers are confirmed, on the wire, due. Pure."""

from dataclasses import dataclass, field

from buffer.records import Priority
from edge_agent.uplink.contract import Batch
from edge_agent.uplink.intervals import Intervals, Range


@dataclass(slots=True)
class Flight:
    """One batch on the wire."""

    stream: "Stream"
    batch: Batch
    bytes: int
    sent_s: float
    order: int  # of hand-over in its stream: the wire keeps it
    event_ids: tuple[str, ...] = ()
    asked: bool = False  # by command: without the centre's word it is due again, whatever was confirmed before


@dataclass(slots=True)
class Stream:
    """One stream of one epoch."""

    epoch: str
    priority: Priority
    head: int = 0  # the highest n accepted
    mark: int = 0  # the head when the connection was made: up to here it is replay
    ever: Intervals = field(default_factory=Intervals)  # sent by this process, whatever became of it
    done: Intervals = field(default_factory=Intervals)
    told: Intervals = field(default_factory=Intervals)  # confirmed in brief
    brief: bool = False  # the session carries briefs: what was told is not due
    busy: Intervals = field(default_factory=Intervals)  # done or on the wire; over a brief session told, too
    held: Intervals = field(default_factory=Intervals)  # missing here, but perhaps still to be salvaged: not due now
    parked: Intervals = field(default_factory=Intervals)  # declined by the centre: not due for a while
    refused: set[int] = field(default_factory=set)  # moved aside, to be declared as gaps
    asked: Intervals = field(default_factory=Intervals)  # asked for by command and not sent since: due although done
    flights: list[Flight] = field(default_factory=list)
    limit: int | None = None  # records a batch, while looking for the one the centre cannot read
    doubted: Intervals = field(default_factory=Intervals)  # the centre misses it, see Outbox.acknowledge
    doubted_later: Intervals = field(default_factory=Intervals)  # the same, since `doubted_s`
    doubted_s: float = 0.0
    asked_again: int = 0  # re-requests honoured since `through` last moved
    ask_not_before_s: float = 0.0

    def due(self, *, live: bool) -> Range | None:
        """The lowest run of numbers to send, among the live or the replayed ones."""
        return self.busy.first_missing(self.mark + 1, self.head) if live else self.busy.first_missing(1, self.mark)

    def ask(self) -> None:
        """What was asked for by command is due, done or not."""
        for first, last in self.asked:
            self.busy.discard(first, last)

    def release(self, flight: Flight) -> None:
        """The batch is not on the wire any more: what of it is not confirmed is due again."""
        self.flights.remove(flight)
        self.free(flight.batch.first, flight.batch.last)

    def free(self, first: int, last: int) -> None:
        """These numbers are due, but for those that are confirmed, held, parked or on the wire."""
        self.busy.discard(first, last)
        for kept in (self.done, self.held, self.parked, *((self.told,) if self.brief else ())):
            for part in kept.overlap(first, last):
                self.busy.add(*part)
        self.ask()
        for flight in self.flights:  # a fresh alarm may lie inside the range of an older batch
            self.busy.add(flight.batch.first, flight.batch.last)

    @property
    def confirmed(self) -> Intervals:
        """What this kind of session confirmed."""
        return self.told if self.brief else self.done

    def settled(self) -> Intervals:
        """Numbers the centre has over this session: in brief or in full, or only in full."""
        return Intervals([*self.done, *self.told]) if self.brief else self.done
