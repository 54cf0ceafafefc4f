"""A real mosquitto for a test: on a free port, with TLS, an ACL, and ways to break it.

    with Broker(tmp_path) as broker: ...            # plain, on 127.0.0.1
    with Broker(tmp_path, tls=Certificates()) as broker: ...

Each broker has its own directory and process; nothing is shared between tests.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType

import trustme

from simulators.ports import free_port
from tests.waiting import PATIENCE_S

MOSQUITTO = "/usr/sbin/mosquitto"


class Certificates:
    """A CA, a broker's certificate for `host` and whatever else it is called, and clients' certificates, as files."""

    def __init__(
        self,
        directory: Path,
        *,
        host: str = "127.0.0.1",
        also: Sequence[str] = (),
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._ca = trustme.CA()
        self.ca_file = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))
        server = self._ca.issue_cert(host, *also, not_before=not_before, not_after=not_after)
        self.server_cert, self.server_key = directory / "server.pem", directory / "server.key"
        server.private_key_pem.write_to_path(str(self.server_key))
        server.cert_chain_pems[0].write_to_path(str(self.server_cert))

    def client(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a client; mosquitto takes the common name as the user's."""
        issued = self._ca.issue_cert(f"{name}.test", common_name=name)
        cert, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        issued.private_key_pem.write_to_path(str(key))
        issued.cert_chain_pems[0].write_to_path(str(cert))
        return cert, key

    def sign(self, request: bytes) -> bytes:
        """The certificate for a gateway's request (CSR), made as docs/install.md says it is at the CA."""
        csr, key = self.directory / "request.csr", self.directory / "ca.key"
        csr.write_bytes(request)
        self._ca.private_key_pem.write_to_path(str(key))
        command = ["openssl", "x509", "-req", "-in", csr, "-CA", self.ca_file, "-CAkey", key, "-days", "825"]
        done = subprocess.run([*command, "-copy_extensions", "copy"], capture_output=True, check=True)
        return done.stdout


def listens(pid: int, port: int) -> bool:
    """Whether this process has a listening TCP socket on this port; asked of the kernel, for a connection may reach another's."""
    listening = set()
    with contextlib.suppress(OSError):  # it has ended
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                listening.add(f"socket:[{inode}]")
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(fd.readlink()) in listening:
                    return True
    return False


class Broker:
    """One mosquitto. `config` is added to its configuration file; `acl` are the lines of its access list."""

    def __init__(
        self,
        directory: Path,
        *,
        tls: Certificates | None = None,
        acl: str | None = None,
        persistent: bool = False,
        config: str = "",
    ) -> None:
        self.directory, self.tls, self.persistent, self.config = directory / "broker", tls, persistent, config
        self.directory.mkdir(parents=True, exist_ok=True)
        self.host, self.port = "127.0.0.1", free_port()
        self._acl_file = self.directory / "acl"
        self._has_acl = acl is not None
        if acl is not None:
            self._acl_file.write_text(acl)
        self.command: tuple[str, ...] = (MOSQUITTO,)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = False
        self.log = self.directory / "log"

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Of the running broker."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started, and not ended by us."""
        return self._process is not None

    def start(self) -> None:
        """Start it on its port, and wait until it listens."""
        for _ in range(5):
            self._write_config()
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*self.command, "-c", str(self.directory / "conf")],
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                )
            deadline_s = time.monotonic() + PATIENCE_S
            while self._process.poll() is None and time.monotonic() < deadline_s:
                if listens(self._process.pid, self.port):
                    self._started = True
                    return
                time.sleep(0.01)
            self.kill()
            if not self._port_is_taken():
                break
            if not self._started:
                self.port = free_port()  # someone took it between the look and the start
            time.sleep(0.1)
        raise AssertionError(f"mosquitto does not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """kill -9, as a power cut at the centre."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Ask it to end (SIGTERM): it saves its sessions if persistent."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()

    def restart(self) -> None:
        """Kill it and start it again on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Frozen inside the block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def set_acl(self, acl: str) -> None:
        """Change the access list of the running broker (SIGHUP). Works only if it was made with one."""
        assert self._has_acl
        self._acl_file.write_text(acl)
        os.kill(self.pid, signal.SIGHUP)

    def _port_is_taken(self) -> bool:
        return "Address already in use" in self.log.read_text(errors="replace")

    def _write_config(self) -> None:
        lines = [
            "per_listener_settings false",
            f"listener {self.port} {self.host}",
            f"persistence {'true' if self.persistent else 'false'}",
            f"persistence_location {self.directory}/",
            "log_type error",
            "log_type warning",
            "log_type notice",
            "max_queued_messages 100000",
            "user root" if os.geteuid() == 0 else "",
        ]
        if self._has_acl:
            lines.append(f"acl_file {self._acl_file}")
        if self.tls is not None:
            lines += [
                f"cafile {self.tls.ca_file}",
                f"certfile {self.tls.server_cert}",
                f"keyfile {self.tls.server_key}",
                "require_certificate true",
                "use_identity_as_username true",
            ]
        lines.append("allow_anonymous true")
        (self.directory / "conf").write_text("\n".join([*lines, self.config, ""]))
