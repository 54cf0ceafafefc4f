"""RDM6300, RDM630 tag readers, 125 kHz: 02, ten hex digits, two of check (XOR of the five bytes), 03. Pure.

Repeated every 50 ms while a tag is near.
"""

from typing import Final

STX, ETX = 0x02, 0x03
FRAME_BYTES: Final = 14
_DIGITS: Final = b"0123456789ABCDEF"  # small letters would let a changed bit pass


def decode(data: bytes) -> list[dict[str, object]]:
    """One object a read, for `edge-agent decode` and the patrol driver."""
    shown: list[dict[str, object]] = []
    at = 0
    while (start := data.find(STX, at)) >= 0:
        frame = data[start : start + FRAME_BYTES]
        if len(frame) == FRAME_BYTES and frame[-1] == ETX:
            shown.append({**_tag(frame), "raw": frame.hex()})
            at = start + FRAME_BYTES
        else:
            at = start + 1
    return shown


def take_reads(buffer: bytearray) -> list[dict[str, object]]:
    """Take every whole read off the stream in `buffer`, sound or not; at most 13 bytes of a read to come stay in it."""
    shown: list[dict[str, object]] = []
    while (start := buffer.find(STX)) >= 0:
        del buffer[:start]
        if len(buffer) < FRAME_BYTES:
            return shown
        whole = buffer[FRAME_BYTES - 1] == ETX
        if whole:
            shown += decode(bytes(buffer[:FRAME_BYTES]))
        del buffer[: FRAME_BYTES if whole else 1]  # what does not end where it should began elsewhere
    buffer.clear()
    return shown


def _tag(frame: bytes) -> dict[str, object]:
    if not all(byte in _DIGITS for byte in frame[1:13]):
        return {"reject": True, "why": "not_hex", "event": None}
    tag = bytes.fromhex(frame[1:13].decode("ascii"))
    check = 0
    for byte in tag[:5]:
        check ^= byte
    if check != tag[5]:
        return {"reject": True, "why": "checksum", "checksum_ok": False, "event": None}
    number = int.from_bytes(tag[1:5], "big")
    return {
        "event": None,
        "version": tag[0],
        "tag_hex": tag[1:5].hex().upper(),
        "tag_decimal": f"{number:010d}",
        "checksum_ok": True,
    }


def encode(tag_hex: str, version: int = 0x10) -> bytes:
    """A read, for simulators and tests."""
    body = bytes((version,)) + bytes.fromhex(tag_hex)
    check = 0
    for byte in body:
        check ^= byte
    return bytes((STX,)) + (body + bytes((check,))).hex().upper().encode() + bytes((ETX,))
