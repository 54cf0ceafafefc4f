"""Stands beside the core and writes down what it accepted: every event it named, across kills and restarts.

An event pushed with a name is durable: the gateway has promised it. That promise is what the proofs hold the centre to.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from edge_agent.local_api import LocalClient
from edge_agent.tasks import end
from tests.proof.checker import Name

RETRY_S = 0.005


class Witness:
    """Connected to the local API whenever there is a core."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.accepted: dict[Name, dict[str, Any]] = {}  # in the order in which the core told
        self.renamed: list[Name] = []  # names the core gave to two different records
        self.unnamed: list[dict[str, Any]] = []  # told without a name: the medium has not taken it
        self.connections = 0
        self.told: Callable[[Name], None] = lambda name: (
            None
        )  # at once, for who must know what came before and what after
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch(), name="witness")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await end(self._task)

    async def _watch(self) -> None:
        while True:
            try:
                client = await LocalClient.connect(self._path)
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            try:
                await client.request("watch", what=["event"])
                self.connections += 1
                async for push in client.pushes():  # also what was still in the socket when the core died
                    self._take(push)
            except ConnectionError:
                pass
            finally:
                await client.close()

    def _take(self, push: dict[str, Any]) -> None:
        body, named = push["event"], push["name"]
        if isinstance(body, str):
            body = json.loads(body)
        if named is None:
            self.unnamed.append(body)
            return
        name = Name(named["epoch"], named["stream"], named["n"])
        if name in self.accepted:
            self.renamed.append(name)
        self.accepted[name] = body
        self.told(name)

    def of(self, **wanted: object) -> list[dict[str, Any]]:
        """Accepted bodies in which these keys have these values."""
        return [body for body in self.accepted.values() if all(body.get(k) == v for k, v in wanted.items())]
