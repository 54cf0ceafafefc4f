"""Timers of power saving as the network codes them: 8 bits for PSM (3GPP 24.008 10.5.7.3, 10.5.7.4a), 4 bits for eDRX."""

from typing import Final

_T3412_EXT_S: Final = (600, 3600, 36000, 2, 30, 60, 1152000, 0)
_T3324_S: Final = {0: 2, 1: 60, 2: 360}
_EDRX_NB_S: Final = {
    0b0010: 20.48,
    0b0011: 40.96,
    0b0101: 81.92,
    0b1001: 163.84,
    0b1010: 327.68,
    0b1011: 655.36,
    0b1100: 1310.72,
    0b1101: 2621.44,
    0b1110: 5242.88,
    0b1111: 10485.76,
}


def t3412_s(bits: str) -> int | None:
    """Period of the tracking area update in seconds; None: off. Raises ValueError unless 8 bits."""
    unit, count = _unit_count(bits)
    return _T3412_EXT_S[unit] * count or None


def t3324_s(bits: str) -> int | None:
    """Active time after a transmission in seconds; None: off. Raises ValueError unless 8 bits."""
    unit, count = _unit_count(bits)
    return None if unit == 7 else _T3324_S.get(unit, 60) * count


def edrx_s(bits: str) -> float | None:
    """Cycle of NB-S1 in seconds; None: a value NB-IoT has not. Raises ValueError unless 4 bits."""
    if len(bits) != 4:
        raise ValueError(f"{bits!r} is not 4 bits")
    return _EDRX_NB_S.get(int(bits, 2))


def _unit_count(bits: str) -> tuple[int, int]:
    if len(bits) != 8:
        raise ValueError(f"{bits!r} is not 8 bits")
    value = int(bits, 2)
    return value >> 5, value & 0x1F
