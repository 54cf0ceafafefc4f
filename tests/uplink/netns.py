"""Two real ways to one centre: a network namespace behind two veth pairs, each of which can be cut, black-holed or made one-way.

Needs root and `ip` (Debian: iproute2); `why_not()` says what is missing. The centre has one address on both ways, and another one
of its own for whoever watches it.
"""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

from tests.brokers import Broker, Certificates

WRONG_NEIGHBOUR = "02:00:00:00:00:99"


def why_not() -> str:
    """Why this machine cannot make network namespaces; "" if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need ip (Debian: iproute2)"
    made = subprocess.run(["ip", "netns", "add", f"zgtry{os.getpid()}"], capture_output=True, check=False)
    if made.returncode:
        return f"no network namespaces here: {made.stderr.decode().strip()}"
    subprocess.run(["ip", "netns", "del", f"zgtry{os.getpid()}"], check=True)
    return ""


def ip(*arguments: str) -> None:
    """Run ip. Raise AssertionError with what it said."""
    ran = subprocess.run(["ip", *arguments], capture_output=True, check=False)
    assert ran.returncode == 0, (arguments, ran.stderr.decode())


class Way:
    """One veth pair. `interface` is this side's end."""

    def __init__(self, namespace: str, number: int, net: str, centre: str) -> None:
        self.namespace, self.centre = namespace, centre
        self.interface, self._far = f"{namespace}{number}", f"far{number}"
        self._here, self._there = f"{net}.{4 * number + 5}", f"{net}.{4 * number + 6}"
        self._metric = str(10 * (number + 1))
        ip("link", "add", self.interface, "type", "veth", "peer", "name", self._far, "netns", namespace)
        ip("addr", "add", f"{self._here}/30", "dev", self.interface)
        ip("-n", namespace, "addr", "add", f"{self._there}/30", "dev", self._far)
        ip("-n", namespace, "link", "set", self._far, "up")
        self.heal()

    @property
    def far_address(self) -> str:
        """The far end's own address."""
        return self._there

    def cut(self) -> None:
        """As a pulled cable: the interface is down."""
        ip("link", "set", self.interface, "down")

    def black_hole(self) -> None:
        """What is sent vanishes on the way; the interface is up."""
        ip("neigh", "replace", self._there, "lladdr", WRONG_NEIGHBOUR, "dev", self.interface, "nud", "permanent")
        ip("-n", self.namespace, "route", "replace", "blackhole", f"{self._here}/32")

    def one_way(self) -> None:
        """What is sent arrives; no answer comes back."""
        ip("-n", self.namespace, "route", "replace", "blackhole", f"{self._here}/32")

    def heal(self) -> None:
        """As new."""
        ip("link", "set", self.interface, "up")
        for undo in (
            ["neigh", "del", self._there, "dev", self.interface],
            ["-n", self.namespace, "route", "del", "blackhole", f"{self._here}/32"],
        ):
            subprocess.run(["ip", *undo], capture_output=True, check=False)
        ip("route", "replace", f"{self.centre}/32", "via", self._there, "dev", self.interface, "metric", self._metric)


class TwoWays:
    """`eth` and `cell` to `centre`, and a third way, `watch`, that is never touched."""

    def __init__(self) -> None:
        number = os.getpid() % 4096
        self.namespace = f"zgw{number:x}"
        net = f"10.{16 + number // 256}.{number % 256}"
        self.centre = f"{net}.1"
        self._net = net

    def __enter__(self) -> "TwoWays":
        ip("netns", "add", self.namespace)
        try:
            ip("-n", self.namespace, "link", "set", "lo", "up")
            ip("-n", self.namespace, "addr", "add", f"{self.centre}/32", "dev", "lo")
            self.eth, self.cell = self._way(0), self._way(1)
            self.watch = self._way(2)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for number in range(3):  # the namespace would take them with it, some time later
            with contextlib.suppress(AssertionError):
                ip("link", "del", f"{self.namespace}{number}")
        ip("netns", "del", self.namespace)

    def _way(self, number: int) -> Way:
        return Way(self.namespace, number, self._net, self.centre)


class FarBroker(Broker):
    """mosquitto inside the namespace: TLS for gateways on the centre's address, plain on the way that is only watched."""

    def __init__(self, directory: Path, ways: TwoWays) -> None:
        self._ways = ways
        super().__init__(directory, tls=Certificates(directory / "tls", host=ways.centre))
        self.host = ways.centre
        self.watch_port = self.port + 1 if self.port < 65000 else self.port - 1
        self.config = f"listener {self.watch_port} {ways.watch.far_address}"
        self.command = ("ip", "netns", "exec", ways.namespace, *self.command)
