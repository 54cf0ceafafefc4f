"""Addresses: six bytes of a device or centre, four of a component. The raw bytes are the identity; how they read is a setting.

The standard says "low byte first" of the six bytes and does not split the four. Which variant a centre means is told by nothing
in a frame: it is agreed, and stands in the dialect.
"""

from typing import Final, Literal, NamedTuple

DEVICE_BYTES: Final = 6
ANYONE: Final = b"\xff" * DEVICE_BYTES  # what some platforms use as the default destination

ComponentStyle = Literal["u32", "loop-point", "point-loop", "raw"]
DeviceStyle = Literal["integer", "wire", "high-first"]
COMPONENT_STYLES: Final[tuple[ComponentStyle, ...]] = ("u32", "loop-point", "point-loop", "raw")
DEVICE_STYLES: Final[tuple[DeviceStyle, ...]] = ("integer", "wire", "high-first")


class ComponentAddress(NamedTuple):
    """A component address as its style splits it: loop (or zone) and point of 16 bits each, or one number, or neither."""

    loop: int | None = None
    point: int | None = None
    number: int | None = None


def split_component(raw: bytes, style: ComponentStyle) -> ComponentAddress:
    """What the four bytes say in a style. Variant B of the fact sheet is "loop-point", C "point-loop", A "u32"."""
    if style == "u32":
        return ComponentAddress(number=int.from_bytes(raw, "little"))
    if style == "raw":
        return ComponentAddress()
    low, high = int.from_bytes(raw[:2], "little"), int.from_bytes(raw[2:], "little")
    return ComponentAddress(loop=low, point=high) if style == "loop-point" else ComponentAddress(loop=high, point=low)


def join_component(loop: int, point: int, style: ComponentStyle) -> bytes:
    """The four bytes of a loop and a point. For "u32" and "raw" the loop is the high half. Raise ValueError over 16 bits."""
    if not (0 <= loop <= 0xFFFF and 0 <= point <= 0xFFFF):
        raise ValueError(f"loop {loop} and point {point} have 16 bits each on the wire")
    low, high = (loop, point) if style == "loop-point" else (point, loop)
    return low.to_bytes(2, "little") + high.to_bytes(2, "little")


def device_address(written: int | str, style: DeviceStyle = "integer") -> bytes:
    """The six wire bytes of a number or of a text: a decimal number, or twelve hex digits in style "wire". Raise ValueError."""
    if style == "wire":
        raw = bytes.fromhex(str(written))
        if len(raw) != DEVICE_BYTES:
            raise ValueError(f"a device address in style wire is 12 hex digits, not {written}")
        return raw
    try:
        return int(written).to_bytes(DEVICE_BYTES, "little" if style == "integer" else "big")
    except OverflowError:
        raise ValueError(f"{written} does not fit a device address of 48 bits") from None


def show_device(raw: bytes, style: DeviceStyle = "integer") -> str:
    """A device address as a person reads it; `device_address` takes it back."""
    if style == "wire":
        return raw.hex().upper()
    return str(int.from_bytes(raw, "little" if style == "integer" else "big"))
