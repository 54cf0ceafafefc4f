"""The disk, kernel and initrd of a guest: a real Debian, made from the packages of this machine's own Debian in seconds.

    image = build(Recipe("amd64", packages=SYSTEMD), "agent " + digest, furnish)

Packages are unpacked, their scripts are not run: that needs neither the guest's processor nor its kernel. What a script would have
done and a guest needs is done here, by hand. Images are kept (`cache_directory`) under the digest of all that goes into them, and
never changed afterwards: a machine writes to an overlay of its own. One builder at a time, the others wait for it.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

HERE: Final = Path(__file__).parent
KEPT: Final = 4  # images and trees; older ones go when a new one is made,
KEPT_S: Final = 6 * 3600  # unless somebody may be running on them
ROOM_MB: Final = 256  # free on the guest's disk

# Enough for a shell, Python and /opt/guest/hand.py; and with systemd as process 1.
BARE: Final = (
    "base-files", "base-passwd", "busybox-static", "coreutils", "dash", "findutils", "grep", "libc-bin", "mount", "python3",
    "sed", "util-linux",
)  # fmt: skip
SYSTEMD: Final = (*BARE, "bash", "kmod", "login", "passwd", "procps", "python3-venv", "systemd", "udev")
# What packages ask for and nothing in a guest calls.
LEFT_OUT: Final = (
    "libperl",
    "perl",
    "initramfs-tools",
    "klibc-utils",
    "libklibc",
    "linux-base",
    "usrmerge",
    "libfile-find",
)
NOT_UNPACKED: Final = (
    "./usr/share/doc/*",
    "./usr/share/man/*",
    "./usr/share/locale/*",
    "./usr/share/info/*",
    "./usr/share/perl/*",
)
MODULES: Final = (
    "virtio_pci", "virtio_mmio", "virtio_blk", "crc32c_generic", "ext4", "virtio_console", "virtio_net",
)  # fmt: skip
KERNELS: Final = {"amd64": "linux-image-cloud-amd64", "arm64": "linux-image-arm64"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a guest is made of. `modules` are loaded by the initrd, in this order and with what they depend on, before the root."""

    arch: str  # Debian's name: amd64 or arm64
    packages: Sequence[str] = BARE
    modules: Sequence[str] = ()  # beside MODULES
    kernel: str = ""  # a Debian package; "": KERNELS

    @property
    def everything(self) -> tuple[str, ...]:
        """The packages with the kernel's."""
        return *self.packages, self.kernel or KERNELS[self.arch]


@dataclass(frozen=True, slots=True)
class Image:
    """What qemu boots. `disk` is raw ext4 and read only: `machine.py` lays an overlay over it."""

    arch: str
    kernel: Path
    initrd: Path
    disk: Path


class BuildError(Exception):
    """An image could not be made; the message is the end of what the failed command said."""


def build(recipe: Recipe, name: str, furnish: Callable[[Path], None]) -> Image:
    """The image of this recipe, furnished; from the cache if it is there. `name` must change with all that `furnish` brings.

    `furnish(tree)` puts into the root file system what the packages do not. Raise BuildError.
    """
    tree = _cached(
        f"tree-{recipe.arch}", repr((recipe, _texts("image.py", "initrd.sh"))), lambda into: _unpack(recipe, into)
    )

    def make(into: Path) -> None:
        root = into / "root"
        _run("cp", "-a", "--reflink=auto", str(tree / "root"), str(root))
        shutil.copy2(HERE / "hand.py", root / "opt/guest/hand.py")
        furnish(root)
        for kept in ("kernel", "initrd"):
            shutil.copy2(tree / kept, into / kept)
        _make_disk(root, into / "disk")
        shutil.rmtree(root)

    place = _cached(f"image-{recipe.arch}", repr((tree.name, name, _texts("hand.py"))), make)
    return Image(recipe.arch, place / "kernel", place / "initrd", place / "disk")


