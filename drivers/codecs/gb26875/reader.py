"""Packets out of a byte stream: glued, split at any byte, half, with noise between. Pure and bounded; never raises.

Packets are split by their length field, never by looking for the end mark, for there is no escaping. After a packet that fails a
check the search goes on one byte behind its start mark: a sound one may begin inside it.
"""

from collections import deque
from typing import Final

from drivers.codecs.gb26875.dialect import ADU_BYTES_MAX
from drivers.codecs.gb26875.frame import END, FRAME_BYTES_MIN, HEAD_BYTES, START, Frame, Rejected
from drivers.codecs.gb26875.tables import COMMANDS

PARTIAL_S: Final = 10.0  # the link timeout of clause 6.5.4
NOISE_BYTES_MAX: Final = 256  # longer noise is told in pieces


class FrameReader:
    """Takes the bytes of one link. Between calls it holds less than one packet and 256 bytes of noise."""

    def __init__(
        self,
        adu_max: int = ADU_BYTES_MAX,
        *,
        partial_s: float = PARTIAL_S,
        extra_commands: frozenset[int] = frozenset(),
    ) -> None:
        self._adu_max = adu_max
        self._partial_ns = round(partial_s * 1e9)
        self._commands = COMMANDS | extra_commands
        self._buffer = bytearray()
        self._noise = bytearray()
        self._covered = 0  # bytes at the front that an earlier refusal already showed
        self._arrived: deque[list[int]] = deque()  # [bytes, when they came], oldest first
        self._last_ns = 0

    def feed(self, data: bytes, now_ns: int) -> list[Frame | Rejected]:
        """Take bytes that came at `now_ns`; return what they settled, in order."""
        out = self.tick(now_ns)
        if data:
            self._arrived.append([len(data), now_ns])
            self._last_ns = now_ns
            self._buffer += data
            self._scan(out, now_ns)
        return out

    def tick(self, now_ns: int) -> list[Frame | Rejected]:
        """Give up a packet whose first byte has waited too long for the rest. Call at `deadline_ns()`; harmless at any time."""
        out: list[Frame | Rejected] = []
        if self._arrived and now_ns - self._arrived[0][1] >= self._partial_ns:
            self._scan(out, now_ns)
        if self._noise and now_ns - self._last_ns >= self._partial_ns:
            self._tell_noise(out)
        return out

    def deadline_ns(self) -> int | None:
        """When tick() is due, None while nothing waits."""
        if self._arrived:
            return self._arrived[0][1] + self._partial_ns
        return self._last_ns + self._partial_ns if self._noise else None

    def held_bytes(self) -> int:
        """Bytes this reader holds now."""
        return len(self._buffer) + len(self._noise)

    def _scan(self, out: list[Frame | Rejected], now_ns: int) -> None:
        data = bytes(self._buffer)  # slices of bytes are bytes: no packet is copied twice
        size, at, told = len(data), 0, 0  # bytes before `told` are in `out` or in the noise
        while True:
            start = data.find(START, at)
            at = start if start >= 0 else self._edge(data, at)
            length = data[at + 24] | data[at + 25] << 8 if size - at >= HEAD_BYTES else -1
            end = at + FRAME_BYTES_MIN + length
            frame = None
            if length > self._adu_max:
                reason, raw = "length", data[at : at + HEAD_BYTES]
            elif length < 0 or end > size:
                if at == size or not self._is_late(at, now_ns):
                    break
                reason, raw = "partial", data[at:]
            else:
                raw, reason = data[at:end], "end"
                if raw[-2:] == END:
                    frame, reason = Frame.read(raw), "checksum"
                    if sum(raw[2:-3]) & 0xFF == raw[-3]:
                        if told < at or self._noise:
                            self._skip(data[told:at], told, out, tell=True)
                        out.append(frame if frame.command in self._commands else Rejected("command", raw, frame))
                        at = told = end
                        self._covered = max(self._covered, end)
                        continue
            # What begins inside an earlier refusal was shown with that one; a lone @ is noise.
            if at >= self._covered and len(raw) > 1:
                self._skip(data[told:at], told, out, tell=True)
                out.append(Rejected(reason, raw, frame))
                self._covered, told = at + len(raw), at
            at += 1
        self._skip(data[told:at], told, out, tell=False)
        self._forget(at)

    @staticmethod
    def _edge(data: bytes, at: int) -> int:
        """Where to wait when there is no start mark: at its first byte if that came last, else at the end."""
        return len(data) - 1 if len(data) > at and data[-1] == START[0] else len(data)

    def _skip(self, skipped: bytes, at: int, out: list[Frame | Rejected], *, tell: bool) -> None:
        """Bytes from `at` that are in no packet; what a refusal covers is not noise as well."""
        self._noise += skipped[max(0, self._covered - at) :]
        while len(self._noise) >= NOISE_BYTES_MAX:
            out.append(Rejected("noise", bytes(self._noise[:NOISE_BYTES_MAX])))
            del self._noise[:NOISE_BYTES_MAX]
        if tell and self._noise:
            self._tell_noise(out)

    def _tell_noise(self, out: list[Frame | Rejected]) -> None:
        out.append(Rejected("noise", bytes(self._noise)))
        self._noise.clear()

    def _is_late(self, at: int, now_ns: int) -> bool:
        """Whether the byte at `at` came `partial_s` ago or earlier."""
        for count, came_ns in self._arrived:
            if at < count:
                return now_ns - came_ns >= self._partial_ns
            at -= count
        return False

    def _forget(self, size: int) -> None:
        """Take `size` settled bytes off the front."""
        del self._buffer[:size]
        self._covered = max(0, self._covered - size)
        while size and self._arrived:
            first = self._arrived[0]
            taken = min(size, first[0])
            first[0] -= taken
            size -= taken
            if not first[0]:
                self._arrived.popleft()
