"""What every panel codec is made of: bytes in, frames and refusals out, no I/O, bounded, never raising.

A codec takes the stream in any slicing and gives the same result. Whatever it cannot use comes back as `Refused`
with its bytes; nothing is swallowed. It holds at most `HELD_BYTES_MAX` bytes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple

HELD_BYTES_MAX: Final = 4096
PIECE_BYTES: Final = 1024  # how much of one feed() is looked at before the rest is taken in
NOISE_BYTES_MAX: Final = 256  # longer noise is told in pieces
SEEN_MAX: Final = 64  # contents remembered against repeats


class Frame(NamedTuple):  # made for each copy of a frame: a frozen dataclass takes twice as long
    """One sound frame. `fields["event"]` is None when it raises nothing (idle, poll); `repeat` marks a copy just seen.

    A frame that tells of several points has `fields["events"]`: fields of each, with an `event` of its own.
    """

    fields: Mapping[str, object]
    raw: bytes
    at_ns: int
    repeat: bool = False

    @property
    def event(self) -> str | None:
        """The event this frame raises: None for a repeat, an idle frame, or bytes the host sent."""
        event = self.fields.get("event")
        return event if isinstance(event, str) and not self.repeat else None


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes that are no frame, or a frame that cannot be trusted. `why` is ASCII; `fields` what could be read all the same.

    `sound` says that the line did its work and the meaning is what is missing: text that does not parse, an unknown code.
    """

    why: str
    raw: bytes
    at_ns: int
    fields: Mapping[str, object] = field(default_factory=dict)
    sound: bool = False


@dataclass(slots=True, kw_only=True)  # frozen it would cost a fifth of what a frame costs
class Step:
    """What the front of the buffer turned out to be. Neither `fields` nor `refused`: noise, or `held` for later."""

    size: int  # bytes to take off the front
    fields: Mapping[str, object] | None = None
    refused: str = ""
    sound: bool = False
    held: bool = False  # the codec keeps these bytes itself
    length: int = 0  # how far the frame seems to reach, when less is taken off to look for another inside it
    raw: bytes | None = None  # the frame's bytes when they are not at the front of the buffer


