"""The scenes of the demo: from a quiet site, through a cut link and two killed processes, back to a quiet site."""

import asyncio
import functools
import time
from contextlib import AsyncExitStack
from typing import Any

from edge_agent.demo import Fire, Outcome
from edge_agent.demo_show import DELIVERED, HEARD, KEPT, SAID, Show
from edge_agent.tasks import end
from simulators.site import ACK, BUZZER, CALL_POINT, SimulatedSite

FIRE_KINDS = ("fire", "fire_manual")
PRESS_APART_S = 0.5  # a person presses no faster, and the gateway takes faster ones for a bouncing button
PRESS_AGAIN_S = 2.0  # by then a person who still hears it presses again
# Captured on a site's floor-display bus (tests/captures/gst-layer-bus.json): triple-repeat, fire-call-point, reset.
DETECTOR = bytes.fromhex("AA 15 36 50 89 03 D1 00 01 00 35 00 23 34 05 54 48 00 31 00 36 18 67 B6")
MANUAL = bytes.fromhex("AA 15 01 10 18 0B F3 00 01 00 31 18 67 55 63 32 40 45 88 34 71 29 27 83")
RESET = bytes.fromhex("AA 04 55 55 55 55 02")
DETECTOR_ADDRESS, MANUAL_ADDRESS = "365089", "011018"
CONTACT = "stairs"


