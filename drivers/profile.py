"""Profiles: what a panel or a slave is, as TOML data. Adding a model of a known family touches no .py.

Shipped ones are in drivers/profiles, a site's own in the directories its configuration names; the file name without .toml
is the profile's name, and a site's file with a shipped name takes its place and is marked so. Only what is asked for is
read. The tables a panel profile has are in docs/drivers/profiles.md; the Modbus ones are compiled by `drivers.modbus_map`.
"""

import importlib
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Final

from drivers.messages import PointSpec
from drivers.vocabulary import EVENTS, Meaning

SHIPPED_DIR: Final = Path(__file__).with_name("profiles")
FILE_BYTES_MAX: Final = 256 * 1024
SCHEMA: Final = 1  # of the tables; a profile of a newer one may say what this version would overlook
# What a profile can be, and the module that knows its tables: check(profile) and try_capture(profile, data). Loaded when used.
KINDS: Final[Mapping[str, str]] = {
    "dlt645": "drivers.dlt645_map",
    "ks68": "drivers.ks_map",
    "modbus": "drivers.modbus_profile",
    "mqtt": "drivers.mqtt_profile",
    "panel": "drivers.panel_profile",
}
TEMPLATE: Final = "template"  # a shape to fill in: its numbers are made up, and no site may use it
EVIDENCE: Final = ("captured", "document", "unproven", TEMPLATE)
# What a [[caveat]] stands on; design: what this software makes of it, no fact of the device.
CAVEAT_EVIDENCE: Final = ("captured", "document", "unproven", "design")
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
FRAMING: Final = re.compile(r"[5-8][NEOMS][12]")
FIRE_KINDS: Final = frozenset({"fire", "fire_manual"})
ALARM_KINDS: Final = FIRE_KINDS | {"gas", "electrical"}

# Keys of [link] of a panel profile: the least and the most, or the type.
_LINK_NUMBERS: Final[Mapping[str, tuple[float, float]]] = {
    "baud": (50, 4_000_000),
    "silence_s": (0, 86_400),
    "poll_s": (0.05, 60),
    "address": (1, 127),
    "garbage_burst": (1, 10_000),
    "garbage_window_s": (1, 3_600),
    "wedged_s": (1, 3_600),
}
_LINK_FLAGS: Final = ("answer", "dtr", "rts")


class ProfileError(Exception):
    """A profile that is missing or cannot be used. `code` is ASCII, `params` fill its text (edge_agent.texts.profile)."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(f"{code}: " + ", ".join(f"{key}={value}" for key, value in params.items()))
        self.code = code
        self.params = params


@dataclass(frozen=True, slots=True)
class ProfileFinding:
    """One thing `check` found. `severity`: error, warning or info. `params` fill the text `profile.<code>`."""

    code: str
    params: Mapping[str, object] = field(default_factory=dict)
    severity: str = "error"


@dataclass(frozen=True, slots=True)
class PanelLink:
    """[link] of a panel profile. `silence_s` 0: the panel may be silent for ever. `poll_s` None: only listen."""

    baud: int
    framing: str
    silence_s: float
    poll_s: float | None = None
    address: int = 1  # of the panel on a multidrop line
    dtr: bool | None = None
    rts: bool | None = None
    answer: bool = True  # say what the protocol has us say to a frame; off where another machine on the line does
    garbage_burst: int = 10  # refusals within the window that make a garbage fault
    garbage_window_s: float = 60.0
    wedged_s: float = 10.0  # an interface card that says only "wedged" for so long is a fault


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile as read. `data` is the whole TOML; `site` says that it is not a shipped one, `overrides` that it hides one."""

    name: str
    kind: str
    data: Mapping[str, object]
    path: Path
    site: bool = False
    overrides: bool = False

    def words(self, key: str, lang: str) -> str:
        """`brand` or `product` in zh or en, "" if it is not given: [brand] zh, brand_zh, or brand for both languages."""
        table = self.data.get(key)
        words = table.get(lang) if isinstance(table, dict) else self.data.get(f"{key}_{lang}") or table
        return words if isinstance(words, str) else ""

    @property
    def evidence(self) -> str:
        """What the profile stands on: captured, document, unproven, or nothing at all: template."""
        return str(self.data.get("evidence", "unproven"))

    @property
    def link(self) -> PanelLink:
        """The checked [link] of a panel profile. Raises ProfileError (bad_link)."""
        return _panel_link(self)

    @property
    def hold_s(self) -> dict[str, float]:
        """[hold_s]: event -> seconds it must persist before it is told. Raises ProfileError (bad_meaning)."""
        table = self.data.get("hold_s", {})
        if not isinstance(table, dict) or not all(
            isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 3600
            for value in table.values()
        ):
            told = {"where": "hold_s", "value": f"{table}; 0-3600"[:200], "detail": "bad_number"}
            raise ProfileError("bad_meaning", profile=self.name, **told)
        fires = sorted(event for event in table if EVENTS.get(event, Meaning("")).kind in FIRE_KINDS)
        if fires:
            told = {"where": "hold_s", "value": fires[0], "detail": "fire_held_back"}
            raise ProfileError("bad_meaning", profile=self.name, **told)
        return {event: float(value) for event, value in table.items()}

    @property
    def char_s(self) -> float:
        """Seconds one character takes at the profile's speed and framing."""
        link = self.link
        return (1 + int(link.framing[0]) + (link.framing[1] != "N") + int(link.framing[2])) / link.baud


