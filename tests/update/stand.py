"""A gateway's slots and spool, with a `systemctl` and a core that stand in for the rest of it: what they do is the test's to say.

`systemctl` is a program on PATH that keeps what it did in files; the core is the product's own socket with other answers. What a
"restart" starts is what the link `current` names at that moment, as with systemd.
"""

import asyncio
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from edge_agent import __version__
from edge_agent.local_api import ApiError, LocalServer
from edge_agent.update.bundle import read
from edge_agent.update.services import Core, Systemd
from edge_agent.update.slots import CURRENT, GOOD, Slots
from edge_agent.update.state import BUNDLE, DAMAGED, FILE, LOCK, SPOOL, Desk, Request, State, put_request
from edge_agent.update.updater import Place, Times, Updater
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
CORE, UPLINK = "edge-agent.service", "edge-agent-uplink.service"
SYSTEMCTL = """#!/bin/sh
# What the updater may ask of systemd, kept in files.
cd "{place}" || exit 1
case "$1" in
  show) eval unit=\\$$#; case "$2" in
      *ActiveState) cat "$unit.state" 2>/dev/null || echo inactive ;;
      *NRestarts) cat "$unit.restarts" 2>/dev/null || echo 0 ;;
    esac ;;
  restart) shift; echo "$*" >>restarted
    for unit; do rm -f "$unit.restarts"; readlink "{root}/current" >"$unit.runs"; done
    if [ -x at-restart ]; then ./at-restart "$@"; fi ;;
esac
"""
# Not so long that a test waits, nor so short that a busy machine is taken for a broken program.
TIMES = {"calm_s": 0.0, "trial_s": PATIENCE_S, "hold_s": 0.0, "core_s": PATIENCE_S, "tell_s": PATIENCE_S}


