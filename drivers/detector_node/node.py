"""The node: samples its inputs, sounds at once, keeps each change in flash, and sends it until the gateway has it.

Sensing waits for nobody: no network, no flash that is slow, stands between smoke and the sounder.
"""

import asyncio
import os

from . import record
from .detector import Detector
from .fetch import Fetch
from .link import wire
from .ring import Ring

ACK_S = 6  # the gateway confirms what is on its flash; a status record may wait there for a second
SENDS = 3
RETRY_S = (1, 2, 4, 8, 15, 30, 60)
PAUSE_LEAST_S = 1
IDLE_S = 10  # a connection that is dead, a part of an update that did not come, is found after so long
AWAKE_S = 60  # a node that sleeps does not wait longer for a gateway that is away
CONFIRM_S = 600  # an update that reached nobody for so long after its start is not one


class Node:
    """One node. `board` has the pins (board.py, or the tests' one), `update` the slots (update.py)."""

    def __init__(self, settings: dict, board, update=None) -> None:
        self.settings, self.board, self.update = settings, board, update
        self.ring = Ring(settings.get("ring", "ring.bin"), settings.get("slots", 256))
        self.detector = Detector(settings.get("detector", {}))
        last = self.ring.last()
        self._known = {} if last is None else record.unpack(last)
        self.detector.restore(self._known)
        self._started_ms = board.now_ms()
        self._undated = 0 if board.clock_kept() else self.ring.newest  # records whose age nobody knows any more
        self._news = asyncio.Event()
        self._fetch = None if update is None else Fetch(update)
        self._wire = wire(settings, self._acked, self._fetch and self._offer)
        self._confirmed = asyncio.Event()
        self._heartbeat_ms = settings.get("heartbeat_s", 300) * 1000
        self._asking = False  # the gateway is being told something about an update
        self._failures = 0  # since a record was confirmed
        self._sensed = self._linked = 0  # turns of both loops: the watchdog is fed while both go on

    async def run(self) -> None:
        """Until the power goes, or the node sleeps. A part that fails ends all of them: the loader starts anew."""
        await asyncio.gather(self._sense(), self._beat(), self._deliver(), self._watch())

    async def _beat(self) -> None:
        """The sounder's pulses are finer than the samples."""
        while True:
            self.board.sound(self.detector.sounding())
            await asyncio.sleep(0.05)

    async def _sense(self) -> None:
        owed, last_ms = "boot", self.board.now_ms()  # what has to be told, also if flash refused it a sample ago
        period_s = self.settings.get("sample_ms", 200) / 1000
        while True:
            changed = self.detector.feed(self.board.read(), self.board.now_ms())
            self.board.sound(self.detector.sounding())
            beat = self.board.now_ms() - last_ms >= self._heartbeat_ms and not self.ring.waiting()
            # the first samples have not held yet: told on, they would end an alarm that goes on
            owed = owed or ("change" if changed else "heartbeat" if beat else "")
            if owed and self._sensed + 1 >= self.detector.hold and (self._is_old_news(owed) or self._keep(owed)):
                owed, last_ms = "", self.board.now_ms()
            self._sensed += 1
            if not owed and self._may_sleep():
                await self._wire.close()
                self.board.sleep(self.settings["sleep_s"])
            await asyncio.sleep(period_s)

    def _keep(self, why: str) -> bool:
        """Put the state into flash. What flash refuses is tried again with each sample; the sounder works all the same."""
        try:
            self.ring.append(record.pack(self.board.now_s(), self.ring.lost, why, self.detector.state))
        except OSError as fault:
            self.board.log("flash: %s" % fault)
            return False
        self._news.set()
        return True

    def _is_old_news(self, why: str) -> bool:
        """Whether a wake-up has nothing to tell that does not wait to be told already: a long outage must not fill the flash."""
        if why != "boot" or not self.settings.get("sleep_s") or not self.ring.waiting():
            return False
        return all(self.detector.state.get(name, False) == self._known.get(name, False) for name in record.FLAGS)

    def _may_sleep(self) -> bool:
        """Whether all is told and nobody needs it; what a gateway that is away has not been told waits in flash."""
        state = self.detector.state
        if not self.settings.get("sleep_s") or self.detector.sounding() or state.get("smoke") or state.get("gas"):
            return False
        if self.update is not None and self.update.unconfirmed():
            return False
        tired = self.board.now_ms() - self._started_ms > self.settings.get("awake_s", AWAKE_S) * 1000
        return tired or not (self.ring.waiting() or self._fetching())

    def _calm(self) -> bool:
        """Whether there is time for an update: nobody is in danger, nothing waits to be told, and the battery will last."""
        return self.detector.calm() and not self.ring.waiting()

    def _fetching(self) -> bool:
        """Whether an update is on its way that it is worth being awake and connected for."""
        return self._fetch is not None and self._calm() and (self._asking or self._fetch.busy())

    # -- the way to the gateway -------------------------------------------------------------------------------------------

    async def _deliver(self) -> None:
        while True:
            try:
                if not self.ring.waiting() and not self._fetching():
                    await self._wait_for_news()
                    continue
                self._asking = False
                if self._fetch is not None:
                    self._fetch.connected()
                self.board.join()
                await self._wire.open(self.ring.epoch)
                await self._drain()
            except Exception as fault:  # noqa: BLE001 - whatever it is, the way to the gateway is tried again
                self.board.log("link: %r" % fault)
            await self._wire.close()
            wait_s = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
            self._failures += 1
            # not all nodes at once after the gateway was away
            await self._pause(wait_s * (0.5 + os.urandom(1)[0] / 255))

    async def _drain(self) -> None:
        """Send what waits, and then what comes, until the connection ends (OSError). One record at a time, in order."""
        while True:
            held = self.ring.oldest()
            if held is None:
                ask = self._fetch.ask(self.board.now_ms()) if self._fetch is not None and self._calm() else None
                if ask is not None:
                    self._asking = True
                    await self._wire.ask(ask)
                    self._asking = False
                if not await self._wait_for_news():
                    await self._wire.idle()
                continue
            n, body = held
            for _ in range(SENDS):
                self._confirmed.clear()
                await self._wire.send(n, body, self.board.now_s() if n > self._undated else -1)
                self._linked += 1
                if self.ring.acked >= n or await self._is_confirmed():
                    break
            if self.ring.acked < n:
                raise OSError("not confirmed")

    async def _is_confirmed(self) -> bool:
        try:
            await asyncio.wait_for(self._confirmed.wait(), self.settings.get("ack_s", ACK_S))
        except asyncio.TimeoutError:
            return False
        return True

    def _acked(self, n: int) -> None:
        held = self.ring.oldest()
        if held is None or n != held[0]:
            return  # of a record sent twice
        self.ring.ack(n)
        self._failures = 0
        self._confirmed.set()
        if self.update is not None:
            try:
                self.update.confirm()  # this program reaches its gateway: it stays
            except OSError as fault:
                self.board.log("flash: %s" % fault)

    def _offer(self, what: str, payload: bytes) -> None:
        """Something about an update came from the gateway."""
        if what == "offer":
            self._fetch.offered(payload)
        else:
            self._fetch.part(payload)
            self._failures = 0
        self._news.set()

    async def _wait_for_news(self, seconds: float = IDLE_S) -> bool:
        self._linked += 1
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        self._news.clear()
        return True

    async def _pause(self, seconds: float) -> None:
        """Leave the gateway alone for a while, but not with news: it may be an alarm."""
        await asyncio.sleep(min(seconds, PAUSE_LEAST_S))
        while (seconds := seconds - PAUSE_LEAST_S) > 0:
            if await self._wait_for_news(min(seconds, PAUSE_LEAST_S)):
                return

    # -- what keeps it alive ----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Feed the watchdog while both loops go on; take an update that was put into flash; give up one that reaches nobody."""
        sensed = linked = -1
        quiet_s = 0
        while True:
            if self._sensed != sensed:
                quiet_s = quiet_s + 1 if self._linked == linked else 0
                if quiet_s < 120:
                    self.board.feed_watchdog()
            sensed, linked = self._sensed, self._linked
            if self.update is not None:
                late = self.board.now_ms() - self._started_ms > CONFIRM_S * 1000
                if late and self.update.unconfirmed() and self.detector.calm():
                    self.board.reset()  # the loader goes back to what was there before
                if self.update.waiting() and self._calm():
                    await self._install()
            await asyncio.sleep(1)

    async def _install(self) -> None:
        """Put an update into the other slot and start anew. An alarm comes first: then it is begun again later."""
        steps = self.update.steps()
        try:
            for _ in steps:
                await asyncio.sleep(0)
                self.board.feed_watchdog()
                if not self._calm():
                    return
        except (ValueError, OSError) as fault:
            self.board.log("update: %s" % fault)
            self._fetch.again()
            return
        finally:
            steps.close()
        self.board.reset()
