"""What a panel profile must hold: keys, a link, event names that exist, examples that parse and examples that must not."""

import re
import time
from collections.abc import Mapping
from typing import Final

from drivers.profile import ALARM_KINDS, Profile, ProfileError, ProfileFinding
from drivers.vocabulary import EVENTS, Meaning

EXAMPLES_MAX: Final = 200
SLOW_S: Final = 0.02  # for a record of the longest kind
_LAYOUT_TABLES: Final = ("frame", "command", "code", "active")  # of [meaning]: where things stand, not what they mean
_PANEL_KEYS: Final = frozenset(
    (
        *("schema", "kind", "evidence", "source", "brand", "product", "caveat", "gb26875_point"),
        *("codec", "link", "meaning", "device_types", "devices", "hold_s", "example", "counter_example"),
    )
)


def try_capture(profile: Profile, data: bytes) -> list[dict[str, object]]:
    """What the profile makes of captured bytes, one object a frame. Raises ProfileError for one that cannot be used."""
    from drivers.codecs.registry import decode_with

    return decode_with(profile, data)


def check(profile: Profile) -> list[ProfileFinding]:
    """What is wrong with the tables of a panel profile."""
    findings = _unknown_keys(profile)
    try:
        _ = profile.link, profile.hold_s
        try_capture(profile, b"")
    except ProfileError as error:
        return [*findings, ProfileFinding(error.code, error.params)]
    return [*findings, *_check_events(profile), *_check_speed(profile), *_check_examples(profile)]


def _check_speed(profile: Profile) -> list[ProfileFinding]:
    """Expressions that are slow on long runs of what they name, ended by what they do not expect."""
    meaning = profile.data.get("meaning")
    tables = meaning if isinstance(meaning, dict) else {}
    expressions = {f"meaning.pattern {n}": table["regex"] for n, table in enumerate(tables.get("pattern", ()), 1)}
    if profile.data.get("codec") == "text-lines":
        expressions |= {f"meaning.{key}": tables[key] for key in ("start", "rule") if tables.get(key)}
    return [
        ProfileFinding("slow_regex", {"where": where, "took_ms": round(took_s * 1000)})
        for where, expression in expressions.items()
        if (took_s := slowest_s(str(expression))) > SLOW_S
    ]


def slowest_s(expression: str) -> float:
    """The worst CPU time one of the texts that are bad for such expressions costs; it gives up at the first that is slow."""
    compiled, worst_s = re.compile(expression), 0.0
    seeds = dict.fromkeys((*re.findall(r"[A-Za-z0-9\u4e00-\u9fff]", expression)[:6], "0", " ", "a", "-", "火"))
    for seed in seeds:
        for length in (8, 12, 16, 20, 24, 28, 40, 80, 200, 1500):  # growing: what is exponential shows before it hurts
            began_s = time.process_time()
            compiled.fullmatch(seed * length + "\x01")
            worst_s = max(worst_s, time.process_time() - began_s)
            if worst_s > SLOW_S:
                return worst_s
    return worst_s


def _unknown_keys(profile: Profile) -> list[ProfileFinding]:
    known = ", ".join(sorted(_PANEL_KEYS))
    return [
        ProfileFinding("unknown_key", {"key": key, "known": known}, "warning")
        for key in profile.data
        if key not in _PANEL_KEYS
    ]


def _check_events(profile: Profile) -> list[ProfileFinding]:
    """Every event name in [meaning] is one of the vocabulary, and something means fire."""
    meaning = profile.data.get("meaning")
    named: list[tuple[str, str]] = []
    for key, table in (meaning if isinstance(meaning, dict) else {}).items():
        if isinstance(table, dict) and key not in _LAYOUT_TABLES:
            for code, event in table.items():
                name = event.get("event") if isinstance(event, dict) else event
                named.append((f"meaning.{key}.{code}", str(name)))
    findings = [
        ProfileFinding("unknown_event", {"key": key, "event": event, "known": ", ".join(EVENTS)})
        for key, event in named
        if event not in EVENTS
    ]
    if named and not any(EVENTS.get(event, Meaning("")).kind in ALARM_KINDS for _, event in named):
        findings.append(ProfileFinding("no_fire", {}))
    return findings


def _check_examples(profile: Profile) -> list[ProfileFinding]:
    findings: list[ProfileFinding] = []
    examples, counters = _tables(profile, "example"), _tables(profile, "counter_example")
    if not examples:
        findings.append(ProfileFinding("no_example", {}))
    if not counters:
        findings.append(ProfileFinding("no_counter_example", {}))
    findings += [
        ProfileFinding("too_many_examples", {"key": key, "most": EXAMPLES_MAX})
        for key, tables in (("example", examples), ("counter_example", counters))
        if len(tables) > EXAMPLES_MAX
    ]
    for number, table in enumerate(examples[:EXAMPLES_MAX], 1):
        findings += _check_example(profile, number, table)
    for number, table in enumerate(counters[:EXAMPLES_MAX], 1):
        data = _hex(table)
        if data is None:
            findings.append(ProfileFinding("bad_hex", {"where": f"counter_example {number}"}))
            continue
        raised = [str(shown["event"]) for shown in try_capture(profile, data) if shown.get("event") is not None]
        if raised:
            findings.append(ProfileFinding("counter_example_raised", {"number": number, "event": raised[0]}))
    return findings


def _check_example(profile: Profile, number: int, table: Mapping[str, object]) -> list[ProfileFinding]:
    data, expected = _hex(table), table.get("expect")
    if data is None or not isinstance(expected, dict):
        return [ProfileFinding("bad_hex", {"where": f"example {number}"})]
    shown = try_capture(profile, data)
    first = next((one for one in shown if one.get("event") is not None), shown[0] if shown else None)
    if first is None or first.get("reject"):
        why = first["why"] if first else "no_frame"
        return [ProfileFinding("example_refused", {"number": number, "why": why})]
    # "" stands for "raises nothing": TOML has no null.
    return [
        ProfileFinding("example_differs", {"number": number, "key": key, "expected": value, "got": first.get(key)})
        for key, value in expected.items()
        if (first.get(key) if first.get(key) is not None else "") != value
    ]


def _tables(profile: Profile, key: str) -> list[Mapping[str, object]]:
    value = profile.data.get(key, [])
    return [table for table in value if isinstance(table, dict)] if isinstance(value, list) else []


def _hex(table: Mapping[str, object]) -> bytes | None:
    try:
        return bytes.fromhex(str(table["hex"]))
    except (KeyError, ValueError):
        return None
