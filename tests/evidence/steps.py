"""What the evidence consists of: the steps of `steps.toml`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

BESIDE: Final = "-n {jobs} --dist worksteal"


@dataclass(frozen=True, slots=True)
class Step:
    """`words` follow `python -m`. `counts`: EDGE_… variables; one that the caller has set already stays as it is."""

    name: str
    minutes: float  # about, in full, on two cores with nothing else to do
    what: str
    words: tuple[str, ...]
    counts: Mapping[str, str] = field(default_factory=dict)

    def command(self, directory: str, environ: Mapping[str, str]) -> list[str]:
        """The words as they are run: `{out}` is the directory of this step's results, `{EDGE_X}` a count."""
        known = {"out": directory, "jobs": environ.get("EDGE_TEST_JOBS", "2"), **self.chosen(environ)}
        return [word.format_map(known) for word in self.words]

    def chosen(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The counts of this run."""
        return {name: environ.get(name, count) for name, count in self.counts.items()}


def _read(file: Path) -> tuple[Step, ...]:
    rows = tomllib.loads(file.read_text("utf-8"))["step"]
    return tuple(Step(words=tuple(row.pop("run").replace("{beside}", BESIDE).split()), **row) for row in rows)


STEPS: Final = _read(Path(__file__).with_name("steps.toml"))
