"""Whether a regular expression of a profile is safe on the way of an alarm, by its shape alone. Pure.

Python's matcher backtracks: "(a+)+b" needs hours for a line of forty a. Refused are repeats and alternatives inside a repeat
without an upper bound, and two such repeats side by side that can take the same characters. `profile check` also measures
(`drivers.panel_profile`).
"""

import importlib
import re
from typing import Any, Final

LENGTH_MAX: Final = 500
REPEATS_MAX: Final = 12  # without an upper bound, in one expression
_WIDE: Final = 64  # a repeat allowed this often or more counts as unbounded

_ops: Any = importlib.import_module("re._constants")
_parser: Any = importlib.import_module("re._parser")


class UnsafeRegex(ValueError):
    """`code` is ASCII: too_long, not_a_regex, nested_repeat, overlapping_repeats, too_many_repeats."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


def compile_safely(expression: str, flags: int = 0) -> re.Pattern[str]:
    """The compiled expression. Raise UnsafeRegex, saying why not."""
    if len(expression) > LENGTH_MAX:
        raise UnsafeRegex("too_long", str(len(expression)))
    try:
        compiled = re.compile(expression, flags)
        tree = _parser.parse(expression, flags)
    except (re.error, OverflowError, RecursionError) as fault:
        raise UnsafeRegex("not_a_regex", str(fault)) from fault
    if (count := _look(tree, inside=False)) > REPEATS_MAX:
        raise UnsafeRegex("too_many_repeats", str(count))
    return compiled


def _look(tree: Any, *, inside: bool) -> int:
    """How many unbounded repeats there are. Raise UnsafeRegex for nested ones and for neighbours that overlap."""
    count, before = 0, None
    for op, argument in tree:
        if op in (_ops.MAX_REPEAT, _ops.MIN_REPEAT, _ops.POSSESSIVE_REPEAT):
            _, most, body = argument
            wide = most is _ops.MAXREPEAT or int(most) >= _WIDE
            if wide and inside:
                raise UnsafeRegex("nested_repeat")
            count += int(wide) + _look(body, inside=inside or wide)
            reach = _reach(body) if wide else None
            if reach is not None and before is not None and (reach & before):
                raise UnsafeRegex("overlapping_repeats")
            before = reach
            continue
        if op is _ops.SUBPATTERN:
            count += _look(argument[3], inside=inside)
        elif op is _ops.BRANCH:
            if inside:  # "(a|aa)+" takes one text in many ways
                raise UnsafeRegex("nested_repeat")
            count += sum(_look(branch, inside=inside) for branch in argument[1])
        elif op in (_ops.ASSERT, _ops.ASSERT_NOT):
            count += _look(argument[1], inside=inside)
        elif op is _ops.GROUPREF:
            raise UnsafeRegex("not_a_regex", "a reference to a group costs more than it tells")
        before = None
    return count


_PROBE: Final = (*map(chr, range(0x20, 0x7F)), "\n", "火", "警", "，")


def _reach(body: Any) -> frozenset[str] | None:
    """Which of some sample characters a repeat of one item can take; None for a body of several."""
    if len(body) != 1:
        return None
    pattern = re.compile(_one(body), re.DOTALL) if _one(body) else None
    return frozenset(c for c in _PROBE if pattern.fullmatch(c)) if pattern else None


def _one(body: Any) -> str:
    """An expression for a single set, literal or any; "" for anything else."""
    op, argument = body[0]
    if op is _ops.ANY:
        return "[^\n]"
    if op is _ops.LITERAL:
        return re.escape(chr(argument))
    if op is _ops.NOT_LITERAL:
        return f"[^{re.escape(chr(argument))}]"
    if op is _ops.IN:
        return _set(argument)
    return ""


_CATEGORIES: Final = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}


def _set(items: Any) -> str:
    parts = []
    for op, argument in items:
        if op is _ops.NEGATE:
            parts.append("^")
        elif op is _ops.LITERAL:
            parts.append(re.escape(chr(argument)))
        elif op is _ops.RANGE:
            parts.append(f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}")
        elif op is _ops.CATEGORY:
            parts.append(_CATEGORIES.get(str(argument), r"\w"))
    return f"[{''.join(parts)}]"
