"""What the kernel makes of parity errors, framing errors and breaks before we read them, and that we find back behind them.

A pty has no wire, so the wire and the kernel's way from it are simulated: `kernel` is what a UART driver (uart_insert_char) and the
line discipline (n_tty) do with each character under the flags that our own code has set on a real tty, read back from it.
"""

import fcntl
import os
import random
import struct
import termios
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.codecs.base import HELD_BYTES_MAX, Frame
from drivers.codecs.registry import build_codec
from drivers.profile import load_profiles
from drivers.serial_link import SerialLink
from simulators.panel import PanelSim
from tests.codecs.test_panel_codecs import FIRES
from tests.drivers.test_panel import site
from tests.drivers.test_serial_link import Pty
from tests.waiting import until

PROFILES = load_profiles(())
PANELS = [profile.name for profile in PROFILES.list() if profile.kind == "panel"]
TCGETS2, TERMIOS2 = 0x802C542A, struct.Struct("=4IB19s2I")
S = 10**9
PARITY, FRAMING, BREAK = "parity", "framing", "break"


@dataclass(frozen=True)
class Character:
    """What the UART received: eight bits, and what was wrong."""

    value: int
    error: str = ""


def kernel(flags: int, characters: list[Character]) -> bytes:
    """What read() gives for them under these input flags (of termios)."""
    out = bytearray()
    for one in characters:
        checked = bool(flags & termios.INPCK)
        if one.error == BREAK:
            if not flags & termios.IGNBRK:
                out += b"\xff\0\0" if flags & termios.PARMRK else b"\0"
        elif one.error and checked:
            if not flags & termios.IGNPAR:
                out += bytes((0xFF, 0, one.value)) if flags & termios.PARMRK else b"\0"
        elif one.value == 0xFF and flags & termios.PARMRK:
            out += b"\xff\xff"
        else:
            out.append(one.value)
    return bytes(out)


def flags_of(fd: int) -> int:
    return int(TERMIOS2.unpack(fcntl.ioctl(fd, TCGETS2, bytes(TERMIOS2.size)))[0])


@pytest.fixture
def pty(tmp_path: Path):  # type: ignore[no-untyped-def]
    port = Pty(tmp_path / "port")
    port.plug()
    yield port
    port.pull()


@pytest.mark.asyncio
@pytest.mark.parametrize("framing", ["8N1", "7E2", "8E1", "8M1", "8S1"])
async def test_a_port_left_with_marks_by_another_program_is_read_raw(pty: Pty, framing: str) -> None:
    seen = bytearray()
    link = SerialLink(str(pty.link), framing=framing)
    held = pty.link.open("r+b", buffering=0)
    settings = termios.tcgetattr(held)
    settings[0] |= termios.PARMRK | termios.INPCK | termios.ISTRIP | termios.IXON | termios.INLCR | termios.ICRNL
    termios.tcsetattr(held, termios.TCSANOW, settings)
    assert flags_of(held.fileno()) & termios.PARMRK
    held.close()
    link.on_bytes = lambda data, at_ns: seen.extend(data)
    await link.open()
    try:
        assert flags_of(link._fd) == termios.IGNBRK
        wire = bytes(range(256)) + b"\xff\xff\xff\r\n\x11\x13\0"
        os.write(pty.master, wire)
        await until(lambda: len(seen) >= len(wire), "every byte")
        assert bytes(seen) == wire == kernel(termios.IGNBRK, [Character(value) for value in wire])
    finally:
        link.close()


def test_the_kernel_model_marks_drops_and_zeroes_as_the_manual_has_it() -> None:
    wire = [Character(0x41), Character(0x42, PARITY), Character(0xFF), Character(0, BREAK), Character(0x43, FRAMING)]
    assert kernel(termios.INPCK | termios.PARMRK, wire) == b"A\xff\0B\xff\xff\xff\0\0\xff\0C"
    assert kernel(termios.INPCK, wire) == b"A\0\xff\0\0"
    assert kernel(termios.INPCK | termios.IGNPAR | termios.IGNBRK, wire) == b"A\xff"
    assert kernel(termios.IGNBRK, wire) == b"AB\xffC"


