"""A serial port as the drivers see it: bytes with their time, a port that may vanish and come back, no CPU meanwhile.

Linux tty, straight on termios2: any baud rate, any framing, mark and space parity, and settings that work on a pty too
(why not a library: docs/decisions/0003-serial.md). Two ways to use it:

    link = SerialLink("/dev/ttyAMA0", baud=2400, framing="8N1")
    link.on_bytes = lambda data, at_ns: ...               # in the loop turn the kernel had them
    link.on_state = lambda up, reason, detail, at_ns: ... # only with run()
    await link.run()                                      # for ever: opens, reopens by path, closes when cancelled

    await link.open()                                     # or one attempt, raising LinkDown; then write(), close()

What a pty cannot do (measured): it enforces no baud rate, drops parity silently, has no modem lines.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import struct
import termios
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TCGETS2: Final = 0x802C542A  # asm-generic: x86, arm, arm64, riscv
_TCSETS2: Final = 0x402C542B
_TERMIOS2: Final = struct.Struct("=4IB19s2I")  # iflag oflag cflag lflag line cc[19] ispeed ospeed
_BOTHER: Final = 0o010000  # "the speed is the number in ospeed"
_CMSPAR: Final = 0o10000000000
_ASYNC_LOW_LATENCY: Final = 0x2000  # without it an FTDI chip holds bytes back for 16 ms
_SERIAL_FLAGS_AT: Final = 16  # offset of `flags` in struct serial_struct, on 32 and 64 bit

# On a pty the kernel keeps TIOCEXCL until both ends are closed: after a kill -9 of ours, a panel behind socat or ser2net would
# answer EBUSY to an ordinary user for ever. The flock, which goes with the process, has to do there.
_PTY_MAJORS: Final = range(136, 144)

READ_BYTES: Final = 4096
WRITE_BYTES_MAX: Final = 4096  # more than this waiting to leave means that nobody takes it
REOPEN_FIRST_S: Final = 0.25
REOPEN_MAX_S: Final = 2.0

_DATA_BITS: Final = {"5": termios.CS5, "6": termios.CS6, "7": termios.CS7, "8": termios.CS8}
_PARITY: Final = {
    "N": 0,
    "E": termios.PARENB,
    "O": termios.PARENB | termios.PARODD,
    "M": termios.PARENB | termios.PARODD | _CMSPAR,
    "S": termios.PARENB | _CMSPAR,
}
_STOP_BITS: Final = {"1": 0, "2": termios.CSTOPB}
_PARITY_MASK: Final = termios.PARENB | termios.PARODD | _CMSPAR


class LinkDown(Exception):
    """The port could not be opened, or is not open. `reason`: no_port or hang_up; `detail`: ASCII, what to look at."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Framing:
    """Data bits, parity (N E O M S) and stop bits of a line, written "8N1"."""

    data_bits: int
    parity: str
    stop_bits: int

    @classmethod
    def parse(cls, text: str) -> "Framing":
        """Raise ValueError unless `text` is like 8N1, 7E2, 8M1."""
        if len(text) != 3 or text[0] not in _DATA_BITS or text[1] not in _PARITY or text[2] not in _STOP_BITS:
            raise ValueError(f"framing {text!r} is not like 8N1 (bits 5-8, parity N E O M S, stop 1 2)")
        return cls(int(text[0]), text[1], int(text[2]))

    @property
    def char_bits(self) -> int:
        """Bits one character takes on the line, start bit included."""
        return 1 + self.data_bits + (self.parity != "N") + self.stop_bits

    def cflag(self) -> int:
        """The c_cflag of this framing, receiver on, modem lines ignored."""
        bits = _DATA_BITS[str(self.data_bits)] | _PARITY[self.parity] | _STOP_BITS[str(self.stop_bits)]
        return bits | termios.CREAD | termios.CLOCAL | _BOTHER