def _texts(*names: str) -> str:
    return "".join((HERE / name).read_text() for name in names)


# --- the cache


def cache_directory() -> Path:
    """Where images are kept: EDGE_GUEST_CACHE, else the user's cache directory, else the system's for temporary files."""
    if chosen := os.environ.get("EDGE_GUEST_CACHE"):
        return Path(chosen)
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    for place in (users, Path(tempfile.gettempdir())):
        if os.access(place if place.exists() else place.parent, os.W_OK):
            return place / "edge-agent-guests"
    raise BuildError("nowhere to keep images: set EDGE_GUEST_CACHE")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone, among all processes of this machine. The lock goes with its process, however that ends."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The directory of this key, made if it is not there: whole or not at all."""
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    with locked(cache / f"{kind}.lock"):
        if not place.exists():
            beside = Path(tempfile.mkdtemp(prefix=f"new-{kind}-", dir=cache))
            try:
                make(beside)
                beside.rename(place)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
            _forget(cache, kind)
        os.utime(place)
    return place


def _forget(cache: Path, kind: str) -> None:
    """Remove the oldest of a kind, and what a killed builder left."""
    places = sorted(cache.glob(f"{kind}-????????????????"), key=lambda path: path.stat().st_mtime)
    old = [place for place in places[:-KEPT] if place.stat().st_mtime < time.time() - KEPT_S]
    for place in [*old, *cache.glob(f"new-{kind}-*")]:
        shutil.rmtree(place, ignore_errors=True)


# --- packages


def _unpack(recipe: Recipe, into: Path) -> None:
    root = into / "root"
    root.mkdir()
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    leave = [f"--exclude={pattern}" for pattern in NOT_UNPACKED]
    for package in _download(recipe, into / "archives"):
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as files:
            _run("tar", "-x", "--keep-directory-symlink", *leave, "-C", root, stdin=files.stdout)
        if files.returncode != 0:
            raise BuildError(f"{package.name} cannot be unpacked")
    shutil.rmtree(into / "archives")
    _take_kernel(root, recipe, into)
    _do_by_hand(root)


