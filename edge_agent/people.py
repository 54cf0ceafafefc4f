"""What people do, at the box's own buttons, on the command line or through a centre: acknowledge, silence, answer, order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from edge_agent.local_api import ApiError
from edge_agent.model import Kind, Sound

if TYPE_CHECKING:
    from edge_agent.core import Core
    from edge_agent.in_turns import Change

SEEN_AT_ONCE: Final = 50  # alarms acknowledged in one turn of the loop: some 5 ms on a Pi


class People:
    """The acts of people on one core. `who` is for the records: button, cli:NAME, uplink/CENTRE:NAME."""

    def __init__(self, core: Core) -> None:
        self._core, self._loop = core, asyncio.get_running_loop()

    def acknowledge(self, alarm_id: str | None, who: str) -> int:
        """A person has seen one alarm, or all there are now; return how many were news."""
        if alarm_id is not None:
            return self._acknowledge([alarm_id], who)
        seen = [(alarm.id, alarm.event_id) for alarm in self._core.alarms.alarms() if not alarm.acknowledged]
        self._acknowledge_some(seen, who)
        return len(seen)

    def _acknowledge_some(self, seen: Sequence[tuple[str, str]], who: str) -> None:
        """Of very many alarms the rest waits for the next turn of the loop; one that has come again since is not what was seen."""
        now, later = seen[:SEEN_AT_ONCE], seen[SEEN_AT_ONCE:]
        self._acknowledge([number for number, event_id in now if self._core.alarms.is_latest(number, event_id)], who)
        if later:
            self._loop.call_soon(self._acknowledge_some, later, who)

    def _acknowledge(self, numbers: Sequence[str], who: str) -> int:
        core = self._core
        now_ns = core.now_ns()
        changes: list[Change] = []
        for number in numbers:
            if events := core.alarms.acknowledge(number, who, now_ns):
                changes.append((events, core.alarms.dump()))
        core.finish(changes, now_ns)
        return len(changes)

    def silence(self, who: str) -> int:
        """A person stops the sound; return how many sounds that ended (0 or 1)."""
        core = self._core
        now_ns = core.now_ns()
        events = core.alarms.silence(who, now_ns)
        blind, core.blind = core.blind, False
        duty = core.duty.silence()
        core.finish([(events, {**core.alarms.dump(), **core.duty.dump()})], now_ns)
        return len(events) or int(blind or duty > 0)

    @property
    def sounding(self) -> bool:
        """Whether there is a sound that a person could stop."""
        core = self._core
        return core.blind or core.duty.sounding or bool(core.alarms.annunciation().buzzer.steps_ns)

    def ask_duty(self, destination: str, check_id: str, minutes: int) -> None:
        """A centre asks whether anyone is there."""
        core = self._core
        asked = core.clock.at(core.now_ns())
        events = core.duty.ask(destination, check_id, minutes, asked)
        core.finish([(events, core.duty.dump())], asked.mono_ns)

    def answer_duty(self, operator: int, who: str) -> int:
        """A person is there; return how many checks that answered, in time or late."""
        core = self._core
        now_ns = core.now_ns()
        waited = len(core.duty.checks())
        core.finish([(core.duty.answer(operator, who, now_ns), core.duty.dump())], now_ns)
        return waited

    def forget_tag(self, point: str, who: str) -> bool:
        """Unlearn the tag of a patrol point; return whether it had a learned one."""
        events = self._core.patrols.forget(point, who, self._core.now_ns())
        self._core.keep_patrol(events)
        return bool(events)

    def order_linkage(self, name: str, order: str, who: str) -> dict[str, object]:
        """A person's word over an output; return how it is then. Raise ApiError."""
        lines = self._core.linkage
        if lines is None:
            raise ApiError("no_such_output", output=name[:40])
        lines.order(name, order, who)
        return lines.linkage.outputs[name].as_dict()

    def test_buzzer(self, seconds: int, who: str) -> None:
        """Sound the buzzer for a moment, in a pattern of its own; a fire is never masked."""
        now_ns = self._core.now_ns()
        self._core.finish([(self._core.buzzer_test.start(seconds, who, now_ns), {})], now_ns)

    def push_button(self, name: str) -> None:
        """One push is one act: a fire nobody has seen first, then who is asked for (查岗), then whatever else is news."""
        core = self._core
        if name == "ack":
            unseen_fire = any(not alarm.acknowledged and alarm.sound is Sound.FIRE for alarm in core.alarms.alarms())
            if core.duty.waiting and not unseen_fire:
                self.answer_duty(0, "button")
            else:
                self.acknowledge(None, "button")
        else:
            self.silence("button")

    def button_stuck(self, name: str, stuck: bool) -> None:
        """A button is held down for longer than anybody pushes, or is up again."""
        self._core.own_event(Kind.FAULT, f"button/{name}", stuck, {"reason": "stuck"})
