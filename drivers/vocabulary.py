"""The events every panel protocol is put into: the common vocabulary of the protocol sheets, as ASCII codes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an event says. `kind` is a value of `edge_agent.model.Kind`; `active` False ends what an earlier event began."""

    kind: str
    active: bool = True


EVENTS: Final[Mapping[str, Meaning]] = {
    "fire": Meaning("fire"),
    "fire_manual": Meaning("fire_manual"),  # a manual call point
    "fire_restore": Meaning("fire", active=False),
    "fire_cancel": Meaning("fire", active=False),
    "unknown": Meaning("unknown"),  # smells of fire, does not parse
    "prealarm": Meaning("prealarm"),
    "prealarm_restore": Meaning("prealarm", active=False),
    "supervisory": Meaning("supervisory"),
    "supervisory_restore": Meaning("supervisory", active=False),
    "gas_alarm": Meaning("gas"),
    "gas_restore": Meaning("gas", active=False),
    "electrical_alarm": Meaning("electrical"),
    "electrical_restore": Meaning("electrical", active=False),
    "fault": Meaning("fault"),
    "fault_restore": Meaning("fault", active=False),
    "dirty": Meaning("fault"),
    "isolate": Meaning("disabled"),
    "isolate_restore": Meaning("disabled", active=False),
    "mains_fault": Meaning("mains_fault"),
    "mains_ok": Meaning("mains_fault", active=False),
    "battery_fault": Meaning("battery_fault"),
    "battery_ok": Meaning("battery_fault", active=False),
    "burglar": Meaning("tamper"),
    "tamper_restore": Meaning("tamper", active=False),
    "leak": Meaning("supervisory"),  # an agent or water is lost
    "register": Meaning("boot"),  # the panel learnt a device
    "manual_mode": Meaning("feedback"),
    "start": Meaning("start"),
    "stop": Meaning("start", active=False),
    "feedback": Meaning("feedback"),
    "action": Meaning("feedback"),  # an output or module acted; not a fire
    "feedback_restore": Meaning("feedback", active=False),
    "active_restore": Meaning("feedback", active=False),  # whatever it was that was "active" is over
    "link_request": Meaning("link_request"),
    "delay": Meaning("delay"),
    "delay_restore": Meaning("delay", active=False),
    "reset": Meaning("reset"),  # clears every latched point of that panel
    "silence": Meaning("silence"),
    "acknowledge": Meaning("acknowledge"),
    "test": Meaning("test"),
    "test_restore": Meaning("test", active=False),
    "power_on": Meaning("boot"),
    "power_off": Meaning("fault"),
    "readable": Meaning("unknown", active=False),  # what could not be read, and smelt of fire, can be read again
}

# What ends what an event began, for protocols that say both with one word and a flag, or with bits.
ENDS: Final[Mapping[str, str]] = {
    "fire": "fire_restore",
    "fire_manual": "fire_restore",
    "unknown": "fire_restore",
    "prealarm": "prealarm_restore",
    "supervisory": "supervisory_restore",
    "gas_alarm": "gas_restore",
    "electrical_alarm": "electrical_restore",
    "fault": "fault_restore",
    "dirty": "fault_restore",
    "isolate": "isolate_restore",
    "mains_fault": "mains_ok",
    "battery_fault": "battery_ok",
    "burglar": "tamper_restore",
    "leak": "supervisory_restore",
    "start": "stop",
    "feedback": "feedback_restore",
    "delay": "delay_restore",
    "test": "test_restore",
}

# Events about the panel as a whole, whatever address bytes travel with them.
PANEL_EVENTS: Final = frozenset(
    {
        "reset",
        "silence",
        "acknowledge",
        "mains_fault",
        "mains_ok",
        "battery_fault",
        "battery_ok",
        "power_on",
        "power_off",
    }
)