class Stand:
    """Use as a context manager: the core answers from a thread of its own meanwhile."""

    def __init__(self, place: Path, root: Path | None = None) -> None:
        """`root`: where the slots are, if not below `place`; a path may not be too long for a socket."""
        self.place, self.root = place, root or place / "opt"
        self.spool, self.control = place / "data" / SPOOL, place / "systemd"
        for directory in (self.spool, self.control, place / "run", place / "bin", place / "etc", self.root):
            directory.mkdir(parents=True, exist_ok=True)
        config = f'[gateway]\nid = "gw-1"\ndata_dir = "{place}/data"\nrun_dir = "{place}/run"\n'
        (place / "etc" / "config.toml").write_text(config)
        script = place / "bin" / "systemctl"
        script.write_text(SYSTEMCTL.format(place=self.control, root=self.root))
        script.chmod(0o755)
        for unit in (CORE, UPLINK):
            (self.control / f"{unit}.state").write_text("active\n")
            (self.control / f"{unit}.runs").write_text("slots/a\n")
        self.slots, self.desk = Slots(self.root), Desk(self.root, self.spool)
        self.alarms: list[dict[str, Any]] = []
        self.undelivered: list[str] = []
        self.up: Mapping[str, bool | None] = {"pump-room": True}  # of the inputs, whatever runs
        self.up_of: dict[str, Mapping[str, bool | None]] = {}  # the same of what runs from a slot
        self.versions: dict[str, str] = {"a": __version__}
        self.confirms = True  # whether the centre stores what comes
        self.centre_up = True
        self.mute = ""  # the slot whose core does not answer
        self.told: list[dict[str, Any]] = []
        self.on_told: Callable[[str], None] = lambda status: None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def first(self) -> None:
        """A slot `a` as it is after the first installation, good and current."""
        (self.slots.path("a") / "bin").mkdir(parents=True)
        (self.slots.path("a") / "lib").mkdir()
        (self.slots.path("a") / "bin" / "python").symlink_to(sys.executable)
        for n in range(3):
            (self.slots.path("a") / "lib" / f"old-{n}.py").write_text(f"old = {n}\n" * 40)
        self.slots.point(CURRENT, "a")
        self.slots.point(GOOD, "a")

    def __enter__(self) -> Self:
        handlers = {
            "status": lambda request, peer: self._status(),
            "alarms": lambda request, peer: self.alarms,
            "undelivered": lambda request, peer: self.undelivered,
            "update_told": lambda request, peer: self._told(request),
        }
        self._server = LocalServer(self.place / "run" / "core.sock", handlers)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    # --- what the core says ---------------------------------------------------------------------------------------------

    @property
    def runs(self) -> str:
        """The slot the core was started from last."""
        return (self.control / f"{CORE}.runs").read_text().strip().rpartition("/")[2]

    def _status(self) -> dict[str, Any]:
        if self.runs == self.mute:
            raise ApiError("mute")
        slot, name = self.runs, {"epoch": "v-1", "through": len(self.told) if self.confirms else 0}
        up = self.up_of.get(slot, self.up)
        return {
            "version": self.versions.get(slot, "?"),
            "update": {"slot": slot},
            "sources": [{"id": name, "kind": "panel", "up": is_up} for name, is_up in up.items()],
            "uplinks": [{"id": "county", "up": self.centre_up, "confirmed": {"status": name}}],
        }

    def _told(self, request: Mapping[str, Any]) -> dict[str, object]:
        if self.runs == self.mute:
            raise ApiError("mute")
        self.told.append({**request["fields"], "by": self.runs})
        self.on_told(str(request["fields"]["status"]))
        return {"epoch": "v-1", "n": len(self.told)}

    # --- what is done ---------------------------------------------------------------------------------------------------

    def ask(self, bundle: Path | None, name: str = "c-1", **more: Any) -> None:
        """As the uplink does once it has fetched one."""
        if bundle is not None:
            (self.spool / BUNDLE).write_bytes(bundle.read_bytes())
            self.versions["b" if self.slots.named(GOOD) == "a" else "a"] = version_in(bundle)
        put_request(self.spool, Request(id=name, dest="county", command=name, **more))

    def command(self, keys: Path, **times: float) -> list[str]:
        words = ["-m", "edge_agent.update", "--root", str(self.root), "--config", str(self.place / "etc")]
        options = [f"--{name.replace('_', '-')}={value}" for name, value in {**TIMES, **times}.items()]
        return [sys.executable, *words, "--keys", str(keys), *options]

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.place / 'bin'}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, keys: Path, **times: float) -> str:
        """The updater until it ends; what it logged."""
        done = subprocess.run(
            self.command(keys, **times),
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    def update(self, keys: Path, boot: str = "boot-1", **times: float) -> None:
        """The same in this process, after a boot called so. `systemctl` has to be on PATH (the fixture `stand` sees to that)."""
        place = Place(slots=self.slots, desk=self.desk, keys_dir=keys, config_dir=self.place / "etc")
        self.desk.directory.mkdir(exist_ok=True)
        core = Core(self.place / "run" / "core.sock")
        asyncio.run(Updater(place, core, Systemd(), boot, Times(**{**TIMES, **times})).run())

    def guard(self) -> None:
        """What the machine does at its next boot before anything of ours starts: the unit's own line."""
        subprocess.run(["/bin/sh", "-c", guard_line(self.root)], check=True, capture_output=True)

    # --- what is there --------------------------------------------------------------------------------------------------

    def state(self) -> State:
        return self.desk.read()

    def links(self) -> tuple[str, str]:
        return self.slots.named(CURRENT), self.slots.named(GOOD)

    def steps(self) -> list[tuple[str, str]]:
        return [(one["status"], one.get("code", "")) for one in self.told]

    def is_tidy(self) -> bool:
        """Nothing is asked for any more, and nothing lies about."""
        left = {path.name for directory in (self.spool, self.desk.directory) for path in directory.iterdir()}
        return FILE in left <= {FILE, LOCK, DAMAGED}

    def at_restart(self, script: str) -> None:
        """What comes of a restart, in the words of a shell; `$1` is the first unit."""
        (file := self.control / "at-restart").write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def restarts(self) -> list[str]:
        file = self.control / "restarted"
        return file.read_text().splitlines() if file.exists() else []


def version_in(bundle: Path) -> str:
    try:
        return read(bundle).manifest.version
    except Exception:  # noqa: BLE001 - one that is no bundle is what is tested
        return "?"


def guard_line(root: Path) -> str:
    """The shell line of edge-agent-update-guard.service, for slots below `root`."""
    text = (ROOT / "systemd/edge-agent-update-guard.service").read_text()
    line = next(line for line in text.splitlines() if line.startswith("ExecStart=/bin/sh -c '"))
    return (
        line.removeprefix("ExecStart=/bin/sh -c '")
        .removesuffix("'")
        .replace("$$", "$")
        .replace("/opt/edge-agent", str(root))
    )


def tree(place: Path) -> dict[str, tuple[str, bytes]]:
    """Everything of a slot: name -> kind and content."""
    found = {}
    for directory, directories, files in os.walk(place):
        for name in (*directories, *files):
            path = Path(directory) / name
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                found[str(path.relative_to(place))] = ("link", str(path.readlink()).encode())
            elif stat.S_ISREG(mode):
                found[str(path.relative_to(place))] = ("file", path.read_bytes())
    return found
