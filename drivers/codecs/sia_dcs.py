"""The event codes of SIA DC-03, as DC-09 carries them in SIA-DCS: "Nri1/FA001", "Nti20:50:26RP99", "NRR|Atest". Pure.

Two letters: what kind of zone, and what of it. Codes of burglary, access and arming say nothing of fire: they are kept, not judged.
Source: published code lists of DC-09 receivers (M), held against the table of siadc09 1.0.1; the letters of a kind all follow the
same scheme.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_PACKET: Final = re.compile(
    r"(?P<modifiers>(?:[a-z]{2}[0-9:.\-]*)*)(?P<code>[A-Z]{2})(?P<number>[0-9A-F]{0,8})(?P<more>.*)", re.DOTALL
)
_MODIFIER: Final = re.compile(r"([a-z]{2})([0-9:.\-]*)")
_PACKETS: Final = re.compile(r"(?:[^/^]|\^[^^]*\^?)+")  # a text may hold a /
_TEXT: Final = re.compile(r"\^([^^]*)\^?")

_ALARMS: Final = {
    "F": "fire",
    "K": "fire",
    "S": "fire",
    "G": "gas_alarm",
    "W": "supervisory",
    "U": "unknown",
    "Z": "supervisory",
}
_RESTORES: Final = {
    "fire": "fire_restore",
    "gas_alarm": "gas_restore",
    "supervisory": "supervisory_restore",
    "unknown": "fire_restore",
}
_BURGLARY: Final = "BHPQM"  # burglary, hold-up, panic, emergency, medical
# Troubles of the panel itself, which share one number: what is wrong is part of the point, or one's end would be another's.
_PARTS: Final[Mapping[str, tuple[str, str]]] = {  # part: its trouble and its restore
    "bell": ("YA", "YH"),
    "overcurrent": ("YI", "YJ"),
    "power": ("YP", "YQ"),
    "line": ("YD", "YE"),
    "service": ("YX", "YZ"),
    "printer": ("VT", "VR"),
}
_PART_OF: Final = {code: part for part, codes in _PARTS.items() for code in codes}


def _codes() -> dict[str, tuple[str, ...]]:
    codes: dict[str, tuple[str, ...]] = {}
    for zone, alarm in _ALARMS.items():
        restore = _RESTORES[alarm]
        codes |= {
            f"{zone}A": (alarm,),
            f"{zone}H": (restore,),
            f"{zone}R": (restore, "fault_restore"),  # "alarm or trouble condition is over"
            f"{zone}T": ("fault",),
            f"{zone}J": ("fault_restore",),
            f"{zone}B": ("isolate",),
            f"{zone}U": ("isolate_restore",),
            f"{zone}S": ("supervisory",),
            f"{zone}X": ("test",),
            f"{zone}Y": ("fault",),
        }
    for zone in _BURGLARY:
        codes |= {f"{zone}A": ("burglar",), f"{zone}H": ("tamper_restore",), f"{zone}R": ("tamper_restore",)}
        codes |= {f"{zone}T": ("fault",), f"{zone}J": ("fault_restore",)}
    for trouble, restore in _PARTS.values():
        codes |= {trouble: ("fault",), restore: ("fault_restore",)}
    return codes | {
        "JA": ("burglar",),
        "FM": ("fire",),
        "FG": ("prealarm",),
        "FC": ("fire_cancel",),
        "FI": ("test",),
        "FK": ("test_restore",),
        "FL": ("silence",),
        "FV": ("supervisory_restore",),
        "FW": ("fault",),
        "FQ": ("fault_restore",),
        "FZ": ("fault",),
        "UX": ("unknown",),
        "UZ": ("fault",),
        "TA": ("tamper",),
        "TT": ("tamper",),
        "TH": ("tamper_restore",),
        "TJ": ("tamper_restore",),
        "TR": ("tamper_restore",),
        "ES": ("tamper",),
        "EJ": ("tamper_restore",),
        "AT": ("mains_fault",),
        "AR": ("mains_ok",),
        "YT": ("battery_fault",),
        "YM": ("battery_fault",),
        "YR": ("battery_ok",),
        "YC": ("comm_fault",),
        "YK": ("comm_fault_restore",),
        "YS": ("comm_fault",),
        "XT": ("battery_fault",),
        "XR": ("battery_ok",),
        "XS": ("tamper",),
        "XJ": ("tamper_restore",),
        "XQ": ("comm_fault",),
        "XH": ("comm_fault_restore",),
        "LT": ("comm_fault",),
        "LR": ("comm_fault_restore",),
        "NT": ("comm_fault",),
        "NR": ("comm_fault_restore",),
        "ET": ("fault",),
        "ER": ("fault_restore",),
        "EM": ("device_lost",),
        "EN": ("fault_restore",),
        "IA": ("fault",),
        "IR": ("fault_restore",),
        "AS": ("dirty",),
        "AN": ("dirty_restore",),
        "RP": ("test",),
        "RX": ("test",),
        "TX": ("test",),
        "TS": ("test",),
        "TE": ("test_restore",),
        "RR": ("power_on",),
        "RN": ("reset",),
    }


CODES: Final[Mapping[str, tuple[str, ...]]] = _codes()
UNJUDGED: Final = ("status",)


@dataclass(frozen=True, slots=True)
class SiaEvent:
    """One packet of a block. `area` from the modifier ri, "0" without; `number` of the zone, user or line, "0" without."""

    code: str
    area: str
    number: str
    text: str
    part: str  # of the panel, "" where it is about the number
    events: tuple[str, ...]  # drivers.vocabulary; ("status",) for codes that say nothing of fire


def parse(data: str) -> list[SiaEvent]:
    """The events of one data block, none if it is no such block."""
    block, bar, spoken = data.partition("|")
    text = spoken[1:] if bar and spoken.startswith("A") else spoken
    if block[:1] not in ("N", "O"):
        return []
    area, out = "0", list[SiaEvent]()
    for written in _PACKETS.findall(block[1:]):
        own, packet = _TEXT.search(written), _TEXT.sub("", written)
        whole = _PACKET.fullmatch(packet)
        named = dict(_MODIFIER.findall(whole["modifiers"] if whole is not None else packet))
        area = named.get("ri") or area
        if whole is not None:
            code, said = whole["code"], (own[1].strip() if own is not None else "") or text
            part, events = _PART_OF.get(code, ""), CODES.get(code, UNJUDGED)
            out.append(SiaEvent(code, area, whole["number"] or "0", said, part, events))
    return out