class Codec(ABC):
    """Base of the panel codecs. `quiet_s`: a pause this long ends whatever was begun. `dedupe_s`: 0 passes repeats."""

    quiet_s: float = 0.3
    filler: bytes = b""  # bytes that mean nothing between frames
    seven_bits: bool = False  # a port opened with eight bits brings the parity along
    shown: ClassVar[tuple[str, ...]] = ()  # fields decode shows as None where a frame has them not

    def __init__(self, *, dedupe_s: float = 0.0) -> None:
        self._buf = bytearray()
        self._noise = bytearray()
        self._covered = 0  # bytes at the front that an earlier refusal already showed
        self._last_ns = 0
        self._unsettled = False  # bytes came since the last pause
        self._seen: dict[bytes, int] = {}
        self._dedupe_ns = round(dedupe_s * 1e9)

    # -- the driver's side ---------------------------------------------------------------------------------------
    def feed(self, data: bytes, now_ns: int) -> list[Frame | Refused]:
        """Take bytes read at `now_ns`; return what they settled, in order."""
        out: list[Frame | Refused] = self.tick(now_ns)
        if self.seven_bits:
            data = bytes(byte & 0x7F for byte in data)
        for at in range(0, len(data), PIECE_BYTES):
            self._buf += data[at : at + PIECE_BYTES]
            self._last_ns = now_ns
            self._unsettled = True
            self._run(out, now_ns, final=False)
            if len(self._buf) > HELD_BYTES_MAX - PIECE_BYTES:  # no protocol here has such frames
                self._run(out, now_ns, final=True)
        return out

    def tick(self, now_ns: int) -> list[Frame | Refused]:
        """Settle what a pause settles. Call at `deadline_ns()`; harmless at any time."""
        out: list[Frame | Refused] = []
        if self._unsettled and now_ns - self._last_ns >= round(self.quiet_s * 1e9):
            self._unsettled = False
            self._run(out, now_ns, final=True)
            self._paused()
        return out

    def deadline_ns(self) -> int | None:
        """When tick() is due, None while nothing is pending."""
        return self._last_ns + round(self.quiet_s * 1e9) if self._unsettled else None

    def resume_after_noise(self) -> None:  # noqa: B027 - a hook most codecs have no use for
        """Look for a frame behind any noise: for captures, which have no pauses. Most codecs always do."""

    def reply(self, frame: Frame) -> bytes:
        """What the protocol has us say to this frame, or the panel says it for ever (and then reports us); most want nothing."""
        return b""

    def held_bytes(self) -> int:
        """Bytes this codec holds now."""
        return len(self._buf) + len(self._noise) + self._held_more()

    # -- the protocol's side -------------------------------------------------------------------------------------
    @abstractmethod
    def _next(self, final: bool) -> Step | None:
        """What is at the front of the (not empty) buffer; None to wait for more, never when `final`."""

    def _finish(self) -> Iterable[Step]:
        """What is left when the line paused and the buffer is empty; sizes are 0."""
        return ()

    def _paused(self) -> None:  # noqa: B027 - a hook most codecs have no use for
        """The line was quiet for `quiet_s`."""

    def _held_more(self) -> int:
        return 0

    def _is_repeat(self, fields: Mapping[str, object], raw: bytes, now_ns: int) -> bool:
        """Whether this event is a copy of one told within the dedupe time. Content decides, never the point alone."""
        return self._known((raw,), now_ns)

    def _known(self, contents: Sequence[bytes], now_ns: int, remember: Sequence[bytes] | None = None) -> bool:
        """Whether one of `contents` was seen within the dedupe time; remembers them (or `remember`) as seen now."""
        seen, since_ns, known = self._seen, now_ns - self._dedupe_ns, False
        for key in contents:
            if seen.get(key, since_ns) > since_ns:
                known = True
        for key in contents if remember is None else remember:
            seen.pop(key, None)
            seen[key] = now_ns
        while len(seen) > SEEN_MAX:
            del seen[next(iter(seen))]
        return known

    # -- inside --------------------------------------------------------------------------------------------------
    def _run(self, out: list[Frame | Refused], now_ns: int, *, final: bool) -> None:
        while self._buf:
            step = self._next(final)
            if step is None:
                break
            self._apply(step, out, now_ns)
        if final:
            for step in self._finish():
                self._apply(step, out, now_ns)
            self._flush_noise(out, now_ns)

    def _apply(self, step: Step, out: list[Frame | Refused], now_ns: int) -> None:
        size, length = step.size, max(step.size, step.length)
        taken, raw = bytes(self._buf[:size]), step.raw
        if raw is None:
            raw = taken if length == size else bytes(self._buf[:length])
        del self._buf[:size]
        if step.fields is None and not step.refused:
            if step.held:
                return
            shown = min(self._covered, len(taken))
            self._covered -= shown
            self._noise += taken[shown:]
            while len(self._noise) >= NOISE_BYTES_MAX:
                piece = bytes(self._noise[:NOISE_BYTES_MAX])
                del self._noise[:NOISE_BYTES_MAX]
                out.append(Refused("noise", piece, now_ns))
            return
        if self._noise:
            self._flush_noise(out, now_ns)
        # A frame found inside a refused one ends what that one covered, unless it reaches further.
        self._covered = max(self._covered - len(taken), length - size) if step.refused else length - size
        if step.refused:
            out.append(Refused(step.refused, raw, now_ns, step.fields or {}, step.sound))
            return
        assert step.fields is not None
        repeat = False
        if self._dedupe_ns and step.fields.get("event") is not None:
            repeat = self._is_repeat(step.fields, raw, now_ns)
            if step.fields["event"] == "reset" and not repeat:
                self._seen.clear()  # after a reset the same fire is a new one
                self._is_repeat(step.fields, raw, now_ns)
        out.append(Frame(step.fields, raw, now_ns, repeat))

    def _flush_noise(self, out: list[Frame | Refused], now_ns: int) -> None:
        if self._noise.strip(self.filler or None) if self.filler else self._noise:
            out.append(Refused("noise", bytes(self._noise), now_ns))
        self._noise.clear()


def noise(size: int) -> Step:
    """The first `size` bytes are no frame."""
    return Step(size=size)


def bcd(value: int) -> int | None:
    """The number two BCD digits stand for, None if they are not digits."""
    high, low = divmod(value, 16)
    return high * 10 + low if high < 10 and low < 10 else None


def decode_stream(codec: Codec, data: bytes, *, byte_ns: int) -> list[dict[str, object]]:
    """Decode a capture as if it had just come over the line, one object for each frame or refusal.

    A frame: its fields, `raw` (hex), and None for what the codec always shows (`Codec.shown`) and this frame has not. A copy
    of a frame just seen has `event` None and `repeat` true, and the object of the first one gets `kind` "stream", `frames`
    (copies, itself included) and `distinct_events` 1.
    A refusal: `reject` true, `why`, what could be read, `event` None, `raw`.
    """
    found: list[Frame | Refused] = []
    now_ns = 0
    for value in data:
        found += codec.feed(bytes((value,)), now_ns)
        now_ns += byte_ns
    found += codec.tick(now_ns + (1 << 62))
    objects: list[dict[str, object]] = []
    firsts: dict[tuple[object, ...], dict[str, object]] = {}
    for item in found:
        if isinstance(item, Refused):
            objects.append({"reject": True, "why": item.why, **item.fields, "event": None, "raw": item.raw.hex()})
            continue
        shown = {"event": None, **dict.fromkeys(codec.shown), **item.fields, "raw": item.raw.hex()}
        key = tuple(item.fields.get(name) for name in ("event", "user_code", "device_type", "loop", "point"))
        if not item.repeat:
            firsts[key] = shown
        else:
            shown |= {"event": None, "repeat": True}
            if (first := firsts.get(key)) is not None:
                count = first.get("frames", 1)
                first |= {
                    "kind": "stream",
                    "frames": (count if isinstance(count, int) else 1) + 1,
                    "distinct_events": 1,
                }
        objects.append(shown)
    return objects
