"""What is wrong with a configuration, in codes. `edge_agent.config.report` puts it into words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

Severity = Literal["error", "warning"]

FINDINGS_MAX: Final = 300  # nobody reads more; a file of 1 MiB of garbage would give a hundred thousand


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something is written."""

    file: Path
    line: int  # from 1; 0 is the file as a whole


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. `params` fill the text of `code`; `schema` in them names the key of the schema that says what is expected."""

    severity: Severity
    code: str  # key of edge_agent.texts.config
    file: Path
    line: int  # from 1; 0 is the file as a whole
    key: str  # "panel[hall].baud"; "" where no key can be named
    params: Mapping[str, object] = field(default_factory=dict)


class Findings:
    """Collects faults, each once, at most FINDINGS_MAX of them."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Finding] = {}
        self.more = 0

    def add(self, severity: Severity, code: str, at: Origin, key: str = "", **params: object) -> None:
        """Add one fault unless the same was told of the same place."""
        mark = (code, at.file, at.line, key, params.get("char"))
        if mark in self._found:
            return
        if len(self._found) >= FINDINGS_MAX:
            self.more += 1
            return
        self._found[mark] = Finding(severity, code, at.file, at.line, key, params)

    def error(self, code: str, at: Origin, key: str = "", /, **params: object) -> None:
        """Add a fault that keeps the agent from starting."""
        self.add("error", code, at, key, **params)

    def warning(self, code: str, at: Origin, key: str = "", /, **params: object) -> None:
        """Add a doubt that does not keep the agent from starting."""
        self.add("warning", code, at, key, **params)

    def failed(self) -> bool:
        """Whether anything found keeps the agent from starting."""
        return self.more > 0 or any(f.severity == "error" for f in self._found.values())

    def sorted(self, order: Mapping[Path, int]) -> tuple[Finding, ...]:
        """All of them, by file in reading order, then by line."""
        return tuple(sorted(self._found.values(), key=lambda f: (order.get(f.file, len(order)), f.line)))
