"""What checking and trying a profile is for every kind that is compiled from tables: the tables first, then its examples.

A compiled kind gives its `compile_profile(data, name=)`, which raises ProfileFault, and a check of one example.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol, TypeVar

from drivers.profile import Profile, ProfileError, ProfileFinding
from drivers.profile_toml import ProfileFault

EXAMPLES_MAX: Final = 200
Compiled = TypeVar("Compiled")
Compiled_co = TypeVar("Compiled_co", covariant=True)
CheckOne = Callable[
    [str, int, object], list[ProfileFinding]
]  # example or counter_example, its number from 1, the table


class Compile(Protocol[Compiled_co]):
    """Turns the tables of a profile into what its driver works with."""

    def __call__(self, data: Mapping[str, object], /, *, name: str) -> Compiled_co:
        """Raise ProfileFault."""
        ...


def compiled(profile: Profile, compile_profile: Compile[Compiled]) -> Compiled:
    """The profile, compiled. Raise ProfileError (bad_table)."""
    try:
        return compile_profile(profile.data, name=profile.name)
    except ProfileFault as fault:
        raise ProfileError("bad_table", where=fault.where, value=fault.value, detail=fault.code) from fault


def check_tables(
    profile: Profile,
    compile_profile: Compile[Compiled],
    check_one: Callable[[Compiled, str, int, object], list[ProfileFinding]],
) -> list[ProfileFinding]:
    """What is wrong with a profile beyond its head: its tables, then what its examples and counter-examples show."""
    try:
        made = compiled(profile, compile_profile)
    except ProfileError as fault:
        return [ProfileFinding(fault.code, fault.params)]
    return check_examples(profile.data, partial(check_one, made))


def check_readings(
    profile: Profile, compile_profile: Compile[Compiled], readings: Callable[[Compiled, bytes], Mapping[str, object]]
) -> list[ProfileFinding]:
    """The same for a kind whose examples give bytes in hex, and what is read out of them by name."""

    def check_one(made: Compiled, key: str, number: int, table: object) -> list[ProfileFinding]:
        data = bytes_of(table)
        if data is None:
            return not_readable(key, number)
        said = readings(made, data)
        if key == "counter_example":
            return raised(number, next(iter(said), None))
        expected = expected_of(table)
        if not expected:
            return not_readable(key, number)
        if not said:
            return [ProfileFinding("example_refused", {"number": number, "why": "no_value"})]
        return differing(number, expected, said)

    return check_tables(profile, compile_profile, check_one)


def check_examples(data: Mapping[str, object], check_one: CheckOne) -> list[ProfileFinding]:
    """What the examples and counter-examples of a profile show to be wrong; there must be some of both."""
    findings: list[ProfileFinding] = []
    for key in ("example", "counter_example"):
        tables = data.get(key, [])
        if not isinstance(tables, list) or not tables:
            findings.append(ProfileFinding(f"no_{key}", {}))
            continue
        if len(tables) > EXAMPLES_MAX:
            findings.append(ProfileFinding("too_many_examples", {"key": key, "most": EXAMPLES_MAX}))
        for number, table in enumerate(tables[:EXAMPLES_MAX], 1):
            findings += check_one(key, number, table)
    return findings


def bytes_of(table: object) -> bytes | None:
    """The bytes an example gives as hex; None if it gives none."""
    try:
        return bytes.fromhex(str(table["hex"])) if isinstance(table, Mapping) else None
    except (KeyError, ValueError):
        return None


def expected_of(table: object) -> Mapping[str, object]:
    """What an example expects. One that expects nothing shows nothing: it is as good as unreadable."""
    expected = table.get("expect") if isinstance(table, Mapping) else None
    return expected if isinstance(expected, Mapping) else {}


def not_readable(key: str, number: int) -> list[ProfileFinding]:
    """An example that says nothing."""
    return [ProfileFinding("bad_hex", {"where": f"{key} {number}"})]


def raised(number: int, said: str | None) -> list[ProfileFinding]:
    """A counter-example that said something after all."""
    return [ProfileFinding("counter_example_raised", {"number": number, "event": said})] if said else []


def differing(
    number: int, expected: Mapping[str, object], said: Mapping[str, object], absent: object = None
) -> list[ProfileFinding]:
    """Where an example says something else than expected; what it does not speak of is `absent`."""
    return [
        ProfileFinding("example_differs", {"number": number, "key": key, "expected": value, "got": said.get(key)})
        for key, value in expected.items()
        if said.get(key, absent) != value
    ]
