"""The coverage-guided fuzzer at doors: python -m tests.fuzz.guided DIRECTORY SECONDS DOOR... Needs atheris (group `fuzz`).

Each door has so many seconds, and a directory of its own below DIRECTORY with what is worth keeping, for judge.py to hold to time
and memory without instruments, and with `log`, what the fuzzer said. An input that raises ends the door's turn and stands there as
crash-…. The product is imported with instruments once, which takes longer than a door: each door is a fork.
"""

import os
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["drivers", "edge_agent"]
):  # ours alone: the rest costs minutes and tells nothing
    from tests.fuzz.doors import DOORS, Door

    for _door in DOORS.values():
        if _door.name in sys.argv:
            for _seed in _door.seeds:
                _door.take(_seed)  # the product imports much when it is first used


@atheris.instrument_func
def planted(data: bytes) -> None:
    """What no other fuzzer of ours finds: blind, it takes four thousand million inputs."""
    if data[:1] == b"F" and data[1:2] == b"I" and data[2:3] == b"R" and data[3:4] == b"E":
        raise IndexError("planted")


KNOWN = {**DOORS, "planted": Door("planted", planted, (b"nothing",))}


def fuzz(door: Door, directory: Path, seconds: int) -> None:
    """Never returns: libFuzzer ends the process."""
    log = os.open(directory / "log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    (directory / "found").mkdir()
    (directory / "corpus").mkdir()
    for number, seed in enumerate(door.seeds):
        (directory / "corpus" / f"seed-{number:03}").write_bytes(seed)
    longest = max([1024, *(2 * len(seed) for seed in door.seeds)])
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={longest}",
        f"-artifact_prefix={directory}/found/",
        "-timeout=5",
    ]
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", str(directory / "corpus")], door.take)
    atheris.Fuzz()


def main(directory: Path, seconds: int, names: list[str]) -> int:
    failed = 0
    for name in names:
        (directory / name).mkdir()
        if (child := os.fork()) == 0:
            fuzz(KNOWN[name], directory / name, seconds)  # the fuzzer writes down what raised when this process ends
            return 70
        failed |= os.waitpid(child, 0)[1]
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
