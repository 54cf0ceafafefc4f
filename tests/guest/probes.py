"""Runs inside a unit's sandbox in a guest, in the place of our program, and tries what that must do and what it must not.

python probes.py core|uplink      Standard library only. A line of JSON for each: {"probe", "may": bool, "did": bool, "said"}.

What must be refused is harmless where it is not: it is also run outside the sandbox, where it must succeed. Else it would be
refused for a reason of its own, and say nothing about the unit.
"""

import ctypes
import errno
import fcntl
import grp
import json
import mmap
import os
import resource
import signal
import socket
import sqlite3
import stat
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, MS_NODEV = 0x1000_0000, 4
STATE = Path(os.environ.get("STATE_DIRECTORY", "/var/lib/edge-agent"))
KEYS, PORT, DISK = Path("/etc/edge-agent/tls"), "/dev/ttyS1", "/dev/vda"
LAN, PUBLIC = ("10.0.2.100", 8883), ("198.51.100.1", 9)


def called(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def notified() -> None:
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(b"STATUS=probing", address.replace("@", "\0", 1))


def journal_kept() -> None:
    path = STATE / "probe.db"
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
        database.execute("CREATE TABLE t (x)")
        database.execute("INSERT INTO t VALUES (1)")
    database.close()
    path.unlink()


def socket_made() -> None:
    path = Path("/run/edge-agent/probe.sock")
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        path.chmod(0o660)
        assert path.stat().st_gid == grp.getgrnam("edge-agent").gr_gid, "a technician could not open it"
    path.unlink()


def serial_spoken() -> None:
    port = os.open(PORT, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    fcntl.ioctl(port, termios.TIOCEXCL)
    termios.tcsetattr(port, termios.TCSANOW, termios.tcgetattr(port))
    fcntl.ioctl(port, termios.TIOCNXCL)
    os.close(port)


def in_groups(*names: str) -> None:
    assert {grp.getgrnam(name).gr_gid for name in names} <= set(os.getgroups()), os.getgroups()


def reached(where: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.sendto(b"probe", where)


def written(directory: str) -> None:
    path = Path(directory, "probe-of-the-sandbox")
    path.write_text("probe")
    path.unlink()


def opened(kind: int, how: int = socket.SOCK_RAW, protocol: int = 0) -> None:
    socket.socket(kind, how, protocol).close()


def in_a_child(do: Callable[[], object]) -> None:
    """What changes the process that does it: its errno comes back as the exit code."""
    if (child := os.fork()) == 0:
        try:
            do()
        except OSError as fault:
            os._exit(fault.errno or 255)
        except Exception:  # noqa: BLE001  (else the child would go on as a second of us, and we wait for it: setrlimit has a ValueError)
            os._exit(255)
        os._exit(0)
    if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise OSError(code, os.strerror(code))


def code_written() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def made_setuid() -> None:
    path = STATE / "probe-setuid"
    path.write_text("")
    try:
        path.chmod(0o4755)
        assert path.stat().st_mode & stat.S_ISUID
    finally:
        path.unlink()


def mounted() -> None:
    called(LIBC.mount(b"probe", b"/home", b"tmpfs", MS_NODEV, None))
    called(LIBC.umount(b"/home"))


def limit_lifted() -> None:
    """Of the control group it is in: written as it is."""
    limit = Path("/sys/fs/cgroup" + Path("/proc/self/cgroup").read_text().strip().removeprefix("0::"), "memory.max")
    limit.write_text(limit.read_text())


def other_processes_seen() -> None:
    Path("/proc/1/cmdline").read_bytes()
    assert Path("/proc/1").stat().st_uid == 0


def key_loaded(name: str) -> None:
    assert b"PRIVATE KEY" in Path(os.environ["CREDENTIALS_DIRECTORY"], name).read_bytes()


def clock_asked() -> None:
    """Whether the kernel's clock is synchronised: `adjtimex` with nothing to set."""
    buffer = ctypes.create_string_buffer(256)
    called(LIBC.adjtimex(buffer))


def callback_made() -> None:
    assert ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)() == 7


def many_tasks(count: int) -> None:
    """More threads than TasksMax=."""
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(count)]
    begun = []
    try:
        for thread in threads:
            thread.start()
            begun.append(thread)
    except RuntimeError as fault:
        raise OSError(errno.EAGAIN, str(fault)) from None
    finally:
        stop.set()
        for thread in begun:
            thread.join()


BOTH_MAY = {
    "notify systemd": notified,
    "keep SQLite's files in its state directory": journal_kept,
    "listen on TCP": lambda: socket.create_server(("127.0.0.1", 0)).close(),
    "reach the network of the site": lambda: reached(LAN),
    "read the boot id": Path("/proc/sys/kernel/random/boot_id").read_text,
    "read the memory's state": Path("/proc/meminfo").read_text,
    "start threads": lambda: many_tasks(4),
    "use ctypes": callback_made,
    "write where it is temporary": lambda: written("/tmp"),  # a directory of its own: PrivateTmp
    "read the configuration": Path("/etc/edge-agent/config.toml").read_text,
}
BOTH_MAY_NOT = {
    "write beside the configuration": lambda: written("/etc/edge-agent"),
    "write to the system": lambda: written("/usr/lib"),
    "read root's home": lambda: list(Path("/root").iterdir()),
    "read other people's homes": lambda: list(Path("/home/technician").iterdir()),
    "read the passwords": Path("/etc/shadow").read_bytes,
    "read the keys where they lie": (KEYS / "gateway.key").read_bytes,
    "read the disk": lambda: os.close(os.open(DISK, os.O_RDONLY)),
    "open a raw socket": lambda: opened(socket.AF_INET, protocol=1),
    "open a netlink socket": lambda: opened(socket.AF_NETLINK),
    "open a packet socket": lambda: opened(socket.AF_PACKET),
    "make a user namespace": lambda: in_a_child(lambda: called(LIBC.unshare(CLONE_NEWUSER))),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME)),
    "run in real time": lambda: in_a_child(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
    "write code into memory": code_written,
    "make a file that runs as its owner": made_setuid,
    "mount": mounted,
    "name the machine": lambda: socket.sethostname(socket.gethostname()),
    "signal process 1": lambda: os.kill(1, 0),
    "see processes of others": other_processes_seen,
    "set what the kernel does": lambda: Path("/proc/sys/kernel/panic").write_text("0"),
    "lift its own limit of memory": limit_lifted,
    "raise a hard limit": lambda: in_a_child(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 1 << 20))),
    "read the kernel's log": lambda: os.close(os.open("/dev/kmsg", os.O_RDONLY)),
    "start a hundred threads": lambda: many_tasks(100),
}
MAY = {
    "core": {
        "make a socket in its runtime directory": socket_made,
        "speak on a serial port": serial_spoken,
        "have the groups of ports and lines": lambda: in_groups("dialout", "gpio"),
    },
    "uplink": {
        "read the key it was given": lambda: key_loaded("tls_gateway.key"),
        "ask whether the clock is synchronised": clock_asked,
    },
}
MAY_NOT = {
    "core": {"reach a public address": lambda: reached(PUBLIC)},
    "uplink": {"speak on a serial port": serial_spoken},
}


def main() -> None:
    name = sys.argv[1]
    for may, probes in ((True, {**BOTH_MAY, **MAY[name]}), (False, {**BOTH_MAY_NOT, **MAY_NOT[name]})):
        for probe, do in probes.items():
            try:
                did, said = True, repr(do())[:80]
            except Exception as fault:  # noqa: BLE001  (whatever it is, it was refused)
                did, said = False, f"{type(fault).__name__}: {fault}"[:160]
            print(json.dumps({"probe": probe, "may": may, "did": did, "said": said}), flush=True)
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(b"READY=1", address.replace("@", "\0", 1))
        signal.pause()  # until it is stopped


main()