class Story:
    """The scenes, in order. `tell` raises SiteError when something does not happen in time."""

    def __init__(self, site: SimulatedSite, show: Show, outcome: Outcome) -> None:
        self._site, self._show, self._outcome = site, show, outcome
        self._watches = AsyncExitStack()

    async def tell(self) -> None:
        """All of it."""
        async with self._watches:
            await self._start()
            await self._first_fire()
            await self._cut_and_fire()
            await self._kill_and_restart()
            await self._heal()
            await self._reset()

    async def _start(self) -> None:
        site, show = self._site, self._show
        show.say("site", "started", broker=site.broker.kind)
        started_ns = time.monotonic_ns()
        await site.start_gateway()
        show.gateway_up = True
        show.say("core", "up", ms=_since(started_ns))
        for point in ("meter1/voltage_l1_v", "leak1/residual_1_ma"):
            told = await self._value_of(point)
            name = told["name"] if show.lang == "zh" else point
            show.say("bus", "reading", name=name, value=round(float(told["value"]), 1), unit=told["unit"])
        arc = await self._value_of("arc1/arc_alarm")
        show.say("bus", "arc" if arc["value"] else "no_arc", name=arc["name"] if show.lang == "zh" else "arc1")
        await site.until(lambda: self._link_alarm("meter2"), "dead_slave")
        show.say("bus", "dead_slave", name="二号电表" if show.lang == "zh" else "meter2")
        await self._acknowledge("ack_fault")
        await show.pause()

    async def _first_fire(self) -> None:
        fire = await self._raise(DETECTOR, DETECTOR_ADDRESS)
        await self._site.until(lambda: fire.confirmed_ms is not None, "confirmed")
        self._show.stage, self._show.stored = DELIVERED, 1
        self._show.say("centre", "delivered", ms=fire.confirmed_ms)
        await self._show.pause()
        await self._acknowledge("ack_fire")
        await self._show.pause()

    async def _cut_and_fire(self) -> None:
        site, show = self._site, self._show
        site.link.cut()
        show.link_up = False
        show.say("link", "cut")
        await site.until(lambda: self._link_alarm("uplink/county"), "cut_seen")
        show.say("core", "cut_seen")
        await site.ask("silence")  # the link's own sound, so that the next one to be heard is the fire
        await show.pause()
        await self._raise(MANUAL, MANUAL_ADDRESS)
        show.say("centre", "waits")
        await show.pause()

    async def _kill_and_restart(self) -> None:
        site, show = self._site, self._show
        second = self._outcome.fires[-1]
        await site.kill_gateway()
        show.gateway_up = show.buzzer = False
        show.say("core", "killed")
        site.board.set(CALL_POINT, True)
        fire = Fire(CONTACT)
        self._outcome.fires.append(fire)
        show.stage = SAID
        show.say("person", "call_point", name="东楼梯手报" if show.lang == "zh" else CONTACT)
        await show.pause()
        started_ns = time.monotonic_ns()
        await site.start_gateway()
        sounded_ns = await site.until_output(BUZZER, True, "heard", after_ns=started_ns)
        self._outcome.restart_ms = _since(started_ns, sounded_ns)
        show.gateway_up = show.buzzer = True
        show.stage = HEARD
        show.say("core", "restarted", ms=self._outcome.restart_ms)
        second.heard = await self._is_unseen(second.event_id)
        if second.heard:
            show.say("buzzer", "heard_again")
        await self._kept(fire)
        kept_ns = site.accepted_ns[fire.event_id]
        await site.until_output(BUZZER, True, "heard", after_ns=kept_ns)
        fire.heard = await self._is_unseen(fire.event_id)
        show.say("journal", "kept_late", ms=_since(started_ns, kept_ns), name=self._name_of(fire))
        await show.pause()

    async def _heal(self) -> None:
        site, show = self._site, self._show
        healed_ns = time.monotonic_ns()
        site.link.heal()
        show.link_up = True
        show.say("link", "healed")
        await site.until(self._all_stored, "delivery")
        self._outcome.catch_up_ms = _since(healed_ns)
        show.stage, show.stored = DELIVERED, len(self._outcome.fires)
        show.say("centre", "caught_up", count=show.stored, ms=self._outcome.catch_up_ms)
        await site.until(self._all_delivered, "confirmed")
        await show.pause()
        await self._acknowledge("ack_fire")
        await show.pause()

    async def _reset(self) -> None:
        site, show = self._site, self._show
        await site.panel.say(RESET, copies=[RESET, RESET])
        site.board.set(CALL_POINT, False)
        show.say("panel", "reset")
        await site.until(self._no_fire_left, "reset")
        show.stage = 0
        show.say("core", "quiet")
        # A gateway that runs always has one more record to tell, so the account is taken of one that has ended in order.
        await site.core.stop()
        show.gateway_up = False
        await site.until(lambda: not site.account().waiting, "delivery")
        show.say("centre", "even")

    # --- what the scenes are made of ------------------------------------------------------------------------------------

    async def _raise(self, frame: bytes, address: str) -> Fire:
        """A captured fire, sent three times as the panel does: wait until it sounds and is kept. Nothing may sound before."""
        site, show = self._site, self._show
        await site.until_output(BUZZER, False, "silent")
        fire = Fire(f"panel1/{address}")
        self._outcome.fires.append(fire)
        show.stage = SAID
        told_ns = await site.panel.say(frame, copies=[frame, frame])
        watch = asyncio.create_task(self._watch_confirmed(fire, told_ns, in_time=site.link.up), name="confirmed")
        self._watches.push_async_callback(
            functools.partial(end, watch, forgive=(Exception,))
        )  # the story tells what failed
        show.say("panel", "fire", address=address)
        heard_ns = await site.until_output(BUZZER, True, "heard", after_ns=told_ns)
        fire.heard = show.buzzer = True
        fire.buzzer_ms = _since(told_ns, heard_ns)
        show.stage = HEARD
        show.say("buzzer", "heard", ms=fire.buzzer_ms)
        await self._kept(fire)
        fire.durable_ms = _since(told_ns, site.accepted_ns[fire.event_id])
        show.say("journal", "kept", ms=fire.durable_ms, name=self._name_of(fire))
        return fire

    async def _kept(self, fire: Fire) -> None:
        """Wait until the core says that it is on the medium."""
        await self._site.until(lambda: self._accepted(fire.point), "kept")
        fire.event_id = self._accepted(fire.point)[0][1]["id"]
        self._show.stage = KEPT
        self._show.kept += 1

    async def _watch_confirmed(self, fire: Fire, told_ns: int, *, in_time: bool) -> None:
        """Stamp the moment at which the core knows that the centre has it, whatever the story tells meanwhile."""
        while in_time and fire.confirmed_ms is None:
            alarm = await self._site.alarm_of(fire.event_id) if fire.event_id else None
            if alarm is not None and alarm["delivered"]:
                fire.confirmed_ms = _since(told_ns)
            await asyncio.sleep(0.002)

    async def _acknowledge(self, what: str) -> None:
        """Press the button, again if something new came meanwhile, and wait for silence."""
        site, show = self._site, self._show

        async def pressed() -> bool:
            await asyncio.sleep(PRESS_APART_S)
            await site.board.press(ACK)
            try:
                async with asyncio.timeout(PRESS_AGAIN_S):
                    while not await self._all_acknowledged():  # noqa: ASYNC110 - the core is asked; it tells nobody of this
                        await asyncio.sleep(0.01)
            except TimeoutError:
                return False
            return True

        await site.until(pressed, "ack")
        await site.until_output(BUZZER, False, "silent")
        show.buzzer = False
        show.say("person", what)

    def _accepted(self, point: str) -> list[tuple[tuple[str, str, int], dict[str, Any]]]:
        return [
            (name, event)
            for name, event in self._site.accepted.items()
            if event["point"] == point and event["active"] and "escalates" not in event.get("fields", {})
        ]

    def _name_of(self, fire: Fire) -> str:
        _, stream, n = self._accepted(fire.point)[0][0]
        return f"{stream} n={n}"

    async def _value_of(self, point: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        async def has_value() -> bool:
            nonlocal found
            found = next((told for told in await self._site.ask("points") or () if told["id"] == point), {})
            return found.get("value") is not None

        await self._site.until(has_value, "reading")
        return found

    async def _link_alarm(self, source: str) -> bool:
        return any(a["kind"] == "link" and a["point"] == source for a in await self._site.ask("alarms") or ())

    async def _is_unseen(self, event_id: str) -> bool:
        """Whether the alarm of this event is active, and nobody has acknowledged or silenced it."""
        alarm = await self._site.alarm_of(event_id)
        return alarm is not None and alarm["state"] == "active" and not alarm["silenced"]

    async def _all_acknowledged(self) -> bool:
        alarms = await self._site.ask("alarms")
        return alarms is not None and all(alarm["state"] == "acknowledged" for alarm in alarms)

    async def _fires(self) -> list[dict[str, Any]] | None:
        alarms = await self._site.ask("alarms")
        return None if alarms is None else [alarm for alarm in alarms if alarm["kind"] in FIRE_KINDS]

    async def _all_delivered(self) -> bool:
        fires = await self._fires()
        return fires is not None and all(alarm["delivered"] for alarm in fires)

    def _all_stored(self) -> bool:
        stored = set(self._site.stored_ids())
        return all(fire.event_id in stored for fire in self._outcome.fires)

    async def _no_fire_left(self) -> bool:
        return await self._fires() == []


def _since(start_ns: int, end_ns: int | None = None) -> float:
    return round(((time.monotonic_ns() if end_ns is None else end_ns) - start_ns) / 1e6, 2)
