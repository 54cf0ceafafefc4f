"""Our units under a real systemd: what their sandboxes let through, what systemd does when a process dies, hangs or eats, and what
is kept when the whole system is killed.

EDGE_GUESTS=1 runs them; EDGE_GUEST_KILLS and EDGE_GUEST_CUTS set how often, EDGE_SEED the moments. docs/guests.md.
"""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.guest.cuts import Cuts
from tests.guest.gateway import gateway, shown, started, status
from tests.guest.image import HERE
from tests.guest.machine import GuestError, Machine
from tests.proof.site import note
from tests.waiting import until

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="making a guest's root needs root"),
    pytest.mark.skipif(
        not os.environ.get("EDGE_GUESTS"), reason="minutes of CPU without KVM: EDGE_GUESTS=1 (docs/guests.md)"
    ),
]

KILLS = int(os.environ.get("EDGE_GUEST_KILLS", "1"))
CUTS = int(os.environ.get("EDGE_GUEST_CUTS", "1"))
SEED = int(os.environ.get("EDGE_SEED", "20261126"))
BACK_S = 5.0  # within which systemd has a killed service running again
SERVICES = {"core": "edge-agent", "uplink": "edge-agent-uplink"}
NOT_BACK_S = 45.0  # a planted bug has shown itself by then: half as much again as WatchdogSec=
HOLES = {  # made in a sandbox on purpose, and the probe that falls through each
    "MemoryDenyWriteExecute=no": "write code into memory",
    "RestrictAddressFamilies=": "open a netlink socket",
    "RestrictSUIDSGID=no": "make a file that runs as its owner",
    "TasksMax=500": "start a hundred threads",
}
PROBE = """[Service]
ExecStart=
ExecStart=/opt/edge-agent/current/bin/python /opt/guest/probes.py {name}
Restart=no
TimeoutStartSec=infinity
WatchdogSec=0
"""


async def test_the_sandboxes_let_through_what_must_work_and_refuse_the_rest(tmp_path: Path) -> None:
    async with gateway(tmp_path) as site:
        await check_installed_files(site.guest)
        await check_sandboxes(site.guest)


async def test_what_is_killed_starved_or_hangs_runs_again(tmp_path: Path) -> None:
    async with gateway(tmp_path) as site:
        await started(site.guest)
        await check_running(site.guest)
        await check_kills(site.guest)
        await check_planted(site.guest)


async def test_what_was_told_before_the_power_went_reaches_the_centre(tmp_path: Path) -> None:
    async with gateway(tmp_path) as site:
        await started(site.guest)
        verdict, found = await Cuts(site.guest, site.panel, site.broker, site.centre_db, SEED).run(CUTS)
    note("guest-cuts", found)
    assert verdict.sound, verdict
    assert found["names_given_twice"] == 0


async def check_installed_files(guest: Machine) -> None:
    """sysusers, tmpfiles and udev did what their files say."""
    groups = set((await guest.shell("id -nG edge-agent")).split())
    assert groups == {"edge-agent", "dialout", "gpio"}
    assert "edge-agent" in (await guest.shell("id -nG technician")).split()
    modes = await guest.shell(
        "cd /; stat -c '%n %a %U %G' etc/edge-agent etc/edge-agent/* var/lib/edge-agent var/lib/edge-agent/update"
    )
    found = dict(line.split(" ", 1) for line in modes.splitlines())
    assert found == {
        "etc/edge-agent": "750 root edge-agent",
        "etc/edge-agent/cameras": "700 root root",
        "etc/edge-agent/conf.d": "750 root edge-agent",
        "etc/edge-agent/config.toml": "640 root edge-agent",
        "etc/edge-agent/profiles": "750 root edge-agent",
        "etc/edge-agent/tls": "700 root root",
        "etc/edge-agent/update-keys": "755 root root",
        "var/lib/edge-agent": "750 edge-agent edge-agent",
        "var/lib/edge-agent/update": "750 edge-agent edge-agent",
    }
    assert await guest.shell("stat -c '%a %U %G' /etc/edge-agent/tls/gateway.key") == "600 root root"
    assert await guest.shell("stat -c %G /dev/ttyS1") == "dialout"


async def check_sandboxes(guest: Machine) -> None:
    """Everything that must work in there does, everything else is refused in there, and only in there."""
    await guest.put("/opt/guest/probes.py", (HERE / "probes.py").read_text())
    await guest.shell("busybox ip route add default via 10.0.2.2")
    for name, unit in SERVICES.items():
        outside = probed((await guest.run("/opt/edge-agent/current/bin/python", "/opt/guest/probes.py", name)).text)
        await guest.put(f"/run/systemd/system/{unit}.service.d/probe.conf", PROBE.format(name=name))
        await guest.run("systemctl", "daemon-reload")
        await guest.run("systemctl", "start", unit)
        inside = probed(await guest.shell(f"journalctl -u {unit} -o cat"))
        assert wrong(inside) == {}, name
        holes = "[Service]\n" + "\n".join(HOLES)
        await planted(guest, unit, holes)  # which restarts it
        assert set(wrong(probed(await guest.shell(f"journalctl -u {unit} -o cat")))) == set(HOLES.values()), name
        await guest.run("systemctl", "stop", unit)
        await guest.shell(f"rm -r /run/systemd/system/{unit}.service.d; systemctl daemon-reload")
        never = {probe: said for probe, (may, did, said) in outside.items() if not may and not did}
        assert never == {}, f"{name}: refused outside too"
        counts = {
            word: sum(may is wanted for may, *_ in inside.values())
            for word, wanted in (("may", True), ("may_not", False))
        }
        assert counts["may"] >= 10 and counts["may_not"] >= 15, counts
        note(f"guest-sandbox-{name}", {**counts, "as_expected": len(inside)})
    await guest.shell("busybox ip route del default")


