"""SIA DC-09-2013 messages over TCP or UDP: framing, checks, fields, encryption, answers. Pure.

    0A crc4 len4 "id" seq4 [Rrcvr] Lpref [#acct] [data] [xdata ...] [_HH:MM:SS,MM-DD-YYYY] 0D

CRC-16/ARC in hex over the span from the first quote to the end, and its length in hex. Ids SIA-DCS, ADM-CID, NULL and XNM
(heartbeats, the second with further data); with * in front the data are AES-CBC and in hex. Answers ACK, NAK (our time), DUH
repeat sequence, receiver, line and account. Real senders get length and CRC wrong: such a message is refused and counted.
Text is UTF-8 by the standard; a sender that has GBK is read too. Some write an account without its #.

Encrypted: behind the [ stands hex of AES-CBC (zero start) of: padding, | where data follow, #acct|data], [xdata], and the time
stamp, which must be there. Seen of a real sender: a heartbeat without data is padded without the |.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

from drivers.codecs.aes import BLOCK, AesCbc

if TYPE_CHECKING:
    import random

START, END = b"\n", b"\r"
MESSAGE_BYTES_MAX: Final = 2048
_SPAN: Final = re.compile(
    r'"(?P<star>\*?)(?P<id>[A-Z0-9-]{3,10})"(?P<seq>\d{4})(?:R(?P<receiver>[0-9A-Fa-f]{1,6}))?(?:L(?P<line>[0-9A-Fa-f]{0,22}))?'
    r"(?:#(?P<account>[0-9A-Fa-f]{1,16}))?(?P<rest>.*)",
    re.DOTALL,
)
_PLAIN: Final = re.compile(r"\[(?P<data>[^\]]*)\](?P<more>(?:\[[^\]]*\])*)(?:_(?P<time>[^\[\]]*))?", re.DOTALL)
_TIME: Final = re.compile(r"(\d\d):(\d\d):(\d\d),(\d\d)-(\d\d)-(\d{4})")
_ACCOUNT_IN_DATA: Final = re.compile(r"\[?(?:#(?P<account>[0-9A-Fa-f]{1,16})|(?P<bare>[0-9A-Fa-f]{3,16}))\|")
HEARTBEATS: Final = ("NULL", "XNM")
_PADDING: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def crc16_arc(data: bytes) -> int:
    """CRC-16/ARC: polynomial A001 reflected, initial 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def split(buffer: bytearray) -> Iterator[bytes]:
    """Take whole messages (their 0A and 0D included) off a stream; what stands between them is thrown away."""
    while (end := buffer.find(END)) >= 0:
        start = buffer.rfind(START, 0, end)
        message = bytes(buffer[max(start, 0) : end + 1])
        del buffer[: end + 1]
        yield message
    if len(buffer) > MESSAGE_BYTES_MAX:
        del buffer[: len(buffer) - MESSAGE_BYTES_MAX]


def parse(message: bytes) -> dict[str, object]:
    """The fields of one message. `reject` and `reject_reason` (crc, length, form) where it must not be believed."""
    body = message.strip(b"\r\n")
    quote = body.find(b'"')
    head, span = body[: max(quote, 0)], body[max(quote, 0) :]
    text = _text(span)
    found = _SPAN.fullmatch(text)
    if found is None or quote not in (6, 8, 10):
        return {"reject": True, "reject_reason": "form", "event": None}
    crc_ok, length_ok = _checks(head, span)
    fields: dict[str, object] = {"id": found["id"], "seq": int(found["seq"]), "encrypted": bool(found["star"])}
    for name in ("receiver", "line", "account"):
        if found[name] is not None:
            fields[name] = found[name]
    if not found["star"]:
        fields |= _content(found["rest"]) or {"form_ok": False, "data": _without_account(found["rest"].strip("[]"))}
        named = _ACCOUNT_IN_DATA.match(found["rest"])
        if named is not None and "account" not in fields:
            fields["account"] = named["account"] or named["bare"]
    else:
        fields["cipher"] = found["rest"].lstrip("[")
    fields |= {"crc_ok": crc_ok, "length_ok": length_ok}
    if not (crc_ok and length_ok):
        fields |= {"reject": True, "reject_reason": "length" if crc_ok else "crc", "event": None}
    elif fields.get("form_ok") is False:
        fields |= {"reject": True, "reject_reason": "form", "event": None}
    return fields


