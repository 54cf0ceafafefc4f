"""What the updater has of the rest of the gateway: systemd, the core's socket, and the program in a slot."""

import asyncio
import contextlib
import json
import logging
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edge_agent.local_api import ApiError, LocalClient
from edge_agent.model import KINDS, Sound
from edge_agent.update.bundle import BundleError, Manifest

log = logging.getLogger("edge.update")

CORE, UPLINK, CAMERAS = "edge-agent.service", "edge-agent-uplink.service", "edge-agent-cameras.service"
UNITS: Final = (CORE, UPLINK, CAMERAS)
SYSTEMCTL_S: Final = 180.0
SELF_TEST_S: Final = 300.0
ANSWER_S: Final = 10.0
FIRES: Final = frozenset(kind.value for kind, info in KINDS.items() if info.sound is Sound.FIRE)


class Systemd:
    """By the `systemctl` command."""

    def active(self) -> list[str]:
        """Which of our services run, or are being started again and again."""
        return [unit for unit in UNITS if self._property(unit, "ActiveState") in ("active", "activating", "reloading")]

    def restart(self, units: Sequence[str]) -> float:
        """Stop and start; return the seconds until all of them were ready, or had failed to be."""
        began_s = time.monotonic()
        if units:
            self._run("restart", *units)
        return time.monotonic() - began_s

    def restarts(self, units: Sequence[str]) -> int:
        """How often systemd had to start them again by itself since they were last told to start."""
        return sum(int(said) for unit in units if (said := self._property(unit, "NRestarts")).isdecimal())

    def _property(self, unit: str, name: str) -> str:
        return self._run("show", f"--property={name}", "--value", unit).strip()

    @staticmethod
    def _run(*words: str) -> str:
        try:
            done = subprocess.run(
                ["systemctl", *words], capture_output=True, text=True, timeout=SYSTEMCTL_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as fault:
            log.error("systemctl %s: %s", words[0], ascii(fault)[:200])
            return ""
        if done.returncode:
            log.error("systemctl %s: %s", " ".join(words), ascii(done.stderr[:200]))
        return done.stdout


class Core:
    """The core, asked one thing at a time over its socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def ask(self, do: str, **params: object) -> Any:
        """What it answers; None if it is not there, slow, or refuses."""
        try:
            async with asyncio.timeout(ANSWER_S):
                client = await LocalClient.connect(self._socket)
                try:
                    return await client.request(do, **params)
                finally:
                    with contextlib.suppress(OSError):
                        await client.close()
        except (OSError, TimeoutError, ApiError) as fault:
            log.info("core do=%s %s", do, ascii(fault)[:100])
            return None

    async def restless(self, status: Mapping[str, Any]) -> str:
        """Why this is no moment to restart a core that answered `status`; "" if it is one. Codes: fire, sending, silent."""
        alarms, unsent = await self.ask("alarms"), await self.ask("undelivered")
        if not isinstance(alarms, list) or not isinstance(unsent, list):
            return "silent"
        if any(alarm.get("kind") in FIRES and alarm.get("state") != "returned" for alarm in alarms):
            return "fire"
        return "sending" if unsent and status.get("uplinks") else ""


def answering(status: Mapping[str, Any]) -> tuple[str, ...]:
    """Inputs that answer: everything the core listens to, but for cameras and the ways to the centres."""
    rest = ("uplink", "link", "camera", "cameras")
    sources = [source for source in status.get("sources", ()) if source.get("kind") not in rest]
    return tuple(sorted(str(source["id"]) for source in sources if source.get("up") is True))


def lost(before: Sequence[str], status: Mapping[str, Any], *, settled: bool) -> list[str]:
    """Inputs that answered before and do not now. `settled`: one that has not said anything yet is given time no longer to fail;
    a device that reports when it likes may be silent for an hour.
    """
    now = {str(source["id"]): source.get("up") for source in status.get("sources", ())}
    return [name for name in before if now.get(name, False) is False or (now[name] is None and not settled)]


def centres_up(status: Mapping[str, Any]) -> list[str]:
    """The centres that can be reached."""
    return [str(uplink["id"]) for uplink in status.get("uplinks", ()) if uplink.get("up") is True]


def has_stored(status: Mapping[str, Any], name: Mapping[str, Any], dest: str) -> bool:
    """Whether a centre (that one, if `dest` names it) is up and has confirmed the record called `name`: {epoch, n} of status."""
    for uplink in status.get("uplinks", ()):
        confirmed = (uplink.get("confirmed") or {}).get("status") or {}
        has = confirmed.get("epoch") == name.get("epoch") and confirmed.get("through", 0) >= name.get("n", 0)
        if has and uplink.get("up") is True and dest in ("", uplink.get("id")):
            return True
    return False


def self_test(slot: Path, manifest: Manifest, config_dir: Path) -> None:
    """Let the program in a slot show what it can before it has to. Raise BundleError: self_test, config."""
    said = _run_in(slot, "-m", "edge_agent.update.self_test")
    try:
        found = json.loads(said.stdout)
    except ValueError:
        found = {}
    wanted = {"version": manifest.version, "journal_schema": manifest.journal_schema}
    if said.returncode or found != wanted:
        raise BundleError("self_test", what="start", said=ascii((said.stderr or said.stdout)[-200:]))
    checked = _run_in(
        slot, "-m", "edge_agent", "--config", str(config_dir), "--lang", "en", "config", "check", "--for-start"
    )
    if checked.returncode not in (0, 1):  # 1: warnings
        raise BundleError("config", said=ascii((checked.stderr + checked.stdout)[-300:]))


def _run_in(slot: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """`-P`: nothing is imported from where it happens to stand."""
    try:
        return subprocess.run(
            [slot / "bin" / "python", "-P", *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SELF_TEST_S,
            check=False,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise BundleError("self_test", what="start", said=ascii(fault)[:200]) from None
