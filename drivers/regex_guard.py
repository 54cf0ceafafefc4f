"""Whether a regular expression of a profile is safe on the way of an alarm: bounded in size and in the time any text can cost it.

Python's matcher backtracks: "(a+)+b" needs hours for a line of forty a. Refused are repeats without an upper bound inside such
repeats, two of them side by side that can take the same characters, and whatever is slow on texts made to be slow for it.
"""

import re
import time
import warnings
from typing import Any, Final

LENGTH_MAX: Final = 500
REPEATS_MAX: Final = 12  # without an upper bound, in one expression
LIMIT_S: Final = 0.02  # for a record of the longest kind
_WIDE: Final = 64  # a repeat allowed this often or more counts as unbounded

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import re._constants as _ops
    from re import _parser


class UnsafeRegex(ValueError):
    """`code` is ASCII: too_long, not_a_regex, nested_repeat, overlapping_repeats, too_many_repeats, slow."""

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
    _measure(compiled, expression)
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


def _measure(compiled: re.Pattern[str], expression: str) -> None:
    """Try it on texts that are slow for such expressions: long runs of what it names, ended by what it does not expect."""
    seeds = dict.fromkeys((*re.findall(r"[A-Za-z0-9\u4e00-\u9fff]", expression)[:6], "0", " ", "a", "-", "火"))
    for seed in seeds:
        for length in (8, 12, 16, 20, 24, 28, 40, 80, 200, 1500):  # growing: what is exponential shows before it hurts
            began = time.process_time()
            compiled.fullmatch(seed * length + "\x01")
            if time.process_time() - began > LIMIT_S:
                raise UnsafeRegex("slow", f"{length} x {seed!r}")
