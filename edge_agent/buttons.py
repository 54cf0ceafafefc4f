"""The box's own buttons: one push is one act, whatever the contact does meanwhile; a button that stays pushed is a fault."""

import asyncio
from collections.abc import Callable, Sequence

from drivers.messages import LinkState, Observation, Reading

REST_NS = 100_000_000  # a button has to be up for so long before a push counts: bouncing is not a second push
STUCK_S = 30.0


class Buttons:
    """Turns readings of `button/...` points into pushes. `push(name)` is called once for each.

    A button that is down when it is first read has not been pushed: after a restart a jammed one must not silence what was
    restored. `stuck(name, True)` is told of one that is down for `STUCK_S`, `stuck(name, False)` when it is up again.
    """

    def __init__(
        self,
        push: Callable[[str], None],
        stuck: Callable[[str, bool], None],
        take: Callable[[Sequence[Observation]], None],
    ) -> None:
        self._push, self._stuck, self._take = push, stuck, take
        self._up_ns: dict[str, int | None] = {}  # since when a button is up; None: it is down, or not known
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._told: set[str] = set()

    def take(self, observations: Sequence[Observation]) -> None:
        """What the driver of the buttons saw. Their lost port is told on; their points are nobody's."""
        for seen in observations:
            if isinstance(seen, LinkState):
                self._take((seen,))
            elif isinstance(seen, Reading):
                self._read(seen.point.partition("/")[2], bool(seen.value), seen.at_ns)
            else:
                self._up_ns.pop(seen.point.partition("/")[2], None)

    def _read(self, name: str, down: bool, at_ns: int) -> None:
        up_ns = self._up_ns.get(name)
        if not down:
            if up_ns is None:
                self._up_ns[name] = at_ns
            if (timer := self._timers.pop(name, None)) is not None:
                timer.cancel()
            if name in self._told:
                self._told.discard(name)
                self._stuck(name, False)
            return
        self._up_ns[name] = None
        if name not in self._timers and name not in self._told:
            self._timers[name] = asyncio.get_running_loop().call_later(STUCK_S, self._jammed, name)
        if up_ns is not None and at_ns - up_ns >= REST_NS:
            self._push(name)

    def _jammed(self, name: str) -> None:
        del self._timers[name]
        self._told.add(name)
        self._stuck(name, True)