class Profiles:
    """Profiles by name: shipped ones and, over them, those of the site's directories (a later directory wins)."""

    def __init__(self, dirs: Sequence[Path]) -> None:
        self._shipped = _index(SHIPPED_DIR)
        self._site: dict[str, Path] = {}
        for directory in dirs:
            self._site |= _index(directory)
        self._odd = [path for directory in dirs for path in _toml_in(directory) if not NAME.fullmatch(path.stem)]
        self._read: dict[str, Profile] = {}
        self.broken: dict[str, ProfileError] = {}
        """Name -> why, of those that list() could not read."""

    def names(self) -> list[str]:
        """Every name there is a file for."""
        return sorted({*self._shipped, *self._site})

    def get(self, name: str) -> Profile:
        """The profile `name`. Raises ProfileError: unknown_profile, or like load_file."""
        if name not in self._read:
            path = self._site.get(name) or self._shipped.get(name)
            if path is None:
                raise ProfileError("unknown_profile", profile=name, known=", ".join(self.names()))
            self._read[name] = _read(
                name, path, site=name in self._site, overrides={*self._site} & {*self._shipped} >= {name}
            )
        return self._read[name]

    def for_site(self, name: str) -> Profile:
        """The profile `name`, to watch something with. Raises ProfileError: like get, template, still_template."""
        profile = self.get(name)
        require_facts(profile)
        return profile

    def list(self) -> "list[Profile]":
        """All that can be read; the others are in `broken`."""
        found = []
        for name in self.names():
            try:
                found.append(self.get(name))
            except ProfileError as error:
                self.broken[name] = error
        self.broken |= {path.stem: ProfileError("bad_name", profile=path.stem) for path in self._odd}
        return found


def load_profiles(dirs: Sequence[Path]) -> Profiles:
    """Index the shipped profiles and those of `dirs`; a missing directory is an empty one. Nothing is parsed yet."""
    return Profiles(dirs)


def load_file(path: Path) -> Profile:
    """A profile from any file, as a site's own: for `profile check FILE`. Raises ProfileError: unreadable,
    not_a_file, too_large, not_utf8, bad_toml, bad_schema, bad_kind.
    """
    return _read(path.stem, path, site=True, overrides=path.stem in _index(SHIPPED_DIR))


def try_capture(profile: Profile, data: bytes) -> list[dict[str, object]]:
    """What `profile` makes of captured bytes, one object a frame. Raises ProfileError for a profile that cannot be used."""
    found: list[dict[str, object]] = _kind(profile).try_capture(profile, data)
    return found


def specs(profile: Profile) -> list[PointSpec]:
    """The values `profile` reads, by their names; none of a panel, whose points have no names of ours. Raises ProfileError."""
    from drivers.profile_examples import compiled  # which imports this module

    compile_profile = getattr(_kind(profile), "compile_profile", None)
    made = compiled(profile, compile_profile) if compile_profile is not None else None
    return [replace(spec, id=spec.id.removeprefix("/")) for spec in made.specs("")] if made is not None else []


def check(profile: Profile) -> list[ProfileFinding]:
    """Everything wrong or remarkable about a profile, all at once: keys, values, meaning, examples, counter-examples."""
    findings = [*_check_head(profile), *_kind(profile).check(profile)]
    if any(finding.severity == "error" for finding in findings):
        return findings  # what its examples show means nothing while they cannot be read
    return findings + _check_untested(profile)


def require_facts(profile: Profile) -> None:
    """Raise ProfileError for one whose numbers are made up: template, or still_template where only the word was changed."""
    from drivers.profile_template import standing  # loaded when asked: few sites have a profile of their own

    if profile.evidence == TEMPLATE:
        raise ProfileError("template", profile=profile.name)
    if profile.site and (found := standing(profile)) is not None and not found.filled_in:
        raise ProfileError("still_template", profile=profile.name, template=found.template)


def _kind(profile: Profile) -> ModuleType:
    return importlib.import_module(KINDS[profile.kind])


# -- reading -----------------------------------------------------------------------------------------------------
def _index(directory: Path) -> dict[str, Path]:
    return {path.stem: path for path in _toml_in(directory) if NAME.fullmatch(path.stem)}


def _toml_in(directory: Path) -> Sequence[Path]:
    try:
        return sorted(directory.glob("*.toml"))
    except OSError:
        return ()