def _content(rest: str) -> dict[str, object] | None:
    """Data, further data and time of "[data][xdata]_time", None if it is none."""
    plain = _PLAIN.fullmatch(rest)
    if plain is None:
        return None
    fields: dict[str, object] = {"data": _without_account(plain["data"])}
    if plain["more"]:
        fields["xdata"] = re.findall(r"\[([^\]]*)\]", plain["more"])
    if plain["time"] and _TIME.fullmatch(plain["time"]):
        fields["timestamp"] = time_of(plain["time"])  # None: a clock that was never set has days that are none
    return fields


def _without_account(data: str) -> str:
    named = _ACCOUNT_IN_DATA.match(data)
    return data[named.end() :] if named is not None else data.removeprefix("|")


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("gb18030", "replace")


def unlock(fields: dict[str, object], key: AesCbc) -> dict[str, object]:
    """The fields of an encrypted message with its data; `reject` and `reject_reason` decrypt if the key does not fit it."""
    refused = {**fields, "reject": True, "reject_reason": "decrypt", "event": None}
    try:
        clear = key.decrypt(bytes.fromhex(str(fields.get("cipher", ""))))
    except ValueError:  # no hex, no whole blocks
        return refused
    inside = clear.partition(b"]")[0]
    padding = inside.find(b"|") + 1 or len(inside)  # any bytes; without a | there are no data
    content = _content("[" + _text(clear[padding:]))
    if content is None or "timestamp" not in content:
        return refused
    return {name: value for name, value in fields.items() if name != "cipher"} | content


def lock(data: str, stamp: datetime, key: AesCbc, chance: "random.Random") -> str:
    """The hex behind the [ of an encrypted message: `data` ("" for none) and the time."""
    text = (f"|{data}]" if data else "]") + time_text(stamp)
    padding = "".join(chance.choice(_PADDING) for _ in range(-len(text) % BLOCK))
    return key.encrypt((padding + text).encode("ascii", "replace")).hex().upper()


def time_text(stamp: datetime) -> str:
    """A UTC time as the messages have it."""
    return f"_{stamp:%H:%M:%S,%m-%d-%Y}"


def _checks(head: bytes, span: bytes) -> tuple[bool, bool]:
    """Whether CRC and length are those of the span. Heads of other forms (a binary CRC) are not believed."""
    try:
        crc, length = int(head[-8:-4], 16), int(head[-4:], 16)
    except ValueError:
        return False, False
    return crc == crc16_arc(span), length == len(span)


def time_of(text: str) -> str | None:
    """The ISO form of "HH:MM:SS,MM-DD-YYYY", which is UTC; None if it is no time."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute, second, month, day, year = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, minute, second).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return None


def answer(kind: str, fields: dict[str, object], *, now: datetime | None = None, locked: str = "") -> bytes:
    """ACK, NAK or DUH to a message; NAK carries `now` (UTC), so that the sender can set its clock. `locked`: of `lock`."""
    where = "".join(
        f"{mark}{fields[name]}" for mark, name in (("R", "receiver"), ("L", "line"), ("#", "account")) if name in fields
    )
    stamp = time_text(now) if now is not None else ""
    number = fields.get("seq")
    star, rest = ("*", locked) if locked else ("", f"]{stamp}")
    span = f'"{star}{kind}"{number if isinstance(number, int) else 0:04d}{where}[{rest}'.encode("ascii")
    return b"\n%04X%04X%b\r" % (crc16_arc(span), len(span), span)


def encode(identity: str, seq: int, account: str, data: str, *, stamp: str = "", locked: str = "") -> bytes:
    """A message, for simulators and tests. `locked`: of `lock`, in the place of data and stamp."""
    star, rest = ("*", locked) if locked else ("", f"{data}]{stamp}")
    span = f'"{star}{identity}"{seq:04d}L0#{account}[{rest}'.encode("ascii")
    return b"\n%04X%04X%b\r" % (crc16_arc(span), len(span), span)


def decode(data: bytes) -> list[dict[str, object]]:
    """One object a message, for `edge-agent decode`."""
    shown = []
    for message in split(bytearray(data if data.endswith(END) else data + END)):
        fields = parse(message)
        why = {"why": str(fields["reject_reason"])} if fields.get("reject") else {}
        shown.append({"event": None, **fields, **why, "raw": message.hex()})
    return shown
