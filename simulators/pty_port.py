"""A device's end of a serial port, as a pty: comes and goes like a USB adapter, notices when the host opens it."""

import asyncio
import contextlib
import os
import select
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Final

REATTACH_S: Final = 0.02  # how often an unopened pty is looked at
WAITING_MAX: Final = 65536  # more than this nobody reads


class PtyPort:
    """`path` is the host's end, and `link`, a symlink to it, survives replugging. Both calls come on the loop.

    `on_bytes`: what the host sent. `on_open`: the host has opened the port. `held`: the port counts as open from the start,
    so that what is written before the host comes waits for it; its coming and going are not seen then.
    """

    def __init__(
        self,
        link: Path | None,
        on_bytes: Callable[[bytes], None],
        *,
        on_open: Callable[[], None] = lambda: None,
        held: bool = False,
    ) -> None:
        self.link, self.path = link, ""
        self._on_bytes, self._on_open, self._held = on_bytes, on_open, held
        self._master = self._slave = -1
        self._attached = False
        self._out = bytearray()

    def come_back(self) -> None:
        """Plug it in, under the same path."""
        if self._master >= 0:
            return
        self._master, self._slave = os.openpty()
        os.set_blocking(self._master, False)
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        if not self._held:
            self._let_go()
        if self.link is not None:
            beside = self.link.with_name(self.link.name + ".new")
            beside.unlink(missing_ok=True)
            beside.symlink_to(self.path)
            beside.replace(self.link)
        self._watch()

    def hang_up(self) -> None:
        """Pull the plug: the pty and its path are gone."""
        if self._master < 0:
            return
        if self.link is not None:
            with contextlib.suppress(OSError):
                self.link.unlink()
        self._detach()
        self._let_go()
        os.close(self._master)
        self._master = -1

    def _let_go(self) -> None:
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def write(self, data: bytes) -> None:
        """Send, or queue what the host does not read now; without a host it is lost, as on a wire."""
        if self._master < 0 or not self._attach():
            return
        if not self._out:
            with contextlib.suppress(BlockingIOError, InterruptedError, OSError):
                data = data[os.write(self._master, data) :]
        if data and len(self._out) + len(data) <= WAITING_MAX:
            if not self._out:
                asyncio.get_running_loop().add_writer(self._master, self._writable)
            self._out += data

    def _writable(self) -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError, OSError):
            del self._out[: os.write(self._master, self._out)]
        if not self._out:
            asyncio.get_running_loop().remove_writer(self._master)

    def _watch(self) -> None:
        if self._master >= 0 and not self._attach():
            asyncio.get_running_loop().call_later(REATTACH_S, self._watch)

    def _attach(self) -> bool:
        if not self._attached:
            poll = select.poll()
            poll.register(self._master, select.POLLIN)
            if any(flags & select.POLLHUP for _, flags in poll.poll(0)):
                return False
            self._attached = True
            asyncio.get_running_loop().add_reader(self._master, self._readable)
            self._on_open()
        return True

    def _detach(self) -> None:
        self._attached = False
        self._out.clear()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        loop.remove_writer(self._master)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # EIO: the host closed the port
            data = b""
        if data:
            self._on_bytes(data)
        else:
            self._detach()
            self._watch()
