"""`edge-agent demo`: a whole site on this computer tells the story of a fire. Everything it shows is measured as it happens."""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_agent.terminal import FAILURES, OK, cells, print_json, print_lines
from edge_agent.texts import text

if TYPE_CHECKING:
    from simulators.site import SimulatedSite

PAUSE_S = 1.2  # between the scenes, so that a person can read; none where nobody reads along
PRESS_APART_S = 0.5  # a person presses no faster, and the gateway takes faster ones for a bouncing button
BUZZER_LINE, ACK_LINE, CALL_POINT_LINE = 17, 5, 12  # of the simulated board, see simulators/site.py
# Captured on a site's floor-display bus (tests/captures/gst-layer-bus.json, triple-repeat): fire at 365089, three times.
CAPTURED_FIRE = bytes.fromhex("AA 15 36 50 89 03 D1 00 01 00 35 00 23 34 05 54 48 00 31 00 36 18 67 B6")
CAPTURED_ADDRESS, SECOND_ADDRESS = "365089", "365090"
CALL_POINT = "stairs"


def run_demo(seconds: float | None, as_json: bool, lang: str) -> int:
    """Play the story, within `seconds` if given. Exit 0: every fire was heard, kept and delivered; 2: not, or time was up."""
    try:
        from simulators.broker import NoBroker
    except ImportError:
        print_lines([text("demo.no_simulators", lang)], err=True)
        return FAILURES
    show = Show(as_json, lang, pause_s=0.0 if as_json or seconds is not None or not sys.stdout.isatty() else PAUSE_S)
    try:
        outcome = asyncio.run(_play(show, seconds))
    except NoBroker:
        print_lines([text("demo.no_broker", lang)], err=True)
        return FAILURES
    except KeyboardInterrupt:
        return 130
    if as_json:
        print_json(outcome.as_dict(show))
    else:
        show.summary(outcome)
    return OK if outcome.good else FAILURES


@dataclass(slots=True)
class Fire:
    """One fire of the story and what became of it. Times are ms after the moment the site told the gateway."""

    point: str
    event_id: str = ""
    buzzer_ms: float | None = None
    durable_ms: float | None = None
    confirmed_ms: float | None = None  # None: it waited for the cut link, or was never confirmed
    heard: bool = False
    delivered: bool = False


@dataclass(slots=True)
class Outcome:
    """What the whole story came to."""

    fires: list[Fire] = field(default_factory=list)
    kept: int = 0
    records: int = 0
    lost: int = 0
    duplicates: int = 0
    finished: bool = False
    stopped: str = ""

    @property
    def delivered(self) -> int:
        """Fires the centre has."""
        return sum(fire.delivered for fire in self.fires)

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        every = all(fire.heard and fire.delivered for fire in self.fires) and self.kept == len(self.fires)
        return self.finished and bool(self.fires) and every and not self.lost and not self.duplicates

    def worst(self, what: str) -> float | None:
        """The longest of one figure over the fires that have it."""
        values = [value for fire in self.fires if (value := getattr(fire, what)) is not None]
        return max(values, default=None)

    def as_dict(self, show: "Show") -> dict[str, object]:
        """The object of `--json`: figures are the worst of all fires, `fires` has each."""
        return {
            "raised": len(self.fires),
            "heard": sum(fire.heard for fire in self.fires),
            "kept": self.kept,
            "delivered": self.delivered,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "records": self.records,
            "buzzer_ms": self.worst("buzzer_ms"),
            "durable_ms": self.worst("durable_ms"),
            "confirmed_ms": self.worst("confirmed_ms"),
            "finished": self.finished,
            "stopped": self.stopped,
            "fires": [
                {
                    "point": fire.point,
                    "event_id": fire.event_id,
                    "heard": fire.heard,
                    "delivered": fire.delivered,
                    "buzzer_ms": fire.buzzer_ms,
                    "durable_ms": fire.durable_ms,
                    "confirmed_ms": fire.confirmed_ms,
                }
                for fire in self.fires
            ],
            "timeline": show.timeline,
        }


