"""Two slots with a whole program each, and the two links that say which one runs and which one is known to be good.

    /opt/edge-agent/slots/a, slots/b
    /opt/edge-agent/current -> slots/a      what the units start
    /opt/edge-agent/good -> slots/a         what is gone back to; where the updater itself runs from

While both links name one slot, the other is nobody's and may be wiped. A slot is on the medium with every file before a link
names it; a link moves in one rename. So whatever is cut, each link names a whole program.
"""

import configparser
import io
import os
import re
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_agent.sealed import read_sealed, seal, sync, write_whole
from edge_agent.update import rot
from edge_agent.update.bundle import Bundle, BundleError, check_member

ROOT: Final = Path("/opt/edge-agent")
CURRENT, GOOD = "current", "good"
NAMES: Final = ("a", "b")
ABOUT: Final = "slot.json"  # in a slot that a bundle filled: its version and counter
COMPILE_S: Final = 900.0
FILES_MAX: Final = 20_000
_SCRIPT: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_ENTRY: Final = re.compile(r"([A-Za-z_][\w.]{0,100}):([A-Za-z_]\w{0,60})")


class LayoutError(Exception):
    """The links are not what this page says. The text is for the log."""


class Slots:
    """Those below one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, slot: str) -> Path:
        """The directory of a slot."""
        return self.root / "slots" / slot

    def named(self, link: str) -> str:
        """The slot a link names. Raise LayoutError."""
        try:
            target = (self.root / link).readlink()
        except OSError as fault:
            raise LayoutError(f"{link}: {fault.strerror}") from None
        if target.parts[:-1] != ("slots",) or target.name not in NAMES:
            raise LayoutError(f"{link} -> {target}")
        return target.name

    def point(self, link: str, slot: str) -> None:
        """Let a link name a slot: durably, and at no instant no slot at all. Raise OSError."""
        new = self.root / f"{link}.new"
        new.unlink(missing_ok=True)
        new.symlink_to(f"slots/{slot}")
        new.replace(self.root / link)
        sync(self.root)

    def idle(self) -> str:
        """The slot nothing runs from. Raise LayoutError while a trial is open."""
        good = self.named(GOOD)
        if self.named(CURRENT) != good:
            raise LayoutError("a trial is open")
        return NAMES[1 - NAMES.index(good)]

    def about(self, slot: str) -> tuple[str, int]:
        """Version and counter of what a bundle put into a slot; ("", 0) for one that was filled by hand."""
        said = read_sealed(self.path(slot) / ABOUT)
        if said is None or not isinstance(said.get("version"), str) or type(said.get("counter")) is not int:
            return "", 0
        return said["version"], said["counter"]

    def fill(self, slot: str, bundle: Bundle) -> None:
        """Make the idle slot the program of a bundle, every file of it on the medium. Raise BundleError, OSError."""
        import venv  # brings logging, which no command's help needs

        place, manifest = self.path(slot), bundle.manifest
        self.wipe(slot)
        venv.EnvBuilder(symlinks=True, with_pip=False).create(place)
        packages = next((place / "lib").glob("python*/site-packages"))
        left = Allowance(manifest.needed_bytes)
        for _, wheel in bundle.wheels():
            unpack(wheel, packages, left)
        for file in sorted(packages.glob("*.dist-info/entry_points.txt")):
            write_scripts(file.read_text("utf-8"), place)
        python = str(place / "bin" / "python")
        # A service may not write into its slot: what is not compiled now is compiled at every start.
        words = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(packages)]
        done = subprocess.run(words, capture_output=True, timeout=COMPILE_S, check=False, cwd="/")
        if done.returncode:
            raise BundleError("self_test", what="compile", said=ascii(done.stdout[-200:].decode("utf-8", "replace")))
        write_whole(place / ABOUT, seal({"version": manifest.version, "counter": manifest.counter}), 0o644)
        rot.write_sums(place)
        sync_tree(place)
        sync(place.parent)

    def wipe(self, slot: str) -> None:
        """Empty a slot that no link names. Raise LayoutError, OSError."""
        if slot in (self.named(CURRENT), self.named(GOOD)):
            raise LayoutError(f"slot {slot} is in use")
        place = self.path(slot)
        if place.is_symlink() or place.is_file():
            place.unlink()
        elif place.exists():
            shutil.rmtree(place)


class Allowance:
    """So many bytes and files may still be unpacked: what a compressed member comes to is not what it says."""

    def __init__(self, size: int) -> None:
        self._size, self._left, self._files = size, size, FILES_MAX

    def a_file(self) -> None:
        """Raise BundleError(`too_large`)."""
        self._files -= 1
        self.some(0)

    def some(self, size: int) -> None:
        """Raise BundleError(`too_large`)."""
        self._left -= size
        if self._left < 0 or self._files < 0:
            raise BundleError("too_large", mb=self._size >> 20)


def unpack(wheel: bytes, packages: Path, left: Allowance) -> None:
    """Put a wheel's files where they are imported from. Raise BundleError: path, damaged, too_large, malformed; OSError."""
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            for member in archive.infolist():
                check_member(member)
                if ".data/" in member.filename:  # what belongs elsewhere than here; none of ours has any
                    raise BundleError("malformed", what=member.filename[:80])
                if not member.is_dir():
                    _write(archive, member, packages / member.filename, left)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError):
        raise BundleError("damaged", what="wheel") from None


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: Path, left: Allowance) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    left.a_file()
    with archive.open(member) as source, file.open("xb") as target:
        while piece := source.read(1 << 20):
            left.some(len(piece))
            target.write(piece)


def write_scripts(entry_points: str, slot: Path) -> None:
    """The commands a wheel brings, as pip would write them. Raise BundleError(`malformed`)."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    try:
        parser.read_string(entry_points)
    except configparser.Error:
        raise BundleError("malformed", what="entry_points.txt") from None
    for name, entry in parser.items("console_scripts") if parser.has_section("console_scripts") else ():
        found = _ENTRY.fullmatch(entry)
        if found is None or not _SCRIPT.fullmatch(name):
            raise BundleError("malformed", what=name[:80])
        module, attribute = found.groups()
        script = slot / "bin" / name
        lines = (
            f"#!{slot / 'bin' / 'python'}",
            "import sys",
            f"from {module} import {attribute}",
            f"sys.exit({attribute}())",
        )
        script.write_text("\n".join(lines) + "\n", "utf-8")
        script.chmod(0o755)


def sync_tree(place: Path) -> None:
    """Make everything below `place` durable, and its names. Raise OSError."""
    for found in _below(place):
        sync(found)


def _below(place: Path) -> Iterator[Path]:
    for directory, _, files in os.walk(place, topdown=False):
        for name in files:
            file = Path(directory) / name
            if stat.S_ISREG(file.lstat().st_mode):
                yield file
        yield Path(directory)
