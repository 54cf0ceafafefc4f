"""Updates of our own detector nodes: which file is offered to which node, who said so, and what came of it.

An offer is a file in `data_dir`/node-updates named after its device, so it outlasts a restart. A person puts it there as
DEVICE.offer (`edge-agent node offer`); it becomes DEVICE.zgu once this core has found it whole. Files are read on a thread: a card
may stall for seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from edge_agent.local_api import ApiError

if TYPE_CHECKING:
    from drivers.codecs.node_update import NodeUpdate
    from drivers.node_updates import Ended, NodeUpdates

log = logging.getLogger("edge.nodes")

DIRECTORY = "node-updates"
Tell = Callable[[str, Mapping[str, object]], None]  # status, fields


@runtime_checkable
class Broker(Protocol):
    """A driver that can offer updates to nodes."""

    updates: NodeUpdates | None
    on_update: Callable[[Ended], None]

    def offer(self, device: str, update: NodeUpdate) -> None:
        """See MqttDriver."""
        ...

    def withdraw(self, device: str) -> None:
        """See MqttDriver."""
        ...


class NodeOffers:
    """Those of one core. `tell` journals what a person did and what a node made of it."""

    def __init__(self, data_dir: Path, drivers: Sequence[object], tell: Tell) -> None:
        self.directory, self._tell = data_dir / DIRECTORY, tell
        self._brokers: dict[str, tuple[Broker, NodeUpdates]] = {}
        for driver in drivers:
            if isinstance(driver, Broker) and (updates := driver.updates) is not None:
                driver.on_update = self._ended
                self._brokers |= dict.fromkeys(updates.nodes, (driver, updates))
        self._work: set[asyncio.Future[Any]] = set()

    async def restore(self) -> None:
        """Offer again what was offered when this core stopped. Never raises: no update is worth the core."""
        try:
            await self._restore()
        except Exception:  # a card that fails, a file somebody else left there, or a bug: the fires go on
            log.exception("updates")

    async def _restore(self) -> None:
        if self._brokers:
            await asyncio.to_thread(self._prepare)
        for device, (broker, _) in self._brokers.items():
            try:
                broker.offer(device, await asyncio.to_thread(self._read, device, "zgu"))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as fault:
                log.warning("update device=%s %s", device, ascii(fault))
                await asyncio.to_thread(self._remove, device)
        for _, updates in self._brokers.values():
            updates.ready = True

    def rows(self) -> dict[str, object]:
        """Where an offer is put, and every node with what was offered to it last."""
        return {"directory": str(self.directory), "nodes": list(self._rows())}

    def offer(self, device: str, who: str) -> asyncio.Future[object]:
        """Offer DEVICE.offer to a node: {"version"}, or {"refused": why, in ASCII}. Raise ApiError."""
        broker, _ = self._broker(device)
        work = asyncio.ensure_future(self._offer(device, broker, who))
        self._work.add(work)
        work.add_done_callback(self._work.discard)
        return work

    def withdraw(self, device: str, who: str) -> bool:
        """Take an offer back; return whether there was one. Raise ApiError."""
        broker, updates = self._broker(device)
        if (offer := updates.offers.get(device)) is None:
            return False
        broker.withdraw(device)
        self._forget(device)
        self._tell("withdrawn", {"device": device, "version": offer.update.version, "who": who})
        return True

    def _broker(self, device: str) -> tuple[Broker, NodeUpdates]:
        if not self._brokers:
            raise ApiError("node_updates_off")
        if device not in self._brokers:
            raise ApiError("no_such_node", device=device[:40])
        return self._brokers[device]

    async def _offer(self, device: str, broker: Broker, who: str) -> object:
        try:
            update = await asyncio.to_thread(self._accept, device)
        except (OSError, ValueError) as fault:
            return {"refused": fault.strerror if isinstance(fault, OSError) else str(fault)}
        broker.offer(device, update)
        self._tell("offered", {"device": device, "model": update.model, "version": update.version, "who": who})
        return {"version": update.version}

    def _ended(self, ended: Ended) -> None:
        offer = ended.offer
        fields = {"device": ended.device, "version": offer.update.version, "runs": offer.version}
        self._tell(offer.state, {**fields, "why": offer.why} if offer.why else fields)
        self._forget(ended.device)

    def _rows(self) -> Iterator[dict[str, object]]:
        for device, (_, updates) in self._brokers.items():
            row: dict[str, object] = {"device": device, "node": updates.nodes[device], "state": "none"}
            if (offer := updates.offers.get(device)) is not None:
                row |= {"state": offer.state, "model": offer.update.model, "version": offer.update.version}
                row |= {
                    "runs": offer.version or None,
                    "have": offer.have,
                    "size": len(offer.update.data),
                    "why": offer.why,
                }
            yield row

    # -- files, on a thread ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make the directory, for the group that may ask this core for something."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.directory.chmod(0o770)
        except OSError as fault:
            log.warning("updates directory=%s %s", self.directory, ascii(fault))

    def _accept(self, device: str) -> NodeUpdate:
        try:
            update = self._read(device, "offer")
        except ValueError:
            (self.directory / f"{device}.offer").unlink(missing_ok=True)
            raise
        (self.directory / f"{device}.offer").replace(self.directory / f"{device}.zgu")
        return update

    def _read(self, device: str, suffix: str) -> NodeUpdate:
        from drivers.codecs.node_update import FILE_BYTES_MAX, read  # hashlib: not in a core without nodes

        with (self.directory / f"{device}.{suffix}").open("rb") as file:
            return read(file.read(FILE_BYTES_MAX + 1))

    def _forget(self, device: str) -> None:
        work = asyncio.ensure_future(asyncio.to_thread(self._remove, device))
        self._work.add(work)
        work.add_done_callback(self._work.discard)

    def _remove(self, device: str) -> None:
        with contextlib.suppress(OSError):
            (self.directory / f"{device}.zgu").unlink()
