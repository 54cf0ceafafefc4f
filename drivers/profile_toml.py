"""The TOML of a profile of registers, meters or topics, read with suspicion: tables, numbers, ranges of points, formulas. Pure."""

import ast
import functools
import itertools
import math
import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from drivers.profile import FRAMING

POINTS_MAX: Final = 10_000
_VALUE_NAME: Final = re.compile(r"[A-Za-z0-9_.{}:-]{1,64}")
NAME_MAX: Final = 64
# {n}, {loop:02d}: a width of two digits at most, so that no file can ask for a name of a gigabyte
_HOLE: Final = re.compile(r"\{([a-z_]{1,16})(?::(0?[0-9]{1,2})d?)?\}")


class ProfileFault(ValueError):
    """A profile that means nothing. `code` is ASCII, `where` the table, `value` what stands there."""

    def __init__(self, code: str, where: str, value: object = "") -> None:
        super().__init__(f"{code}: {where}: {value}")
        self.code, self.where, self.value = code, where, value


def known(table: Mapping[str, object], keys: Collection[str], where: str) -> None:
    """Raise ProfileFault unless every key of `table` is one of `keys`."""
    if unknown := set(table) - set(keys):
        raise ProfileFault("unknown_key", where, min(unknown))


def table_of(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    """[key], empty if it is left out."""
    value = data.get(key, {})
    if not isinstance(value, Mapping):
        raise ProfileFault("not_a_table", key, value)
    return value


def tables_of(data: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    """[[key]]."""
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise ProfileFault("not_a_table", key, value)
    return value


def number(value: object, where: str) -> float:
    """A number that is no truth value, and neither infinite nor none at all."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProfileFault("bad_number", where, value)
    return value


def integer(  # noqa: PLR0917 - a table's key, its name for people, and three numbers
    table: Mapping[str, object], key: str, where: str, default: int, low: int, high: int
) -> int:
    """A whole number from `low` to `high`."""
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ProfileFault("bad_number", f"{where}.{key}", f"{value}; {low}-{high}")
    return value


def name_of(table: Mapping[str, object], where: str) -> str:
    """What a value is called: a part of the point's id, so letters, digits, _ - . and the holes of ranges."""
    name = table.get("name")
    if not isinstance(name, str) or not _VALUE_NAME.fullmatch(name):
        raise ProfileFault("bad_name", where, name)
    return name


def scale_of(table: Mapping[str, object], where: str) -> float:
    """What a raw number is multiplied with: anything but 0."""
    scale = number(table.get("scale", 1.0), f"{where}.scale")
    if not scale:
        raise ProfileFault("bad_number", f"{where}.scale", scale)
    return float(scale)


def framing_of(link: Mapping[str, object], default: str) -> str:
    """[link] framing."""
    framing = link.get("framing", default)
    if not isinstance(framing, str) or not FRAMING.fullmatch(framing):
        raise ProfileFault("bad_framing", "link.framing", framing)
    return framing


def codes_of(table: object, where: str) -> dict[int, str]:
    """{1 = "fire", 0xE5E5 = "short"}: number -> word."""
    if not isinstance(table, Mapping):
        raise ProfileFault("not_a_table", where, table)
    try:
        return {int(str(code), 0): str(word) for code, word in table.items()}
    except ValueError:
        raise ProfileFault("bad_number", where, min(table)) from None


def combinations(table: Mapping[str, object], keys: Collection[str], where: str) -> Iterator[dict[str, int]]:
    """Every combination of a table's ranges, such as n = [1, 159] and loop = [1, 4]: whatever is no key of the table is one."""
    ranges = {key: value for key, value in table.items() if isinstance(value, list) and key not in keys}
    known({key: value for key, value in table.items() if key not in ranges}, keys, where)
    spans = []
    for key, value in ranges.items():
        if len(value) != 2 or not all(type(one) is int for one in value) or value[0] > value[1]:
            raise ProfileFault("bad_range", f"{where}.{key}", value)
        spans.append(range(value[0], value[1] + 1))
    if math.prod(map(len, spans)) > POINTS_MAX:
        raise ProfileFault("too_many_points", where, POINTS_MAX)
    for numbers in itertools.product(*spans):
        yield dict(zip(ranges, numbers, strict=True))


def filled(template: object, numbers: Mapping[str, int], where: str) -> str:
    """`template` with its {n} and {n:03d} replaced."""

    def put(hole: re.Match[str]) -> str:
        if hole[1] not in numbers:
            raise ProfileFault("bad_id", where, template)
        return format(numbers[hole[1]], (hole[2] or "") + "d")

    text = _HOLE.sub(put, str(template))
    if not text or "{" in text or "}" in text or len(text) > NAME_MAX:
        raise ProfileFault("bad_id", where, template)
    return text


_OPERATORS: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def evaluated(formula: object, names: Mapping[str, int], where: str) -> int:
    """Whole numbers, names, + - * // % and brackets; nothing else of the language."""
    if isinstance(formula, int):
        return formula

    def walk(node: ast.expr) -> int:
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](walk(node.left), walk(node.right))
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.Name) and node.id in names:
            return names[node.id]
        raise ProfileFault("bad_formula", where, formula)

    try:
        return walk(_parsed(str(formula)[:200]))
    except (SyntaxError, ZeroDivisionError, RecursionError):
        raise ProfileFault("bad_formula", where, formula) from None


@functools.lru_cache(maxsize=64)
def _parsed(formula: str) -> ast.expr:
    """One formula is worked out for thousands of points."""
    return ast.parse(formula, mode="eval").body