class Show:
    """Tells the story line by line, with a picture of where the fires are whenever that changes."""

    def __init__(self, as_json: bool, lang: str, *, pause_s: float) -> None:
        self.lang, self._quiet, self._pause_s = lang, as_json, pause_s
        self.timeline: list[dict[str, object]] = []
        self._started_s = time.monotonic()
        self.gateway_up, self.link_up, self.buzzer, self.kept, self.centre = False, True, False, 0, 0
        self._last_picture = ""

    def say(self, who: str, what: str, **values: object) -> None:
        """One line: when, who, what."""
        at_s = round(time.monotonic() - self._started_s, 3)
        self.timeline.append({"at_s": at_s, "who": who, "what": what, **values})
        if self._quiet:
            return
        name = text(f"demo.who_{who}", self.lang)
        padded = name + " " * max(0, 10 - cells(name))
        print_lines([f"{at_s:6.1f} s  {padded} {text(f'demo.{what}', self.lang, **values)}"])

    def picture(self) -> None:
        """Where the fires are now."""
        if self._quiet:
            return

        def word(key: str, **values: object) -> str:
            return text(f"demo.pic_{key}", self.lang, **values)

        buzzer = word("down") if not self.gateway_up else word("on" if self.buzzer else "off")
        gateway = f"[{word('core')} {word('down')}]" if not self.gateway_up else f"[{word('core')}]"
        wire = "===" if self.link_up else f"=/{word('cut')}/="
        line = (
            f"          [{word('panel')}]---{gateway}--({word('buzzer')} {buzzer})--"
            f"[{word('journal')} {word('fires', count=self.kept)}]"
            f"{wire}[{word('centre')} {word('fires', count=self.centre)}]"
        )
        if line != self._last_picture:
            print_lines([line])
            self._last_picture = line

    async def pause(self) -> None:
        """Let a person read."""
        if self._pause_s:
            await asyncio.sleep(self._pause_s)

    def summary(self, outcome: Outcome) -> None:
        """The result, for people."""
        lang = self.lang
        counts = {
            "raised": len(outcome.fires),
            "heard": sum(fire.heard for fire in outcome.fires),
            "kept": outcome.kept,
            "delivered": outcome.delivered,
            "lost": outcome.lost,
            "duplicates": outcome.duplicates,
        }
        told = "   ".join(f"{text(f'demo.sum_{key}', lang)} {value}" for key, value in counts.items())
        lines = ["", f"{text('demo.summary', lang)}: {told}", f"{text('demo.sum_records', lang)}: {outcome.records}"]
        times = {key: _ms(outcome.worst(key)) for key in ("buzzer_ms", "durable_ms", "confirmed_ms")}
        lines.append(text("demo.sum_times", lang, **times))
        lines.append(outcome.stopped or text("demo.good" if outcome.good else "demo.bad", lang))
        print_lines(lines)


async def _play(show: Show, seconds: float | None) -> Outcome:
    from simulators.site import SimulatedSite, SiteError

    outcome = Outcome()
    if not show._quiet:
        print_lines([text("demo.title", show.lang), ""])
    async with SimulatedSite() as site:
        try:
            async with asyncio.timeout(seconds):
                await Story(site, show, outcome).tell()
                outcome.finished = True
        except TimeoutError:
            outcome.stopped = text("demo.time_up", show.lang, seconds=f"{seconds:g}")
        except SiteError as fault:
            outcome.stopped = text("demo.failed", show.lang, what=fault.what, directory=fault.directory)
            lines = [f"{name}: {line}" for name, tail in fault.tails.items() for line in tail.splitlines()]
            print_lines(lines, err=True)
        _judge(site, outcome)
    return outcome


def _judge(site: "SimulatedSite", outcome: Outcome) -> None:
    """Hold what the core called kept against what the centre stored."""
    names, stored = site.names_at_centre(), site.event_ids_at_centre()
    kept = {event["id"] for event in site.accepted.values()}
    outcome.records = len(site.accepted)
    outcome.lost = len(site.accepted.keys() - names)
    outcome.duplicates = len(stored) - len(set(stored))
    outcome.kept = sum(fire.event_id in kept for fire in outcome.fires)
    for fire in outcome.fires:
        fire.delivered = fire.event_id in stored
        outcome.lost += not fire.event_id


