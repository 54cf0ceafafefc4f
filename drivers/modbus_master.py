"""What a Modbus master is to its bus: one question at a time, and only its own answer credited."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from drivers.codecs.modbus import ReadRequest


class Result(enum.Enum):
    """How a question ended."""

    OK = "ok"
    REFUSED = "exception"  # the slave is there and says no
    TIMEOUT = "timeout"
    CRC = "crc"  # bytes came, no sound frame among them
    FOREIGN = "foreign"  # sound frames came, none of them the answer
    UNSURE = "unsure"  # a frame came that an earlier, unanswered question may have asked for
    DOWN = "down"  # the port went away meanwhile: says nothing of the slave


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one question. `values` only with OK, `exception` only with REFUSED."""

    result: Result
    at_ns: int  # monotonic: when the answer's last byte was read, or when waiting ended
    latency_s: float = 0.0  # question written to answer read
    values: tuple[int, ...] = ()
    exception: int = 0
    wait_s: float = 0.0  # with UNSURE: do not ask this slave earlier
    echoed: bool = False


# (up, reason, detail, at_ns), as SerialLink tells it
OnState = Callable[[bool, str, str, int], None]
# ("late" | "foreign" | "garbage", unit or -1, how many): what was on the line and credited to nobody
OnStray = Callable[[str, int, int], None]


class Master(Protocol):
    """One line or connection. `run()` keeps it open until cancelled; `exchange()` is called by one task only."""

    on_state: OnState
    on_stray: OnStray

    @property
    def up(self) -> bool:
        """Whether questions can be asked."""
        ...

    @property
    def timeout_s(self) -> float:
        """How long a slave may think."""
        ...

    def line_s(self, request: ReadRequest) -> float:
        """Seconds the question, its answer and the gap occupy the line, without the slave's own time."""
        ...

    async def run(self) -> None:
        """Open, and open again whenever it went away, telling `on_state`."""
        ...

    async def exchange(self, request: ReadRequest, *, limit_s: float, step: int = 1) -> Outcome:
        """Ask. The slave may think for `limit_s`; `step` is the smallest count its registers may be asked in."""
        ...
