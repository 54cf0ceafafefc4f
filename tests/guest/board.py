"""The guest with a board: an aarch64 machine with a GPIO chip, USB serial adapters and a watchdog, and our own programs on it."""

import compileall
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from tests.guest.image import BARE, Image, Recipe, build

ROOT: Final = Path(__file__).parents[2]
PLACE: Final = "opt/edge-agent"
ROOMS: Final = ("edge_agent", "drivers", "buffer", "simulators")
ALONE: Final = ("benchmarks/__init__.py", "benchmarks/one_alarm.py", "benchmarks/four_steps.py")
WHEELS: Final = (
    "click>=8.3,<9",
    "paho-mqtt>=2.2,<2.3",
    "gpiod>=2.4,<3",
)  # as in pyproject.toml, which the test compares
RULES: Final = "systemd/71-edge-agent.rules"
RAM_DISK: Final = "opt/ram.ext4"  # of the size of /dev/ram0, to be copied there
RAM_KIB: Final = 16384
WATCHDOG: Final = "systemd/edge-agent-watchdog.conf"
# systemd as process 1, and of its services the hand alone: all of them take an interpreted processor half a minute.
TARGET: Final = "systemd.unit=board.target"
UNITS: Final = {
    "board.target": "[Unit]\nDefaultDependencies=no\nWants=guest-hand.service\n",
    "guest-hand.service.d/board.conf": "[Unit]\nDefaultDependencies=no\n",
}
RECIPE: Final = Recipe(
    "arm64", packages=(*BARE, "systemd", "udev"), modules=("brd", "xhci_pci", "usbserial", "ftdi_sio", "i6300esb")
)


def board_image() -> Image:
    """The image, made of the product as it is in this tree."""
    return build(RECIPE, f"board {_digest()}", _furnish)


def _sources() -> Iterator[Path]:
    for room in ROOMS:
        yield from sorted(p for p in (ROOT / room).rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    yield from (ROOT / name for name in (*ALONE, RULES, WATCHDOG) if (ROOT / name).exists())


@cache
def _digest() -> str:
    digest = hashlib.sha256(repr((WHEELS, sys.version_info[:2], Path(__file__).read_bytes())).encode())
    for path in _sources():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _furnish(tree: Path) -> None:
    place = tree / PLACE
    for path in _sources():
        into = place / path.relative_to(ROOT)
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, into)
    for name, place_of_it in ((RULES, "usr/lib/udev/rules.d"), (WATCHDOG, "usr/lib/systemd/system.conf.d")):
        (tree / place_of_it).mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / place_of_it)
    for name, text in UNITS.items():
        unit = tree / "etc/systemd/system" / name
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_text(text)
    ram = ["mke2fs", "-q", "-F", "-t", "ext4", "-J", "size=4", str(tree / RAM_DISK), f"{RAM_KIB}k"]
    subprocess.run(ram, check=True, env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"})
    with tempfile.TemporaryDirectory() as wheels:
        subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--only-binary=:all:",
                    "--dest",
                    wheels,
                ),
                *("--disable-pip-version-check", "--python-version", "311", "--platform", "manylinux_2_17_aarch64"),
                *("--platform", "manylinux2014_aarch64", *WHEELS),
            ],
            check=True,
        )
        for wheel in Path(wheels).iterdir():
            with zipfile.ZipFile(wheel) as packed:
                packed.extractall(place)
    if sys.version_info[:2] == (3, 11):  # the guest's own: an interpreted processor compiles for half a minute
        for what in (place, tree / "usr/lib/python3.11"):
            compileall.compile_dir(
                what, quiet=2, workers=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
            )
