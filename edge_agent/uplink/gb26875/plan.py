"""Batches of the outbox as data units of GB/T 26875.3-2011, each with the records its confirm settles. Pure.

How records share units is `units`; one the standard has no place for is settled with its neighbours and counted.
"""

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from buffer.records import Priority
from drivers.codecs.gb26875 import Dialect, encode_adu, join_component, write_description
from drivers.codecs.gb26875.objects import (
    AnalogueValue,
    ComponentStatus,
    DeviceOperation,
    DeviceStatus,
    FacilityOperation,
    InformationObject,
    SystemStatus,
)
from drivers.codecs.gb26875.times import NO_CLOCK, Time
from edge_agent.model import KINDS, Instant
from edge_agent.points.point import CONTACTS
from edge_agent.uplink.contract import STREAMS, Batch
from edge_agent.uplink.gb26875.forms import (
    FIRE_KINDS,
    MEMBERS_MAX,
    QUIET,
    Conditions,
    Form,
    Happened,
    Key,
    Member,
    component_status,
    device_status,
    form_of,
    operation_flags,
    system_status,
)
from edge_agent.uplink.gb26875.moments import stamp_of, time_of, time_of_instant
from edge_agent.uplink.gb26875.places import PANEL_COMPONENT, Place, Places
from edge_agent.uplink.gb26875.units import Entry, Packer, Unit

log = logging.getLogger("edge.gb26875")

DEVICE: Final = ("device",)  # the key of the gateway's own conditions
NOWHERE: Final = Place(0, 0, 0)  # where the gateway itself is, in the terms of a facility
SNAPSHOT_AGE_NS: Final = 5 * 10**9  # a record of so long before the core was asked was not known to it, at most
_STREAM_OF: Final = {kind.value: info.priority for kind, info in KINDS.items()}
VALUES_OUT_MAX: Final = 1000  # values known to be out of range

Notice = Callable[..., None]  # (what, **params): for people


@dataclass(frozen=True, slots=True)
class Shown:
    """A status as the centre is shown it: of a component, a system or this device."""

    key: Key
    form: Form
    place: Place
    status: int


