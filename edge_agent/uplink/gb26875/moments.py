"""Moments of records as the wire's times, and which of two records is the newer one. Pure."""

from collections.abc import Mapping
from datetime import datetime

from drivers.codecs.gb26875.times import NO_CLOCK, Time
from edge_agent.china_time import CHINA
from edge_agent.model import Instant
from edge_agent.uplink.gb26875.forms import Stamp


def stamp_of(at: object, n: int) -> Stamp:
    """What tells which of two records of a member is the newer one."""
    if not isinstance(at, Mapping) or type(at.get("mono_ns")) is not int:
        return "", 0, n
    return str(at.get("boot", "")), at["mono_ns"], n


def time_of(at: object) -> Time:
    """The time of a record's `at`: naive China time, or no time where the clock had never been set."""
    if not isinstance(at, Mapping) or type(at.get("wall_ns")) is not int or at.get("clock") == "unset":
        return NO_CLOCK
    return _china(at["wall_ns"])


def time_of_instant(at: Instant) -> Time:
    """As `time_of`."""
    return _china(at.wall_ns) if at.clock != "unset" else NO_CLOCK


def _china(wall_ns: int) -> Time:
    """UTC nanoseconds as the wire has them."""
    try:
        at = datetime.fromtimestamp(wall_ns // 1_000_000_000, CHINA).replace(tzinfo=None)
    except (OverflowError, ValueError, OSError):
        return NO_CLOCK
    return at if 2000 <= at.year <= 2099 else NO_CLOCK
