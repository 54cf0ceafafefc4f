"""A guest that runs: qemu, its serial log, the hand inside it, QMP and qtest. It ends with its `async with`, whatever happens.

    async with Machine(image, tmp_path) as guest:
        await guest.up()
        assert (await guest.run("systemctl", "is-system-running")).out == b"running\\n"
        guest.cut(); await guest.start()        # a power cut, and power again: the same disk

KVM where this machine has it, else qemu's own interpreter, which takes ten times as long: EDGE_GUEST_ACCEL=tcg asks for that.
A guest reaches nothing but the ports of 127.0.0.1 it was given.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from edge_agent.tasks import end
from simulators.process import Program
from tests.guest.image import HERE, Image, cache_directory, locked

T = TypeVar("T")

GATEWAY: Final = "10.0.2.100"  # under which a guest finds the servers it was given
LINE_BYTES_MAX: Final = 32 * 1024 * 1024
PATIENCE_S: Final = 120.0  # of every wait: two busy cores
KVM_PATIENCE_S: Final = 10.0  # of one that works, two
INTERPRETED_S: Final = 900.0  # and a processor that qemu interprets


@dataclass(frozen=True, slots=True)
class Hardware:
    """What qemu is asked for, by Debian's name of the architecture."""

    qemu: str
    machine: str
    processor: str  # where qemu interprets
    own_processor: str  # with KVM
    console: str


HARDWARE: Final = {
    "amd64": Hardware("qemu-system-x86_64", "q35", "max", "host,arch-capabilities=off", "ttyS0"),
    "arm64": Hardware("qemu-system-aarch64", "virt", "cortex-a53", "host", "ttyAMA0"),
}
NATIVE: Final = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")


def has_kvm(image: Image) -> bool:
    """Whether a kernel of this machine's own kind gets to its first line under KVM: a machine that is itself a guest may make a
    virtual machine and then not run it. Found out once for each start of this machine.
    """
    if os.environ.get("EDGE_GUEST_ACCEL") == "tcg" or image.arch != NATIVE or not os.access("/dev/kvm", os.W_OK):
        return False
    known = cache_directory() / f"kvm-{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    with locked(known.with_name("kvm.lock")):
        if not known.exists():
            known.write_text("yes" if _runs_under_kvm(image) else "no")
        return known.read_text() == "yes"


def _runs_under_kvm(image: Image) -> bool:
    hardware = HARDWARE[image.arch]
    command = [
        hardware.qemu,
        "-nodefaults",
        "-display",
        "none",
        "-M",
        hardware.machine,
        "-m",
        "256",
        "-serial",
        "stdio",
    ]
    command += ["-accel", "kvm", "-cpu", hardware.own_processor, "-kernel", str(image.kernel)]
    command += ["-append", f"console={hardware.console} earlycon earlyprintk={hardware.console} panic=-1", "-no-reboot"]
    # without a root it panics, and so ends by itself
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=KVM_PATIENCE_S
        )
        return b"Linux version" in done.stdout
    return False