class SerialLink:
    """One exclusive tty. `dtr`, `rts`: level to set on opening, None leaves what the kernel does (both on)."""

    def __init__(
        self,
        path: str,
        *,
        baud: int = 9600,
        framing: str = "8N1",
        dtr: bool | None = None,
        rts: bool | None = None,
    ) -> None:
        if not 50 <= baud <= 4_000_000:
            raise ValueError(f"baud {baud} is not between 50 and 4000000")
        self.path = path
        self.baud = baud
        self.framing = Framing.parse(framing)
        self._char_s = self.framing.char_bits / baud
        self.on_bytes: Callable[[bytes, int], None] = lambda data, at_ns: None
        """Called with each chunk read and its loop time in ns. An exception it raises is the loop's to report."""
        self.on_state: Callable[[bool, str, str, int], None] = lambda up, reason, detail, at_ns: None
        """Called by run() with (up, reason, detail, at_ns); reason is opened, no_port or hang_up. Once per change."""
        self.rx_bytes = 0
        self.tx_bytes = 0
        self.reopened = 0
        self.parity_kept = True  # False after opening a tty that dropped the parity (ptys, some UARTs with M or S)
        self._dtr, self._rts = dtr, rts
        self._fd = -1
        # The loop watches this epoll, and this the port: to pause is one system call (docs/decisions/0003-serial.md)
        self._ear: select.epoll | None = None
        self._hears = False
        self._out = bytearray()
        self._lost: asyncio.Future[str] | None = None
        self._resume: asyncio.TimerHandle | None = None

    # -- state ---------------------------------------------------------------------------------------------------
    @property
    def up(self) -> bool:
        """Whether the port is open."""
        return self._fd >= 0

    def char_s(self, count: int = 1) -> float:
        """Seconds `count` characters take on the line."""
        return count * self._char_s

    # -- opening and closing -------------------------------------------------------------------------------------
    async def open(self) -> None:
        """Open, lock and configure the port; raise LinkDown saying why not.

        In a thread of its own: a wedged USB adapter may hold open() for seconds, and the other ports must not wait.
        """
        if self.up:
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()

        def settle(fd: int, fault: LinkDown | None) -> None:
            if done.cancelled():
                if fd >= 0:
                    _close(fd)
            elif fault is not None:
                done.set_exception(fault)
            else:
                done.set_result(fd)

        def work() -> None:
            fd, fault = -1, None
            try:
                fd = self._open_now()
            except LinkDown as down:
                fault = down
            try:
                loop.call_soon_threadsafe(settle, fd, fault)
            except RuntimeError:  # the loop is gone
                if fd >= 0:
                    _close(fd)

        threading.Thread(target=work, name=f"open {self.path}", daemon=True).start()
        fd = await done
        try:
            self._ear = select.epoll()
        except OSError as fault:  # no descriptor is left
            _close(fd)
            raise LinkDown("no_port", f"{self.path}: {_words(fault)}") from fault
        self._fd, self._lost = fd, loop.create_future()
        self._ear.register(fd, select.EPOLLIN)
        self._hears = True
        loop.add_reader(self._ear, self._readable)

    def close(self) -> None:
        """Close the port; harmless when it is closed. What was not sent yet is thrown away."""
        self._drop("closed")

    async def run(self) -> None:
        """Keep the port open until cancelled, telling `on_state` of each change; retries every 0.25 s to 2 s."""
        loop = asyncio.get_running_loop()
        wait_s, told, opened_once = REOPEN_FIRST_S, "", False
        try:
            while True:
                try:
                    await self.open()
                except LinkDown as down:
                    if down.detail != told:  # once when it goes, and again only if the cause changes
                        told = down.detail
                        self.on_state(False, down.reason, down.detail, _now_ns(loop))
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 2, REOPEN_MAX_S)
                    continue
                self.reopened += opened_once
                wait_s, told, opened_once = REOPEN_FIRST_S, "", True
                self.on_state(True, "opened", "" if self.parity_kept else "parity not kept by this tty", _now_ns(loop))
                assert self._lost is not None
                why = await self._lost
                self.on_state(False, "hang_up", why, _now_ns(loop))
                # A port that opens and hangs up at once must not spin either.
                await asyncio.sleep(REOPEN_FIRST_S)
        finally:
            self.close()

    # -- bytes ---------------------------------------------------------------------------------------------------
    def write(self, data: bytes) -> None:
        """Send `data`, or queue what the kernel does not take now. Raises LinkDown when the port is closed or stuck."""
        if self._fd < 0:
            raise LinkDown("no_port", f"{self.path} is not open")
        if len(self._out) + len(data) > WRITE_BYTES_MAX:
            raise LinkDown("hang_up", f"{self.path} takes no bytes")
        sent = 0
        if not self._out:
            try:
                sent = os.write(self._fd, data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as fault:
                self._drop(f"write: {_words(fault)}")
                raise LinkDown("hang_up", _words(fault)) from fault
        self.tx_bytes += len(data)
        if sent < len(data):
            if not self._out:
                asyncio.get_running_loop().add_writer(self._fd, self._writable)
            self._out += data[sent:]

    async def drain(self) -> None:
        """Return when everything written has left the port, the last character's time included. Raises LinkDown.

        Asked of the kernel in timer steps, because tcdrain() would block the loop.
        """
        while True:
            waiting = len(self._out) + self._queued()
            if not waiting:
                break
            await asyncio.sleep(self.char_s(waiting))
        await asyncio.sleep(self.char_s(1))  # the UART's own shift register is not in the kernel's count
        if not self.up:
            raise LinkDown("hang_up", f"{self.path} went away")

    def pause(self, until_s: float, over: Callable[[], None]) -> None:
        """Leave what comes in to the kernel until `until_s` of the loop's clock: a master that knows how many bytes are still due
        need not wake for each of them (an FTDI adapter hands over one or two at a time). What had come is handed over then, and
        `over` called if that began no other pause; never if the port has gone away meanwhile, which is noticed at once.
        """
        if self._ear is None or self._resume is not None:
            return
        if self._hears:
            self._ear.modify(self._fd, 0)
            self._hears = False
        loop = asyncio.get_running_loop()
        self._resume = loop.call_at(until_s, self._listen, loop, over)

    def _listen(self, loop: asyncio.AbstractEventLoop, over: Callable[[], None]) -> None:
        self._resume = None
        self._readable()
        if self._ear is not None and self._resume is None:
            self._ear.modify(self._fd, select.EPOLLIN)
            self._hears = True
            over()

    def set_parity(self, parity: str) -> None:
        """Change the parity at once (N E O M S): the ninth bit of multidrop panels. drain() first. Raises LinkDown."""
        if not self.up:
            raise LinkDown("no_port", f"{self.path} is not open")
        framing = Framing(self.framing.data_bits, parity, self.framing.stop_bits)
        try:
            self.parity_kept = _configure(self._fd, self.baud, framing)
        except OSError as fault:
            self._drop(f"settings: {_words(fault)}")
            raise LinkDown("hang_up", _words(fault)) from fault
        self.framing, self._char_s = framing, framing.char_bits / self.baud

    # -- inside --------------------------------------------------------------------------------------------------
    def _open_now(self) -> int:
        fd = -1
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            if not os.isatty(fd):
                raise OSError(errno.ENOTTY, "not a serial port")
            if holder := _terminal_of(os.fstat(fd).st_rdev):
                raise LinkDown("no_port", f"{self.path} is the terminal of {holder}; disable the login on it")
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # against our own kind, as pyserial and serialx do
            if os.major(os.fstat(fd).st_rdev) not in _PTY_MAJORS:
                fcntl.ioctl(fd, termios.TIOCEXCL)  # against everybody but root
            self.parity_kept = _configure(fd, self.baud, self.framing)
            _set_line(fd, termios.TIOCM_DTR, self._dtr)
            _set_line(fd, termios.TIOCM_RTS, self._rts)
            _low_latency(fd)
            termios.tcflush(fd, termios.TCIFLUSH)  # bytes of another speed are noise
        except LinkDown:
            _close(fd)
            raise
        except (OSError, termios.error, ValueError) as fault:  # ValueError: a path no file can have
            code = fault.args[0] if fault.args else 0
            if code in (errno.EBUSY, errno.EAGAIN):
                detail = f"{self.path} is busy: {_holder(self.path, fd) or _words(fault)}"
            elif code in (errno.EACCES, errno.EPERM):
                detail = f"{self.path}: permission denied; is the user in the group that owns it (dialout)?"
            else:
                detail = f"{self.path}: {_words(fault)}"
            if fd >= 0:
                _close(fd)
            raise LinkDown("no_port", detail) from fault
        return fd

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as fault:
            self._drop(f"read: {_words(fault)}")
            return
        if not data:  # a hung-up tty is readable for ever and gives nothing: leave the selector or spin
            self._drop("read: hung up")
            return
        self.rx_bytes += len(data)
        self.on_bytes(data, round(asyncio.get_running_loop().time() * 1e9))

    def _writable(self) -> None:
        try:
            sent = os.write(self._fd, self._out)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as fault:
            self._drop(f"write: {_words(fault)}")
            return
        del self._out[:sent]
        if not self._out:
            asyncio.get_running_loop().remove_writer(self._fd)

    def _queued(self) -> int:
        if not self.up:
            raise LinkDown("hang_up", f"{self.path} went away")
        try:
            return int(struct.unpack("i", fcntl.ioctl(self._fd, termios.TIOCOUTQ, b"\0" * 4))[0])
        except OSError as fault:
            self._drop(f"drain: {_words(fault)}")
            raise LinkDown("hang_up", _words(fault)) from fault

    def _drop(self, why: str) -> None:
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        ear, self._ear = self._ear, None
        self._out.clear()
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        lost, self._lost = self._lost, None
        with contextlib.suppress(RuntimeError):  # no running loop: nothing is registered any more
            loop = asyncio.get_running_loop()
            if ear is not None:
                loop.remove_reader(ear)
            loop.remove_writer(fd)
        if ear is not None:
            ear.close()
        _close(fd)
        if lost is not None and not lost.done():
            with contextlib.suppress(RuntimeError):
                lost.set_result(why)


def _now_ns(loop: asyncio.AbstractEventLoop) -> int:
    return round(loop.time() * 1e9)


def _words(fault: BaseException) -> str:
    """ASCII words of an OSError or a termios.error, without the path."""
    text = fault.args[1] if len(fault.args) > 1 else str(fault)
    return str(text).encode("ascii", "replace").decode()


def _close(fd: int) -> None:
    # Unsent output would hold close() for up to 30 s (the driver's closing_wait).
    with contextlib.suppress(OSError, termios.error):
        termios.tcflush(fd, termios.TCOFLUSH)
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.TIOCNXCL)
    with contextlib.suppress(OSError):
        os.close(fd)


