"""Making, comparing and installing profile files: what `edge-agent profile new|diff|install` does."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from drivers.profile import TEMPLATE, Profile, ProfileError, ProfileFinding, check
from edge_agent.config.model import Config
from edge_agent.profile_values import check_values

_HEAD = re.compile(r'^(evidence|source)\s*=.*$(\n(?:"""|\'\'\').*?(?:"""|\'\'\')$)?', re.MULTILINE)


def findings_of(profile: Profile) -> list[ProfileFinding]:
    """Everything wrong or remarkable about a profile: what the drivers see, and its names in GB/T 26875.3."""
    from edge_agent.uplink.gb26875.survey import rules_of

    found = check(profile)
    if not any(finding.code in ("bad_table", "bad_meaning") for finding in found):
        found += check_values(profile)
    return found + [
        ProfileFinding("bad_gb26875", {"index": rule.index, "key": rule.key, "value": rule.value})
        for rule in rules_of(profile)[1]
    ]


def new_text(like: Profile, name: str, steps: str) -> str:
    """The file of a profile to begin with: `like`'s, comments and all, but nothing proven. `steps` is a text of comment lines.

    Its examples stay: they show what the codec reads until captures of the new model take their place. What is made of a template
    is one until somebody has filled it in.
    """
    body = like.path.read_text("utf-8-sig")
    evidence = TEMPLATE if like.evidence == TEMPLATE else "unproven"
    own = {"evidence": f'evidence = "{evidence}"', "source": f'source = "copied from {like.name}"'}
    first_table = re.search(r"^\[", body, re.MULTILINE)
    head, rest = (body[: first_table.start()], body[first_table.start() :]) if first_table else (body, "")
    head = _HEAD.sub(lambda found: own[found[1]], head)
    comments = "".join(f"# {line}\n" for line in (name, *steps.splitlines()))
    return f"{comments}\n{head}{rest}"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing two profiles say differently; None where one does not say it. `key` is a path such as link.baud."""

    key: str
    before: object
    after: object


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[Change]:
    """What differs between the data of two profiles, by key; comments and order of keys do not count."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return [
        Change(key, old.get(key), new.get(key)) for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)
    ]


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, inner in enumerate(value, 1):
            named = inner.get("name") if isinstance(inner, dict) else None
            yield from _flat(inner, f"{path}[{named if isinstance(named, str) else number}]")
    else:
        yield path, value


def users_of(config: Config | None, name: str) -> list[str]:
    """Ids of the panels and devices of this site whose profile is `name`; of a configuration that is unsound, none."""
    if config is None:
        return []
    panels = [panel.id for panel in config.panels if panel.profile == name]
    return panels + [device.id for device in config.profiled if device.profile == name]


def install(profile: Profile, directory: Path) -> Path:
    """Put a checked profile's file into a directory of the site's own, whole or not at all; return where. Raise ProfileError."""
    target = directory / f"{profile.name}.toml"
    part = target.with_name(f".{target.name}.part")  # no *.toml: never taken for a profile
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(profile.path.read_bytes())
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)  # the agent's own user has to read it
        part.replace(target)
        where = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(where)
        finally:
            os.close(where)
    except OSError as fault:
        with contextlib.suppress(OSError):
            part.unlink()
        raise ProfileError(
            "unwritable", profile=profile.name, file=str(target), detail=fault.strerror or str(fault)
        ) from fault
    return target
