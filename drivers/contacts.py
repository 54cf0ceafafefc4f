"""Dry contacts on GPIO lines: an edge becomes a reading in the loop turn it is told in; a missed edge is found by reading again."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers.gpio.port import Gpio, GpioError
from drivers.messages import LinkState, Observation, PointFault, PointSpec, Reading, Sink

REREAD_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactLine:
    """One contact: its point id, its line, and which of its positions is the normal one.

    The rest goes into its `PointSpec`: what it means while active, and how long it must last.
    """

    id: str
    line: int
    normally: str = "open"  # open | closed
    kind: str = "fire"
    name: str = ""
    on_delay_s: float = 0.05
    off_delay_s: float = 0.5


class Contacts:
    """All contacts of the box. The port is opened by the core, together with its outputs and buttons.

    Readings are True while the contact is not in its normal position. A dead port is one LinkState and one PointFault for
    each contact; it is recovered as soon as it answers, and then every contact is read anew.
    """

    def __init__(self, gpio: Gpio, contacts: Sequence[ContactLine], *, id: str = "contacts") -> None:
        self.id = id
        self._gpio = gpio
        self._contacts = {contact.line: contact for contact in contacts}
        self._active: dict[int, bool] = {}  # as last told; empty while the port is dead
        self._sink: Sink | None = None
        self._watching = False
        self._up: bool | None = None
        self._progress = 0
        self._counters = {"edges": 0, "missed": 0, "faults": 0, "reopened": 0}

    def specs(self) -> Sequence[PointSpec]:
        """One point a contact."""
        return [
            PointSpec(
                id=contact.id,
                name_zh=contact.name or contact.id,
                name_en=contact.name or contact.id,
                kind=contact.kind,
                limits={"on_delay_s": contact.on_delay_s, "off_delay_s": contact.off_delay_s},
            )
            for contact in self._contacts.values()
        ]

    def progress(self) -> int:
        """Grows every few seconds, port or no port."""
        return self._progress

    def counters(self) -> Mapping[str, int]:
        """`edges` told, `missed` edges found by reading again, `faults` of the port, `reopened`."""
        return dict(self._counters)

    async def run(self, sink: Sink) -> None:
        """Tell the level of every contact, then each change, until cancelled."""
        self._sink, self._up = sink, None
        self._active.clear()
        if not self._watching:  # once: this may be a second run after a bug
            self._gpio.watch(self._on_edge)
            self._watching = True
        try:
            while True:
                self._read_all(sink)
                self._progress += 1
                await asyncio.sleep(REREAD_S)
        finally:
            self._sink = None

    def _on_edge(self, line: int, level: bool, at_ns: int) -> None:
        contact = self._contacts.get(line)
        if contact is None or self._sink is None:
            return
        active = level == (contact.normally == "open")
        if self._active.get(line) == active:
            return  # both edges of a glitch were read as the same level
        self._active[line] = active
        self._counters["edges"] += 1
        self._sink((Reading(contact.id, active, at_ns),))

    def _levels(self) -> dict[int, bool]:
        try:
            return {line: self._gpio.read(line) for line in self._contacts}
        except GpioError:
            if self._up is not False:
                raise  # tell it first; the port is opened anew at the next turn
        self._gpio.recover()
        self._counters["reopened"] += 1
        return {line: self._gpio.read(line) for line in self._contacts}

    def _read_all(self, sink: Sink) -> None:
        now_ns = round(asyncio.get_running_loop().time() * 1e9)
        told: list[Observation] = []
        try:
            levels = self._levels()
        except GpioError as fault:
            if self._up is not False:
                self._up = False
                self._counters["faults"] += 1
                self._active.clear()
                told.append(LinkState(self.id, False, now_ns, "gpio", _ascii(fault)))
                told += [PointFault(contact.id, "gpio", now_ns) for contact in self._contacts.values()]
                sink(told)
            return
        if not self._up:
            self._up = True
            told.append(LinkState(self.id, True, now_ns, "answering"))
        for line, level in levels.items():
            contact = self._contacts[line]
            active = level == (contact.normally == "open")
            before = self._active.get(line)
            if before != active:
                self._counters["missed"] += before is not None
                self._active[line] = active
                told.append(Reading(contact.id, active, now_ns))
        if told:
            sink(told)


def _ascii(fault: GpioError) -> str:
    return str(fault).encode("ascii", "backslashreplace").decode()[:200]
