"""What a driver tells the house: one observation of one point, or the loss of one.

Times are monotonic nanoseconds of this boot (`time.monotonic_ns()` on a live gateway); a driver never asks for wall time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

# What a profile may say of when a value becomes an event; docs/rules.md has what each does.
LIMIT_KEYS: Final = frozenset(
    (
        *("prealarm_high", "prealarm_low", "alarm_high", "alarm_low", "alarm_high_high", "alarm_low_low", "hysteresis"),
        *("on_delay_s", "off_delay_s", "extreme_on_delay_s", "n", "m", "rate_window_s"),
        *("prealarm_rise_per_min", "alarm_rise_per_min", "alarm_fall_per_min"),
        *("baseline_k", "baseline_least", "baseline_learn_s", "baseline_on_delay_s", "baseline_round"),
        *("range_low", "range_high", "stuck_s", "missing_s"),
    )
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value read from one point, already scaled to the unit its `PointSpec` names."""

    point: str
    value: float | bool
    at_ns: int


@dataclass(frozen=True, slots=True)
class PointFault:
    """A point that could not be read. Never 0, never the last good value.

    `reason` is an ASCII code: timeout, crc, exception, short, open, absent, overrange, stale …
    """

    point: str
    reason: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class PanelEvent:
    """What a fire panel said about one of its points, in the common vocabulary of the protocol sheets.

    `event` is one of `drivers.vocabulary.EVENTS`, or "unknown" for text that smells of fire but does not parse.
    `fields` are the decoded fields of the protocol (loop, point, user_code, location_text, ...); `raw` the bytes themselves.
    A `reset` may say what it left as it was: `still`, a tuple of (point, event) that are as true after it as before.
    `is_state`: it says how things stand, not that they changed, so that the end of what never began is no news.
    """

    point: str
    event: str
    at_ns: int
    fields: Mapping[str, object] = field(default_factory=dict)
    raw: bytes = b""
    is_state: bool = False


@dataclass(frozen=True, slots=True)
class LinkState:
    """A port, bus, panel or device that started or stopped answering. Silence is never "normal".

    `source` is the id of the bus or device; `reason` an ASCII code: no_port, hang_up, silent, no_answer, garbage when down,
    answering, opened (a port whose panel may be silent for ever) when up.
    `detail` is ASCII for the log: errno text, counters.
    """

    source: str
    up: bool
    at_ns: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TagRead:
    """A patrol tag held to a reader. `tag` is its number in capital hex digits, or as the reader typed it."""

    reader: str
    tag: str
    at_ns: int


TagTold = TagRead | LinkState  # what a tag reader says: no point observes it, so it is no Observation
TagSink = Callable[[Sequence[TagTold]], None]

Observation = Reading | PointFault | PanelEvent | LinkState

# Called in the loop turn in which the bytes settled the observations, with all that one frame or poll gave. It never blocks.
Sink = Callable[[Sequence[Observation]], None]

# Has a function called on the loop, in a later turn, once all that was told so far is settled: True if it is on flash, False if
# the journal refused any of it. For peers that must not be confirmed sooner.
WhenKept = Callable[[Callable[[bool], None]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointSpec:
    """A point a driver knows of before it speaks (registers, contacts); panel points appear when the panel names them."""

    id: str
    name_zh: str
    name_en: str
    unit: str = ""
    kind: str = ""  # event kind while the value is true or over a limit ("electrical", "fire"); "" is telemetry only
    limits: Mapping[str, float] = field(
        default_factory=dict
    )  # defaults; keys are those of edge_agent.config.model.Limits
