"""The core's part of an update of its own program: it writes down what the updater tells, and says what became of it last."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_agent.local_api import ApiError, Peer
from edge_agent.model import Kind

if TYPE_CHECKING:
    from buffer.records import Name
    from edge_agent.core import Core

POINT: Final = "command/update"
STATUSES: Final = ("begun", "switched", "confirmed", "gone_back", "refused")
SLOT_DAMAGED: Final = "slot_damaged"  # beside them: no step of an update, but what the card did to one of its slots
KEYS_MAX: Final = 16


class UpdateTold:
    """One for the core."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._last: dict[str, object] | None = None

    def as_dict(self) -> dict[str, object]:
        """For `status` and `read_state`: the slot this program runs from, and what was told last to this process."""
        return {"slot": slot_of(Path(sys.prefix)), "last": self._last}

    def told(self, request: Mapping[str, object], peer: Peer) -> object:
        """Journal one step. The answer, once it is settled: {epoch, n} of its record in the stream `status`; {}: not kept."""
        if not peer.is_service:
            raise ApiError("bad_request", detail="not the updater")
        fields = request.get("fields")
        if not isinstance(fields, dict) or len(fields) > KEYS_MAX:
            raise ApiError("bad_request", detail="fields")
        if fields.get("status") == SLOT_DAMAGED:
            return self._damaged(fields)
        if fields.get("status") not in STATUSES:
            raise ApiError("bad_request", detail="fields")
        self._last = {str(key)[:40]: value if type(value) is int else str(value)[:200] for key, value in fields.items()}
        event_id = self._core.tell(Kind.COMMAND, POINT, self._last, {})
        settled: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def give(name: Name | None) -> None:
            if not settled.done():
                settled.set_result({"epoch": name.epoch, "n": name.n} if name is not None else {})

        self._core.keeper.when_settled(event_id, give)
        return settled

    def _damaged(self, fields: Mapping[str, object]) -> object:
        """A fault that stays in the list until a person has acknowledged it. The answer, once known: {kept: is it durable}."""
        slot = "".join(char for char in str(fields.get("slot")) if char.isalnum())[:8]
        reason = "program_damaged" if fields.get("runs") is True else SLOT_DAMAGED
        self._core.once(Kind.FAULT, f"update/{slot}", {"reason": reason, "file": str(fields.get("file"))[:200]})
        kept: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def give(durable: bool) -> None:
            if not kept.done():
                kept.set_result({"kept": durable})

        self._core.keeper.when_kept(give)
        return kept


def slot_of(prefix: Path) -> str:
    """The slot of an interpreter whose sys.prefix that is; "" where it is in none."""
    return prefix.name if prefix.parent.name == "slots" else ""
