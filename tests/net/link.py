"""Two network namespaces with a bad link between them, for a test: shaped while it runs, gone whatever becomes of the test."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest

ROOT = Path(__file__).parents[2]

G4 = {"delay_ms": 60, "jitter_ms": 40, "loss": 0.02, "rate_kbit": 2000}
NBIOT = {"delay_ms": 800, "jitter_ms": 500, "loss": 0.05, "rate_kbit": 30, "reorder": 0.02, "dup": 0.02}
SOUND = {"delay_ms": 0, "jitter_ms": 0, "loss": 0, "rate_kbit": 0, "reorder": 0, "dup": 0}
HEALED = {"cut": "", "mtu_hole": 0, "hole_after": 0, "reset": False}


def cannot() -> str:
    """Why this machine can have no namespace and no TUN; "" if it can."""
    if os.geteuid() != 0:
        return "needs root for a network namespace"
    if shutil.which("ip") is None:
        return "needs ip (Debian: iproute2)"
    return "" if os.access("/dev/net/tun", os.R_OK | os.W_OK) else "needs /dev/net/tun"


class BadLink:
    """A gateway's namespace and a centre's, which is `here` to it. Use as a context manager; skips where it cannot be had.

    Each has the kernel's TCP as Debian sets it, whatever this machine's own network is set to.
    """

    def __init__(self, seed: int) -> None:
        if why := cannot():
            pytest.skip(why)
        number = os.getpid() % 16_000  # two runs at a time never meet; one test has one link at a time
        self.gateway, self.centre = f"zg{number}", f"zc{number}"
        self.here, self.there = (f"10.{64 + number // 256}.{number % 256}.{host}" for host in (1, 2))
        self.seed = seed
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        for namespace in (self.gateway, self.centre):
            subprocess.run(["ip", "netns", "add", namespace], check=True)
        ends = (self.centre, self.here, self.gateway, self.there)
        words = [sys.executable, "-m", "tests.net.shaper", *ends, str(self.seed)]
        self._process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            self.__exit__()
            pytest.skip("this machine lets nobody make a TUN device")
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
        for namespace in (self.gateway, self.centre):
            subprocess.run(["ip", "netns", "del", namespace], check=False)

    def tune(self, namespace: str, **values: object) -> None:
        """Set sysctls `net.ipv4.*` of one end, for what is started there from now on. Raise CalledProcessError."""
        for name, value in values.items():
            words = ["ip", "netns", "exec", namespace, "tee", f"/proc/sys/net/ipv4/{name}"]
            subprocess.run(words, input=f"{value}\n", stdout=subprocess.DEVNULL, check=True, text=True)

    def shape(self, **settings: object) -> dict[str, int]:
        """Change the link now. Returns the counts so far: bytes up, down, lost; resets; fell_ms, when what was armed fell."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(settings) + "\n")
        process.stdin.flush()
        counts: dict[str, int] = json.loads(process.stdout.readline())
        return counts

    def arm(self, settings: dict[str, object], *, way: str, after: int, within_s: float) -> None:
        """`settings` come by themselves, with the packet that makes it `after` bytes `way` from now; `within_s` at the latest."""
        self.shape(fall={"way": way, "after": after, "within_s": within_s, "settings": settings})
