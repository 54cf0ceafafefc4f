"""What a centre may ask of a gateway: names, parameters, and the book of what was answered. Pure; docs/contract.md has the words.

A command is idempotent by (destination, id): the book gives a repeat the first answer, also after a power cut, because each
answer is written with the event that audits it. Nothing here, or behind it, ever speaks to a panel.
"""

import enum
import json
import re
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_agent.model import KINDS
from edge_agent.points.state import Latches, read_piece

ANSWERS_KEPT: Final = 128  # of each destination; the oldest is forgotten
ANSWER_BYTES_MAX: Final = 4096  # of one kept answer
CAMERAS_MAX: Final = 8  # pictured by one command
ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
NS_MAX: Final = 2**62  # wall time that still fits every reader: the year 2116
_KEY: Final = "c:"


class Status(enum.StrEnum):
    """What became of a command."""

    DONE = "done"
    REFUSED = "refused"  # it must not or cannot be done; asking again changes nothing
    FAILED = "failed"  # it should have been done; the same id may be asked again


class Refusal(Exception):
    """A command that is not carried out. `code` is ASCII."""

    def __init__(self, code: str, **detail: object) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Answer:
    """What the centre hears. `repeat`: this is what was answered before; nothing was done now."""

    status: Status
    result: Mapping[str, object] = field(default_factory=dict)
    code: str = ""
    repeat: bool = False

    def as_dict(self) -> dict[str, object]:
        """For the local API and the journal's state."""
        plain: dict[str, object] = {"status": self.status.value, "result": dict(self.result), "code": self.code}
        return plain | ({"repeat": True} if self.repeat else {})


def read_answer(piece: Mapping[str, object]) -> Answer | None:
    """An answer from `as_dict()`, or None if it cannot be one."""
    result = piece.get("result")
    try:
        status = Status(str(piece["status"]))
    except (KeyError, ValueError):
        return None
    return Answer(
        status, result if isinstance(result, dict) else {}, str(piece.get("code", "")), piece.get("repeat") is True
    )


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter. `kind`: whole (within bounds), text, texts (out of `choices`), or cursor ({stream: [epoch, n]})."""

    kind: str
    low: int = 0
    high: int = NS_MAX
    choices: frozenset[str] = frozenset()
    required: bool = False
    chars_max: int = 80

    def fits(self, value: object) -> bool:
        """Whether a value may stand for it."""
        if self.kind == "whole":
            return type(value) is int and self.low <= value <= self.high
        if self.kind == "text":
            return (
                isinstance(value, str)
                and 0 < len(value) <= self.chars_max
                and (not self.choices or value in self.choices)
            )
        if self.kind == "texts":
            return isinstance(value, list) and 0 < len(value) <= 64 and all(one in self.choices for one in value)
        return isinstance(value, dict) and len(value) <= 8 and all(_is_cursor(one) for one in value.values())


def _is_cursor(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int


@dataclass(frozen=True, slots=True)
class Rule:
    """How a command is treated. `acts`: it changes something, so its answer is kept and given again.

    `by_uplink`: the core judges and audits it, the uplink carries it out.
    """

    params: Mapping[str, Param] = field(default_factory=dict)
    acts: bool = True
    by_uplink: bool = False
    last_word: bool = False  # of the core: what the uplink found goes to it, and its answer to the centre


_STREAMS: Final = frozenset({"alarm", "fault", "status"})
_HISTORY: Final = {
    "limit": Param("whole", 1, 200),
    "streams": Param("texts", choices=_STREAMS),
    "kinds": Param("texts", choices=frozenset(kind.value for kind in KINDS)),
    "since_wall_ns": Param("whole"),
    "until_wall_ns": Param("whole"),
    "before": Param("cursor"),
}
_RESEND: Final = {
    "epoch": Param("text", required=True),
    "stream": Param("text", choices=_STREAMS | {"telemetry"}, required=True),
    "first": Param("whole", 1, 2**53, required=True),
    "last": Param("whole", 1, 2**53, required=True),
}
_APPLY_CONFIG: Final = {
    "signed": Param("text", required=True, chars_max=24 * 1024),
    "signature": Param("text", required=True, chars_max=1024),
}
RULES: Final[Mapping[str, Rule]] = {
    "read_state": Rule(acts=False),
    "history": Rule(_HISTORY, acts=False, by_uplink=True),
    "resend": Rule(_RESEND, by_uplink=True),
    "duty_check": Rule({"minutes": Param("whole", 1, 255, required=True)}),  # GB/T 26875.3-2011 type 91: one byte
    "set_clock": Rule({"wall_ns": Param("whole", required=True), "uncertainty_ms": Param("whole", 0, 60_000)}),
    "initialise": Rule(by_uplink=True),
    "acknowledge": Rule({"alarm": Param("text")}),
    "silence": Rule(),
    "test_buzzer": Rule({"seconds": Param("whole", 1, 10)}),
    "snapshot": Rule({"camera": Param("text")}),
    "apply_config": Rule(_APPLY_CONFIG, by_uplink=True, last_word=True),
    "update": Rule(
        {"sha256": Param("text", required=True), "size": Param("whole", 1, 2**53, required=True)}, by_uplink=True
    ),
}
NAMES: Final = tuple(RULES)


def audited(name: str, params: Mapping[str, object]) -> dict[str, object]:
    """Parameters as they are written down: of a long one how long it is."""
    rules = RULES[name].params if name in RULES else {}
    kept = {key: value for key, value in params.items() if key in rules}
    return {
        key: len(value) if isinstance(value, str) and rules[key].chars_max > 80 else value
        for key, value in kept.items()
    }


def cameras_asked(cameras: Sequence[str], params: Mapping[str, object]) -> Sequence[str]:
    """Of the site's cameras those that a `snapshot` is asked of: the one it names, or the first `CAMERAS_MAX`; none: unknown."""
    if "camera" in params:
        return [camera for camera in cameras if camera == params["camera"]]
    return cameras[:CAMERAS_MAX]