def _download(recipe: Recipe, into: Path) -> list[Path]:
    """The packages of the recipe and what they depend on, from the sources of this machine, as for an empty system."""
    state = cache_directory() / f"apt-{recipe.arch}"
    for made in (state / "lists/partial", state / "preferences", into / "partial"):
        made.mkdir(parents=True, exist_ok=True)
    (state / "status").write_text("")
    options: dict[str, object] = {
        "Dir::State::status": state / "status",
        "Dir::State::lists": state / "lists",
        "Dir::Cache::archives": into,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Dir::Etc::preferencesparts": state / "preferences",
        "APT::Architecture": recipe.arch,
        "APT::Architectures": recipe.arch,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    # Other makers' sources beside Debian's may be out of reach, and nothing of them is wanted.
    if (debian := Path("/etc/apt/sources.list.d/debian.sources")).exists():
        options |= {"Dir::Etc::sourcelist": debian, "Dir::Etc::sourceparts": "/dev/null"}
    apt = ["apt-get", "-qq", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    _run(*apt, "update")
    _run(*apt, "-y", "--download-only", "install", *recipe.everything)
    return sorted(path for path in into.glob("*.deb") if not path.name.startswith(LEFT_OUT))


def _do_by_hand(root: Path) -> None:
    """What the packages' scripts would have done and a guest needs, and what makes it a guest."""
    for name in ("passwd", "group"):
        shutil.copy2(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    (root / "etc/shadow").touch(0o640)
    (root / "etc/gshadow").touch(0o640)
    (root / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
    (root / "etc/hostname").write_text("guest\n")
    (root / "etc/machine-id").write_text(
        "0123456789abcdef0123456789abcdef\n"
    )  # an empty one would make every boot the first
    (root / "usr/bin/sh").unlink(missing_ok=True)
    (root / "usr/bin/sh").symlink_to("dash")
    place = root / "opt/guest"
    place.mkdir(parents=True)
    (place / "init").write_text(BARE_INIT)
    (place / "init").chmod(0o755)
    units = root / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    (units / "guest-hand.service").write_text(HAND_UNIT)
    (units / "multi-user.target.wants/guest-hand.service").symlink_to("../guest-hand.service")
    (units / "serial-getty@.service").symlink_to("/dev/null")
    (units / "getty@.service").symlink_to("/dev/null")


BARE_INIT: Final = """#!/bin/sh
# Process 1 of a guest without systemd: the file systems a program expects, then the hand.
export PATH=/usr/sbin:/usr/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run; mount -t tmpfs tmp /tmp
mkdir -p /dev/shm /dev/pts /run/lock; mount -t tmpfs shm /dev/shm; mount -t devpts pts /dev/pts
exec python3 /opt/guest/hand.py
"""

HAND_UNIT: Final = """[Unit]
Description=The hand of the test in this guest
[Service]
ExecStart=/usr/bin/python3 /opt/guest/hand.py
OOMScoreAdjust=-1000
"""


# --- the kernel


def _take_kernel(root: Path, recipe: Recipe, into: Path) -> None:
    """Kernel and initrd beside the root, whose own copies and modules go: what a guest needs is loaded before its root is."""
    (image,) = (root / "boot").glob("vmlinuz-*")
    shutil.copy2(image, into / "kernel")
    modules = {path.name.split(".ko")[0].replace("-", "_"): path for path in (root / "lib/modules").rglob("*.ko*")}
    order: list[str] = []
    for wanted in (*MODULES, *recipe.modules):
        _with_dependencies(wanted, modules, order)
    files = {f"m/{name}.ko": (0o644, modules[name].read_bytes()) for name in order}
    files["m/order"] = (0o644, "".join(f"/m/{name}.ko\n" for name in order).encode())
    files["busybox"] = (0o755, (root / "usr/bin/busybox").read_bytes())
    files["init"] = (0o755, (HERE / "initrd.sh").read_bytes())
    (into / "initrd").write_bytes(_archive(["m", "proc", "sys", "dev", "root"], files))
    for gone in ("boot", "usr/lib/modules", "usr/lib/linux-image-*"):
        for path in root.glob(gone):
            shutil.rmtree(path)
    (root / "boot").mkdir()


def _with_dependencies(name: str, modules: dict[str, Path], order: list[str]) -> None:
    """Append a module after those it says it depends on; one that this kernel has built in has no file."""
    name = name.replace("-", "_")
    if name in order or name not in modules:
        return
    said = re.search(rb"(?:^|\0)depends=([^\0]*)", modules[name].read_bytes())
    for needed in said[1].decode().split(",") if said is not None else ():
        _with_dependencies(needed, modules, order)
    order.append(name)


def _archive(directories: Sequence[str], files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """An initrd: cpio, "newc", uncompressed."""
    out = bytearray()
    entries = [*((name, 0o040755, b"") for name in directories)]
    entries += [(name, 0o100000 | mode, data) for name, (mode, data) in files.items()]
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


# --- the disk


def _make_disk(root: Path, disk: Path) -> None:
    used = int(_run("du", "-sm", root).split()[0])
    _run("truncate", "-s", f"{used + used // 8 + ROOM_MB}M", disk)
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-d", root, disk, PATH=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _run(*command: str | Path, stdin: IO[bytes] | None = None, **environ: str) -> str:
    """Run to its end and return what it printed. Raise BuildError."""
    words = [str(word) for word in command]
    env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", **environ}
    done = subprocess.run(words, stdin=stdin or subprocess.DEVNULL, capture_output=True, env=env, check=False)
    if done.returncode != 0:
        raise BuildError(f"{' '.join(words)[:200]}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout.decode(errors="replace")