def _read(name: str, path: Path, *, site: bool, overrides: bool) -> Profile:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a FIFO is to wait for ever
            raise ProfileError("not_a_file", profile=name, file=str(path))
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as fault:
        raise ProfileError("unreadable", profile=name, file=str(path), detail=fault.strerror or "") from fault
    if len(raw) > FILE_BYTES_MAX:
        raise ProfileError("too_large", profile=name, file=str(path), most=FILE_BYTES_MAX)
    try:
        data = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        raise ProfileError("not_utf8", profile=name, file=str(path), line=line) from fault
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        raise ProfileError("bad_toml", profile=name, file=str(path), detail=str(fault)) from fault
    schema = data.get("schema", SCHEMA)
    if schema != SCHEMA:
        raise ProfileError("bad_schema", profile=name, found=repr(schema)[:40], known=SCHEMA)
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ProfileError("bad_kind", profile=name, found=repr(kind)[:40] if kind else "-", known=", ".join(KINDS))
    return Profile(name, kind, data, path, site, overrides)


def _panel_link(profile: Profile) -> PanelLink:
    table = profile.data.get("link")
    if not isinstance(table, dict):
        raise ProfileError("bad_link", profile=profile.name, key="link", value="", expected="baud, framing, silence_s")
    values: dict[str, object] = {}
    for key, value in table.items():
        if key in _LINK_NUMBERS:
            least, most = _LINK_NUMBERS[key]
            whole = key in ("baud", "address", "garbage_burst")
            number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            good, expected = number and least <= value <= most, f"{least:.10g}-{most:.10g}"
        elif key == "framing":
            good, expected = isinstance(value, str) and FRAMING.fullmatch(value) is not None, "8N1, 8E1, 7E1, ..."
        elif key in _LINK_FLAGS:
            good, expected = isinstance(value, bool), "true, false"
        else:
            known = ", ".join([*_LINK_NUMBERS, "framing", *_LINK_FLAGS])
            raise ProfileError("unknown_key", profile=profile.name, key=f"link.{key}", known=known)
        if not good:
            raise ProfileError("bad_link", profile=profile.name, key=f"link.{key}", value=value, expected=expected)
        values[key] = value
    for key in ("baud", "framing", "silence_s"):
        if key not in values:
            raise ProfileError("missing_link", profile=profile.name, key=f"link.{key}")
    return PanelLink(**values)  # type: ignore[arg-type]  # checked above, key by key


# -- checking ----------------------------------------------------------------------------------------------------
def _check_head(profile: Profile) -> list[ProfileFinding]:
    findings = []
    if "schema" not in profile.data:
        findings.append(ProfileFinding("missing_schema", {"known": SCHEMA}, "warning"))
    if profile.overrides:
        findings.append(ProfileFinding("overrides", {"profile": profile.name}, "info"))
    for key in ("brand", "product"):
        findings += [
            ProfileFinding("missing_words", {"key": f"{key}.{lang}"}, "warning")
            for lang in ("zh", "en")
            if not profile.words(key, lang)
        ]
    evidence = profile.data.get("evidence")
    if evidence not in EVIDENCE:
        findings.append(ProfileFinding("bad_evidence", {"found": str(evidence)[:40], "known": ", ".join(EVIDENCE)}))
    elif evidence in ("unproven", TEMPLATE):
        findings.append(ProfileFinding(str(evidence), {"profile": profile.name}, "warning"))
    if profile.site and evidence != TEMPLATE:
        findings += _check_filled_in(profile)
    if not _is_words(profile.data.get("source")):
        findings.append(ProfileFinding("missing_source", {}, "warning"))
    return findings + _check_caveats(profile)


def _check_caveats(profile: Profile) -> list[ProfileFinding]:
    """Every [[caveat]] has words in both languages, and says what it stands on."""
    tables, known = profile.data.get("caveat", []), ", ".join(CAVEAT_EVIDENCE)
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        return [ProfileFinding("bad_caveat", {"number": 1, "key": "caveat", "known": known})]
    findings = []
    for number, table in enumerate(tables, 1):
        for key in dict.fromkeys(("zh", "en", *table)):
            sound = key in ("zh", "en") and _is_words(table.get(key))
            if not (table[key] in CAVEAT_EVIDENCE if key == "evidence" else sound):
                findings.append(ProfileFinding("bad_caveat", {"number": number, "key": key, "known": known}))
        if "evidence" not in table:
            findings.append(ProfileFinding("caveat_evidence", {"number": number, "known": known}, "warning"))
    return findings


def _is_words(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _check_untested(profile: Profile) -> list[ProfileFinding]:
    from drivers.profile_events import untested

    left = untested(profile)
    return [ProfileFinding("untested", {"names": ", ".join(left)}, "info")] if left else []


def _check_filled_in(profile: Profile) -> list[ProfileFinding]:
    from drivers.profile_template import standing

    found = standing(profile)
    if found is None:
        return []
    if not found.filled_in:
        return [ProfileFinding("still_template", {"profile": profile.name, "template": found.template})]
    params = {"template": found.template, "names": ", ".join(found.left)}
    return [ProfileFinding("left_of_template", params, "warning")]
