"""What a profile can tell, and which of it no example shows. Pure."""

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence

from drivers.profile import Profile, ProfileError, try_capture
from drivers.vocabulary import EVENTS

_LAYOUT = ("from", "id", "address", "mode", "poll", "name")  # of tables of meaning: words that are no events
_HOLE = re.compile(r"\{[^}]*\}")


def named(profile: Profile) -> list[str]:
    """Every event of the vocabulary its tables of meaning name, in their order, each once."""
    tables: list[object] = [profile.data.get("meaning")]
    tables += [*tables_of(profile.data, "point"), *tables_of(profile.data, "log")]
    found: dict[str, None] = {}
    while tables:
        table = tables.pop(0)
        if isinstance(table, str):
            found |= {table: None} if table in EVENTS else {}
        elif isinstance(table, dict):
            tables += [value for key, value in table.items() if key not in _LAYOUT]
    return list(found)


def untested(profile: Profile) -> list[str]:
    """Events, and switches that tell something, which no example of the profile shows: nobody has seen them read."""
    shown = _shown(profile)
    switches = [name for name in _switches(profile.data) if not fnmatch.filter(shown, _HOLE.sub("*", name))]
    return [event for event in named(profile) if event not in shown] + switches


def tables_of(data: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    """[[key]], whatever else stands there left out."""
    value = data.get(key, [])
    return [table for table in value if isinstance(table, dict)] if isinstance(value, list) else []


def values_of(data: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The [[value]] tables, those of topics included."""
    return tables_of(data, "value") + [
        value for topic in tables_of(data, "topic") for value in tables_of(topic, "value")
    ]


def _switches(data: Mapping[str, object]) -> Iterator[str]:
    for table in values_of(data):
        switch = table.get("type") == "bool" or bool({"on", "bit", "point"} & set(table))
        if table.get("kind") and switch:  # a number tells by its limits, which are the site's
            yield str(table.get("name"))


def _shown(profile: Profile) -> set[str]:
    """Events and names of switches that are on, in what its examples say."""
    captures = [_bytes(table) for table in tables_of(profile.data, "example")]
    if profile.kind == "modbus":  # questions and answers stand for themselves, and large tables take long to compile
        captures = [b"".join(captures)]
    found: set[str] = set()
    for capture in captures:
        for one in _read(profile, capture):
            said = one.get("says")
            found |= set(_words(one)) | set(_words(said if isinstance(said, dict) else {}))
    return found


def _words(said: Mapping[str, object]) -> Iterator[str]:
    for key, value in said.items():
        if value is True:
            yield key
        elif isinstance(value, str) and key not in ("raw", "text", "why"):
            yield from (word for word in value.split() if word in EVENTS)
        elif isinstance(value, list):  # a frame of several events
            yield from (str(one["event"]) for one in value if isinstance(one, dict) and "event" in one)


def _bytes(example: Mapping[str, object]) -> bytes:
    message = example.get("message")
    try:
        return message.encode() if isinstance(message, str) else bytes.fromhex(str(example.get("hex")))
    except ValueError:  # another check tells of it
        return b""


def _read(profile: Profile, capture: bytes) -> Sequence[Mapping[str, object]]:
    try:
        return try_capture(profile, capture)
    except ProfileError:  # as above
        return []