def damaged(frame: bytes, error: str, chance: random.Random) -> list[Character]:
    """A frame with one character spoilt as the error spoils it."""
    wire = [Character(value) for value in frame]
    at = chance.randrange(len(wire))
    if error == PARITY:  # one bit of it, or the parity bit itself
        wire[at] = Character(wire[at].value ^ 1 << chance.randrange(8), PARITY)
    elif error == FRAMING:  # the receiver lost its place: what it takes for a character straddles two
        for place in range(at, min(at + 3, len(wire))):
            wire[place] = Character(wire[place].value << chance.randrange(1, 7) & 0xFF, FRAMING)
    else:
        wire[at : at + chance.randrange(3)] = [Character(0, BREAK)]
    return wire


@pytest.mark.parametrize("error", [PARITY, FRAMING, BREAK])
@pytest.mark.parametrize("name", PANELS)
def test_the_frame_behind_a_spoilt_one_is_read(name: str, error: str) -> None:
    """Right behind it, or behind it once more: a spoilt length or mark may take the next frame with it, never two."""
    chance, codec, now_ns = random.Random(f"{name} {error}"), build_codec(PROFILES.get(name)), 0
    for _ in range(20):
        for piece in (kernel(termios.IGNBRK, damaged(FIRES[name], error, chance)), FIRES[name]):
            codec.feed(piece, now_ns)
            now_ns += 2 * S
            codec.tick(now_ns)
            assert codec.held_bytes() <= HELD_BYTES_MAX
        found = [*codec.feed(FIRES[name], now_ns + 300 * S), *codec.tick(now_ns + 302 * S)]
        now_ns += 600 * S
        assert any(isinstance(item, Frame) and (item.event or item.repeat) for item in found)


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [PARITY, FRAMING, BREAK])
async def test_a_crt500_frame_spoilt_on_its_nine_bit_line_is_resent_and_told_once(tmp_path: Path, error: str) -> None:
    """The ninth bit marks addresses and is no parity of anything: with INPCK set every poll's echo would be an error."""
    chance = random.Random(error)
    async with site(tmp_path, "gst-crt500") as (panel, driver, seen):
        await until(lambda: (True, "answering") in seen.links)
        await panel.inject(kernel(termios.IGNBRK, damaged(FIRES["gst-crt500"], error, chance)))
        await panel.raise_event("fire", "001004")
        await until(lambda: any(told.event == "fire" for told in seen.events), "the fire behind it")
        assert [told.point for told in seen.events if told.event == "fire"] == ["panel1/001004"]
        assert driver.counters()["polls"] > 0


# --- silence --------------------------------------------------------------------------------------------------------------------


# Battery detectors behind a concentrator report once a day: their receiver supervises each by itself.
@pytest.mark.parametrize("name", [name for name in PANELS if name != "radio-concentrator"])
def test_a_panel_that_speaks_by_itself_is_missed_within_100_seconds(name: str) -> None:
    assert PROFILES.get(name).link.silence_s <= 95, "and half a second until it is looked at"


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", ["lida-ld128e", "jbf-11s-old", "jbf-193k", "gst-crt500"])
async def test_our_own_polls_coming_back_are_no_sign_of_life(tmp_path: Path, protocol: str) -> None:
    """A two-wire adapter that hears itself, and a panel that is dead."""
    async with site(tmp_path, protocol, silence_s=3.0) as (panel, driver, seen):
        await until(lambda: (True, "answering") in seen.links)
        panel.silent = True
        echoing(panel)
        polls = driver.counters()["polls"]
        await until(lambda: seen.links[-1][0] is False, "told")
        assert driver.counters()["polls"] > polls
        assert seen.links[-1] == (False, "silent")


def echoing(panel: PanelSim) -> None:
    """From now on the line gives back what is sent on it."""
    heard = panel._bytes  # noqa: SLF001,RUF100 - a property of the wire, not of the panel

    def received(data: bytes) -> None:
        panel._port.write(data)  # noqa: SLF001,RUF100
        heard(data)

    panel._port._on_bytes = received  # noqa: SLF001,RUF100
