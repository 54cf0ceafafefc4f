"""Ademco Contact ID, SIA DC-05: ACCT MT QXYZ GG CCC S, as digits or as the data of a DC-09 message. Pure.

Account 4, message type 18 (or 98), qualifier 1 event or opening, 3 restore, 6 still there, event 3, group 2, zone or user 3.
Checksum: the digits' sum with 0 counted as ten, and the check digit make a multiple of 15. Codes of the 2xx and 3xx groups
are from memory of the standard, held against the table of siadc09 1.0.1, which is somebody else's.
"""

import re
from collections.abc import Mapping
from typing import Final

# The tone of a 0 is the tenth: receivers print it as 0 or as A.
_BODY: Final = r"([0-9A-F]{4})\s*(18|98)\s*([136])([0-9A-F]{3})\s*([0-9A-F]{2})\s*([0-9A-F]{3})(?:\s*([0-9A-F]))?"
_MESSAGE: Final = re.compile(_BODY)
_ONE_OF_SEVERAL: Final = re.compile(_BODY + r"(?=\s|$|[0-9A-F]{4}\s*(?:18|98)\s*[136])")
_WORD: Final = re.compile(r"\S+")
# Automation port of Sur-Gard style receivers: 5, receiver 2, line 1, 18, account, E R or P, code, group, zone. From memory.
_SURGARD: Final = re.compile(r"5[0-9A-F]{2}[0-9A-F]\s*18([0-9A-F]{4,10}?)([ERP])([0-9]{3})([0-9A-F]{2})([0-9A-F]{3})")
_SURGARD_ALIVE: Final = re.compile(r"1[0-9A-F]{2}[0-9A-F]\s+@\s*")
_SURGARD_QUALIFIERS: Final = {"E": 1, "R": 3, "P": 6}
_DATA: Final = re.compile(r"([136])([0-9]{3})\s*([0-9A-F]{2})\s*([0-9A-F]{3})")  # as DC-09 carries it
# code -> (event, its restore): drivers.vocabulary
EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    **dict.fromkeys(("110", "111", "112", "113", "114", "116", "117"), ("fire", "fire_restore")),
    "115": ("fire_manual", "fire_restore"),
    "118": ("prealarm", "prealarm_restore"),
    **dict.fromkeys(("151", "162"), ("gas_alarm", "gas_restore")),
    "154": ("supervisory", "supervisory_restore"),
    **dict.fromkeys(("200", "201", "202", "203", "204", "206"), ("supervisory", "supervisory_restore")),
    "205": ("start", "stop"),
    "301": ("mains_fault", "mains_ok"),
    **dict.fromkeys(("302", "309", "311", "338", "384"), ("battery_fault", "battery_ok")),
    "305": ("reset", "reset"),
    **dict.fromkeys(("308", "321", "330", "333", "350", "373", "380", "393"), ("fault", "fault_restore")),
    **dict.fromkeys(("316", "317", "341", "383"), ("burglar", "tamper_restore")),
    # What happened once, and never ends: programming changed, engineer's reset, module reset, encryption, an event not sent.
    **dict.fromkeys(("306", "313", "339", "345", "354"), ("status", "status")),
    **dict.fromkeys(("570", "571"), ("isolate", "isolate_restore")),
    **dict.fromkeys(("358", "601", "602", "607"), ("test", "test_restore")),
}


def parse(text: str) -> dict[str, object] | None:
    """The fields of one message, None if it is none. A wrong check digit is in `checksum_ok`."""
    found = _MESSAGE.fullmatch(text.strip().upper())
    if found is None:
        return None
    account, kind, qualifier, event, group, zone = (part.replace("A", "0") for part in found.groups()[:6])
    check = found[7]
    digits = account + kind + qualifier + event + group + zone
    total = sum(_value(digit) for digit in digits + (check or ""))
    return {
        "account": account,
        "message_type": kind,
        "qualifier": int(qualifier),
        "event": event,
        "group": group,
        "zone": zone,
        "checksum": check,
        "checksum_ok": total % 15 == 0 if check else None,
        "digit_sum": total,
    }


def parse_data(data: str) -> dict[str, object] | None:
    """The fields of "1131 01 015", as DC-09 ADM-CID carries it."""
    found = _DATA.fullmatch(data.strip().upper())
    if found is None:
        return None
    return {"qualifier": int(found[1]), "event": found[2], "group": found[3], "zone": found[4]}


def parse_line(text: str) -> dict[str, object] | None:
    """The fields of a line of a receiver's automation port, in either form; `alive` alone is its heartbeat. None if it is none."""
    line = text.strip().upper()
    if _SURGARD_ALIVE.fullmatch(line):
        return {"alive": True}
    found = _SURGARD.fullmatch(line)
    if found is None:
        return parse(line)
    account, letter, event, group, zone = found.groups()
    qualifier = _SURGARD_QUALIFIERS[letter]
    return {
        "account": account,
        "qualifier": qualifier,
        "event": event,
        "group": group,
        "zone": zone,
        "checksum_ok": None,
    }


def parts(line: str) -> list[str]:
    """The messages of a line, glued or with blanks between, and what is none of them, each run of it whole."""
    text = line.strip().upper()
    if parse_line(text) is not None:
        return [text]
    found, at, stray = list[str](), 0, 0  # what is between `stray` and `at` is none
    while (word := _WORD.search(text, at)) is not None:
        one = _ONE_OF_SEVERAL.match(text, word.start())
        if one is None:
            at = word.end()
            continue
        found += [text[stray : word.start()].strip(), one[0]]
        stray = at = one.end()
    return [part for part in (*found, text[stray:].strip()) if part]


def meaning(code: str, qualifier: int) -> str | None:
    """The word of drivers.vocabulary for a code; None for one we do not know. 6 (still there) says the same as 1."""
    known = EVENTS.get(code)
    return None if known is None else known[1] if qualifier == 3 else known[0]


def decode(data: bytes) -> list[dict[str, object]]:
    """One object a message, and one for each run of what is none, for `edge-agent decode`."""
    shown: list[dict[str, object]] = []
    text = data.decode("ascii", "replace").replace("\x14", "\n")
    for line in (part for one in text.splitlines() for part in parts(one)):
        fields = parse_line(line)
        raw = line.encode("ascii", "replace").hex()
        if fields is None:
            shown.append({"reject": True, "why": "no_message", "event": None, "raw": raw})
        elif fields.get("alive"):
            shown.append({"kind": "heartbeat", "event": None, "raw": raw})
        elif fields["checksum_ok"] is False:
            shown.append({"reject": True, "why": "checksum", **fields, "event": None, "raw": raw})
        else:
            told = meaning(str(fields["event"]), int(str(fields["qualifier"])))
            shown.append({**fields, "meaning": told, "raw": raw})
    return shown


def _value(digit: str) -> int:
    return 10 if digit == "0" else int(digit, 16)