@dataclass(frozen=True, slots=True)
class Done:
    """What a command in the guest came to. `code` -1: it took too long."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """What it printed."""
        return self.out.decode("utf-8", "replace").strip()


class GuestError(AssertionError):
    """The guest did not do what was waited for; the message has the end of its serial log."""


class Machine:
    """One qemu on an overlay of an image.

    `init`: process 1, "/opt/guest/init" for a guest without systemd. `more`: more of qemu's arguments. `servers`: ports of
    127.0.0.1 by the port under which the guest finds them at GATEWAY. `accel`: "tcg" where a test counts instructions.
    `own_time`: where qemu interprets, the guest's clock counts its instructions (1 ns each) and its idleness, so a busy machine
    makes nothing late in there; it never runs ahead of ours.
    """

    def __init__(
        self,
        image: Image,
        directory: Path,
        *,
        init: str = "",
        memory_mb: int = 512,
        processors: int = 1,
        more: Sequence[str] = (),
        servers: Mapping[int, int] | None = None,
        accel: str = "",
        append: str = "",
        own_time: bool = False,
    ) -> None:
        self.image, self._init, self._more, self._append = image, init, tuple(more), append
        self._memory_mb, self._processors, self._servers = memory_mb, processors, dict(servers or {})
        self.kvm = accel != "tcg" and has_kvm(image)
        self.patience_s = PATIENCE_S if self.kvm else INTERPRETED_S
        self._own_time = own_time and not self.kvm
        self.disk = directory / "disk.qcow2"
        self.serial = directory / "serial.log"  # of every start
        self.directory = Path(tempfile.mkdtemp(prefix="zg-guest-"))  # short: a Unix socket's path has 107 bytes
        self._qemu = Program("qemu", self._command(), directory / "qemu.log")
        self._hand: _Hand | None = None
        self._qmp: _Lines | None = None
        self._qtest: _Lines | None = None

    def _command(self) -> list[str]:
        """Qemu's command line. It dies with its parent, however that dies."""
        hardware, place = HARDWARE[self.image.arch], self.directory
        words = f"console={hardware.console} quiet loglevel=4 panic=-1 mitigations=off net.ifnames=0 {self._append}"
        if self._init:
            words += f" guest.init={self._init}"
        forwards = "".join(
            f",guestfwd=tcp:{GATEWAY}:{inside}-cmd:{sys.executable} {HERE / 'relay.py'} {outside}"
            for inside, outside in self._servers.items()
        )
        return [
            *("setpriv", "--pdeathsig", "KILL", hardware.qemu, "-nodefaults", "-no-user-config", "-no-reboot"),
            *("-display", "none", "-M", hardware.machine, "-accel", "kvm" if self.kvm else "tcg"),
            *("-cpu", hardware.own_processor if self.kvm else hardware.processor),
            *("-m", str(self._memory_mb), "-smp", str(self._processors)),
            *("-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd), "-append", words),
            *("-chardev", f"file,id=console,path={self.serial},append=on", "-serial", "chardev:console"),
            *("-drive", f"file={self.disk},format=qcow2,if=none,id=disk,cache=writeback"),
            *("-device", "virtio-blk-pci,drive=disk"),
            *("-device", "virtio-serial-pci", "-chardev", f"socket,id=hand,path={place}/hand,server=on,wait=off"),
            *("-device", "virtserialport,chardev=hand,name=edge.hand"),
            *("-netdev", f"user,id=net,restrict=on{forwards}", "-device", "virtio-net-pci,netdev=net,romfile="),
            *("-qmp", f"unix:{place}/qmp,server=on,wait=off"),
            *("-qtest", f"unix:{place}/qtest,server=on,wait=off", "-qtest-log", "/dev/null"),
            *(("-icount", "shift=0,sleep=on") if self._own_time else ()),
            *self._more,
        ]

    # --- its life

    async def __aenter__(self) -> Self:
        try:
            await _called("qemu-img", "create", "-q", "-f", "qcow2", "-b", self.image.disk, "-F", "raw", self.disk)
            await self.start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _end(self) -> None:
        await self.cut()
        shutil.rmtree(self.directory, ignore_errors=True)

    async def start(self) -> None:
        """Power on; on the disk as it was left. Returns before the guest is up. Raise GuestError."""
        self._since = self.serial.stat().st_size if self.serial.exists() else 0
        await self._qemu.start()
        self._hand = _Hand(await self._connect("hand"))

    async def cut(self) -> None:
        """Power off, at once: the guest's memory is gone, its disk has what it flushed and perhaps some of what it did not."""
        if self._qemu.running:
            await self._qemu.kill()
        for line in (self._hand, self._qmp, self._qtest):
            if line is not None:
                await line.close()
        self._hand = self._qmp = self._qtest = None
        for name in ("hand", "qmp", "qtest"):
            (self.directory / name).unlink(missing_ok=True)

    async def up(self) -> str:
        """Wait until the guest's hand answers; its boot id. Raise GuestError."""
        assert self._hand is not None
        return await self._within(self._hand.hello(), "the guest is up")

    @property
    def running(self) -> bool:
        """Whether qemu runs."""
        return self._qemu.running

    async def ended(self, within_s: float | None = None) -> None:
        """Wait until qemu has ended by itself: powered off, or reset (-no-reboot). Raise GuestError."""
        await self._until(lambda: not self._qemu.running, "it ends", within_s)

    # --- what it says and is told

    def log(self) -> str:
        """The serial console since the last start."""
        with contextlib.suppress(FileNotFoundError):
            return self.serial.read_bytes()[self._since :].decode("utf-8", "replace").replace("\r", "")
        return ""

    async def line(self, pattern: str, within_s: float | None = None) -> re.Match[str]:
        """Wait until a line of the console has what this regular expression means. Raise GuestError."""
        wanted = re.compile(pattern, re.MULTILINE)
        await self._until(lambda: wanted.search(self.log()), f"the console says {pattern}", within_s)
        found = wanted.search(self.log())
        assert found is not None
        return found

    async def run(self, *command: str, stdin: bytes = b"", check: bool = True, timeout_s: float | None = None) -> Done:
        """Run a command in the guest, as root. Raise GuestError if it takes too long, or fails and `check`."""
        assert self._hand is not None
        within_s = timeout_s or self.patience_s
        asked = {"run": command, "stdin": base64.b64encode(stdin).decode(), "timeout_s": within_s}
        # the hand itself gives the command up first
        said = await self._within(self._hand.ask(asked), " ".join(command)[:200], within_s + 60)
        done = Done(said["code"], base64.b64decode(said["out"]), base64.b64decode(said["err"]))
        if check and done.code != 0:
            raise GuestError(
                f"{' '.join(command)[:200]}: {done.code}\n{done.text}\n{done.err.decode(errors='replace')}"
            )
        return done

    async def shell(self, script: str, **options: Any) -> str:
        """What a shell script printed in the guest. Raise GuestError as `run`."""
        return (await self.run("sh", "-ec", script, **options)).text

    async def python(self, script: str, *arguments: str, **options: Any) -> Done:
        """Run a Python script in the guest."""
        return await self.run("python3", "-c", script, *arguments, **options)

    async def put(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """Write a file in the guest, in a directory that is made if need be."""
        script = 'mkdir -p "$(dirname "$1")"; cat > "$1"; chmod "$2" "$1"'
        await self.run(
            "sh", "-ec", script, "sh", path, f"{mode:o}", stdin=data.encode() if isinstance(data, str) else data
        )

    async def get(self, path: str) -> bytes:
        """Read a file in the guest."""
        return (await self.run("cat", path)).out

    async def follow(self, *command: str) -> AsyncIterator[bytes]:
        """The lines a command prints in the guest, as they come, until it or the guest ends."""
        assert self._hand is not None
        async for line in self._hand.follow(command):
            yield line

    async def qmp(self, execute: str, **arguments: object) -> Any:
        """One command of qemu's own monitor: what it returns. Raise GuestError with its error."""
        if self._qmp is None:
            self._qmp = await self._connect("qmp")
            await self._within(self._qmp.read(), "qemu's greeting")
            await self.qmp("qmp_capabilities")
        await self._qmp.write(json.dumps({"execute": execute, "arguments": arguments}).encode())
        while True:
            said = json.loads(await self._within(self._qmp.read(), f"qemu answers {execute}"))
            if "error" in said:
                raise GuestError(f"{execute}: {said['error']}")
            if "return" in said:
                return said["return"]

    async def qtest(self, command: str) -> str:
        """One command of qemu's test protocol, such as `set_irq_in PATH NAME N LEVEL`: its answer without the OK."""
        if self._qtest is None:
            self._qtest = await self._connect("qtest")
        await self._qtest.write(command.encode())
        while True:
            said = (await self._within(self._qtest.read(), f"qemu answers {command}")).decode().strip()
            if said.startswith("OK"):
                return said[2:].strip()
            if not said.startswith("IRQ"):
                raise GuestError(f"{command}: {said}")

    # --- waiting

    async def _connect(self, name: str) -> "_Lines":
        found: list[_Lines] = []

        async def connected() -> None:
            while not found:
                try:
                    ends = await asyncio.open_unix_connection(str(self.directory / name), limit=LINE_BYTES_MAX)
                    found.append(_Lines(*ends))
                except (FileNotFoundError, ConnectionRefusedError):  # it does not listen yet
                    if not self._qemu.running:
                        raise ConnectionError from None
                    await asyncio.sleep(0.02)

        await self._within(connected(), f"qemu listens on {name}")
        return found[0]

    async def _within(self, waited: Awaitable[T], what: str, within_s: float | None = None) -> T:
        try:
            async with asyncio.timeout(within_s or self.patience_s):
                return await waited
        except TimeoutError:
            raise self._error(f"not within {within_s or self.patience_s} s: {what}") from None
        except ConnectionError:
            raise self._error(f"the guest has ended: {what}") from None

    async def _until(self, condition: Callable[[], object], what: str, within_s: float | None = None) -> None:
        async def holds() -> None:
            while not condition():
                if not self._qemu.running and not condition():
                    raise ConnectionError
                await asyncio.sleep(0.02)

        await self._within(holds(), what, within_s)

    def _error(self, what: str) -> GuestError:
        return GuestError(f"{what}\n--- console\n{self.log()[-3000:]}\n--- qemu\n{self._qemu.tail(10)}")


class _Lines:
    """One of qemu's sockets, a line at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        """The next line. Raise ConnectionError at the end."""
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError
        return line

    async def write(self, line: bytes) -> None:
        """Say a line. Raise ConnectionError."""
        self._writer.write(line + b"\n")
        await self._writer.drain()

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class _Hand:
    """The far end of hand.py: several commands may be under way at once."""

    def __init__(self, lines: _Lines) -> None:
        self._lines, self._ids = lines, itertools.count(1)
        self._heard: dict[int, asyncio.Queue[dict[str, Any] | None]] = {}
        self._hello: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._read(), name="hand")

    async def _read(self) -> None:
        try:
            while True:
                said = json.loads(await self._lines.read())
                if "hello" in said:
                    self._hello.set_result(said["hello"])
                elif (queue := self._heard.get(said["id"])) is not None:
                    queue.put_nowait(said)
        except ConnectionError:
            for queue in self._heard.values():
                queue.put_nowait(None)
            if not self._hello.done():
                self._hello.set_exception(ConnectionError())
                self._hello.exception()  # nobody may be waiting

    async def hello(self) -> str:
        """The boot id, once the hand is there."""
        return await asyncio.shield(self._hello)

    async def ask(self, asked: Mapping[str, object]) -> dict[str, Any]:
        """One request, one answer. Raise ConnectionError."""
        async with contextlib.aclosing(self._talk(asked)) as talk:
            async for said in talk:
                return said
        raise ConnectionError

    async def follow(self, command: Sequence[str]) -> AsyncIterator[bytes]:
        """The lines of a command, until its end or the guest's."""
        async with contextlib.aclosing(self._talk({"follow": command})) as talk:
            async for said in talk:
                if "line" not in said:
                    return
                yield base64.b64decode(said["line"]).rstrip(b"\n")

    async def _talk(self, asked: Mapping[str, object]) -> AsyncGenerator[dict[str, Any], None]:
        await self.hello()
        if self._task.done():
            raise ConnectionError
        number = next(self._ids)
        queue = self._heard[number] = asyncio.Queue()
        try:
            await self._lines.write(json.dumps({"id": number, **asked}).encode())
            while (said := await queue.get()) is not None:
                yield said
        finally:
            del self._heard[number]

    async def close(self) -> None:
        """Hear the rest of what a guest said that has ended, then hang up."""
        await asyncio.wait([self._task], timeout=PATIENCE_S)
        await end(self._task, forgive=(Exception,))
        await self._lines.close()


async def _called(*command: str | Path) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0, command
