"""`edge-agent decode at`: a transcript of a modem's port, one object a line, lines that belong together as one."""

import re
from collections.abc import Mapping

from drivers.codecs.at.fields import Broken, Reading
from drivers.codecs.at.lines import Line, LineReader, Prompt, Refused, cme_name, final_of
from drivers.codecs.at.readings import read

_ECHO = re.compile(r"AT[A-Z0-9+&%^$].*|AT", re.IGNORECASE)
_MERGED = ("NUESTATS", "CGACT?", "QENG", "boot")


def decode(data: bytes) -> list[dict[str, object]]:
    """What a capture says. A line of another meaning than a known one is `reject` with why; an echo names what the next answers."""
    reader = LineReader()
    asked = ""
    objects: list[dict[str, object]] = []
    for token in reader.feed(data + b"\r\n"):
        if isinstance(token, Line) and _ECHO.fullmatch(token.text):
            asked = token.text[2:].lstrip("+").upper()
            objects.append({"kind": "command", "command": token.text, "raw": token.text.encode().hex()})
            continue
        shown = _show(token, asked)
        if isinstance(token, Line) and final_of(token.text):
            asked = ""
        if objects and _belongs(objects[-1], shown):
            _merge(objects[-1], shown)
        else:
            objects.append(shown)
    return objects


def _show(token: Line | Prompt | Refused, asked: str) -> dict[str, object]:
    if isinstance(token, Prompt):
        return {"kind": "prompt", "raw": "3e"}
    if isinstance(token, Refused):
        return {"reject": True, "why": token.why, "raw": token.raw.hex()}
    raw = token.text.encode() + (b"\r\n" + token.payload if token.payload is not None else b"")
    if (final := final_of(token.text)) is not None:
        named = {} if final.ok else {"error": cme_name(final.code)}
        return {"kind": "final", "ok": final.ok, "code": final.code, **named, "raw": raw.hex()}
    got = read(token.text, asked)
    if isinstance(got, Reading):
        shown: dict[str, object] = {"kind": "urc" if got.urc else "answer"}
        shown["urc" if got.urc and got.command not in _ANSWERED_TOO else "command"] = got.command
        payload = {} if token.payload is None else {"payload_hex": token.payload.hex().upper()}
        return {**shown, **got.fields, **payload, "raw": raw.hex()}
    if isinstance(got, Broken):
        field = {"field": "iccid", "value": None} if got.why == "bad_iccid" else {}
        return {"reject": True, "why": got.why, "command": got.command, **field, "raw": raw.hex()}
    return {"reject": True, "why": "unknown_line", "raw": raw.hex()}


_ANSWERED_TOO = ("CREG", "CGREG", "CEREG", "C5GREG", "CPIN?")


def _belongs(last: Mapping[str, object], new: Mapping[str, object]) -> bool:
    name = new.get("command") or new.get("urc")
    return name in _MERGED and name == (last.get("command") or last.get("urc")) and not new.get("reject")


def _merge(last: dict[str, object], new: Mapping[str, object]) -> None:
    for key, value in new.items():
        old = last.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            last[key] = {**old, **value}
        elif key == "raw":
            last[key] = f"{old}0d0a{value}"
        else:
            last[key] = value
