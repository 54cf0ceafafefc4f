"""Whether a site's profile still says what a template made up.

The numbers of a template are invented, so a file in which only the word `template` was changed is no more use than the
template itself. Compared is what says where things stand on the wire; names, units and limits are the site's to change.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from drivers.profile import SHIPPED_DIR, TEMPLATE, Profile, ProfileError, load_profiles

_TABLES: Final = ("block", "value", "point", "log", "topic", "meaning")
# Of those tables: what a site calls things and what it makes of them, not where they are.
_NOT_PLACES: Final = frozenset(("name", "zh", "en", "id", "unit", "kind", "limits", "mode", "confirm", "summary"))
_NAMED_MOST: Final = 12  # of what is left: more is not read
_LEAST: Final = 2  # one place is soon the same by chance


@dataclass(frozen=True, slots=True)
class Standing:
    """What of `template` a profile still says: `left` names it. `filled_in`: not all of it."""

    template: str
    left: tuple[str, ...]
    filled_in: bool


def standing(profile: Profile) -> Standing | None:
    """The template of which `profile` still says most, None if it says nothing of any."""
    own = list(_places(profile.data))
    said = [place for _, place in own]
    best: tuple[int, Standing] | None = None
    for template in _templates():
        if template.kind != profile.kind:
            continue
        made_up = [place for _, place in _places(template.data)]
        left = [name for name, place in own if place in made_up]
        if len(left) >= _LEAST and (best is None or len(left) > best[0]):
            filled_in = not all(place in said for place in made_up)
            best = len(left), Standing(template.name, tuple(left[:_NAMED_MOST]), filled_in)
    return None if best is None else best[1]


@functools.cache
def _templates() -> tuple[Profile, ...]:
    """The shipped ones. Only the files that name the word are parsed."""
    mark, shipped = f'"{TEMPLATE}"'.encode(), load_profiles(())
    names = [path.stem for path in sorted(SHIPPED_DIR.glob("*.toml")) if mark in path.read_bytes()]
    found = []
    for name in names:
        try:
            found.append(shipped.get(name))
        except ProfileError:
            continue  # told where it is used
    return tuple(profile for profile in found if profile.evidence == TEMPLATE)


def _places(data: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Name -> what says where one thing stands on the wire: a table of registers, or a table of [meaning]."""
    for key in _TABLES:
        tables = data.get(key)
        if isinstance(tables, dict):
            yield from ((f"{key}.{name}", _bare(place)) for name, place in tables.items() if name not in _NOT_PLACES)
        elif isinstance(tables, list):
            for number, table in enumerate(tables, 1):
                if isinstance(table, dict):
                    name = table.get("name", table.get("id", number))
                    yield f"{key} {name}", _bare(table)


def _bare(value: object) -> object:
    """Without the names of things, so that a new name does not make a new place."""
    if isinstance(value, dict):
        return {key: _bare(inner) for key, inner in value.items() if key not in _NOT_PLACES}
    return [_bare(one) for one in value] if isinstance(value, list) else value
