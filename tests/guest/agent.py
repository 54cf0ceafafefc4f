"""The guest with systemd as process 1 and our agent on it, installed by the commands of docs/install.md themselves."""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from tests.guest.image import SYSTEMD, BuildError, Image, Recipe, build

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = (
    "buffer",
    "docs/install.md",
    "drivers",
    "edge_agent",
    "provisioning",
    "pyproject.toml",
    "simulators",
    "systemd",
)
RECIPE: Final = Recipe("amd64", packages=SYSTEMD)
GATEWAY_ID: Final = "ZG-36070-0123"  # as in docs/install.md
CHECKOUT: Final = "root/edge-agent"
MASKED: Final = (
    "getty-static.service",
    "systemd-update-utmp.service",
    "e2scrub_reap.service",
    "dpkg-db-backup.timer",
    "fstrim.timer",
)
# Of compiled wheels: what a guest of this kind takes.
PLATFORMS: Final = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def agent_image() -> Image:
    """The image, made of the product as it is in this tree: everything of install.md up to its part 5, "Start"."""
    return build(RECIPE, f"agent {_digest()}", _furnish)


def blocks() -> list[list[str]]:
    """The commands of docs/install.md that are typed as root, block by block."""
    page = (ROOT / "docs/install.md").read_text("utf-8")
    return [
        block.splitlines()[1:] for block in re.findall(r"^```sh\n(# root\n.*?)^```", page, re.DOTALL | re.MULTILINE)
    ]


def _files() -> Iterator[Path]:
    for name in SOURCES:
        place = ROOT / name
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        yield from (path for path in found if path.is_file() and "__pycache__" not in path.parts)


@cache
def _digest() -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in _files():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _furnish(tree: Path) -> None:
    checkout = tree / CHECKOUT
    shutil.copytree(ROOT / "systemd", checkout / "systemd")
    (python,) = (tree / "usr/lib").glob("python3.*")
    program_wheels(checkout / "wheels", python.name.removeprefix("python"))
    online, offline, identity = _installation()
    (from_wheels,) = re.findall(r"pip (install --no-index .*)", offline)
    _inside(
        tree,
        "mkdir -p /usr/local/bin; systemd-sysusers; groupadd -f shadow; useradd -m technician; useradd -m passer-by",
        online.replace("install '.[gpio]'", from_wheels),
        identity,
        # What a first start would compile, and what systemd does once after its own package came.
        "/opt/edge-agent/current/bin/python -c 'import edge_agent.cli_run, edge_agent.core, edge_agent.uplink.main, ssl'",
        f"touch /etc/.updated /var/.updated; systemctl mask {' '.join(MASKED)}",
    )
    shutil.rmtree(checkout)


def _installation() -> tuple[str, str, str]:
    """The blocks that install, that install without the Internet, and that make the identity; without apt-get, done before."""
    found = blocks()
    (online,) = [block for block in found if any("python3 -m venv" in line for line in block)]
    (offline,) = [block for block in found if any("--no-index" in line for line in block)]
    (identity,) = [block for block in found if any("identity new" in line for line in block)]
    online = [line for line in online if not line.startswith(("apt-get", "systemctl"))]  # done; nothing to tell it to
    return "\n".join(online), "\n".join(offline), "\n".join(identity)


def _inside(tree: Path, *scripts: str) -> None:
    """Run them in the guest's root, with devices, on our processor. Raise BuildError."""
    enter = 'mount --rbind /dev "$0/dev"; mount -t proc proc "$0/proc"; exec chroot "$0" /bin/sh -exc "$1"'
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
    environ = {"PATH": path, "SUDO_USER": "technician", "LC_ALL": "C.UTF-8", "HOME": "/root"}
    command = ["unshare", "--mount", "/bin/sh", "-ec", enter, str(tree), "\n".join((f"cd /{CHECKOUT}", *scripts))]
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"in the guest's root: {done.stdout[-1000:]}{done.stderr[-3000:]}")


def program_wheels(into: Path, version: str) -> None:
    """Our own wheel, and those it needs on a guest with Python `version`. Raise BuildError."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    where = ["--dest", str(into), "--find-links", str(into), "--only-binary=:all:", "--python-version", version]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    for command in (
        [*pip, "wheel", "--no-deps", "--wheel-dir", str(into), str(ROOT)],
        [*pip, "download", *where, *platforms, "zg119-edge-agent[gpio]"],
    ):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildError(f"{' '.join(command)}: {done.stderr[-2000:]}")
