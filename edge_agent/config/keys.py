"""What a line of the configuration's table is made of, and how a dataclass field is read as one."""

import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final

from buffer.records import Priority
from edge_agent.commands import NAMES
from edge_agent.model import KINDS as ALL_KINDS
from edge_agent.model import Kind

BAUD_RATES: Final = (300, 600, 1200, 2400, 4800, 9600, 14400, 19200, 38400, 57600, 115200)
GPIO_BACKENDS: Final = ("none", "gpiod", "rpigpio", "fake")
OUTPUTS: Final = ("buzzer", "fire_lamp", "fault_lamp", "link_lamp", "modem_power")
MODEM_FAMILIES: Final = ("auto", "quectel", "bc26", "bc95", "sim7600", "sim7020")
BUILDINGS: Final = (
    *("municipal", "over-100m", "class-1-public", "high-rise", "hall-over-8m", "multi-storey"),
    *("factory", "factory-small", "sprinkler"),
)
TAG_READERS: Final = ("rdm6300", "pn532", "keyboard")
ACTIONS: Final = ("gas_valve", "fan", "sounder")
BUTTONS: Final = ("ack", "silence")
LINK_KINDS: Final = ("ethernet", "wifi", "cellular", "nbiot")
COMMANDS: Final = NAMES
_OUR_OWN: Final = {
    Kind.COMMAND,
    Kind.DUTY_CHECK,
    Kind.EVIDENCE,
    Kind.LINKAGE,
    Kind.PATROL,
    Kind.CLOCK,
}  # no contact or panel says these
KINDS: Final = tuple(kind.value for kind in Kind if kind not in _OUR_OWN)
ALARM_KINDS: Final = tuple(kind.value for kind, info in ALL_KINDS.items() if info.priority is Priority.ALARM)
RECEIVERS: Final = ("gb26875", "dc09", "nb", "node", "espa444", "contact-id", "elec-7b7b", "ks68", "frames")
TRANSPORTS: Final = ("tcp", "udp", "coap")
GB_DIALECTS: Final = ("standard", "jk-gh2013g", "fubei-2018", "fubei-2024", "dahua-1.03", "nb-pressure")
KEEPALIVES: Final = ("none", "empty-send-data", "device-status", "one-byte", "command-7")

_BYTE: Final = "(?:[0-9]{1,2}|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
_U16: Final = "(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

# Forms of text. The words for each are `config.form_<name>`.
FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    "gateway_id": re.compile(r"[A-Za-z0-9-]{4,32}"),
    "id": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"),
    "point_id": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}(?:/[^\s/*][^\s*]{0,63})?"),
    "point_pattern": re.compile(r"\*|[A-Za-z0-9][^\s*]{0,95}\*?"),
    "profile": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"),
    "port": re.compile(r"/[!-~]{1,200}"),
    "meter": re.compile(r"[0-9]{12}"),
    "mqtt_name": re.compile(r"[^\x00-\x1f\x7f+#/{}][^\x00-\x1f\x7f+#{}]{0,119}"),
    "framing": re.compile(r"[78][NEO][12]"),
    "host": re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*"),
    "ip": re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*"),
    "network": re.compile(r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)(?:/[0-9]{1,3})?"),
    "serial_number": re.compile(r"[0-9A-Fa-f]{1,2}(?::?[0-9A-Fa-f]{2}){0,19}"),
    "station": re.compile(r"[0-9A-Za-z]"),
    "wire_address": re.compile(r"[0-9A-Za-z_.:-]{0,32}"),
    "absolute_path": re.compile(r"/[^\x00-\x1f]{0,400}"),
    "run_dir": re.compile(r"/[^\x00-\x1f]{0,80}"),  # a Unix socket's name holds 107 bytes in all
    "interface": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,14}"),
    "apn": re.compile(r"[A-Za-z0-9.-]{0,62}"),
    "tag": re.compile(r"[0-9A-Fa-f]{4,20}|[0-9]{1,3},[0-9]{1,5}"),
    "camera_path": re.compile(r"/[!-~]{0,300}"),
    "stamp_format": re.compile(r"[ -~]{1,40}"),
    "gb28181": re.compile(r"[0-9]{20}"),
    "time": re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"),
    "name": re.compile(r"[^\x00-\x1f\x7f]{0,80}"),
    "version": re.compile(rf"{_BYTE}\.{_BYTE}"),
    "stream": re.compile(r"alarm|fault|status|telemetry|media"),
    "gb_device": re.compile(r"[0-9]{1,15}|[0-9A-Fa-f]{12}"),
    "gb_component": re.compile(rf"{_U16}(?:-{_U16})?|0x[0-9A-Fa-f]{{8}}"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is allowed for one key, and its words. `low` and `high` are inclusive; `example` is written as in TOML."""

    zh: str
    en: str
    example: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str | int, ...] = ()
    form: str = ""
    sample: bool = False  # optional, yet written out in the sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table of the files. `name` is its dotted name there, `into` the field of its parent's dataclass."""

    name: str
    cls: type[Any]
    into: str
    many: bool
    zh: str
    en: str
    keys: Mapping[str, Key]
    aside: bool = False  # in the sample it stands behind a #: it belongs to a choice the sample does not make

    @property
    def last(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]

    @property
    def parent(self) -> str:
        """The section it stands in; "" for the top."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the dataclass says of a key."""

    kind: str  # text | whole | number | yes_no | path | texts | wholes | paths | lines
    required: bool
    default: object  # None: left out


_SHAPES: Final[Mapping[object, str]] = {
    str: "text",
    int: "whole",
    float: "number",
    bool: "yes_no",
    Path: "path",
    tuple[str, ...]: "texts",
    tuple[int, ...]: "wholes",
    tuple[Path, ...]: "paths",
    Mapping[str, int]: "lines",
}


def shapes_of(cls: Any) -> Mapping[str, Shape]:
    """The plain keys of a configuration dataclass; fields that are sections of their own are not among them."""
    found: dict[str, Shape] = {}
    for field in fields(cls):
        kind: object = field.type
        if isinstance(kind, types.UnionType):  # X | None
            kind = next(arm for arm in typing.get_args(kind) if arm is not types.NoneType)
        if kind not in _SHAPES:
            continue
        default: object = field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        required = default is MISSING
        found[field.name] = Shape(_SHAPES[kind], required, None if required else default)
    return found
