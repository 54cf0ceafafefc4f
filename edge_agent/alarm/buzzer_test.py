"""A short test of the buzzer, asked for by a centre or a technician. Pure; time is an argument."""

from edge_agent.model import Event, Kind, NewEvent

POINT = "buzzer"
DEFAULT_S = 3


class BuzzerTest:
    """At most one test runs. It is told as a `test` event when it begins and when it ends, and outlives no restart."""

    def __init__(self, *, new_event: NewEvent) -> None:
        self._new_event = new_event
        self._until_ns: int | None = None

    def start(self, seconds: int, who: str, now_ns: int) -> list[Event]:
        """Begin; one that runs already runs on until the later end."""
        running, until_ns = self._until_ns is not None, now_ns + seconds * 1_000_000_000
        self._until_ns = max(until_ns, self._until_ns or 0)
        fields = {"seconds": seconds, "who": who}
        return [] if running else [self._new_event(Kind.TEST, POINT, True, now_ns, source="gateway", fields=fields)]

    @property
    def running(self) -> bool:
        """Whether it asks for the buzzer."""
        return self._until_ns is not None

    def tick(self, now_ns: int) -> list[Event]:
        """The end of it."""
        if self._until_ns is None or now_ns < self._until_ns:
            return []
        self._until_ns = None
        return [self._new_event(Kind.TEST, POINT, False, now_ns, source="gateway")]

    def next_deadline_ns(self) -> int | None:
        """When `tick()` must be called next."""
        return self._until_ns