def _configure(fd: int, baud: int, framing: Framing) -> bool:
    """Raw mode at this speed and framing; False if the tty did not keep the parity. Raises OSError."""
    cc = bytearray(19)
    cc[termios.VMIN] = 1  # with 0 a read of nothing would look like a hang-up
    # Input parity is not checked (INPCK off): multidrop panels use the bit as an address mark, and frames have sums.
    wanted = (termios.IGNBRK, 0, framing.cflag(), 0, 0, bytes(cc), baud, baud)
    fcntl.ioctl(fd, _TCSETS2, _TERMIOS2.pack(*wanted))
    got = _TERMIOS2.unpack(fcntl.ioctl(fd, _TCGETS2, bytes(_TERMIOS2.size)))
    if abs(got[7] - baud) > baud * 0.03:
        raise OSError(errno.EINVAL, f"{baud} baud is not possible on this port, it offers {got[7]}")
    return bool(got[2] & _PARITY_MASK == framing.cflag() & _PARITY_MASK)


def _set_line(fd: int, line: int, level: bool | None) -> None:
    if level is None:
        return
    with contextlib.suppress(OSError):  # ptys and some adapters have no modem lines
        fcntl.ioctl(fd, termios.TIOCMBIS if level else termios.TIOCMBIC, struct.pack("i", line))


