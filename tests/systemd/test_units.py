"""The units say what they mean and stay closed. Checked by systemd's own tools, without a running systemd."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.config.model import Gateway
from edge_agent.update.judge import KEYS_DIR
from edge_agent.update.slots import ROOT as ROOT_OF_SLOTS
from edge_agent.update.state import DIRECTORY, OPEN, REQUEST, SPOOL
from edge_agent.uplink.modem.build import REBOOT_FILE

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "systemd"
SERVICES = ["edge-agent.service", "edge-agent-uplink.service", "edge-agent-cameras.service"]
EXPOSURE_MAX = 15  # tenths: systemd-analyze takes ten times the score it prints
WITH_MODEM_MAX = 17  # serial ports cost 0.3: only on a site that has such a modem (systemd/README.md)


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: apt-get install systemd")
    return found


def installed(directory: Path, name: str) -> Path:
    """The unit as it would be where its program is installed."""
    unit = directory / name
    text = (UNITS / name).read_text()
    unit.write_text(text.replace("/opt/edge-agent/current/bin/edge-agent", sys.executable))
    return unit


def settings(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", (UNITS / name).read_text(), flags=re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_systemd_understands_every_line(tmp_path: Path, name: str) -> None:
    for other in SERVICES:
        installed(tmp_path, other)
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", tmp_path / name], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "edge-agent" in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_no_more_exposed_than_its_work_asks(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [
            tool("systemd-analyze"),
            "security",
            "--offline=true",
            f"--threshold={EXPOSURE_MAX}",
            installed(tmp_path, name),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_only_a_wrong_configuration_keeps_a_service_down(name: str) -> None:
    unit = settings(name)
    assert (unit["Restart"], unit["RestartPreventExitStatus"], unit["StartLimitIntervalSec"]) == (
        ["always"],
        ["78"],
        ["0"],
    )
    assert "ExecStartPre" not in unit  # its exit code would not be heeded
    assert (unit["Type"], unit["WatchdogSec"]) == (["notify"], ["30"])


def test_the_core_has_devices_and_no_keys_and_the_uplink_keys_and_no_devices() -> None:
    core, uplink = settings(SERVICES[0]), settings(SERVICES[1])
    assert {line.split()[0] for line in core["DeviceAllow"]} >= {"char-ttyUSB", "char-ttyAMA", "char-gpiochip"}
    assert "LoadCredential" not in core
    assert "/etc/edge-agent/tls" in core["InaccessiblePaths"][0]
    assert (uplink["PrivateDevices"], "DeviceAllow" in uplink) == (["yes"], False)
    assert uplink["LoadCredential"] == ["tls:/etc/edge-agent/tls"]
    cameras = settings(SERVICES[2])
    assert (cameras["PrivateDevices"], cameras["LoadCredential"]) == (["yes"], ["cameras:/etc/edge-agent/cameras"])
    assert "/etc/edge-agent/tls" in cameras["InaccessiblePaths"][0]


def test_only_a_site_with_a_reader_that_types_lets_the_core_hear_keyboards() -> None:
    more = settings("edge-agent-keyboard-reader.conf")
    assert (more["SupplementaryGroups"], more["DeviceAllow"]) == (["input"], ["char-input r"])
    assert not any("input" in line for line in settings(SERVICES[0])["DeviceAllow"])


def test_only_a_site_with_an_at_modem_gives_the_uplink_serial_ports_and_nothing_else(tmp_path: Path) -> None:
    more = settings("edge-agent-uplink-modem.conf")
    assert {line.split()[0].startswith("char-tty") for line in more["DeviceAllow"]} == {True}
    assert more["DevicePolicy"] == ["closed"]
    unit = installed(tmp_path, SERVICES[1])
    unit.write_text(
        unit.read_text().replace("[Install]", (UNITS / "edge-agent-uplink-modem.conf").read_text() + "[Install]")
    )
    done = subprocess.run(
        [tool("systemd-analyze"), "security", "--offline=true", f"--threshold={WITH_MODEM_MAX}", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


def test_a_restart_of_the_machine_removes_its_cause_first(tmp_path: Path) -> None:
    file = settings("edge-agent-reboot.path")["PathExists"][0]
    steps = settings("edge-agent-reboot.service")["ExecStart"]
    assert steps == [f"/usr/bin/rm {file}", "/usr/bin/systemctl reboot"]
    assert file.endswith("/" + REBOOT_FILE)
    for name in ("edge-agent-reboot.path", "edge-agent-reboot.service"):
        shutil.copy(UNITS / name, tmp_path)
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", tmp_path / "edge-agent-reboot.path"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


UPDATERS = {
    "edge-agent-update.service": 10,
    "edge-agent-update-guard.service": 18,
}  # exposure in tenths: root, and no network


@pytest.mark.parametrize(("name", "exposure"), UPDATERS.items())
def test_the_updater_is_root_without_a_network_and_no_more_exposed_than_its_work_asks(
    tmp_path: Path, name: str, exposure: int
) -> None:
    for other in UPDATERS:
        unit = tmp_path / other
        unit.write_text((UNITS / other).read_text().replace("/opt/edge-agent/good/bin/python", sys.executable))
    shutil.copy(UNITS / "edge-agent-update.path", tmp_path)
    verified = ("verify", tmp_path / "edge-agent-update.path", tmp_path / name)
    for words in (verified, ("security", "--offline=true", f"--threshold={exposure}", tmp_path / name)):
        done = subprocess.run([tool("systemd-analyze"), *words], capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if "edge-agent" in line]
        assert (done.returncode, said) == (0, []), done.stdout[-400:] + done.stderr
    assert settings(name)["PrivateNetwork"] == ["yes"]


def test_the_slots_are_looked_through_once_a_day_whatever_the_clock_does(tmp_path: Path) -> None:
    for file in ("edge-agent-update.timer", "edge-agent-update.service"):
        (tmp_path / file).write_text(
            (UNITS / file).read_text().replace("/opt/edge-agent/good/bin/python", sys.executable)
        )
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", tmp_path / "edge-agent-update.timer"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "edge-agent" in line]) == (0, [])
    timer = settings("edge-agent-update.timer")
    assert (timer["OnUnitInactiveSec"], "OnCalendar" in timer) == (["1d"], False)
    assert settings("edge-agent-update.service")["IOSchedulingClass"] == ["idle"]


def test_an_update_is_looked_for_where_it_is_put_and_judged_by_the_program_that_is_good() -> None:
    asked, in_hand = settings("edge-agent-update.path")["PathExists"]
    spool, root = Gateway(id="").data_dir / SPOOL, ROOT_OF_SLOTS
    assert (asked, in_hand) == (f"{spool}/{REQUEST}", f"{root}/{DIRECTORY}/{OPEN}")
    updater, guard = settings("edge-agent-update.service"), settings("edge-agent-update-guard.service")
    assert updater["ExecStart"] == [f"{root}/good/bin/python -P -m edge_agent.update"]
    assert {str(root), f"-{spool}"} == set(updater["ReadWritePaths"][0].split())
    assert str(KEYS_DIR) in (UNITS / "edge-agent.tmpfiles.conf").read_text()
    assert f"{spool} " in (UNITS / "edge-agent.tmpfiles.conf").read_text()
    before = set(guard["Before"][0].split())
    assert before >= set(SERVICES), "nothing of ours starts before it is known which program is good"
    for name in SERVICES:
        assert settings(name)["ExecStart"][0].startswith(f"{root}/current/bin/edge-agent ")
        assert "edge-agent-update-guard" not in str(settings(name)), "a restart in a trial must not start it"


@pytest.mark.parametrize("name", SERVICES)
def test_what_the_agent_reads_of_proc_stays_visible(name: str) -> None:
    assert "ProcSubset" not in settings(name)


def test_the_core_sees_who_calls_it() -> None:
    assert "PrivateUsers" not in settings(SERVICES[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="making users and directories in a root of its own needs root")
def test_users_and_directories_are_made_with_the_keys_closed(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        (tmp_path / "etc" / name).write_text("root:x:0:\n" if name == "group" else "root:x:0:0::/root:/bin/sh\n")
    subprocess.run(
        [tool("systemd-sysusers"), f"--root={tmp_path}", UNITS / "edge-agent.sysusers.conf"],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [tool("systemd-tmpfiles"), "--create", f"--root={tmp_path}", UNITS / "edge-agent.tmpfiles.conf"],
        check=True,
        capture_output=True,
    )
    groups = (tmp_path / "etc/group").read_text()
    assert re.search(r"^dialout:.*edge-agent$", groups, flags=re.MULTILINE)
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("etc/edge-agent", "etc/edge-agent/tls")}
    assert modes == {"etc/edge-agent": 0o750, "etc/edge-agent/tls": 0o700}
    assert (tmp_path / "etc/edge-agent/cameras").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "var/lib/edge-agent").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "var/lib/edge-agent").stat().st_uid != 0


def test_udev_understands_the_rules() -> None:
    udevadm = shutil.which("udevadm")
    if (
        udevadm is None
        or "verify" not in subprocess.run([udevadm, "--help"], capture_output=True, text=True, check=False).stdout
    ):
        pytest.skip("udevadm verify is missing: it came with udev 254 (Debian 13)")
    done = subprocess.run(
        [udevadm, "verify", UNITS / "71-edge-agent.rules"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_name_ports_by_their_socket() -> None:
    rules = (UNITS / "71-edge-agent.rules").read_text()
    assert 'SYMLINK+="zg/usb-%b"' in rules
    assert "ttyUSB" in rules
