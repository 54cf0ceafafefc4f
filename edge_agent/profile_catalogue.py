"""Every page that is made of profiles: the catalogue, a page for each profile, and the tables in the pages of the drivers.

    python -m edge_agent.profile_catalogue docs

writes all of them, in both languages, and takes away pages of profiles there are no more. A page of a driver is written by hand
but for what stands between `<!-- profiles: NAME ... -->` and `<!-- /profiles -->`, where a NAME is a profile, a pattern of such, a
family or a kind: there stands a table of those profiles. A family is the codec of a panel, and what a Modbus device is for.
"""

import fnmatch
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from drivers.profile import TEMPLATE, Profile, load_profiles
from drivers.profile_events import tables_of, untested, values_of
from edge_agent.profile_page import evidence, line, page, product, table
from edge_agent.texts import text

LANGS = ("en", "zh")
_MARK = re.compile(r"(<!-- profiles: ([^>]*?) -->\n).*?(<!-- /profiles -->)", re.DOTALL)
_OF_WATER = frozenset(("MPa", "kPa", "bar", "m", "L/s", "L/min", "m3/h"))


def pages(docs: Path, profiles: Sequence[Profile]) -> dict[Path, str]:
    """Every page made of profiles, whole: path -> what must stand there. `docs`: where the written parts of pages are."""
    found: dict[Path, str] = {}
    left = {profile.name: untested(profile) for profile in profiles}
    for lang in LANGS:
        drivers = docs / "drivers"
        spoken: dict[str, list[tuple[str, str]]] = {}
        for path in _written(drivers, lang):
            written = path.read_text("utf-8")
            chosen = {one.name for match in _MARK.finditer(written) for one in _chosen(match[2].split(), profiles)}
            if not chosen:
                continue
            title = written.partition("\n")[0].lstrip("# ")
            for name in chosen:
                spoken.setdefault(name, []).append((title, path.name))
            found[path] = _MARK.sub(lambda match, lang=lang: _between(match, profiles, lang), written)  # type: ignore[misc]
        found[drivers / _file("catalogue", lang)] = catalogue(profiles, lang)
        for profile in profiles:
            words = page(profile, lang, spoken.get(profile.name, []), left[profile.name])
            found[drivers / "profiles" / _file(profile.name, lang)] = words
    return found


def left_over(docs: Path, made: Mapping[Path, str]) -> list[Path]:
    """Pages of profiles that are there no more."""
    return sorted(path for path in (docs / "drivers/profiles").glob("*.md") if path not in made)


def families(profile: Profile) -> set[str]:
    """What a mark on a page may call it besides its name: its kind and its family."""
    if profile.kind == "panel":
        return {"panel", str(profile.data.get("codec"))}
    if profile.kind != "modbus":
        return {profile.kind}
    if tables_of(profile.data, "point"):
        return {"modbus", "modbus-panels"}
    water = any(value.get("unit") in _OF_WATER for value in values_of(profile.data))
    return {"modbus", "modbus-water" if water else "modbus-electrical"}


def catalogue(profiles: Sequence[Profile], lang: str) -> str:
    """The page that lists them all; templates apart."""
    other = "[English](catalogue.md)" if lang == "zh" else "[中文](catalogue.zh.md)"
    lines = [f"# {text('page.title', lang)}", "", other, "", text("page.intro", lang, count=len(profiles)), ""]
    lines += _listed([profile for profile in profiles if profile.evidence != TEMPLATE], lang)
    lines += ["", text("page.templates", lang), ""]
    lines += _listed([profile for profile in profiles if profile.evidence == TEMPLATE], lang)
    return "\n".join(lines) + "\n"


def _between(match: re.Match[str], profiles: Sequence[Profile], lang: str) -> str:
    """The mark, the table of the profiles it asks for, and the end mark."""
    return "\n".join((match[1], *_listed(_chosen(match[2].split(), profiles), lang), "", match[3]))


def _chosen(wanted: Sequence[str], profiles: Sequence[Profile]) -> list[Profile]:
    return [
        profile
        for profile in profiles
        if any(one in families(profile) or fnmatch.fnmatchcase(profile.name, one) for one in wanted)
    ]


def _listed(profiles: Sequence[Profile], lang: str) -> Iterator[str]:
    rows = [
        (
            f"[`{profile.name}`](profiles/{_file(profile.name, lang)})",
            product(profile, lang),
            text(f"cli.profilekind_{profile.kind}", lang),
            evidence(profile, lang),
            line(profile, lang),
        )
        for profile in profiles
    ]
    return table(("profile", "device", "kind", "evidence", "line"), rows, lang)


def _written(drivers: Path, lang: str) -> list[Path]:
    return [path for path in sorted(drivers.glob("*.md")) if path.name.endswith(".zh.md") == (lang == "zh")]


def _file(name: str, lang: str) -> str:
    return f"{name}.md" if lang == "en" else f"{name}.zh.md"


def write(docs: Path) -> list[Path]:
    """Write what differs; return where something was written or taken away."""
    made, changed = pages(docs, load_profiles(()).list()), []
    (docs / "drivers/profiles").mkdir(exist_ok=True)
    for path, words in made.items():
        if not path.exists() or path.read_text("utf-8") != words:
            path.write_text(words, "utf-8")
            changed.append(path)
    for path in left_over(docs, made):
        path.unlink()
        changed.append(path)
    return changed


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "drivers").is_dir():
        sys.exit("usage: python -m edge_agent.profile_catalogue DOCS")
    for path in write(Path(sys.argv[1])):
        print(path)