def check_params(name: str, params: object) -> dict[str, object]:
    """The parameters of a known command. Raise Refusal("malformed"): they are audited, so nothing unknown gets in."""
    rule = RULES[name]
    if not isinstance(params, dict):
        raise Refusal("malformed", detail="params is not an object")
    for key, value in params.items():
        if key not in rule.params:
            raise Refusal("malformed", detail=f"{ascii(str(key))[:40]} is no parameter of {name}")
        if not rule.params[key].fits(value):
            raise Refusal("malformed", detail=f"{key} is out of its range")
    for key, param in rule.params.items():
        if param.required and key not in params:
            raise Refusal("malformed", detail=f"{key} is missing")
    return dict(params)


class Book:
    """What was answered to each command that acted, the newest `ANSWERS_KEPT` of each destination."""

    def __init__(self) -> None:
        self._answers: dict[str, OrderedDict[str, tuple[int, Answer]]] = {}  # id -> check of the request, answer
        self._latches = Latches()
        self._count = 0

    def find(self, destination: str, command_id: str, name: str, params: Mapping[str, object]) -> Answer | None:
        """The answer that was given. Raise Refusal("id_reused") if it was given to another request of the same id."""
        kept = self._answers.get(destination, OrderedDict()).get(command_id)
        if kept is None:
            return None
        check, answer = kept
        if check != _check(name, params):
            raise Refusal("id_reused")
        return Answer(answer.status, answer.result, answer.code, repeat=True)

    def put(self, destination: str, command_id: str, name: str, params: Mapping[str, object], answer: Answer) -> None:
        """Keep an answer; it is durable with the event that `dump()` goes with."""
        self._count += 1
        check = _check(name, params)
        piece = {"n": self._count, "check": check, **answer.as_dict()}
        if len(json.dumps(piece, ensure_ascii=False).encode()) > ANSWER_BYTES_MAX:
            answer = Answer(answer.status, {"truncated": True}, answer.code)
            piece |= answer.as_dict()
        self._latches.put(f"{_KEY}{destination}:{command_id}", piece)
        kept = self._answers.setdefault(destination, OrderedDict())
        kept[command_id] = (check, answer)
        while len(kept) > ANSWERS_KEPT:
            forgotten, _ = kept.popitem(last=False)
            self._latches.put(f"{_KEY}{destination}:{forgotten}", None)

    def dump(self) -> dict[str, bytes | None]:
        """The pieces of lasting state that changed since the last call."""
        return self._latches.take()

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Take back what was answered before the restart; foreign keys are ignored."""
        found: list[tuple[int, str, str, int, Answer]] = []
        for key, body in state.items():
            piece = read_piece(body) if key.startswith(_KEY) else None
            destination, _, command_id = key.removeprefix(_KEY).partition(":")
            if piece is None or (answer := read_answer(piece)) is None:
                continue
            n, check = piece.get("n"), piece.get("check")
            if type(n) is int and type(check) is int:
                found.append((n, destination, command_id, check, answer))
        for n, destination, command_id, check, answer in sorted(found, key=lambda entry: entry[0]):
            self._answers.setdefault(destination, OrderedDict())[command_id] = (check, answer)
            self._count = max(self._count, n)


def _check(name: str, params: Mapping[str, object]) -> int:
    return zlib.crc32(json.dumps([name, params], sort_keys=True, separators=(",", ":")).encode())


class Meter:
    """At most `burst` at once and one each `period_s` in the long run: what a peer may make us write."""

    def __init__(self, burst: int, period_s: float) -> None:
        self._burst, self._period_s = burst, period_s
        self._left, self._at_s = float(burst), 0.0

    def take(self, now_s: float) -> bool:
        """Whether one more may pass."""
        self._left = min(float(self._burst), self._left + max(0.0, now_s - self._at_s) / self._period_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
