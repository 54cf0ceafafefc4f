"""What a destination is wired to."""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from edge_agent.clock import TimeSource
from edge_agent.uplink.bundle_fetch import BundleFetch
from edge_agent.uplink.commands import AskCore
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.link import Link
from edge_agent.uplink.source import Source
from edge_agent.uplink.standing import Reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """`edge_agent/uplink/main.py` makes one for each."""

    link: Link
    source: Source
    ledger: Ledger
    reports: Reports
    clock: TimeSource
    rng: random.Random
    snapshot: Callable[[], Awaitable[dict[str, object] | None]]
    ask: AskCore
    restamp: Callable[[bytes], bytes]  # a record from before the clock was right, dated by what is known now
    brief_is_all: bool = False  # no path of it carries records in full
    unseen: Callable[[], None] = lambda: None  # the centre has alarms no batch of ours carried: whose lamp is that?
    judge_config: Callable[[Mapping[str, object]], Awaitable[dict[str, object]]] | None = None  # None: none is taken
    fetch: BundleFetch | None = None  # of updates; None: no centre may send one
