"""What is said of an update, for every tool that says it."""

from collections.abc import Mapping
from typing import Any

from edge_agent.system_words import system_words
from edge_agent.terminal import printable
from edge_agent.texts import text


def about_words(said: Mapping[str, Any], lang: str) -> str:
    """What a bundle is for, in a line."""
    known = {key: ", ".join(value) if isinstance(value, list) else value for key, value in said.items()}
    keys = ("version", "counter", "boards", "machines", "pythons", "min_version")
    return text("update.is_for", lang, **{key: printable(str(known[key])) for key in keys})


def why_words(code: str, params: Mapping[str, Any], lang: str) -> str:
    """Why a bundle is not taken, or did not stay."""
    known = {key: printable(str(value)) for key, value in params.items()}
    if "why" in known:
        known["why"] = system_words(known["why"], lang)
    try:
        if code == "not_calm":
            known["what"] = text(f"update.moment_{params.get('what')}", lang)
        return text(f"update.why_{code}", lang, **known)
    except KeyError:  # a code or a parameter of another version
        return printable(code)


def outcome(fields: Mapping[str, Any], lang: str) -> str:
    """One step of an update, as it is written down."""
    why = why_words(str(fields.get("code") or ""), fields, lang)
    who = str(fields.get("who") or fields.get("dest") or "")
    version = str(fields.get("version") or "?")
    known = {
        "version": printable(version),
        "before": printable(str(fields.get("before"))),
        "why": why,
        "who": printable(who),
    }
    try:
        return text(f"update.status_{fields.get('status')}", lang, **known)
    except KeyError:
        return printable(str(fields.get("status")))
