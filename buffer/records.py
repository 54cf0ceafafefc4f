"""What the journal keeps: bytes with a rank and a name."""

import enum
from dataclasses import dataclass


class Priority(enum.IntEnum):
    """Rank of a record, lower first. Each rank is a stream with its own contiguous `n` in each epoch."""

    ALARM = 0
    FAULT = 1
    STATUS = 2
    TELEMETRY = 3
    MEDIA = 4

    stream: str
    """The stream's name on the wire and in the files: alarm, fault, status, telemetry, media."""

    def __init__(self, rank: int) -> None:
        self.stream = self._name_.lower()  # looked up with every record


@dataclass(frozen=True, slots=True)
class Name:
    """Names one record for ever: the gateway's id is added on the wire."""

    epoch: str  # of the file it was first written to; a file set aside starts a new one
    priority: Priority
    n: int  # from 1, contiguous


@dataclass(frozen=True, slots=True)
class Record:
    """A named body as it was accepted."""

    name: Name
    body: bytes
