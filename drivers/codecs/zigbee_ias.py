"""Zigbee IAS Zone, cluster 0500: the zone status bitmap and its notification. Pure. Source: zigpy security.py.

Smoke is alarm1; for gas it is alarm1 on some models and alarm2 on others, so a profile names the bit. "Sends restore
reports" alone is no event.
"""

from typing import Final

_BITS: Final = (
    "alarm1",
    "alarm2",
    "tamper",
    "battery_low",
    "supervision",
    "restore_reports",
    "trouble",
    "ac_fault",
    "test",
    "battery_defect",
)
STATUS_BYTES, NOTIFICATION_BYTES = 2, 6


def decode(data: bytes) -> list[dict[str, object]]:
    """A status (2 bytes, low first) or a notification (status16, extended8, zone8, delay16 in quarter seconds)."""
    if len(data) not in (STATUS_BYTES, NOTIFICATION_BYTES):
        return [{"reject": True, "why": "length", "event": None, "raw": data.hex()}]
    status = data[0] | data[1] << 8
    fields: dict[str, object] = {"cluster": "0x0500", "zone_status": status, "event": None}
    fields |= {name: bool(status >> bit & 1) for bit, name in enumerate(_BITS)}
    if len(data) == NOTIFICATION_BYTES:
        fields |= {"extended": data[2], "zone": data[3], "delay_s": (data[4] | data[5] << 8) / 4}
    return [{**fields, "raw": data.hex()}]