def wrong(found: dict[str, tuple[bool, bool, str]]) -> dict[str, str]:
    """What did what it may not, or did not what it must."""
    return {probe: said for probe, (may, did, said) in found.items() if may != did}


async def planted(guest: Machine, unit: str, drop_in: str) -> None:
    """Run the unit with something in it that is wrong on purpose."""
    await guest.put(f"/run/systemd/system/{unit}.service.d/zz-planted.conf", drop_in + "\n")
    await guest.shell(f"systemctl daemon-reload; systemctl restart {unit}")


async def unplanted(guest: Machine, unit: str) -> None:
    """Run it as it is again."""
    await guest.shell(
        f"rm /run/systemd/system/{unit}.service.d/zz-planted.conf; systemctl daemon-reload; systemctl restart {unit}"
    )


def probed(said: str) -> dict[str, tuple[bool, bool, str]]:
    """By probe: whether it may, whether it did, what it said."""
    lines = [json.loads(line) for line in said.splitlines() if line.startswith('{"probe"')]
    return {line["probe"]: (line["may"], line["did"], line["said"]) for line in lines}


async def check_running(guest: Machine) -> None:
    """Both services run, the mount options hold for the whole machine, and a technician is known, a passer-by is not."""

    async def reached() -> bool:
        return any(uplink["up"] for uplink in (await status(guest)).get("uplinks", ()))

    await until(reached, "the uplink reaches the broker", guest.patience_s)
    mount = await shown(guest, "edge-agent-mount", "ActiveState", "Result")
    assert mount == {"ActiveState": "active", "Result": "success"}
    options = set((await guest.shell("findmnt -no OPTIONS -T /var/lib/edge-agent")).split(","))
    assert options >= {"rw", "noatime", "lazytime", "commit=300"}
    for who, may in (("technician", True), ("passer-by", False)):
        done = await guest.run(
            "setpriv",
            f"--reuid={who}",
            f"--regid={who}",
            "--init-groups",
            "edge-agent",
            "status",
            "--json",
            check=False,
        )
        said = json.loads(done.text)
        assert ("error" not in said, done.code == 0) == (may, may), (who, done)
        assert may or said["error"] == "no_permission"
    exposure = await guest.shell(
        "systemd-analyze security edge-agent edge-agent-uplink --no-pager | grep -i overall; :"
    )
    scores = [float(score) for score in re.findall(r"level for \S+: ([\d.]+)", exposure)]
    assert len(scores) == 2 and max(scores) <= 1.5, exposure


async def check_kills(guest: Machine) -> None:
    """Killed, starved of memory, stopped: systemd has it running again."""
    await guest.put("/opt/guest/kills.py", (HERE / "kills.py").read_text())
    for name, unit in SERVICES.items():
        killed = await killings(guest, unit, signal.SIGKILL, KILLS)
        assert len(killed) == KILLS
        assert max(kill["started_s"] for kill in killed) <= BACK_S, killed
        before = await shown(guest, unit, "NRestarts")
        await guest.shell(f"echo 4M > /sys/fs/cgroup/system.slice/{unit}.service/memory.max")
        await until(
            lambda unit=unit, before=before: restarted(guest, unit, before), f"{name} is back", guest.patience_s
        )
        assert f"{unit}.service: Failed with result 'oom-kill'" in await guest.shell(f"journalctl -u {unit} -o cat")
        assert await guest.shell(f"cat /sys/fs/cgroup/system.slice/{unit}.service/memory.max") != str(4 << 20)
        (hung,) = await killings(guest, unit, signal.SIGSTOP, 1)
        assert "Watchdog timeout" in await guest.shell(f"journalctl -u {unit} -o cat")
        note(f"guest-kills-{name}", {"kvm": guest.kvm, "killed": killed, "hung": hung})


async def check_planted(guest: Machine) -> None:
    """A unit that does not start again, and one that nobody watches, are found by the same looks."""
    for drop_in, number, missed in (
        ("Restart=no", signal.SIGKILL, "is not back"),
        ("WatchdogSec=0", signal.SIGSTOP, "still lives"),
    ):
        await planted(guest, "edge-agent", f"[Service]\n{drop_in}")
        with pytest.raises(GuestError, match=missed):
            await killings(guest, "edge-agent", number, 1, NOT_BACK_S)
        await guest.shell("systemctl kill --signal=CONT edge-agent || :")
        await unplanted(guest, "edge-agent")


async def restarted(guest: Machine, unit: str, before: dict[str, str]) -> bool:
    now = await shown(guest, unit, "NRestarts", "ActiveState")
    return now["ActiveState"] == "active" and int(now["NRestarts"]) > int(before["NRestarts"])


async def killings(
    guest: Machine, unit: str, number: int, count: int, within_s: float | None = None
) -> list[dict[str, float]]:
    """Each kill of the unit's process, and how long what followed took. Raise GuestError if it is not back within that time."""
    within_s = within_s or guest.patience_s
    said = await guest.run(
        "python3",
        "/opt/guest/kills.py",
        unit,
        str(int(number)),
        str(count),
        str(within_s),
        timeout_s=count * within_s + guest.patience_s,
    )
    return [json.loads(line) for line in said.text.splitlines()]
