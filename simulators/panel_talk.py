"""How fire panels talk, one class a protocol: events, keepalives, answers. `simulators.panel` puts them on a pty."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from drivers.codecs import (
    aorina_oxx20,
    fuan_fs5101w,
    gst100_printer,
    gst_crt500,
    gst_layer_bus,
    gst_utd_digit,
    jb3208_crt,
    jbf_11s_old,
    jbf_193k,
    lida_ld128e,
)
from drivers.profile import load_profiles

_T = TypeVar("_T")
COPIES: Final = 3  # the GST bus sends every frame three times
KEEPALIVE_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Line:
    """Speed and the bits of a character."""

    baud: int
    char_bits: int


class Talk(ABC):
    """How one protocol speaks."""

    line: Line
    keepalive_s: float | None = None

    @abstractmethod
    def event(self, event: str, address: str) -> bytes:
        """The frame of an event. Raises ValueError for one the protocol has no frame for."""

    def copies(self, frame: bytes) -> list[bytes]:
        """What follows the frame by itself."""
        return []

    def keepalive(self) -> bytes:
        """What is said now and then."""
        return b""

    def polled(self) -> bool:
        """Whether the panel speaks only when asked."""
        return False

    def answer(self, heard: bytearray, waiting: deque[bytes]) -> bytes | None:
        """Take a poll off `heard` and return the answer; None when there is none yet."""
        heard.clear()
        return None


class _LayerBus(Talk):
    line = Line(2400, 10)
    keepalive_s = KEEPALIVE_S
    _kinds: Final = {"fire": 0x15, "fire_manual": 0x15, "fault": 0x21, "feedback": 0x22}

    def event(self, event: str, address: str) -> bytes:
        if event == "reset":
            return gst_layer_bus.encode_short(gst_layer_bus.RESET_OR_IDLE, b"\x55" * 4)
        kind = _pick(self._kinds, event)
        return gst_layer_bus.encode_event(kind, address, 11 if event == "fire_manual" else 3, "1#楼2层")

    def copies(self, frame: bytes) -> list[bytes]:
        return [frame] * (COPIES - 1)

    def keepalive(self) -> bytes:
        return gst_layer_bus.encode_short(gst_layer_bus.KEEPALIVE, bytes.fromhex("12211221"))


class _Printer(Talk):
    line = Line(9600, 10)
    _words: Final = {
        "fire": "首次火警",
        "fire_manual": "手动火警",
        "fault": "故障",
        "fault_restore": "故障恢复",
        "feedback": "反馈",
        "reset": "系统复位",
        "isolate": "屏蔽",
    }

    def event(self, event: str, address: str) -> bytes:
        word = _pick(self._words, event)
        body = f"\x1b\x3608/12/02  17:24\n  {_printed(address) if event != 'reset' else ''}\n\x1b\x39{word}\n"
        body += "\n" if event == "reset" else "裙楼一层上空\n感烟探测器\n\n"
        return body.encode("gb18030")


class _Polled(Talk):
    def polled(self) -> bool:
        return True


class _Lida(_Polled):
    line = Line(9600, 10)
    _commands: Final = {
        "fire": 0x01,
        "fault": 0x02,
        "fault_restore": 0x05,
        "feedback": 0x09,
        "feedback_restore": 0x0B,
        "silence": 0x30,
        "link_request": 0x40,
        "start": 0x44,
        "reset": 0x50,
        "mains_fault": 0x12,
    }

    def event(self, event: str, address: str) -> bytes:
        loop, point = (0, 0) if event == "reset" else _loop_point(address)
        return lida_ld128e.encode_event(_pick(self._commands, event), loop, point)

    def answer(self, heard: bytearray, waiting: deque[bytes]) -> bytes | None:
        if lida_ld128e.POLL not in heard:
            heard.clear()
            return None
        del heard[: heard.index(lida_ld128e.POLL) + 1]
        return waiting.popleft() if waiting else bytes((lida_ld128e.IDLE,))


class _Jbf(_Polled):
    line = Line(2400, 10)
    _codes: Final = {"fire": 0x0A, "fault": 0x0B, "feedback": 0x0C}

    def event(self, event: str, address: str) -> bytes:
        if event == "reset":
            return jbf_11s_old.encode_short(jbf_11s_old.RESET)
        code = _pick(self._codes, event.removesuffix("_restore"))
        loop, point = _loop_point(address)
        return jbf_11s_old.encode_event(code, loop, point, status=int(event.endswith("_restore")))

    def answer(self, heard: bytearray, waiting: deque[bytes]) -> bytes | None:
        at = heard.find(jbf_11s_old.POLL)
        if at < 0:
            del heard[: -len(jbf_11s_old.POLL)]
            return None
        del heard[: at + len(jbf_11s_old.POLL)]
        return waiting.popleft() if waiting else jbf_11s_old.encode_short(jbf_11s_old.IDLE)


class _Crt500(_Polled):
    line = Line(2400, 11)
    address = 1
    _frames: Final = {"fire": (0x0D, 3, 1), "fire_manual": (0x0D, 11, 1), "start": (0x0D, 76, 2), "fault": (0x0E, 3, 0)}

    def __init__(self) -> None:
        self._asked = b""  # the frame that has not been taken over yet

    def event(self, event: str, address: str) -> bytes:
        if event in ("reset", "silence"):
            return b"\x0a\xaa\xbb" if event == "reset" else b"\xfa\xab\xbb"
        first, device_type, status = _pick(self._frames, event)
        return gst_crt500.encode_event(first, address, device_type, status)

    def answer(self, heard: bytearray, waiting: deque[bytes]) -> bytes | None:
        while heard:
            if heard[0] == self.address:
                if len(heard) < 2:
                    return None
                del heard[:2]
                return bytes((self.address,))
            value = heard.pop(0)
            if value == gst_crt500.ASK:
                if self._asked:  # no 1F came: the same again, marked so
                    return bytes((self._asked[0] | 0xF0,)) + self._asked[1:]
                self._asked = waiting.popleft() if waiting else b""
                return self._asked or b"\xf0\xf0\xbb"
            if value == gst_crt500.TAKEN:
                self._asked = b""
        return None


class _UtdDigit(Talk):
    line = Line(9600, 10)
    keepalive_s = KEEPALIVE_S
    _codes: Final = {"fire": 0x0001, "fire_cancel": 0x0000, "prealarm": 0x0007, "supervisory": 0x000D, "fault": 0x0004}

    def event(self, event: str, address: str) -> bytes:
        return gst_utd_digit.encode_event(_pick(self._codes, event), *_loop_point(address))

    def keepalive(self) -> bytes:
        return gst_utd_digit.encode_link_test()


class _Gst100(Talk):
    line = Line(1200, 10)
    _words: Final = {"fire": 0x11, "prealarm": 0x12, "action": 0x14, "fault": 0x16, "isolate": 0x17, "reset": 0x1D}

    def event(self, event: str, address: str) -> bytes:
        where = "" if event == "reset" else _printed(address).lstrip("0")
        return gst100_printer.encode_record(_pick(self._words, event), where, 0x23)


class _Aorina(Talk):
    line = Line(9600, 10)
    keepalive_s = KEEPALIVE_S
    _tags: Final = {
        "fire": "HJ1",
        "fault": "GZ1",
        "fault_restore": "GZ2",
        "feedback": "FK1",
        "isolate": "PB1",
        "reset": "FW1",
    }

    def event(self, event: str, address: str) -> bytes:
        loop, point = (0, 0) if event == "reset" else _loop_point(address)
        return aorina_oxx20.encode(_pick(self._tags, event), 1, loop, point)

    def keepalive(self) -> bytes:
        return aorina_oxx20.encode(aorina_oxx20.PATROL, 1)


class _Jb3208(Talk):
    line = Line(9600, 10)
    keepalive_s = KEEPALIVE_S
    _codes: Final = {"fire": 110, "fault": 111, "start": 112, "feedback": 113, "supervisory": 114, "isolate": 115}

    def event(self, event: str, address: str) -> bytes:
        if event == "reset":
            return jb3208_crt.encode_reset()
        return jb3208_crt.encode_event(_pick(self._codes, event), [(*_loop_point(address), 0, 1)])

    def keepalive(self) -> bytes:
        return jb3208_crt.confirm(1)  # the panel's poll looks like the answer to it


class _Fuan(Talk):
    line = Line(9600, 11)
    keepalive_s = 1.0
    _states: Final = {"fire": 0x05, "prealarm": 0x41, "feedback": 0x06, "fault": 0x01, "fault_restore": 0x00}

    def event(self, event: str, address: str) -> bytes:
        if event == "reset":
            return fuan_fs5101w.encode_reset()
        return fuan_fs5101w.encode_event(_pick(self._states, event), *_loop_point(address))

    def keepalive(self) -> bytes:
        return fuan_fs5101w.poll(1)


class _Jbf193k(_Polled):
    line = Line(9600, 10)
    _codes: Final = {
        "fire": 0x80,
        "fault": 0x81,
        "fault_restore": 0x82,
        "feedback": 0x85,
        "supervisory": 0x8C,
        "reset": 0x01,
    }

    def event(self, event: str, address: str) -> bytes:
        loop, point = (0, 0) if event == "reset" else _loop_point(address)
        return jbf_193k.encode_event(_pick(self._codes, event), loop, point)

    def answer(self, heard: bytearray, waiting: deque[bytes]) -> bytes | None:
        at = heard.find(jbf_193k.POLL)
        if at < 0:
            del heard[: -len(jbf_193k.POLL)]
            return None
        del heard[: at + len(jbf_193k.POLL)]
        return waiting.popleft() if waiting else jbf_193k.encode_event(jbf_193k.VERSION, 0, 0)


class _Examples(Talk):
    """A panel nobody has written a class for: it says the examples of its profile, whatever the address."""

    def __init__(self, name: str) -> None:
        profile = load_profiles(()).get(name)
        link = profile.link
        self.line = Line(link.baud, round(profile.char_s * link.baud))
        examples = profile.data.get("example", [])
        self._frames = {
            str(one["expect"].get("event")): bytes.fromhex(str(one["hex"]))
            for one in (examples if isinstance(examples, list) else [])
            if isinstance(one, dict) and isinstance(one.get("expect"), dict)
        }

    def event(self, event: str, address: str) -> bytes:
        return _pick(self._frames, event)


def talk_of(protocol: str) -> Talk:
    """How `protocol` (a panel profile) speaks. Raises ProfileError for one there is not."""
    made = TALKS.get(protocol)
    return made() if made is not None else _Examples(protocol)


TALKS: Final[Mapping[str, Callable[[], Talk]]] = {
    "aorina-oxx20": _Aorina,
    "fuan-fs5101w": _Fuan,
    "gst-crt500": _Crt500,
    "gst-layer-bus": _LayerBus,
    "gst-utd-digit": _UtdDigit,
    "gst100-microprinter": _Gst100,
    "gst9000-printer": _Printer,
    "jb3208-crt": _Jb3208,
    "jbf-11s-old": _Jbf,
    "jbf-193k": _Jbf193k,
    "lida-ld128e": _Lida,
}


def _pick(table: Mapping[str, _T], event: str) -> _T:
    if event not in table:
        raise ValueError(f"no frame for {event!r}; there are {', '.join(table)}")
    return table[event]


def _loop_point(address: str) -> tuple[int, int]:
    loop, _, point = address.partition("-")
    return int(loop), int(point)


def _printed(address: str) -> str:
    loop, point = _loop_point(address)
    return f"{loop:03d}-{point:03d}"
