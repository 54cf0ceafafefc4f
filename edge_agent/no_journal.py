"""What stands in for a journal that must not be touched: a newer program's files. Alarms sound and travel from memory."""

from collections.abc import Callable, Mapping

from buffer.journal import Ticket
from buffer.records import Priority


class NoJournal:
    """Refuses every record with `code`, so that the keeper holds the alarms."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._turns = 0

    def append(
        self,
        priority: Priority,
        body: bytes,
        state: Mapping[str, bytes | None] | None = None,
        on_durable: Callable[[Ticket], None] | None = None,
        stops: int | None = None,
    ) -> Ticket:
        """Fail at once."""
        ticket = Ticket(priority, body, 0, state, on_durable)
        ticket.error = self.code
        if on_durable is not None:
            on_durable(ticket)
        return ticket

    def state(self) -> dict[str, bytes]:
        """Nothing is latched that we could read."""
        return {}

    def confirm(self, destination: str, epoch: str, priority: Priority, through: int) -> None:
        """Nothing is retained either."""

    def progress(self) -> int:
        """There is no writer that could stand still."""
        self._turns += 1
        return self._turns

    def stats(self) -> dict[str, object]:
        """Says why there is none."""
        return {"refused": self.code}

    def close(self) -> None:
        """Nothing is open."""
