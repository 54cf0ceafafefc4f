"""What a point is called in GB/T 26875.3: system, component, address, quantity. Pure.

Defaults stand on what is configured and on what the panel says; a profile's [[gb26875_point]] tables go over them, the site's over
those, and of several that fit the more exact one wins. Addresses are numbers of the site's own: they only have to be unique.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from edge_agent.config.model import Config, Receiver
from edge_agent.config.uplinks import Gb26875Point
from edge_agent.points.point import CONTACTS

# unit at the end of a point's name -> quantity (table 6), and how many of the quantity's units one of ours is
QUANTITY_OF_UNIT: Final[Mapping[str, tuple[int, float]]] = {
    "v": (8, 1),
    "a": (9, 1),
    "c": (3, 1),
    "degc": (3, 1),
    "kpa": (5, 1),
    "mpa": (5, 1000),  # type 4 steps by 0.1 MPa: too coarse for a hydrant
    "bar": (5, 100),
    "m": (2, 1),
    "lel": (6, 1),
    "lps": (10, 1),
    "mps": (12, 1),
}
RESIDUAL_UNIT: Final = "ma"

# words in what a panel calls its device -> component type (table 5); the first that fits
_DEVICE_WORDS: Final = (
    ("手动", 23), ("手报", 23), ("消火栓", 24), ("感烟", 40), ("烟感", 40), ("感温", 30), ("温感", 30), ("复合", 50),
    ("可燃", 10), ("燃气", 10), ("火焰", 69), ("剩余电流", 17), ("漏电", 17), ("声光", 121), ("警铃", 121), ("输入输出", 87),
    ("输入", 85), ("输出", 86), ("中继", 88), ("模块", 84), ("水流", 96), ("压力开关", 99), ("信号阀", 97), ("报警阀", 98),
    ("防火门", 102), ("卷帘", 117), ("排烟阀", 113), ("防火阀", 103), ("排烟", 111), ("送风", 114), ("喷淋泵", 95), ("泵", 91),
    ("水箱", 92), ("显示盘", 22), ("探测器", 25),
)  # fmt: skip
_KIND_COMPONENT: Final = {"fire": 25, "fire_manual": 23, "gas": 10, "electrical": 16}
_UNIT_COMPONENT: Final = {
    "ma": 17,
    "c": 18,
    "degc": 18,
    "v": 16,
    "a": 16,
    "lel": 11,
    "m": 92,
    "kpa": 0,
    "mpa": 0,
    "bar": 0,
}
_WATER_UNITS: Final = ("kpa", "mpa", "bar", "m", "lps")
PANEL_COMPONENT: Final = 1  # a fire alarm control unit
_OF_THE_PANEL: Final = ("panel", "card")  # points of a panel that are the panel itself (drivers.panel)
LEARNED_MAX: Final = 20_000
_PANEL_PROTOCOLS: Final = ("contact-id", "dc09", "espa444", "gb26875")
_RELAYED: Final = re.compile(r"\d{1,3}-\d{1,3}(?:-\d{1,5}-\d{1,5}|-\d{1,10})?")  # drivers.receivers.gb26875 names them
_RAW: Final = re.compile(r"[0-9A-F]{8}")
_NUMBERS: Final = re.compile(r"(?:(\d{1,5})-)?(\d{1,5})-(\d{1,5})")


@dataclass(frozen=True, slots=True)
class Place:
    """One point in the terms of the standard. `loop` and `point` None with `raw`: four bytes as they are."""

    system_type: int
    system_address: int
    component_type: int
    loop: int = 0
    point: int = 0
    raw: bytes = b""
    is_panel: bool = False  # the panel as a whole: its faults are the system's
    addressed: bool = True  # False: nobody says where it is, it goes as address 0
    send: bool = True
    description: str = ""
    quantity: int | None = None
    factor: float = 1.0
    scale: float | None = None
    defaults: tuple[str, ...] = ()  # what nobody wrote down: names of the fields of Gb26875Point

    @property
    def key(self) -> tuple[int, int, int, int, bytes]:
        """What the centre tells components apart by. A query (types 62, 63, 67) does not name the component type."""
        return self.system_type, self.system_address, self.loop, self.point, self.raw

    @property
    def is_of_facility(self) -> bool:
        """Whether it belongs to a panel, a meter, a contact, or what the site says it does."""
        return self.system_address != 0 or "system_address" not in self.defaults

    @property
    def system(self) -> tuple[int, int]:
        """The system it belongs to."""
        return self.system_type, self.system_address


@dataclass(frozen=True, slots=True)
class Known:
    """A point that is there before it speaks: a contact, or a value of a meter. `order` from 1 within its source."""

    id: str
    name: str
    unit: str = ""
    kind: str = ""
    order: int = 0


class Places:
    """The map of one site.

    `profiles` gives the [[gb26875_point]] tables of each source's profile, with points as the profile writes them: without source.
    `known` are the points that are there before they speak. `residual_current_type`: what the centre agreed on for mA.
    """

    def __init__(
        self,
        config: Config,
        *,
        profiles: Mapping[str, Sequence[Gb26875Point]] | None = None,
        known: Iterable[Known] = (),
        residual_current_type: int | None = None,
    ) -> None:
        self._names = {point.id: point.name for point in config.points if point.name}
        self._residual_current_type = residual_current_type
        self._systems: dict[str, int] = {}
        for source in [one.id for one in (*config.panels, *config.profiled)]:
            self._systems[source] = min(len(self._systems) + 1, 255)
        if config.contacts:
            self._systems[CONTACTS] = min(len(self._systems) + 1, 255)
        self._waters = {water.id for water in config.waters}
        for water in config.waters:  # behind the others, whose numbers centres know already
            self._systems[water.id] = min(len(self._systems) + 1, 255)
        self._speakers: dict[str, Receiver] = {}  # panels that speak by themselves: device -> its receiver
        for receiver in config.receivers:
            if receiver.protocol in _PANEL_PROTOCOLS:
                self._speakers |= {device.id: receiver for device in receiver.devices}
        for source in self._speakers:
            self._systems[source] = min(len(self._systems) + 1, 255)
        self._panels = {panel.id for panel in config.panels}
        self._bus_address = {device.id: device.address for bus in config.buses for device in bus.devices}
        for broker in config.mqtts:
            self._bus_address |= {device.id: number for number, device in enumerate(broker.devices, 1)}
        self._contacts = {contact.id: contact for contact in config.contacts}
        self._known = {point.id: point for point in known}
        rules = [(0, rule, pattern) for rule in config.gb26875_points for pattern in rule.points]
        self._written = [pattern for _, _, pattern in rules if not pattern.endswith("*")]
        for source, tables in (profiles or {}).items():
            rules += [(1, rule, f"{source}/{pattern}") for rule in tables for pattern in rule.points]
        # the profile's first, then the site's; of each the more exact one last, so that it has the last word
        self._rules = sorted(rules, key=lambda rule: (-rule[0], not rule[2].endswith("*"), len(rule[2])))
        self._learned: dict[str, int] = {}  # component types that a panel's own words gave

    @property
    def systems(self) -> Sequence[str]:
        """The sources that are a system of their own."""
        return tuple(self._systems)

    def known(self) -> Iterable[Known]:
        """The points that are there before they speak."""
        return self._known.values()

    def written_down(self) -> list[str]:
        """Points that the site's own tables name one by one, of sources that it has: a panel's detectors, before they speak."""
        return [point for point in self._written if "/" in point and point.partition("/")[0] in self._systems]

    def of_system(self, source: str) -> Place:
        """A panel, a meter or the contacts as a whole."""
        return self.of(f"{source}/panel" if source in self._panels else f"{source}/*", whole=True)

    def of(
        self,
        point: str,
        *,
        kind: str = "",
        told: Mapping[str, object] | None = None,
        name: str = "",
        whole: bool = False,
    ) -> Place:
        """The place of a point. `told` are the fields of an event of it, `name` what it is called there."""
        source, slash, rest = point.partition("/")
        if not slash:
            source, rest = (source, "panel") if source in self._systems else (CONTACTS, source)
        component = self._component(source, point, rest, kind, told or {})
        place = self._default(source, rest, point, told or {}, Place(1, self._systems.get(source, 0), component))
        if name and place.description == point:
            place = replace(place, description=name)
        if whole:
            place = replace(place, is_panel=True)
        for _, rule, pattern in self._rules:
            if pattern == point or (pattern.endswith("*") and point.startswith(pattern[:-1])):
                place = _over(place, rule)
        return place

    def _default(self, source: str, rest: str, point: str, told: Mapping[str, object], place: Place) -> Place:
        known = self._known.get(point)
        place = replace(
            place,
            description=self._names.get(point) or (known.name if known is not None else "") or point,
            defaults=("system_type", "system_address", "component_type", "component_address"),
        )
        contact = self._contacts.get(point)
        if contact is not None:
            return replace(place, point=contact.line, description=contact.name or place.description)
        if source in self._waters:
            return replace(place, system_type=11, addressed=False)
        if source in self._panels and rest in _OF_THE_PANEL:
            return replace(place, is_panel=True, addressed=False)
        if source in self._bus_address and known is not None:
            return self._of_meter(place, source, rest, known)
        if (receiver := self._speakers.get(source)) is not None and receiver.protocol == "gb26875":
            return _relayed(place, rest, is_raw=receiver.component_address == "raw")
        loop, number = told.get("loop"), told.get("point")
        if type(loop) is int and type(number) is int and _are_u16(loop, number) and not told.get("panel"):
            return replace(place, loop=loop, point=number)
        return _numbered(place, rest)

    def _of_meter(self, place: Place, source: str, rest: str, known: Known) -> Place:
        unit = rest.rpartition("_")[2].lower()
        if unit in _WATER_UNITS:
            place = replace(place, system_type=11)
        quantity, factor = QUANTITY_OF_UNIT.get(unit, (None, 1.0))
        if unit == RESIDUAL_UNIT:
            quantity = self._residual_current_type
        defaults = place.defaults if quantity is None else (*place.defaults, "analogue_type")
        return replace(
            place,
            loop=self._bus_address[source],
            point=known.order,
            quantity=quantity,
            factor=factor,
            defaults=defaults,
        )

    def _component(self, source: str, point: str, rest: str, kind: str, told: Mapping[str, object]) -> int:
        """The component type must not change between two events of a point, or the centre sees two components."""
        contact = self._contacts.get(point)
        if contact is not None:
            return _KIND_COMPONENT.get(contact.kind, 85)
        if source in self._bus_address:
            known = self._known.get(point)
            return _UNIT_COMPONENT.get(
                rest.rpartition("_")[2].lower(), _KIND_COMPONENT.get(known.kind if known else "", 0)
            )
        if source in self._panels and rest in _OF_THE_PANEL:
            return PANEL_COMPONENT
        words = f"{told.get('device_type_text', '')}{told.get('event_text', '')}"
        found = next((number for word, number in _DEVICE_WORDS if word in words), 23 if kind == "fire_manual" else 0)
        component = told.get("component_type")
        if source in self._speakers and type(component) is int and 0 <= component <= 255:
            found = component
        if found and point not in self._learned and len(self._learned) < LEARNED_MAX:
            self._learned[point] = found
        return self._learned.get(point, found)


def _over(place: Place, rule: Gb26875Point) -> Place:
    """What a rule says, over what is there."""
    said = {
        field.name for field in fields(rule) if field.name != "points" and getattr(rule, field.name) not in (None, "")
    }
    place = replace(
        place,
        send=rule.send,
        system_type=place.system_type if rule.system_type is None else rule.system_type,
        system_address=place.system_address if rule.system_address is None else rule.system_address,
        component_type=place.component_type if rule.component_type is None else rule.component_type,
        description=rule.description or place.description,
        quantity=place.quantity if rule.analogue_type is None else rule.analogue_type,
        scale=place.scale if rule.scale is None else rule.scale,
        defaults=tuple(name for name in place.defaults if name not in said),
    )
    written = rule.component_address
    if written.startswith("0x"):
        return replace(place, loop=0, point=0, raw=bytes.fromhex(written[2:]), addressed=True)
    if written:
        loop, _, point = written.rpartition("-")
        return replace(place, loop=int(loop or 0), point=int(point), raw=b"", addressed=True)
    return place


def _relayed(place: Place, rest: str, *, is_raw: bool) -> Place:
    """A component another device told of, as that device has it: "1-2-1-27" is point 27 of loop 1 of its system 2 of type 1.

    Its loops are counted on where it has several systems, for here they are one.
    """
    system, _, raw = rest.rpartition("-")
    if is_raw and _RAW.fullmatch(raw):
        return replace(_relayed(place, system, is_raw=False), is_panel=False, raw=bytes.fromhex(raw), addressed=True)
    parts = [int(part) for part in rest.split("-")] if _RELAYED.fullmatch(rest) else []
    if parts and parts[0] <= 255:
        place = replace(place, system_type=parts[0])
    if len(parts) == 2 or rest == "device":
        return replace(place, is_panel=True, addressed=False)
    if len(parts) == 4:
        return _numbered(place, f"{max(parts[1] - 1, 0)}-{parts[2]}-{parts[3]}")
    if len(parts) == 3:
        number = parts[2] & 0xFFFF_FFFF
        return replace(place, loop=number >> 16, point=number & 0xFFFF)
    return replace(place, addressed=False)


def _numbered(place: Place, rest: str) -> Place:
    """The numbers in a point's own name: "1-027", "2-1-027" (panel of a network), "001027" (a user code)."""
    if found := _NUMBERS.fullmatch(rest):
        panel, loop, point = (int(part or 0) for part in found.groups())
        loop += panel * 256
        if _are_u16(loop, point):
            return replace(place, loop=loop, point=point)
    elif rest.isascii() and rest.isdecimal() and len(rest) <= 8 and int(rest) // 1000 <= 0xFFFF:
        loop, point = divmod(int(rest), 1000)
        return replace(place, loop=loop, point=point)
    return replace(place, addressed=False)


def _are_u16(*values: int) -> bool:
    return all(0 <= value <= 0xFFFF for value in values)