class Story:
    """The scenes, in order."""

    def __init__(self, site: "SimulatedSite", show: Show, outcome: Outcome) -> None:
        self._site, self._show, self._outcome = site, show, outcome

    async def tell(self) -> None:
        """From a quiet site back to a quiet site."""
        await self._start()
        await self._first_fire()
        await self._cut_and_fire()
        await self._kill_and_restart()
        await self._heal()
        await self._reset()

    async def _start(self) -> None:
        site, show = self._site, self._show
        show.say("site", "started", broker=site.broker.kind)
        started_s = time.monotonic()
        await site.start_gateway()
        show.gateway_up = True
        show.say("core", "up", ms=round((time.monotonic() - started_s) * 1000))
        voltage = await self._point("meter1/voltage_l1_v", "value")
        show.say("bus", "reading", name=voltage["name"], value=round(voltage["value"], 1), unit=voltage["unit"])
        leak = await self._point("leak1/residual_1_ma", "value")
        show.say("bus", "reading", name=leak["name"], value=round(leak["value"]), unit=leak["unit"])
        await site.until(lambda: self._link_alarm("meter2"), "meter2")
        show.say("bus", "dead_slave", name="二号电表" if show.lang == "zh" else "meter2")
        await self._acknowledge("ack_fault")
        show.picture()

    async def _first_fire(self) -> None:
        fire = await self._raise(CAPTURED_ADDRESS, captured=True)
        await self._confirmed(fire)
        await self._show.pause()
        await self._acknowledge("ack_fire")

    async def _cut_and_fire(self) -> None:
        site, show = self._site, self._show
        site.link.cut()
        show.link_up = False
        show.say("link", "cut")
        await site.until(self._link_down, "link down")
        show.say("core", "cut_seen")
        await site.ask("silence")  # the link's own sound, so that the next one to be heard is the fire
        await self._raise(SECOND_ADDRESS)
        show.say("centre", "waits")
        await show.pause()

    async def _kill_and_restart(self) -> None:
        site, show = self._site, self._show
        second = self._outcome.fires[-1]
        connections = site.board.connections
        await site.kill_gateway()
        show.gateway_up = show.buzzer = False
        show.say("core", "killed")
        show.picture()
        closed_ns = site.board.set(CALL_POINT_LINE, True)
        show.say("person", "call_point", name="东楼梯手报" if show.lang == "zh" else CALL_POINT)
        await show.pause()
        started_ns = time.monotonic_ns()
        await site.core.start()
        await site.uplink.start()
        await site.board.wait_connected(30.0, connection=connections + 1)
        await site.board.wait_output(BUZZER_LINE, True, 30.0, after_ns=started_ns)
        await site.until(lambda: site.is_up("panel1"), "panel1")
        show.gateway_up = show.buzzer = True
        show.say("core", "restarted", ms=round((time.monotonic_ns() - started_ns) / 1e6))
        latched = await site.alarm_of(second.event_id)
        if latched is not None and latched["state"] == "active":
            show.say("buzzer", "heard_again")
        else:
            second.heard = False
        fire = Fire(CALL_POINT)
        self._outcome.fires.append(fire)
        await self._kept(fire, max(closed_ns, started_ns), timed=False)
        fire.heard = site.board.outputs.get(BUZZER_LINE) is not None and await self._sounds()
        await show.pause()

    async def _heal(self) -> None:
        site, show = self._site, self._show
        site.link.heal()
        show.link_up = True
        show.say("link", "healed")
        await site.until(self._all_stored, "delivery")
        show.centre = len(self._outcome.fires)
        show.say("centre", "caught_up", count=show.centre)
        show.picture()
        await site.until(self._all_delivered, "delivered lamp")
        await self._acknowledge("ack_fire")

    async def _reset(self) -> None:
        site, show = self._site, self._show
        await site.panel.raise_event("reset")
        site.board.set(CALL_POINT_LINE, False)
        show.say("panel", "reset")
        await site.until(self._no_fire_left, "reset")
        await site.until(self._everything_stored, "delivery of the rest")
        show.say("centre", "quiet")
        show.picture()

    # --- what the scenes are made of ------------------------------------------------------------------------------------

    async def _raise(self, address: str, *, captured: bool = False) -> Fire:
        """A fire on the panel: wait until it sounds and is kept."""
        site, show = self._site, self._show
        fire = Fire(f"panel1/{address}")
        self._outcome.fires.append(fire)
        quiet_ns = time.monotonic_ns()
        if captured:
            told_ns = await site.panel.say(CAPTURED_FIRE, copies=[CAPTURED_FIRE, CAPTURED_FIRE])
        else:
            told_ns = await site.panel.raise_event("fire", address)
        show.say("panel", "fire", address=address)
        heard_ns = await site.board.wait_output(BUZZER_LINE, True, 10.0, after_ns=quiet_ns)
        fire.heard, show.buzzer = True, True
        fire.buzzer_ms = _since(told_ns, heard_ns)
        show.say("buzzer", "heard", ms=_ms(fire.buzzer_ms))
        await self._kept(fire, told_ns, timed=True)
        return fire

    async def _kept(self, fire: Fire, told_ns: int, *, timed: bool) -> None:
        site, show = self._site, self._show
        async with asyncio.timeout(20):
            while (found := self._accepted(fire.point)) is None:
                site.news.clear()
                await site.news.wait()
        name, event = found
        fire.event_id = event["id"]
        since_ms = _since(told_ns, site.accepted_ns[event["id"]])
        fire.durable_ms = since_ms if timed else None
        show.kept += 1
        show.say("journal", "kept", ms=_ms(since_ms), name=f"{name[1]} n={name[2]}")
        show.picture()

    async def _confirmed(self, fire: Fire) -> None:
        """Wait until the core knows that the centre has it."""
        site, show = self._site, self._show
        told_ns = site.accepted_ns[fire.event_id] - round((fire.durable_ms or 0.0) * 1e6)
        await site.until(lambda: self._is_delivered(fire), "confirmation")
        fire.confirmed_ms = _since(told_ns, time.monotonic_ns())
        show.centre += 1
        show.say("centre", "delivered", ms=_ms(fire.confirmed_ms))
        show.picture()

    async def _acknowledge(self, what: str) -> None:
        """Press the button and wait for silence."""
        site, show = self._site, self._show
        await asyncio.sleep(PRESS_APART_S)
        site.board.set(ACK_LINE, True)
        await site.until(self._all_acknowledged, "acknowledge button")
        site.board.set(ACK_LINE, False)
        await site.board.wait_output(BUZZER_LINE, False, 10.0)
        show.buzzer = False
        show.say("person", what)
        await show.pause()

    def _accepted(self, point: str) -> tuple[tuple[str, str, int], dict[str, Any]] | None:
        return next(
            (
                (name, event)
                for name, event in self._site.accepted.items()
                if event["point"] == point and event["active"] and "escalates" not in event.get("fields", {})
            ),
            None,
        )

    async def _point(self, point: str, key: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        async def has_value() -> bool:
            nonlocal found
            found = next((p for p in await self._site.ask("points") or () if p["id"] == point), {})
            return found.get(key) is not None

        await self._site.until(has_value, point)
        return found

    async def _link_alarm(self, source: str) -> bool:
        return any(a["kind"] == "link" and a["point"] == source for a in await self._site.ask("alarms") or ())

    async def _link_down(self) -> bool:
        return await self._link_alarm("uplink/county")

    async def _all_acknowledged(self) -> bool:
        alarms = await self._site.ask("alarms")
        return alarms is not None and all(alarm["state"] == "acknowledged" for alarm in alarms)

    async def _is_delivered(self, fire: Fire) -> bool:
        alarm = await self._site.alarm_of(fire.event_id)
        return alarm is not None and bool(alarm["delivered"])

    async def _all_delivered(self) -> bool:
        alarms = await self._site.ask("alarms")
        fires = [a for a in alarms or () if a["kind"] in ("fire", "fire_manual")]
        return alarms is not None and all(alarm["delivered"] for alarm in fires)

    def _all_stored(self) -> bool:
        stored = set(self._site.event_ids_at_centre())
        return all(fire.event_id in stored for fire in self._outcome.fires)

    def _everything_stored(self) -> bool:
        return not self._site.accepted.keys() - self._site.names_at_centre()

    async def _no_fire_left(self) -> bool:
        alarms = await self._site.ask("alarms")
        return alarms is not None and not any(a["kind"] in ("fire", "fire_manual") for a in alarms)

    async def _sounds(self) -> bool:
        status = await self._site.ask("status")
        return bool(status) and status["alarms"]["unacknowledged"] > 0


def _since(start_ns: int, end_ns: int) -> float:
    return round((end_ns - start_ns) / 1e6, 2)


def _ms(value: float | None) -> str:
    return "-" if value is None else json.dumps(value)
