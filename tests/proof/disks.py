"""File systems a proof may fill, lock and damage."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A tmpfs of its own. Skips the test where nobody may mount one."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a tmpfs")
    place = Path(tempfile.mkdtemp(prefix="zg-disk-"))
    mounted = _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place))
    try:
        if mounted:
            pytest.skip(f"this machine lets nobody mount a tmpfs: {mounted}")
        yield place
    finally:
        if not mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)
        shutil.rmtree(place, ignore_errors=True)


def remount(place: Path, *, read_only: bool) -> None:
    """Lock or unlock it. The kernel refuses to lock what is open for writing."""
    failed = _mount("-o", f"remount,{'ro' if read_only else 'rw'}", str(place))
    assert not failed, failed


def _mount(*arguments: str) -> str:
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    return done.stderr.strip() or str(done.returncode) if done.returncode else ""


def fill(place: Path) -> Path:
    """A file of somebody else that takes every byte there is; remove it to give them back."""
    other = place / "somebody-elses.log"
    with other.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    pass
    return other
