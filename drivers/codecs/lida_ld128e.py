"""Leader (利达) LD128E by its LD6907 CRT card: the host sends 20 every 200 ms, the card answers 7F or three bytes.

Command, loop, address; no checksum, no length. So the pause between answers is the only framing there is: what is begun
and not finished within it is dropped, and on a line with much noise nothing that noise touched is believed.
Source: georgewzy/KS_old_gateway, doc/北京利达128E (captures and the vendor's note).
"""

from collections import deque
from collections.abc import Mapping
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Step, noise

POLL, IDLE, WEDGED = 0x20, 0x7F, 0xFB
POLL_PERIOD_MS: Final = 200
MESSAGE_BYTES: Final = 3
JUNK_MAX: Final = 8  # unknown bytes in one burst after which the rest of it is not looked at
NOISY_BURSTS, NOISY_WINDOW_NS = 5, 60 * 10**9
_POWER: Final = {"mains_fault": "mains_ok", "battery_fault": "battery_ok"}


class LidaLd128e(Codec):
    """`commands`: first byte -> event."""

    name: ClassVar[str] = "lida-ld128e"
    quiet_s = (
        0.06  # 9600 baud is 1 ms a character, a USB adapter may hold bytes for 16 ms, the next poll is 200 ms away
    )

    def __init__(self, *, commands: Mapping[int, str]) -> None:
        super().__init__()
        self._commands = commands
        self._strict = True
        self._junk = 0  # unknown bytes in this burst
        self._noisy: deque[int] = deque(maxlen=NOISY_BURSTS)

    def resume_after_noise(self) -> None:
        """Look for a message behind any noise: for captures, which have no pauses to tell bursts by."""
        self._strict = False

    def _next(self, final: bool) -> Step | None:
        if self._strict and self._junk and (self._junk > JUNK_MAX or self._is_noisy()):
            return noise(len(self._buf))
        first = self._buf[0]
        if first == IDLE:
            return Step(size=1, fields={"kind": "idle", "event": None, "direction": "panel_to_host"})
        if first == WEDGED:
            return Step(size=1, fields={"kind": "card_wedged", "event": None})
        if first == POLL:
            fields = {"kind": "poll", "event": None, "direction": "host_to_panel", "period_ms": POLL_PERIOD_MS}
            return Step(size=1, fields=fields)
        if first not in self._commands:
            self._junk += 1
            return noise(1)
        if len(self._buf) < MESSAGE_BYTES:
            return Step(size=len(self._buf), refused="leftover") if final else None
        event, second, third = self._commands[first], self._buf[1], self._buf[2]
        if event in _POWER:
            ok = second == 0  # seen otherwise: 40, D0, DF; it counts only if it stays (hold_s of the profile)
            told: dict[str, object] = {"event": _POWER[event] if ok else event, "state_byte": second, "ok": ok}
            return Step(size=MESSAGE_BYTES, fields={"kind": "event", **told, "third_byte": third})
        return Step(size=MESSAGE_BYTES, fields={"kind": "event", "event": event, "loop": second, "point": third})

    def _is_noisy(self) -> bool:
        return len(self._noisy) == NOISY_BURSTS and self._last_ns - self._noisy[0] < NOISY_WINDOW_NS

    def _paused(self) -> None:
        if self._junk:
            self._noisy.append(self._last_ns)
        self._junk = 0


def encode_event(command: int, loop: int, point: int) -> bytes:
    """The three bytes of an event, for simulators and tests."""
    return bytes((command, loop, point))
