"""What the baselines have learned, kept cheaply: in full four times a day, a few of them at a time."""

import json
from collections.abc import Mapping

from edge_agent.points.questions import Baseline

EVERY_NS = 6 * 3600 * 1_000_000_000  # a power cut costs at most this much of a week's learning
AT_ONCE = 50  # pieces made in one turn: 5 000 at once would hold up an alarm
KEY = "pb:"


class Learned:
    """All baselines of the gateway."""

    def __init__(self) -> None:
        self._baselines: dict[str, Baseline] = {}
        self._left: list[str] = []  # of this round
        self._due_ns: int | None = None

    def add(self, point: str, baseline: Baseline) -> None:
        """One more to be kept."""
        self._baselines[point] = baseline

    def restore(self, point: str, piece: Mapping[str, object]) -> bool:
        """Give one its memory back; False if there is no such baseline any more."""
        baseline = self._baselines.get(point)
        if baseline is not None:
            baseline.restore(piece)
        return baseline is not None

    def take(self, now_ns: int) -> tuple[dict[str, bytes], dict[str, object] | None]:
        """Pieces of state due to be kept, and, with the last of a round, what to say of it: call each second."""
        if not self._baselines:
            return {}, None
        if self._due_ns is None:
            self._due_ns = now_ns + EVERY_NS
        if not self._left:
            if now_ns < self._due_ns:
                return {}, None
            self._left, self._due_ns = list(self._baselines), now_ns + EVERY_NS
        turn, self._left = self._left[:AT_ONCE], self._left[AT_ONCE:]
        pieces = {
            KEY + point: json.dumps(self._baselines[point].piece(), separators=(",", ":")).encode() for point in turn
        }
        if self._left:
            return pieces, None
        ready = sum(baseline.ready for baseline in self._baselines.values())
        return pieces, {"ready": ready, "learning": len(self._baselines) - ready}
