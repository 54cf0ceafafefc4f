"""What must outlive a power cut, as small named pieces: each is written with the event that changed it."""

import json
from collections.abc import Mapping

from edge_agent.compact_json import compact_encoder
from edge_agent.model import Kind

_ENCODE = compact_encoder()


class Latches:
    """Pieces of state since the last `take()`: key -> JSON, or None where a piece is no more."""

    __slots__ = ("_changed",)

    def __init__(self) -> None:
        self._changed: dict[str, bytes | None] = {}

    def put(self, key: str, piece: Mapping[str, object] | None) -> None:
        """Change one piece."""
        self._changed[key] = None if piece is None else _ENCODE(piece).encode()

    def take(self) -> dict[str, bytes | None]:
        """What has changed; the next call begins anew."""
        changed, self._changed = self._changed, {}
        return changed


def read_piece(body: bytes) -> dict[str, object] | None:
    """One stored piece, or None if it is not one of ours: a damaged piece must not keep the gateway from starting."""
    try:
        piece = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return piece if isinstance(piece, dict) else None


def kind_of(name: str) -> Kind | None:
    """The kind of that name; None if a later version wrote one that this one does not know."""
    try:
        return Kind(name)
    except ValueError:
        return None
