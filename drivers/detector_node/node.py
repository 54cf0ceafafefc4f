"""The node: samples its inputs, sounds at once, keeps each change in flash, and sends it until the gateway has it.

Sensing waits for nobody: no network, no flash that is slow, stands between smoke and the sounder.
"""

import asyncio
import json
import os

from . import record
from .detector import Detector
from .link import wire
from .ring import Ring

ACK_S = 6  # the gateway confirms what is on its flash; a status record may wait there for a second
SENDS = 3
RETRY_S = (1, 2, 4, 8, 15, 30, 60)
IDLE_S = 20
CONFIRM_S = 600  # an update that reached nobody for so long after its start is not one


class Node:
    """One node. `board` has the pins (board.py, or the tests' one), `update` the slots (update.py)."""

    def __init__(self, settings: dict, board, update=None) -> None:
        self.settings, self.board, self.update = settings, board, update
        self.ring = Ring(settings.get("ring", "ring.bin"), settings.get("slots", 256))
        self.detector = Detector(settings.get("detector", {}))
        last = self.ring.last()
        if last is not None:
            self.detector.restore(record.unpack(last))
        self._wire = wire(settings, self._acked)
        self._news, self._confirmed = asyncio.Event(), asyncio.Event()
        self._heartbeat_ms = settings.get("heartbeat_s", 300) * 1000
        self._sensed = self._linked = 0  # turns of both loops: the watchdog is fed while both go on

    async def run(self) -> None:
        """Until the power goes, or the node sleeps."""
        asyncio.create_task(self._deliver())
        asyncio.create_task(self._watch())
        await self._sense()

    async def _sense(self) -> None:
        owed, last_ms = "boot", self.board.now_ms()  # what has to be told, also if flash refused it a sample ago
        period_s = self.settings.get("sample_ms", 200) / 1000
        while True:
            changed = self.detector.feed(self.board.read(), self.board.now_ms())
            self.board.sound(self.detector.sounding())
            beat = self.board.now_ms() - last_ms >= self._heartbeat_ms and not self.ring.waiting()
            # the first samples have not held yet: told on, they would end an alarm that goes on
            owed = owed or ("change" if changed else "heartbeat" if beat else "")
            if owed and self._sensed + 1 >= self.detector.hold and self._keep(owed):
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

    def _may_sleep(self) -> bool:
        state = self.detector.state
        awake = (
            self.ring.waiting()
            or self.detector.sounding()
            or state.get("muted")
            or state.get("smoke")
            or state.get("gas")
        )
        return bool(self.settings.get("sleep_s")) and not awake

    # -- the way to the gateway -------------------------------------------------------------------------------------------

    async def _deliver(self) -> None:
        failures = 0
        while True:
            try:
                if not self.ring.waiting():
                    await self._wait_for_news()
                    continue
                await self._wire.open(self.ring.epoch)
                failures = await self._drain()
            except (OSError, EOFError, ValueError, asyncio.TimeoutError) as fault:
                self.board.log("link: %s" % fault)
            await self._wire.close()
            wait_s = RETRY_S[min(failures, len(RETRY_S) - 1)]
            failures += 1
            # not all nodes at once after the gateway was away
            await self._pause(wait_s * (0.5 + os.urandom(1)[0] / 255))

    async def _drain(self) -> int:
        """Send what waits, and then what comes, until the connection ends (OSError). One record at a time, in order."""
        while True:
            held = self.ring.oldest()
            if held is None:
                await self._wait_for_news()
                if not self.ring.waiting():
                    await self._wire.idle()
                continue
            n, body = held
            for _ in range(SENDS):
                self._confirmed.clear()
                await self._wire.send(n, body, self.board.now_s())
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
        self._confirmed.set()
        if self.update is not None:
            self.update.confirm()  # this program reaches its gateway: it stays

    async def _wait_for_news(self) -> None:
        self._linked += 1
        try:
            await asyncio.wait_for(self._news.wait(), IDLE_S)
        except asyncio.TimeoutError:
            pass
        self._news.clear()

    async def _pause(self, seconds: float) -> None:
        while seconds > 0:
            self._linked += 1
            await asyncio.sleep(min(seconds, 5))
            seconds -= 5

    # -- what keeps it alive ----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Feed the watchdog while both loops go on; take an update that was put into flash; give up one that reaches nobody."""
        sensed = linked = -1
        quiet_s = 0
        since_ms = self.board.now_ms()
        while True:
            if self._sensed != sensed:
                quiet_s = quiet_s + 1 if self._linked == linked else 0
                if quiet_s < 120:
                    self.board.feed_watchdog()
            sensed, linked = self._sensed, self._linked
            if self.update is not None:
                if self.update.unconfirmed() and self.board.now_ms() - since_ms > CONFIRM_S * 1000:
                    self.board.reset()  # the loader goes back to what was there before
                if self.update.take():
                    self.board.reset()
            await asyncio.sleep(1)


def load(path: str = "node.json") -> dict:
    """The node's configuration."""
    with open(path) as file:
        return json.load(file)