@dataclass(frozen=True, slots=True)
class Told:
    """A data unit that settles no record, and the picture it gives."""

    adu: bytes
    shown: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send of one batch. `without` are ranges with nothing to send, settled at once. `shown` is the picture it leaves.
    `unsure`: the journal was out of order and is back, so what began or ended meanwhile may have left no record.
    """

    units: tuple[Unit, ...]
    without: tuple[tuple[int, int], ...] = ()
    shown: tuple[Shown, ...] = ()
    unsure: bool = False

    def __len__(self) -> int:
        return sum(len(unit.adu) for unit in self.units)


class Writer:
    """Writes for one centre, and remembers what the centre thinks of each component."""

    def __init__(
        self,
        places: Places,
        dialect: Dialect,
        *,
        objects_max: int = 0,
        now: Callable[[], Instant],
        notice: Notice = lambda what, **params: None,
        centre: str = "",
        takes: Collection[Priority] = STREAMS,
    ) -> None:
        """`notice` hears of values that cannot be sent; `objects_max` 0: as many objects in a unit as fit.

        `centre` is the [[uplink]]'s id. It is shown only what its streams (`takes`) tell it the end of, too.
        """
        self.places, self.dialect, self._now, self.notice = places, dialect, now, notice
        self.packer, self._centre, self._takes = Packer(dialect, objects_max), centre, frozenset(takes)
        self._conditions = Conditions()
        self._own = Conditions()
        self._shown: dict[Key, Shown] = {}  # where the records of a batch left the centre's picture
        self._loud: dict[Key, Shown] = {}  # what the centre took last, where that is not quiet
        # The same of systems and this device, which change without a record of their own
        self._wide: dict[Key, Shown] = {}
        self._was_out = False  # of the journal, by a record of the batch
        self._out: dict[str, None] = {}
        self.counters = {"without_form": 0, "out_of_range": 0}

    # --- batches --------------------------------------------------------------------------------------------------------------

    def write(self, batch: Batch) -> Plan:
        """The units of a batch. What it tells of the present is remembered: call it once for each batch."""
        self._shown.clear()
        self._was_out = False
        entries = [self._entry(batch, n, body) for n, body in batch.records]
        self.counters["without_form"] += sum(not entry.objects for entry in entries)
        units = self.packer.pack(entries, batch.first, batch.last)
        if not any(unit.adu for unit in units):
            return Plan((), ((batch.first, batch.last),))
        corrections = list(self._corrections())
        self._shown.update((one.key, one) for told in corrections for one in told.shown)
        units += [Unit(told.adu, 1, 0, 0) for told in corrections]
        return Plan(tuple(units), shown=tuple(self._shown.values()), unsure=self._was_out)

    def _entry(self, batch: Batch, n: int, body: bytes) -> Entry:
        record: object = None
        try:
            record = json.loads(body)
            if not isinstance(record, dict) or "gap" in record:
                return Entry(n)
            if batch.priority is Priority.TELEMETRY:
                return Entry(n, 3, list(self._readings(record)))
            return self._event(batch, n, record)
        except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as fault:
            log.error("record epoch=%s n=%d fault=%s", batch.epoch, n, ascii(fault)[:200])
            self.notice("gb_unwritable", epoch=batch.epoch, stream=batch.priority.stream, n=n, why=ascii(fault)[:100])
            return self._bare_fire(n, record)

    def _bare_fire(self, n: int, record: object) -> Entry:
        """A fire that cannot be written as it should goes as a fire of address 0 in words: never not at all."""
        if not isinstance(record, dict) or record.get("kind") not in FIRE_KINDS or record.get("active") is not True:
            return Entry(n)
        text = write_description(str(record.get("point", ""))) if self.dialect.description else b""
        return Entry(
            n, 2, [ComponentStatus(1, 0, PANEL_COMPONENT, bytes(4), component_status(["fire"]), text, NO_CLOCK)]
        )

    def _event(self, batch: Batch, n: int, record: Mapping[str, object]) -> Entry:
        told = record.get("fields")
        told = told if isinstance(told, dict) else {}
        event = Happened(
            str(record["kind"]),
            str(record["point"]),
            str(record.get("source", "")),
            record["active"] is True,
            str(told.get("result", "")),
        )
        at = time_of(record.get("at"))
        place = self.places.of(event.point, kind=event.kind, told=told, name=str(record.get("name", "")))
        form = form_of(event, has_address=not place.is_panel)
        if form is Form.NONE or (not event.own and not place.send):
            return Entry(n)
        if event.kind == "duty_check" and self._centre and told.get("dest", self._centre) != self._centre:
            return Entry(n)  # the answer to another centre's question
        if form is Form.FACILITY_OPERATION and not place.is_of_facility:
            return Entry(n)  # somebody acknowledged a fault of the gateway itself
        member, stamp = (event.point, event.kind), stamp_of(record.get("at"), n)
        if form is Form.DEVICE_OPERATION:
            return Entry(n, 24, [DeviceOperation(operation_flags(event, form), _operator(told), at)])
        if form is Form.FACILITY_OPERATION:
            return Entry(n, 4, [FacilityOperation(*place.system, operation_flags(event, form), _operator(told), at)])
        key: Key = {Form.DEVICE: DEVICE, Form.SYSTEM: place.system}.get(form, place.key)
        conditions = self._own if form is Form.DEVICE else self._conditions
        # What an earlier boot saw is the past, also where its file could be read only after the connection was made.
        past = batch.replay or stamp[0] not in ("", self._now().boot_id)
        then = conditions.feed(key, member, event.active and event.kind != "boot", stamp, replay=past)
        # Of the past a snapshot has told since
        self._was_out |= event.kind == "store" and not event.active and not past
        status = self._status(form, place, then)
        self._shown[key] = Shown(key, form, place, status)
        if event.active or self.dialect.recovery == "bit" or event.kind == "boot":
            return Entry(n, form.value, [self._object(form, place, status, at)])
        kind = self.dialect.recovery_types[(Form.SYSTEM, Form.COMPONENT, Form.DEVICE).index(form)]
        return Entry(n, kind, [self._object(form, place, self._over(form, member), at)])

    def _status(self, form: Form, place: Place, members: Iterable[Member]) -> int:
        if form is Form.DEVICE:
            return device_status(members, fire=self._conditions.any(FIRE_KINDS))
        kinds = [kind for _, kind in members]
        if form is Form.COMPONENT:
            return component_status(kinds)
        parts = self._conditions.under(place.system)  # whatever the panel itself says, its components burn or do not
        own = [kind for _, kind in self._conditions.now(place.system)]
        for kind in own:
            parts.remove(kind)
        return system_status([*kinds, *parts])

    @staticmethod
    def _over(form: Form, member: Member) -> int:
        """What a recovery of a type of its own says is over."""
        if form is Form.DEVICE:
            return device_status([member], fire=False)
        return system_status([member[1]]) if form is Form.SYSTEM else component_status([member[1]])

    def _object(self, form: Form, place: Place, status: int, at: Time) -> InformationObject:
        if form is Form.DEVICE:
            return DeviceStatus(status, at, self.dialect.tail(at))
        return SystemStatus(*place.system, status, at) if form is Form.SYSTEM else self.component(place, status, at)

    def component(self, place: Place, status: int, at: Time) -> ComponentStatus:
        """A type 2 object."""
        return ComponentStatus(
            place.system_type,
            place.system_address,
            place.component_type,
            self.address(place),
            status,
            write_description(place.description) if self.dialect.description else b"",
            at,
        )

    def address(self, place: Place) -> bytes:
        """The four bytes of a component's address."""
        return place.raw or join_component(place.loop, place.point, self.dialect.component_address)

    def _corrections(self) -> Iterator[Told]:
        """Where replayed records left the centre with a picture that is over, the present one follows at once. So it does where a
        component's end, which is told of the component alone, is that of a bit its system, or this device, was told with.
        """
        over = [one for one in self._wide.values() if one.status & ~self._status_now(one)]
        return self._right(({one.key: one for one in over} | self._shown).values())

    def taken(self, shown: Sequence[Shown]) -> list[Told]:
        """The centre has taken these statuses. What has to follow, where they are over meanwhile: a frame may wait long for its
        turn, or for a centre that does not answer, and newer ones go first.
        """
        for one in shown:
            self._remember(one)
        self._bound()
        return list(self._right(shown))

    def _bound(self) -> None:
        while len(self._loud) > MEMBERS_MAX:
            del self._loud[next(iter(self._loud))]

    def doubt(self, shown: Iterable[Shown]) -> None:
        """The centre may have taken these statuses, or others before them: they are shown with the next present."""
        self._loud.update((one.key, one) for one in shown if one.form is Form.COMPONENT)
        self._bound()

    def _remember(self, one: Shown) -> None:
        known = self._loud if one.form is Form.COMPONENT else self._wide
        known.pop(one.key, None)
        if one.status != QUIET:
            known[one.key] = one

    def _right(self, shown: Iterable[Shown]) -> Iterator[Told]:
        present = [(one, replace(one, status=self._status_now(one))) for one in shown]
        yield from self._tell([now for then, now in present if now.status != then.status])

    def _status_now(self, one: Shown) -> int:
        conditions = self._own if one.form is Form.DEVICE else self._conditions
        return self._status(one.form, one.place, conditions.now(one.key))

    def _tell(self, shown: Iterable[Shown]) -> Iterator[Told]:
        """Units that show these statuses, as of now, and settle no record."""
        at = time_of_instant(self._now())
        forms: dict[Form, list[Shown]] = {}
        for one in shown:
            forms.setdefault(one.form, []).append(one)
        for form, same in forms.items():
            room = self.packer.room(form.value)
            for start in range(0, len(same), room):
                part = same[start : start + room]
                objects = [self._object(form, one.place, one.status, at) for one in part]
                yield Told(encode_adu(form.value, objects, self.dialect), tuple(part))

    def _readings(self, record: Mapping[str, object]) -> Iterator[AnalogueValue]:
        source, values, at = str(record["source"]), record["values"], time_of(record.get("at"))
        assert isinstance(values, dict), "values"
        for name, value in values.items():
            if type(value) in (int, float):  # a switch has no quantity
                point = str(name) if source == CONTACTS else f"{source}/{name}"
                found = self.reading(point, value, at)
                if found is not None:
                    yield found

    def reading(self, point: str, value: float, at: Time) -> AnalogueValue | None:
        """One value as type 3; None where it has no quantity or does not fit (a fault, told once)."""
        place = self.places.of(point)
        if place.quantity is None or not place.send:
            return None
        raw = self.raw_of(place, value)
        if raw is None:
            self.counters["out_of_range"] += 1
            if point not in self._out and len(self._out) < VALUES_OUT_MAX:
                self._out[point] = None
                self.notice("gb_out_of_range", point=point, value=f"{value:g}", quantity=place.quantity)
            return None
        self._out.pop(point, None)
        return AnalogueValue(
            place.system_type,
            place.system_address,
            place.component_type,
            self.address(place),
            place.quantity,
            raw,
            at,
        )

    def raw_of(self, place: Place, value: float) -> int | None:
        """The number on the wire, None where it does not fit: a clamped value would be a lie."""
        quantity = self.dialect.quantity(place.quantity) if place.quantity is not None else None
        try:
            if place.scale is not None:
                raw = round(value * place.scale)
            elif quantity is not None:
                raw = quantity.raw_of(value * place.factor)
            else:
                raw = round(value)
        except (ValueError, OverflowError):
            return None
        if quantity is not None:
            return raw if quantity.value_of(raw) is not None else None
        return raw if -0x8000 <= raw <= 0x7FFF else None

    # --- the present ----------------------------------------------------------------------------------------------------------

    def device(self, *, core: bool = True) -> DeviceStatus:
        """Type 21. Without a core nobody watches: a fault."""
        return self._device(device_status(self._own.now(DEVICE), fire=self._conditions.any(FIRE_KINDS)), core=core)

    def _device(self, status: int, *, core: bool = True) -> DeviceStatus:
        self._remember(Shown(DEVICE, Form.DEVICE, NOWHERE, status))
        at = time_of_instant(self._now())
        return DeviceStatus(status | (0 if core else 1 << 2), at, self.dialect.tail(at))

    def device_as_of(self, snapshot: Mapping[str, object]) -> DeviceStatus:
        """Type 21 by a snapshot, of whatever stream a fault is."""
        members, own, _ = self._active(snapshot, STREAMS)
        fire = any(kind in FIRE_KINDS for _, (_, kind) in members)
        return self._device(device_status([member for _, member in own], fire=fire))

    def device_unit(self, *, core: bool = True) -> bytes:
        """The same, ready to go."""
        return encode_adu(21, [self.device(core=core)], self.dialect)

    def present(self, snapshot: Mapping[str, object]) -> list[Told]:
        """Units that show what the core says is so now: every system, then every component that is not quiet, or that the centre
        took for such, fires first.
        """
        places = {key: one.place for key, one in self._loud.items()} | self._take(snapshot)
        shown = [
            Shown(place.system, Form.SYSTEM, place, system_status(self._conditions.under(place.system)))
            for place in {place.system: place for place in map(self.places.of_system, self.places.systems)}.values()
        ]
        loud = sorted(places.values(), key=lambda place: not FIRE_KINDS.intersection(self._kinds(place)))
        shown += [Shown(place.key, Form.COMPONENT, place, component_status(self._kinds(place))) for place in loud]
        return list(self._tell(shown))

    def unsure(self) -> None:
        """A connection begins and the core does not say what is so now: what was known of it may have changed since."""
        self._conditions.unsure()
        self._own.unsure()

    def systems_of(self, snapshot: Mapping[str, object]) -> list[SystemStatus]:
        """The state of every system by a snapshot, for a centre that has asked; what is known to be active stays as it is."""
        conditions = Conditions()
        members, _, _ = self._active(snapshot, STREAMS)
        conditions.snapshot(members, complete=True)
        at = time_of_instant(self._now())
        places = {place.system: place for place in map(self.places.of_system, self.places.systems)}
        found: list[SystemStatus] = []
        for system, place in places.items():
            status = system_status(conditions.under(system))
            self._remember(Shown(system, Form.SYSTEM, place, status))
            found.append(SystemStatus(*system, status, at))
        return found

    def _kinds(self, place: Place) -> list[str]:
        return [kind for _, kind in self._conditions.now(place.key)]

    def _take(self, snapshot: Mapping[str, object]) -> dict[Key, Place]:
        """Take over what is active; return the components among it."""
        members, own, places = self._active(snapshot, self._takes)
        loud, shown = snapshot.get("points_loud"), snapshot.get("points")
        complete = isinstance(shown, list) and loud == len(shown)
        boot, asked_ns, _ = stamp_of(snapshot.get("at"), 0)
        since = boot, asked_ns - SNAPSHOT_AGE_NS
        self._conditions.snapshot(members, complete=complete, since=since)
        self._own.snapshot(own, complete=complete, since=since)
        return places

    def _active(
        self, snapshot: Mapping[str, object], streams: Collection[Priority]
    ) -> tuple[list[tuple[Key, Member]], list[tuple[Key, Member]], dict[Key, Place]]:
        """What of these streams is active in the facility and in the gateway, and the components among it."""
        members: list[tuple[Key, Member]] = []
        own: list[tuple[Key, Member]] = []
        places: dict[Key, Place] = {}
        for event, name in _active_of(snapshot):
            if _STREAM_OF.get(event.kind, Priority.ALARM) not in streams:
                continue
            member = event.point, event.kind
            place = self.places.of(event.point, kind=event.kind, name=name)
            form = form_of(event, has_address=not place.is_panel)
            if form is Form.DEVICE:
                own.append((DEVICE, member))
            elif form is Form.SYSTEM and place.send:
                members.append((place.system, member))
            elif form is Form.COMPONENT and place.send:
                members.append((place.key, member))
                places[place.key] = place
        return members, own, places


def _active_of(snapshot: Mapping[str, object]) -> Iterator[tuple[Happened, str]]:
    """What a snapshot (UplinkProcess._snapshot) says is active, and its name."""
    for key in ("alarms", "points"):
        rows = snapshot.get(key)
        for row in rows if isinstance(rows, list) else ():
            point = str(row.get("id" if key == "points" else "point", ""))
            if point.endswith("*") or (key == "alarms" and row.get("state") == "returned"):
                continue
            for kind in kinds_of(row) if key == "points" else [str(row.get("kind"))]:
                yield Happened(kind, point, str(row.get("source", "")), True), str(row.get("name", ""))


def kinds_of(row: Mapping[str, object]) -> Iterator[str]:
    """Everything that is active on a point, by a row of the core's `points`. Of a fault that no event has told none will tell the
    end: the silence of its source is told as the line's.
    """
    also = row.get("also")
    yield from (str(kind) for kind in (row.get("active"), *(also if isinstance(also, list) else ())) if kind)
    if row.get("fault") and not row.get("untold"):
        yield "fault"


def _operator(told: Mapping[str, object]) -> int:
    number = told.get("operator")
    return number if type(number) is int and 0 <= number <= 255 else 0
