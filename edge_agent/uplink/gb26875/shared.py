"""What the connections to one GB/T 26875.3-2011 centre have in common, and the packets made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from drivers.codecs.gb26875 import Command, Frame, write_time
from edge_agent.clock import TimeSource
from edge_agent.uplink.gb26875.downlink import Downlink
from edge_agent.uplink.gb26875.exchange import Seen, Serials
from edge_agent.uplink.gb26875.moments import time_of_instant
from edge_agent.uplink.gb26875.plan import Writer

ONE_BYTE: Final = b"\x16"
COMMAND_7: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class GbSettings:
    """How one centre is spoken to, beside its dialect."""

    source: bytes
    target: bytes
    any_address: bool = False
    timeout_s: float = 10.0
    resends: int = 3
    open_exchanges: int = 1


@dataclass(frozen=True, slots=True)
class Shared:
    """What the connections to one centre have in common: it outlives each of them."""

    settings: GbSettings
    writer: Writer
    clock: TimeSource
    downlink: Downlink
    serials: Serials = field(default_factory=Serials)
    seen: Seen = field(default_factory=Seen)


def frame_of(shared: Shared, serial: int, command: int, adu: bytes) -> Frame:
    """A packet of ours as it goes out now: its time is that of this transmission, what happened has its own in the unit."""
    settings, dialect = shared.settings, shared.writer.dialect
    return Frame(
        serial=serial,
        version=dialect.version,
        user_version=dialect.user_version,
        sent=tag_of(shared),
        source=settings.source,
        target=settings.target,
        command=command,
        adu=adu,
    )


def tag_of(shared: Shared) -> bytes:
    """The time of a packet that goes out now."""
    return write_time(time_of_instant(shared.clock.now()), bcd=shared.writer.dialect.bcd)


def keepalive_of(writer: Writer) -> tuple[int, Callable[[], bytes]]:
    """Command and data unit of the keep-alive the centre agreed to; of none, the device's status, which every centre confirms."""
    forms: Mapping[str, tuple[int, Callable[[], bytes]]] = {
        "empty-send-data": (Command.SEND, lambda: b""),
        "one-byte": (Command.SEND, lambda: ONE_BYTE),
        "command-7": (COMMAND_7, lambda: b""),
    }
    return forms.get(writer.dialect.keepalive, (Command.SEND, writer.device_unit))
