"""Codes, states and spans of time put into words, for every command that shows what the core or the journal says."""

from collections.abc import Mapping
from typing import Any

from edge_agent.terminal import printable
from edge_agent.texts import text


def lookup(key: str, lang: str, /, **values: object) -> str | None:
    """The text of `key`, or None if the catalogue has none: for codes that come from elsewhere."""
    try:
        return text(key, lang, **values)
    except KeyError:
        return None


def word(key: str, code: object, lang: str) -> str:
    """The text of `key`, or the code it stands for where the catalogue has none: a newer core says new things."""
    return lookup(key, lang) or printable(str(code))


def reason_word(code: object, lang: str, source: str = "") -> str:
    """Why something fell silent or failed: a code of the drivers, of the uplink where `source` is a centre or a link, of the
    cameras where it is one. They share words that mean different things: a device's "refused" is no centre's.
    """
    room = {"camera": "camera.fault_", "uplink": "uplink.", "link": "uplink."}.get(source.partition("/")[0])
    known = lookup(f"{room}{code}", lang) if room else None
    known = known or lookup(f"cli.reason_{code}", lang) or lookup(f"uplink.{code}", lang)
    return known or word(f"decode.why_{code}", code, lang)  # an alarm in bytes that were refused says why they were


def refusal_words(why: str, lang: str) -> str:
    """Why bytes were refused, in words and as it is logged. `why` is an ASCII code; a blank and what it is about may follow."""
    said = lookup(f"decode.why_{why.partition(' ')[0]}", lang)
    return printable(f"{said} ({why})" if said else why)


def place_word(point: object, lang: str) -> str:
    """Where something was that has no name of the site: a part of this gateway ("worker/alarm", "uplink/county") in words."""
    whole = str(point or "")
    kind, slash, rest = whole.partition("/")
    if not slash:
        return word(f"cli.place_{whole}", whole, lang)
    if kind == "worker":
        return text("cli.place_worker", lang, rest=worker_word(rest, lang))
    own = {"button": f"cli.button_{rest}", "command": f"cli.command_name_{rest}"}.get(kind)
    rest = word(own, rest, lang) if own else printable(rest)
    return lookup(f"cli.place_in_{kind}", lang, rest=rest) or printable(whole)


def worker_word(name: str, lang: str) -> str:
    """A part of the program in words: "alarm", "uplink:county"; what drives a panel or bus has that one's id."""
    kind, colon, rest = name.partition(":")
    if colon:
        return lookup(f"cli.place_in_{kind}", lang, rest=printable(rest)) or printable(name)
    return lookup(f"cli.work_{kind.replace(' ', '_')}", lang) or place_word(name, lang)


def clock_note(shown: list[str], lang: str) -> list[str]:
    """The line that explains the marks of `china_time`, if `shown` has any."""
    return [text("cli.clock_note", lang)] if any(line.endswith(("~", "?")) for line in shown) else []


def span(seconds: float, lang: str) -> str:
    """A stretch of time in its two largest units."""
    whole = max(0, int(seconds))
    for unit, size, below, rest in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return text(f"cli.span_{unit}", lang, n=whole // size) + (
                text(f"cli.span_{below}", lang, n=whole % size // rest) if whole % size // rest else ""
            )
    return text("cli.span_s", lang, n=whole)


def duty_state(check: Mapping[str, Any], lang: str) -> str:
    """How long is left, or that it was missed."""
    if check.get("missed"):
        return text("cli.duty_missed", lang)
    return text("cli.duty_left", lang, span=span(float(check.get("left_s") or 0), lang))


def output_state(output: Mapping[str, Any], lang: str) -> str:
    """What an output does now, or why not."""
    state = "acting" if output.get("acting") else "held" if output.get("held") else "ready"
    if not output.get("enabled"):
        state = "not_enabled"
    said = text(f"linkage.is_{state}", lang)
    why = output.get("refused")
    return text("linkage.refused", lang, state=said, why=word(f"linkage.why_{why}", why, lang)) if why else said


def delivered_word(alarm: Mapping[str, Any], lang: str) -> str:
    """Whether the centres have an alarm; nothing of a fault or an absence, whose delivery nobody waits for one by one."""
    from edge_agent.model import KINDS, Sound  # not read for --help

    waited_for = {str(kind) for kind, info in KINDS.items() if info.sound is Sound.FIRE}
    if alarm.get("kind") not in waited_for and not alarm.get("delivered"):
        return "-"
    return text("cli.delivered" if alarm.get("delivered") else "cli.sending", lang)
