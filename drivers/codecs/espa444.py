"""ESPA 4.4.4, the pager interface of fire panels: the station selects ("1" 05 "2" 05), then one transaction of records. Pure.

    01 header 02 id 1F text (1E id 1F text)* 03 BCC        BCC: XOR of all after 01, through 03

Header 1 call to pager, 2 status information, 3 status request, 4 call to subscriber line. Answers are 06 or 15; 04 ends.
"""

from typing import Final

SOH, STX, ETX, EOT, ENQ, ACK, NAK, RS, US = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x15, 0x1E, 0x1F
BLOCK_BYTES_MAX: Final = 512
_HEADERS: Final = {"1": "call_to_pager", "2": "status_information", "3": "status_request", "4": "call_to_subscriber"}
_RECORDS: Final = {
    "1": "call_address",
    "2": "display_text",
    "3": "beep_coding",
    "4": "call_type",
    "5": "transmissions",
    "6": "priority",
    "7": "call_status",
    "8": "system_status",
}


def decode(data: bytes) -> list[dict[str, object]]:
    """One object for each poll, selection, answer and transaction, for `edge-agent decode`."""
    shown: list[dict[str, object]] = []
    if not (SOH in data and ETX in data):  # a capture with parity bits: even ones make 81 of 01, odd ones 83 of 03
        data = bytes(byte & 0x7F for byte in data)
    at = 0
    while at < len(data):
        if data[at] == SOH:
            end = data.find(ETX, at, at + BLOCK_BYTES_MAX)
            inner = data.rfind(SOH, at + 1, end) if end >= 0 else -1  # one was broken off, another begins
            block = data[at:inner] if inner > 0 else data[at : end + 2] if end >= 0 else data[at:]
            fields = transaction(block)
            if isinstance(text := fields.get("display_text"), str):
                fields["display_text"] = _words(text)
            shown.append({**fields, "raw": block.hex()})
            at += len(block)
        elif data[at + 1 : at + 2] == bytes((ENQ,)) and data[at + 3 : at + 4] == bytes((ENQ,)):
            select = {"kind": "select", "sender": chr(data[at]), "receiver": chr(data[at + 2]), "event": None}
            shown.append({**select, "raw": data[at : at + 4].hex()})
            at += 4
        elif data[at] > 0x20 and data[at + 1 : at + 2] == bytes((ENQ,)):
            shown.append({"kind": "poll", "station": chr(data[at]), "event": None, "raw": data[at : at + 2].hex()})
            at += 2
        elif data[at] in (ACK, NAK, EOT):
            kind = {ACK: "ack", NAK: "nak", EOT: "end"}[data[at]]
            shown.append({"kind": kind, "event": None, "raw": data[at : at + 1].hex()})
            at += 1
        else:
            shown.append({"reject": True, "why": "noise", "event": None, "raw": data[at : at + 1].hex()})
            at += 1
    return shown


def _words(text: str) -> str:
    """A text of eight bits as Chinese, if it is."""
    try:
        return text.encode("latin-1").decode("gb18030")
    except UnicodeDecodeError:
        return text


def transaction(block: bytes) -> dict[str, object]:
    """The fields of 01 ... 03 BCC; `reject` and `why` where it is none."""
    if len(block) < 6 or block[-2] != ETX:
        return {"reject": True, "why": "truncated", "event": None}
    check = 0
    for byte in block[1:-1]:
        check ^= byte
    stx = block.find(STX)
    header = block[1:stx].decode("ascii", "replace") if stx > 0 else ""
    fields: dict[str, object] = {"header": header, "function": _HEADERS.get(header, header), "event": None}
    for record in block[stx + 1 : -2].split(bytes((RS,))):
        number, mark, text = record.partition(bytes((US,)))
        if mark:
            name = _RECORDS.get(number.decode("ascii", "replace"), f"record_{number.hex()}")
            fields[name] = text.decode("latin-1")
    fields |= {"bcc": f"{block[-1]:02X}", "bcc_ok": check == block[-1]}
    if check != block[-1]:
        fields |= {"reject": True, "why": "bcc"}
    return fields


def encode_call(address: str, text: str, *, call_type: str = "3", priority: str = "1") -> bytes:
    """A call to a pager, for simulators and tests."""
    records = {"1": address, "2": text, "3": "3", "4": call_type, "5": "1", "6": priority}
    body = (
        b"1"
        + bytes((STX,))
        + bytes((RS,)).join(k.encode() + bytes((US,)) + v.encode("latin-1") for k, v in records.items())
    )
    body += bytes((ETX,))
    check = 0
    for byte in body:
        check ^= byte
    return bytes((SOH,)) + body + bytes((check,))
