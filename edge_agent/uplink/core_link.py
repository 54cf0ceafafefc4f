"""The uplink's end of the core's local API. The core may be absent, restart, or start later: nothing here waits for it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NoReturn

from buffer.records import Priority
from edge_agent.local_api import ApiError, LocalClient
from edge_agent.tasks import end
from edge_agent.uplink.contract import BY_STREAM

log = logging.getLogger("edge.core_link")

RETRY_S: Final = 1.0
LINGER_S: Final = 0.1  # confirms of this long share a request
ALIVE_S: Final = 5.0  # with nothing to tell we say that: the core takes an uplink that is silent for 30 s for dead
REQUEST_S: Final = 5.0  # what is asked in passing is done without after this long
SILENT_S: Final = 30.0  # a core that answers nothing for this long is as good as absent: its own watchdog ends it then
DELIVERED_MAX: Final = 4096  # a request carries at most DELIVERED_SLICE of them
DELIVERED_SLICE: Final = 200
FAULTS_MAX: Final = 64

OnRecord = Callable[[str, Priority, int, bytes | None], None]  # epoch, priority, n, body if it was pushed with it


class CoreLink:
    """Tells the core what was delivered; hears of new records. Of every report only the latest is kept for an absent core."""

    def __init__(self, path: Path, *, on_record: OnRecord, on_present: Callable[[bool], Awaitable[None]]) -> None:
        self.path, self._on_record, self._on_present = path, on_record, on_present
        self._client: LocalClient | None = None
        self._changed = asyncio.Event()
        self._confirmed: dict[tuple[str, str, str], int] = {}
        self._confirms_owed: dict[tuple[str, str, str], None] = {}  # in the order they came
        self._states: dict[tuple[str, str], dict[str, object]] = {}  # latest of each uplink and link, by request and id
        self._states_owed: dict[tuple[str, str], None] = {}
        self._faults_owed: deque[dict[str, object]] = deque(maxlen=FAULTS_MAX)
        self._delivered_owed: deque[str] = deque(maxlen=DELIVERED_MAX)
        self._said_absent = False
        self._met = asyncio.Event()  # it is known whether there is a core

    @property
    def present(self) -> bool:
        """Whether the core answers."""
        return self._client is not None

    def confirm(self, destination: str, epoch: str, priority: Priority, through: int) -> None:
        """The destination has every record of the stream through this one (retention may go on)."""
        key = destination, epoch, priority.stream
        if through > self._confirmed.get(key, 0):
            self._confirmed[key] = through
            self._confirms_owed[key] = None
            self._changed.set()

    def delivered(self, event_ids: Iterable[str]) -> None:
        """Every mandatory destination has these alarms (the lamp goes steady)."""
        self._delivered_owed.extend(event_ids)
        if self._delivered_owed:
            self._changed.set()

    def uplink_state(self, destination: str, up: bool, reason: str, **detail: object) -> None:
        """Whether the destination can be reached, and why not (ASCII code)."""
        self._owe("uplink_state", destination, {"dest": destination, "up": up, "reason": reason, **detail})

    def link_state(self, link: str, up: bool | None, reason: str, **detail: object) -> None:
        """Whether the centre answers over a link, who uses it, and how many bytes it took."""
        self._owe("link_state", link, {"link": link, "up": up, "reason": reason, **detail})

    def _owe(self, do: str, name: str, state: dict[str, object]) -> None:
        self._states[do, name] = state
        self._states_owed[do, name] = None
        self._changed.set()

    def fault(self, destination: str, what: str, **params: object) -> None:
        """Something a person has to look at although the link is up: a refused record, a ledger set aside."""
        self._faults_owed.append({**params, "dest": destination, "code": what})
        self._changed.set()

    async def ask(self, do: str, **params: object) -> object:
        """One request. None if the core is absent, slow or refuses."""
        try:
            async with asyncio.timeout(REQUEST_S):
                return await self._request(do, params)
        except TimeoutError:
            log.warning("core ask=%s fault=slow", do)
            return None

    async def ask_patiently(self, do: str, **params: object) -> object:
        """One request, for as long as there may be an answer. None if the core is absent or refuses."""
        await self._met.wait()
        return await self._request(do, params)

    async def _request(self, do: str, params: Mapping[str, object]) -> object:
        client = self._client
        if client is None:
            return None
        try:
            return await client.request(do, **params)
        except (OSError, ApiError) as fault:
            log.warning("core ask=%s fault=%s", do, fault)
            return None

    async def run(self) -> NoReturn:
        """Keep the connection until cancelled."""
        while True:
            try:
                client = await LocalClient.connect(self.path)
            except OSError as fault:
                self._met.set()
                if not self._said_absent:
                    self._said_absent = True
                    log.warning("core absent errno=%s", fault.errno)
                await asyncio.sleep(RETRY_S)
                continue
            self._said_absent = False
            log.info("core present")
            try:
                await self._serve(client)
            except (OSError, ApiError, TimeoutError) as fault:
                log.warning("core lost fault=%s", fault)
            finally:
                self._client = None
                self._met.set()
                await client.close()
            await self._on_present(False)
            await asyncio.sleep(RETRY_S)

    async def _serve(self, client: LocalClient) -> None:
        async with asyncio.timeout(SILENT_S):
            await client.request("watch", what=["journal"])
        self._client = client
        self._met.set()
        self._confirms_owed = dict.fromkeys(self._confirmed)  # a restarted core knows nothing
        self._states_owed = dict.fromkeys(self._states)
        self._changed.set()
        reporter = asyncio.create_task(self._report_for_ever(client), name="core-report")
        present = asyncio.create_task(_run(self._on_present(True)), name="core-present")
        listener = asyncio.create_task(self._listen(client), name="core-listen")
        try:
            await asyncio.wait({reporter, listener}, return_when=asyncio.FIRST_COMPLETED)
            for task in (reporter, listener):
                if task.done():
                    task.result()
        finally:
            await end(reporter, present, listener, forgive=(OSError, ApiError, TimeoutError))

    async def _listen(self, client: LocalClient) -> None:
        async for push in client.pushes():
            if push.get("push") == "journal":
                self._take_record(push)

    def _take_record(self, push: Mapping[str, object]) -> None:
        epoch, stream, n, body = push.get("epoch"), push.get("stream"), push.get("n"), push.get("body")
        priority = BY_STREAM.get(stream) if isinstance(stream, str) else None
        if priority is not None and isinstance(epoch, str) and isinstance(n, int):
            self._on_record(epoch, priority, n, body.encode() if isinstance(body, str) else None)

    async def _report_for_ever(self, client: LocalClient) -> NoReturn:
        while True:
            try:
                async with asyncio.timeout(ALIVE_S):
                    await self._changed.wait()
            except TimeoutError:
                await self._tell(client, "alive")
                continue
            self._changed.clear()
            await self._report(client)
            await asyncio.sleep(LINGER_S)

    async def _report(self, client: LocalClient) -> None:
        owed = self._delivered_owed
        while owed:  # first: people wait for the lamp
            ids = [owed.popleft() for _ in range(min(len(owed), DELIVERED_SLICE))]
            await self._tell(client, "delivered", ids=ids)  # lost with the core: told again at its return
        while self._states_owed:
            do, name = next(iter(self._states_owed))
            del self._states_owed[do, name]
            await self._tell(client, do, **self._states[do, name])
        while self._faults_owed:
            fault = self._faults_owed[0]
            await self._tell(client, "uplink_fault", **fault)
            if self._faults_owed and self._faults_owed[0] is fault:
                self._faults_owed.popleft()
        while self._confirms_owed:
            key = next(iter(self._confirms_owed))
            del self._confirms_owed[key]
            destination, epoch, stream = key
            await self._tell(
                client, "confirm", dest=destination, epoch=epoch, stream=stream, through=self._confirmed[key]
            )

    async def _tell(self, client: LocalClient, do: str, **params: object) -> None:
        try:
            async with asyncio.timeout(SILENT_S):
                await client.request(do, **params)
        except ApiError as refusal:  # a core of another version: say so, and do not ask it for ever
            log.warning("core refused do=%s code=%s", do, refusal.code)


async def _run(work: Awaitable[None]) -> None:
    await work
