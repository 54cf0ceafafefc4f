"""What the centre asks for (types 61-68, 81-91) and what it is answered. Reading asks the core; acting goes to the command desk.

A refusal is a denial (6). What the gateway does not know it does not make up: the software version and the clock of a panel (65,
68) are what the panel said of itself, or the site wrote down, and denied where neither is.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from drivers.codecs.gb26875 import (
    ANSWERS,
    Adu,
    Command,
    Frame,
    Time,
    cut,
    decode_adu,
    encode_adu,
    write_description,
)
from drivers.codecs.gb26875 import objects as of
from drivers.codecs.gb26875.objects import InformationObject
from drivers.codecs.gb26875.texts import TEXT_BYTES_MAX
from drivers.codecs.gb26875.times import TAG_BYTES
from edge_agent import __version__
from edge_agent.china_time import CHINA
from edge_agent.clock import TimeSource
from edge_agent.commands import Status
from edge_agent.config.model import Config
from edge_agent.uplink.commands import Command as Order
from edge_agent.uplink.gb26875.forms import Form, Happened, component_status, form_of, operation_flags
from edge_agent.uplink.gb26875.moments import time_of, time_of_instant
from edge_agent.uplink.gb26875.places import Place
from edge_agent.uplink.gb26875.plan import Writer, kinds_of
from edge_agent.uplink.link import Receiver

log = logging.getLogger("edge.gb26875")

OPERATION_KINDS: Final = ("reset", "silence", "acknowledge", "test", "duty_check")
HISTORY_MAX: Final = 200  # records one query of the journal gives
PAGES_MAX: Final = 10
ROWS_A_TURN: Final = 20  # points looked at in one turn of the loop
_VERSION: Final = re.compile(r"(\d{1,3})\.(\d{1,3})")

Rows = Sequence[Mapping[str, object]]


class Reply(NamedTuple):
    """Command and data unit of an answer. `for_now`: the same question again may get another."""

    command: Command
    adu: bytes = b""
    for_now: bool = False


class Downlink:
    """The answers of one gateway to one centre."""

    def __init__(self, config: Config, clock: TimeSource, commands: Collection[str]) -> None:
        """`commands`: what this centre may ask ([[uplink]] commands). The core judges orders; what is only read is judged here."""
        self._config, self._clock, self._commands = config, clock, frozenset(commands)
        self._named = 0

    def name(self) -> str:
        """A name for one more question."""
        self._named += 1
        now = self._clock.now()
        return f"gb-{now.boot_id}-{now.mono_ns:x}-{self._named}"

    async def answer(self, frame: Frame, name: str, receiver: Receiver, writer: Writer) -> Reply:
        """The answer to one request or control, that is called `name` however often it comes."""
        asked = decode_adu(frame.adu, writer.dialect, uplink=False)
        if asked.type in _ORDERS:
            return await self._order(asked, name, receiver)
        read = self._readers().get(asked.type)
        if read is None and frame.command == Command.CONTROL:
            await receiver.desk.refuse("unknown_command", command_id=name, detail=f"type {asked.type}")
        if read is None or not asked.objects or any(isinstance(item, of.Opaque) for item in asked.objects):
            return Reply(Command.DENY)
        needs = "history" if asked.type in (64, 84) else "read_state"
        if needs not in self._commands:
            await receiver.desk.refuse("not_authorised", command_id=name, name=needs, detail=f"type {asked.type}")
            return Reply(Command.DENY)
        kind = ANSWERS[asked.type]
        found = writer.packer.fit(kind, await read(asked.objects, receiver, writer))
        if not found:
            return Reply(Command.DENY, for_now=True)
        return Reply(Command.RESPONSE, encode_adu(kind, found, writer.dialect), for_now=True)

    async def _order(self, asked: Adu, name: str, receiver: Receiver) -> Reply:
        """Refused is refused; what failed (a core that restarts) or was one of too many may be asked again, as the same."""
        command, understood = _ORDERS[asked.type]
        params = understood(asked.objects[0]) if len(asked.objects) == 1 else None
        if params is None:
            await receiver.desk.refuse("malformed", command_id=name, name=command, detail=f"type {asked.type}")
            return Reply(Command.DENY)
        answer = await receiver.desk.run(Order(id=name, name=command, params=params, by="gb26875"))
        if answer.status is Status.DONE:
            return Reply(Command.CONFIRM)
        log.warning("command=%s status=%s code=%s", command, answer.status, answer.code)
        return Reply(Command.DENY, for_now=answer.status is Status.FAILED or answer.code == "busy")

    def _readers(
        self,
    ) -> Mapping[int, Callable[[Sequence[InformationObject], Receiver, Writer], Awaitable[list[InformationObject]]]]:
        return {
            61: self._systems,
            62: self._components,
            63: self._values,
            64: self._facility_operations,
            65: self._system_versions,
            66: self._system_texts,
            67: self._component_texts,
            68: self._system_times,
            81: self._device_status,
            84: self._device_operations,
            85: self._device_version,
            86: self._device_text,
            88: self._device_time,
        }

    # --- the facility -----------------------------------------------------------------------------------------------------------

    async def _systems(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        snapshot = await _snapshot(receiver)
        if snapshot is None:
            return []
        present = {(s.system_type, s.system_address): s for s in writer.systems_of(snapshot)}
        wanted = [(q.system_type, q.system_address) for q in asked if isinstance(q, of.SystemQuery)]
        return [present[system] for system in wanted if system in present]

    async def _components(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        found: list[InformationObject] = []
        at = time_of_instant(self._clock.now())
        for place, rows in await _asked_points(asked, receiver, writer):
            kinds = [kind for row in rows for kind in kinds_of(row)]
            found.append(writer.component(place, component_status(kinds), at))
        return found

    async def _values(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        found: list[InformationObject] = []
        at = time_of_instant(self._clock.now())
        for _, rows in await _asked_points(asked, receiver, writer):
            for row in rows:
                value = row.get("value")
                if type(value) in (int, float):
                    reading = writer.reading(str(row["id"]), float(str(value)), at)
                    found += [reading] if reading is not None else []
        return found

    async def _system_texts(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        """Name and profile of a panel, meter or the contacts."""
        config, found = self._config, list[InformationObject]()
        named = {panel.id: f"{panel.name} {panel.profile}" for panel in config.panels}
        named |= {device.id: f"{device.name} {device.profile}" for device in config.profiled}
        named |= {device.id: device.name for receiver in config.receivers for device in receiver.devices}
        for source, system in _asked_systems(asked, writer):
            text = cut(f"{source} {named.get(source, '')}".strip(), _text_bytes(writer, 2))
            found.append(of.SystemConfiguration(*system, text, _trailing(writer, self._clock)))
        return found

    async def _system_versions(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        """As the panel said, else as the site wrote it down: only that is a version and not a guess."""
        written = {panel.id: panel.software_version for panel in self._config.panels}
        said = {source: str(row.get("version") or "") for source, row in (await _facility(receiver)).items()}
        found: list[InformationObject] = []
        for source, system in _asked_systems(asked, writer):
            numbers = _VERSION.fullmatch(said.get(source) or written.get(source, ""))
            if numbers is not None:
                major, minor = map(int, numbers.groups())
                found.append(of.FacilityVersion(*system, major, minor, _trailing(writer, self._clock)))
        return found

    async def _system_times(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        """A panel's own clock: the last time it told, and what has passed since."""
        rows, found = await _facility(receiver), list[InformationObject]()
        for source, system in _asked_systems(asked, writer):
            try:
                time = datetime.fromisoformat(str(rows.get(source, {}).get("time")))
            except ValueError:  # it never told
                continue
            if 2000 <= time.year <= 2099:  # what the wire can say
                found.append(of.FacilityTime(*system, time, _trailing(writer, self._clock)))
        return found

    async def _component_texts(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        return [
            of.ComponentConfiguration(
                place.system_type,
                place.system_address,
                place.component_type,
                writer.address(place),
                write_description(place.description),
                _trailing(writer, self._clock),
            )
            for place, _ in await _asked_points(asked, receiver, writer)
        ]

    async def _facility_operations(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        query = asked[0]
        assert isinstance(query, of.FacilityRecordQuery), "type 64"
        found: list[InformationObject] = []
        for event, record in await self._operations(receiver, query.start):
            place = writer.places.of(event.point, kind=event.kind)
            if form_of(event, has_address=not place.is_panel) is not Form.FACILITY_OPERATION:
                continue
            if place.system == (query.system_type, query.system_address):
                flags = operation_flags(event, Form.FACILITY_OPERATION)
                found.append(of.FacilityOperation(*place.system, flags, _operator(record), time_of(record.get("at"))))
        return found[: query.count]

    # --- this device ------------------------------------------------------------------------------------------------------------

    async def _device_status(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        snapshot = await _snapshot(receiver)
        return [writer.device(core=False) if snapshot is None else writer.device_as_of(snapshot)]

    async def _device_operations(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        query = asked[0]
        assert isinstance(query, of.DeviceRecordQuery), "type 84"
        found: list[InformationObject] = []
        for event, record in await self._operations(receiver, query.start):
            if form_of(event, has_address=True) is Form.DEVICE_OPERATION:
                flags = operation_flags(event, Form.DEVICE_OPERATION)
                found.append(of.DeviceOperation(flags, _operator(record), time_of(record.get("at"))))
        return found[: query.count]

    async def _operations(self, receiver: Receiver, start: Time) -> list[tuple[Happened, Mapping[str, object]]]:
        """Operations the journal has from `start` on, oldest first. Of very many the newest are there."""
        query: dict[str, object] = {"limit": HISTORY_MAX, "streams": ["status"], "kinds": list(OPERATION_KINDS)}
        if isinstance(start, datetime):
            query["since_wall_ns"] = wall_ns(start)
        records: list[Mapping[str, object]] = []
        for _ in range(PAGES_MAX):
            answer = await receiver.desk.history(query)
            page, query["before"] = answer.get("records"), answer.get("next")
            page = page if isinstance(page, list) else []
            records += [record for record in page if isinstance(record, dict)]
            if len(page) < HISTORY_MAX or query["before"] is None:  # the journal is at its end, or has little of this
                break
        return [(_happened(record), record) for record in reversed(records)]

    async def _device_version(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        major, minor = (int(part) for part in __version__.split(".")[:2])
        return [of.DeviceVersion(major, minor, _trailing(writer, self._clock))]

    async def _device_text(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        gateway = self._config.gateway
        text = cut(f"{gateway.id} {gateway.name} edge-agent {__version__}", _text_bytes(writer, 0))
        return [of.DeviceConfiguration(text, _trailing(writer, self._clock))]

    async def _device_time(
        self, asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
    ) -> list[InformationObject]:
        return [of.DeviceTime(time_of_instant(self._clock.now()), _trailing(writer, self._clock))]


def _initialise(item: InformationObject) -> Mapping[str, object] | None:
    return {} if isinstance(item, of.DeviceQuery) else None


def _set_clock(item: InformationObject) -> Mapping[str, object] | None:
    if not isinstance(item, of.ClockSetting) or not isinstance(item.time, datetime):
        return None
    return {"wall_ns": wall_ns(item.time), "uncertainty_ms": 1000}  # the wire has whole seconds


def _duty_check(item: InformationObject) -> Mapping[str, object] | None:
    return {"minutes": item.minutes} if isinstance(item, of.DutyInspection) else None


_ORDERS: Final = {
    89: ("initialise", _initialise),
    90: ("set_clock", _set_clock),
    91: ("duty_check", _duty_check),
}


def is_order(frame: Frame) -> bool:
    """Whether it asks to do something."""
    return frame.command == Command.CONTROL or (frame.adu != b"" and frame.adu[0] in _ORDERS)


async def _snapshot(receiver: Receiver) -> dict[str, object] | None:
    alarms, points = await receiver.desk.ask("alarms"), await receiver.desk.ask("points")
    if not isinstance(alarms, list) or not isinstance(points, list):
        return None
    return {"alarms": alarms, "points": points, "points_loud": len(points)}


async def _facility(receiver: Receiver) -> dict[str, Mapping[str, object]]:
    """What panels said of themselves, by source."""
    rows = await receiver.desk.ask("facility")
    return {str(row["id"]): row for row in rows} if isinstance(rows, list) else {}


def _asked_systems(asked: Sequence[InformationObject], writer: Writer) -> Iterator[tuple[str, tuple[int, int]]]:
    """The sources a query names, each with its system."""
    wanted = [(q.system_type, q.system_address) for q in asked if isinstance(q, of.SystemQuery)]
    for source in writer.places.systems:
        system = writer.places.of_system(source).system
        if system in wanted:
            yield source, system


async def _asked_points(
    asked: Sequence[InformationObject], receiver: Receiver, writer: Writer
) -> list[tuple[Place, Rows]]:
    """The components a query names, in its order, each with its points."""
    rows = await receiver.desk.ask("points")
    by_key: dict[tuple[int, int, bytes], tuple[Place, list[Mapping[str, object]]]] = {}
    for number, row in enumerate(rows if isinstance(rows, list) else []):
        if number % ROWS_A_TURN == 0:  # of 5 000 points no alarm waits for all
            await asyncio.sleep(0)
        place = writer.places.of(str(row["id"]), kind=str(row.get("kind") or ""), name=str(row.get("name") or ""))
        if place.send and not place.is_panel:
            by_key.setdefault((*place.system, writer.address(place)), (place, []))[1].append(row)
    wanted = [(q.system_type, q.system_address, q.address) for q in asked if isinstance(q, of.ComponentQuery)]
    return [by_key[key] for key in wanted if key in by_key]


def _happened(record: Mapping[str, object]) -> Happened:
    told = record.get("fields")
    result = str(told.get("result", "")) if isinstance(told, dict) else ""
    kind, point, source = (str(record.get(key, "")) for key in ("kind", "point", "source"))
    return Happened(kind, point, source, record.get("active") is True, result)


def _operator(record: Mapping[str, object]) -> int:
    told = record.get("fields")
    number = told.get("operator") if isinstance(told, dict) else None
    return number if type(number) is int and 0 <= number <= 255 else 0


def _text_bytes(writer: Writer, before: int) -> int:
    """Room for the text of an object that has `before` bytes before its length: a unit of this centre takes at least one."""
    around = 2 + before + 1 + (TAG_BYTES if writer.dialect.trailing_time else 0)
    return min(TEXT_BYTES_MAX, writer.dialect.adu_max - around)


def _trailing(writer: Writer, clock: TimeSource) -> Time | None:
    return writer.dialect.tail(time_of_instant(clock.now()))


def wall_ns(at: datetime) -> int:
    """UTC nanoseconds of a naive China time."""
    return int(at.replace(tzinfo=CHINA).timestamp()) * 1_000_000_000
