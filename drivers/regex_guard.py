"""Whether a regular expression of a profile is safe on the way of an alarm, by its shape alone. Pure.

Python's matcher backtracks: "(a+)+b" needs hours for a line of forty a, and so does "(a?){40}a{40}". Refused are repeats and
alternatives inside a repeat without an upper bound, two such repeats side by side that can take the same characters, and whatever
can take one text in more than WAYS_MAX ways: a matcher that fails tries them all. `profile check` also measures
(`drivers.panel_profile`).
"""

import importlib
import re
from typing import Any, Final

LENGTH_MAX: Final = 500
REPEATS_MAX: Final = 12  # without an upper bound, in one expression
_WIDE: Final = 64  # a repeat allowed this often or more counts as unbounded
LINE_CHARS: Final = 256  # what one repeat can take of a line; no record's line is longer
WAYS_MAX: Final = 300_000  # some seconds on the smallest board, and only for a text made for it

_ops: Any = importlib.import_module("re._constants")
_parser: Any = importlib.import_module("re._parser")


class UnsafeRegex(ValueError):
    """`code` is ASCII: too_long, not_a_regex, nested_repeat, overlapping_repeats, too_many_repeats, too_many_ways."""

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
        count, ways = _look(tree, inside=False), _ways(_flat(tree), _END)
    except (re.error, OverflowError, RecursionError) as fault:
        raise UnsafeRegex("not_a_regex", str(fault)) from fault
    if count > REPEATS_MAX:
        raise UnsafeRegex("too_many_repeats", str(count))
    if ways > WAYS_MAX:
        raise UnsafeRegex("too_many_ways")
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
        elif op in (_ops.GROUPREF, _ops.GROUPREF_EXISTS):
            raise UnsafeRegex("not_a_regex", "a reference to a group costs more than it tells")
        before = None
    return count


# -- in how many ways one text can be taken ----------------------------------------------------------------------------
# Sets of what can come next are sets of sample characters; a set that holds none of them is taken to hold any.
_REPEATS: Final = (_ops.MAX_REPEAT, _ops.MIN_REPEAT, _ops.POSSESSIVE_REPEAT)
_END: Final = frozenset({""})  # of the text: nothing can come


def _ways(items: list[tuple[Any, Any]], after: frozenset[str]) -> int:
    """An upper bound for the ways `items` can take one text, when what comes behind them begins with one of `after`.

    It is a product: a repeat whose end the next character decides counts once, any other once for each length.
    """
    ways = 1
    for index, (op, argument) in enumerate(items):
        behind = _first(items[index + 1 :], after)
        if op is _ops.BRANCH:
            branches = [_flat(branch) for branch in argument[1]]
            firsts = [_first(branch, behind) for branch in branches]
            each = [_ways(branch, behind) for branch in branches]
            apart = all(not (one & other) for n, one in enumerate(firsts) for other in firsts[n + 1 :])
            ways *= max(each) if apart else sum(each)
        elif op in _REPEATS:
            ways *= _ways_of_repeat(argument, behind)
        elif op in (_ops.ASSERT, _ops.ASSERT_NOT):
            ways *= _ways(_flat(argument[1]), _any())
        if ways > WAYS_MAX:
            return ways
    return ways


def _ways_of_repeat(argument: Any, behind: frozenset[str]) -> int:
    least, most, body = argument[0], min(int(argument[1]), LINE_CHARS), _flat(argument[2])
    first = _first(body, frozenset())
    lengths = 1 if least >= most or not (first & behind) else most - least + 1
    if _nullable(body):
        lengths = max(lengths, 2)  # nothing, taken any number of times, is the same text
    inner = _ways(body, first | behind) if body else 1
    return lengths if inner == 1 else min(lengths * inner ** min(most, 64), 10 * WAYS_MAX)


def _flat(tree: Any) -> list[tuple[Any, Any]]:
    """The items of a sequence, those of plain groups among them; anchors take nothing and are left out."""
    items: list[tuple[Any, Any]] = []
    for op, argument in tree:
        if op is _ops.SUBPATTERN:
            items += _flat(argument[3])
        elif op is getattr(_ops, "ATOMIC_GROUP", None):
            items += _flat(argument)
        elif op is not _ops.AT:
            items.append((op, argument))
    return items


def _first(items: list[tuple[Any, Any]], after: frozenset[str]) -> frozenset[str]:
    """What a text that `items` take can begin with; `after` where they can take nothing."""
    found: frozenset[str] = frozenset()
    for op, argument in items:
        if op is _ops.BRANCH:
            branches = [_flat(branch) for branch in argument[1]]
            found |= frozenset().union(*(_first(branch, frozenset()) for branch in branches))
            empty = any(_nullable(branch) for branch in branches)
        elif op in _REPEATS:
            found |= _first(_flat(argument[2]), frozenset())
            empty = _nullable([(op, argument)])
        elif op in (_ops.ASSERT, _ops.ASSERT_NOT):
            empty = True
        else:
            found |= _reach([(op, argument)]) or _any()
            empty = False
        if not empty:
            return found
    return found | after


def _nullable(items: list[tuple[Any, Any]]) -> bool:
    return all(
        (op in _REPEATS and (argument[0] == 0 or _nullable(_flat(argument[2]))))
        or (op is _ops.BRANCH and any(_nullable(_flat(branch)) for branch in argument[1]))
        or op in (_ops.ASSERT, _ops.ASSERT_NOT)
        for op, argument in items
    )


def _any() -> frozenset[str]:
    return frozenset(_PROBE)


_PROBE: Final = (*map(chr, range(0x20, 0x7F)), "\n", "火", "警", "，")


def _reach(body: Any) -> frozenset[str] | None:
    """Which of some sample characters a repeat of one item can take, in either case; None for a body of several."""
    expression = _one(body) if len(body) == 1 else ""
    if not expression:
        return None
    patterns = [re.compile(expression, flags) for flags in (re.DOTALL, re.DOTALL | re.IGNORECASE)]
    return frozenset(c for c in _PROBE if any(pattern.fullmatch(c) for pattern in patterns))


def _one(body: Any) -> str:
    """An expression for a single set, literal or any; "" for anything else."""
    op, argument = body[0]
    if op is _ops.ANY:
        return "."  # with or without the end of a line
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
