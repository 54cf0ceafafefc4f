"""What a GB/T 26875.3 centre can do wrong, on purpose: the fault menu of `gb26875.GbCentre`."""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

FaultName = Literal[
    "no-confirm",
    "deny",
    "wrong-serial",
    "stale-confirm",
    "no-swap",
    "wrong-checksum",
    "half",
    "glued",
    "dripped",
    "slow",
    "noise",
    "reset",
    "silent",
]
"""What becomes of one upload and its confirm. All but deny and silent take (store) what was sent.

no-confirm: taken, never confirmed. deny: answered DENY, not taken. wrong-serial: confirmed under the next serial number.
stale-confirm: the confirm of the number before comes first, then the right one. no-swap: confirmed with source and target as they
came. wrong-checksum: a confirm that does not add up. half: the first half of a confirm. glued: the confirm and a question (88) in
one write. dripped: a byte at a time. slow: late. noise: garbage before the confirm. reset: the connection is reset instead.
silent: everything is read, nothing taken, nothing answered.
"""

FAULTS: Final[tuple[FaultName, ...]] = get_args(FaultName)


@dataclass(slots=True)
class Fault:
    """One fault. `times` None: always. `types`: data unit types it is for (empty: all). `chance`: how often it strikes."""

    name: FaultName
    times: int | None = None
    types: frozenset[int] = frozenset()
    chance: float = 1.0


@dataclass(slots=True)
class FaultMenu:
    """Faults that are on. The first that fits an upload strikes. `slow_s` and `drip_s` are the waits of slow and dripped."""

    slow_s: float = 3.0
    drip_s: float = 0.01
    rng: random.Random = field(default_factory=random.Random)
    struck: Counter[str] = field(default_factory=Counter)
    _on: list[Fault] = field(default_factory=list)

    def add(
        self, name: FaultName, *, times: int | None = None, types: frozenset[int] = frozenset(), chance: float = 1.0
    ) -> None:
        """Turn a fault on. Raise ValueError for a name that is none."""
        if name not in FAULTS:
            raise ValueError(f"no such fault: {name}; known: {', '.join(FAULTS)}")
        self._on.append(Fault(name, times, types, chance))

    def clear(self) -> None:
        """Turn all faults off."""
        self._on.clear()

    def strike(self, kind: int) -> FaultName | None:
        """The fault for an upload of this type, None for honest service."""
        for fault in self._on:
            if (fault.types and kind not in fault.types) or fault.times == 0 or self.rng.random() >= fault.chance:
                continue
            if fault.times is not None:
                fault.times -= 1
            self.struck[fault.name] += 1
            return fault.name
        return None
