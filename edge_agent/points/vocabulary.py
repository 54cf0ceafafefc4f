"""What the words of the panels mean to the house. A word that is not listed is a fault that names it: nothing is dropped."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.model import KINDS, Kind


class Effect(enum.Enum):
    """What a word does to the point it was said of."""

    SET = "set"  # active until cleared
    CLEAR = "clear"  # no longer active
    MOMENT = "moment"  # happened; nothing stays active
    RESET = "reset"  # of the whole panel


@dataclass(frozen=True, slots=True)
class Meaning:
    """`kind` is what is set, or what is told of a moment; `clears` are the kinds that end at this point."""

    effect: Effect
    kind: Kind
    clears: tuple[Kind, ...] = ()
    active: bool = True  # what is told of a moment: begun or ended
    tells_unknown: bool = (
        True  # a restore of what we never saw active is told once, or the centre would keep it for ever
    )


def _set(kind: Kind) -> Meaning:
    return Meaning(Effect.SET, kind)


def _clear(*kinds: Kind) -> Meaning:
    return Meaning(Effect.CLEAR, kinds[0], kinds)


_FIRES = (Kind.FIRE, Kind.FIRE_MANUAL, Kind.UNKNOWN)
_FAULTS = (Kind.FAULT, Kind.MAINS_FAULT, Kind.BATTERY_FAULT)
# "normal" of one point ends what the panel itself would end, not what only a reset ends
_UNLATCHED = (Kind.FAULT, *(kind for kind, info in KINDS.items() if not info.latched and kind is not Kind.FAULT))

UNLISTED = _set(Kind.FAULT)

MEANINGS: Mapping[str, Meaning] = {
    "fire": _set(Kind.FIRE),
    "first_fire": _set(Kind.FIRE),
    "fire_manual": _set(Kind.FIRE_MANUAL),
    "manual_alarm": _set(Kind.FIRE_MANUAL),
    "unknown": _set(Kind.UNKNOWN),
    "fire_restore": _clear(*_FIRES),
    "fire_cancel": _clear(*_FIRES),  # 警情消除
    "alarm_clear": _clear(*_FIRES, Kind.PREALARM),
    "prealarm": _set(Kind.PREALARM),
    "prealarm_restore": _clear(Kind.PREALARM),
    "gas_alarm": _set(Kind.GAS),
    "gas_restore": _clear(Kind.GAS),
    "gas_alarm_restore": _clear(Kind.GAS),
    "gas_release": _set(Kind.START),  # extinguishing gas let go
    "electrical_alarm": _set(Kind.ELECTRICAL),
    "electrical_restore": _clear(Kind.ELECTRICAL),
    "electrical_alarm_restore": _clear(Kind.ELECTRICAL),
    "electrical_fault": _set(Kind.FAULT),
    "leakage_trip": _set(Kind.ELECTRICAL),
    "supervisory": _set(Kind.SUPERVISORY),
    "supervisory_restore": _clear(Kind.SUPERVISORY),
    "leak": _set(Kind.SUPERVISORY),  # 泄漏: an agent or water is lost, a person must look
    "leak_restore": _clear(Kind.SUPERVISORY),
    "burglar": _set(Kind.TAMPER),  # 盗警
    "security": _set(Kind.TAMPER),
    "tamper": _set(Kind.TAMPER),
    "tamper_restore": _clear(Kind.TAMPER),
    "fault": _set(Kind.FAULT),
    "fault_restore": _clear(Kind.FAULT),  # of the panel itself too: its mains may still be off
    "restore": _clear(*_FAULTS),
    "comm_fault": _set(Kind.FAULT),
    "comm_fault_restore": _clear(Kind.FAULT),
    "panel_fault": _set(Kind.FAULT),
    "dirty": _set(Kind.FAULT),
    "dirty_restore": _clear(Kind.FAULT),
    "device_lost": _set(Kind.FAULT),
    "power_lost": _set(Kind.FAULT),
    "power_off": _set(Kind.FAULT),
    "power_on": Meaning(Effect.MOMENT, Kind.BOOT, (Kind.FAULT,)),
    "register": Meaning(Effect.MOMENT, Kind.BOOT),
    "mains_fault": _set(Kind.MAINS_FAULT),
    "mains_ok": _clear(Kind.MAINS_FAULT),
    "mains_restore": _clear(Kind.MAINS_FAULT),
    "mains_fault_restore": _clear(Kind.MAINS_FAULT),
    "battery_fault": _set(Kind.BATTERY_FAULT),
    "battery_ok": _clear(Kind.BATTERY_FAULT),
    "battery_restore": _clear(Kind.BATTERY_FAULT),
    "battery_fault_restore": _clear(Kind.BATTERY_FAULT),
    "isolate": _set(Kind.DISABLED),
    "isolate_restore": _clear(Kind.DISABLED),
    "feedback": _set(Kind.FEEDBACK),
    "action": _set(Kind.FEEDBACK),
    "active": _set(Kind.FEEDBACK),
    "feedback_restore": _clear(Kind.FEEDBACK),
    "action_restore": _clear(Kind.FEEDBACK),
    "active_restore": _clear(Kind.FEEDBACK),
    "start": _set(Kind.START),
    "link_start": _set(Kind.START),
    "stop": _clear(Kind.START),
    "link_request": _set(Kind.LINK_REQUEST),
    "link_request_restore": _clear(Kind.LINK_REQUEST),
    "delay": _set(Kind.DELAY),
    "delay_restore": _clear(Kind.DELAY),
    "delay_off": _clear(Kind.DELAY),
    "delay_end": _clear(Kind.DELAY),
    "normal": Meaning(Effect.CLEAR, Kind.FAULT, _UNLATCHED, tells_unknown=False),
    "readable": Meaning(Effect.CLEAR, Kind.UNKNOWN, (Kind.UNKNOWN,), tells_unknown=False),
    "reset": Meaning(Effect.RESET, Kind.RESET),
    "system_normal": Meaning(Effect.RESET, Kind.RESET),  # networked panels may print this instead of each restore
    "silence": Meaning(Effect.MOMENT, Kind.SILENCE),
    "acknowledge": Meaning(Effect.MOMENT, Kind.ACKNOWLEDGE),
    "test": Meaning(Effect.MOMENT, Kind.TEST),
    "test_restore": Meaning(Effect.MOMENT, Kind.TEST, active=False),
    "selftest": Meaning(Effect.MOMENT, Kind.TEST),
    "self_test": Meaning(Effect.MOMENT, Kind.TEST),
    "manual_mode": Meaning(Effect.MOMENT, Kind.FEEDBACK),
    "auto_mode": Meaning(Effect.MOMENT, Kind.FEEDBACK),
    "mode": Meaning(Effect.MOMENT, Kind.FEEDBACK),
    "status": Meaning(Effect.MOMENT, Kind.FEEDBACK),
}

_FIRE_MANUAL = MEANINGS["fire_manual"]


def meaning_of(word: str, fields: Mapping[str, object]) -> Meaning:
    """What `word` means. A fire whose fields speak of a manual call point (手动) is one: it needs no second witness."""
    meaning = MEANINGS.get(word, UNLISTED)
    if meaning.kind is Kind.FIRE and meaning.effect is Effect.SET:
        told = f"{fields.get('device_type_text', '')}{fields.get('event_text', '')}"
        if fields.get("manual") is True or "手动" in told:
            return _FIRE_MANUAL
    return meaning
