"""PN532 tag readers, 13.56 MHz, UART: 00 00 FF LEN LCS TFI data DCS 00; LEN + LCS and TFI..DCS are 0 modulo 256. Pure.

TFI D4 goes to the chip, D5 comes back. ACK is 00 00 FF 00 FF 00. A tag found answers D5 4B: count, number, ATQA2, SAK, length, UID.
"""

from typing import Final

PREAMBLE: Final = b"\x00\x00\xff"
ACK: Final = b"\x00\x00\xff\x00\xff\x00"
TO_CHIP, FROM_CHIP = 0xD4, 0xD5
WAKE: Final = b"\x55\x55" + bytes(14)
_COMMANDS: Final = {
    0x02: "GetFirmwareVersion",
    0x14: "SAMConfiguration",
    0x4A: "InListPassiveTarget",
    0x40: "InDataExchange",
}
_MIFARE: Final = {0x60: "auth_a", 0x61: "auth_b", 0x30: "read", 0xA0: "write"}


def decode(data: bytes) -> list[dict[str, object]]:
    """One object a frame, for `edge-agent decode` and the patrol driver."""
    shown: list[dict[str, object]] = []
    at = 0
    while (start := data.find(PREAMBLE, at)) >= 0:
        if data[start : start + 6] == ACK:
            shown.append({"kind": "ack", "event": None, "dcs_ok": True, "raw": ACK.hex()})
            at = start + 6
            continue
        head = data[start + 3 : start + 5]
        if len(head) < 2 or sum(head) & 0xFF:
            at = start + 1
            continue
        frame = data[start : start + 7 + head[0]]
        if len(frame) < 7 + head[0]:
            shown.append({"reject": True, "why": "truncated", "event": None, "raw": frame.hex()})
            break
        body = frame[5:-1]
        if sum(body) & 0xFF:
            shown.append({"reject": True, "why": "dcs", "dcs_ok": False, "event": None, "raw": frame.hex()})
            at = start + 1
            continue
        shown.append({**_fields(body[:-1]), "event": None, "dcs_ok": True, "raw": frame.hex()})
        at = start + len(frame)
    return shown


def take_frames(buffer: bytearray) -> list[dict[str, object]]:
    """Take every whole frame off the stream in `buffer`, sound or not; at most one of 262 bytes to come stays in it."""
    shown: list[dict[str, object]] = []
    while (start := buffer.find(PREAMBLE)) >= 0:
        del buffer[:start]
        if len(buffer) < len(ACK):
            return shown
        size = len(ACK)
        if buffer[:size] != ACK:
            if sum(buffer[3:5]) & 0xFF:
                del buffer[:1]  # LEN and LCS do not belong together: no frame begins here
                continue
            size = 7 + buffer[3]
        if len(buffer) < size:
            return shown
        frame = decode(bytes(buffer[:size]))
        shown += frame
        del buffer[: 1 if frame and frame[-1].get("reject") else size]
    del buffer[: -len(PREAMBLE) + 1]  # the next start mark may be cut in half
    return shown


def _fields(body: bytes) -> dict[str, object]:
    if len(body) < 2:
        return {"kind": "short"}
    command, rest = body[1], body[2:]
    if body[0] == TO_CHIP:
        fields: dict[str, object] = {"kind": "command", "command": _COMMANDS.get(command, f"0x{command:02X}")}
        if command == 0x14 and rest:
            fields["mode"] = rest[0]
        elif command == 0x40 and len(rest) >= 3:
            fields |= {"target": rest[0], "mifare": _MIFARE.get(rest[1], f"0x{rest[1]:02X}"), "block": rest[2]}
        return fields
    fields = {"kind": "answer", "command": _COMMANDS.get(command - 1, f"0x{command - 1:02X}")}
    if command == 0x4B and len(rest) >= 6:
        size = rest[5]
        fields |= {
            "tags": rest[0],
            "atqa": rest[2:4].hex().upper(),
            "sak": rest[4],
            "uid": rest[6 : 6 + size].hex().upper(),
        }
    elif command == 0x41 and rest:
        fields |= {"status": rest[0], "data": rest[1:].hex().upper()}
    return fields


def frame(data: bytes, tfi: int = TO_CHIP) -> bytes:
    """The frame around a command or, for simulators and tests, an answer."""
    body = bytes((tfi,)) + data
    return PREAMBLE + bytes((len(body), -len(body) & 0xFF)) + body + bytes((-sum(body) & 0xFF, 0))