def _low_latency(fd: int) -> None:
    try:
        serial = bytearray(fcntl.ioctl(fd, termios.TIOCGSERIAL, bytes(128)))
        flags = int.from_bytes(serial[_SERIAL_FLAGS_AT : _SERIAL_FLAGS_AT + 4], "little") | _ASYNC_LOW_LATENCY
        serial[_SERIAL_FLAGS_AT : _SERIAL_FLAGS_AT + 4] = flags.to_bytes(4, "little")
        fcntl.ioctl(fd, termios.TIOCSSERIAL, bytes(serial))
    except OSError:  # not a UART with such a switch
        return


def _terminal_of(device: int) -> str:
    """The process whose controlling terminal is `device`, or "": a login on the port would eat half its bytes."""
    for entry in _processes():
        try:
            stat = (entry / "stat").read_text(errors="replace")
            name, _, rest = stat.partition("(")[2].rpartition(")")
            number = int(rest.split()[4]) & 0xFFFFFFFF
        except (OSError, ValueError, IndexError):
            continue  # it ended, or is not ours to read
        if number and os.makedev((number >> 8) & 0xFFF, (number & 0xFF) | (number >> 12 & 0xFFF00)) == device:
            return f"process {entry.name} ({name.encode('ascii', 'replace').decode()})"
    return ""


def _holder(path: str, ours: int) -> str:
    """Who has `path` open besides our own descriptor `ours`, "" if that cannot be seen from here."""
    real, own = os.path.realpath(path), f"/proc/{os.getpid()}/fd/{ours}"
    for entry in _processes():
        try:
            for link in (entry / "fd").iterdir():
                if str(link) != own and str(link.readlink()) == real:
                    name = (entry / "comm").read_text(errors="replace").strip().encode("ascii", "replace").decode()
                    return f"open in process {entry.name} ({name})"
        except OSError:
            continue
    return ""


def _processes() -> list[Path]:
    try:
        return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return []
