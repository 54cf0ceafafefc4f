"""What is wrong with a profile that is no TOML: every place and its cause. The parser's own words are a detail.

The drivers only know where `tomllib` stopped, which may be the end of the file; what reads a configuration finds causes, and a
profile is written by the same hands.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from drivers.profile import ProfileFinding
from edge_agent.config.findings import Finding, Findings
from edge_agent.config.source import fetch, parse

_AT: Final = re.compile(r" *\(at (?:line (\d+), column (\d+)|end of document)\)$")


def toml_findings(params: Mapping[str, object]) -> list[ProfileFinding]:
    """One for each broken statement of the file that a ProfileError `bad_toml` speaks of, each with the fields of its `cause` (a
    text of the room config; "": none was found).
    """
    file, detail = Path(str(params["file"])), str(params["detail"])
    findings = Findings()
    content = fetch(file, findings)
    if content is not None:
        parse(content, findings)
    rows = content.data.decode("utf-8-sig", "replace").splitlines() if content is not None else []
    at = _AT.search(detail)
    stopped = (int(at[1]), int(at[2])) if at is not None and at[1] else (max(len(rows), 1), len("".join(rows[-1:])) + 1)
    said = _AT.sub("", detail)
    causes = [one for one in findings.sorted({}) if one.severity == "error" and one.line]
    if not causes:
        return [_finding(file, *stopped, said)]
    own = next((cause for cause in causes if cause.line == stopped[0]), causes[0])  # of the parser's words
    return [
        _finding(
            file,
            *(stopped if cause.line == stopped[0] else (cause.line, _begin(rows, cause.line))),
            said if cause is own else "",
            cause,
        )
        for cause in causes
    ]


def _begin(rows: list[str], line: int) -> int:
    """The column of the first sign of a line."""
    row = rows[line - 1] if line <= len(rows) else ""
    return len(row) - len(row.lstrip()) + 1


def _finding(file: Path, line: int, column: int, said: str, cause: Finding | None = None) -> ProfileFinding:
    told = {"file": str(file), "line": line, "column": column, "detail": said, "cause": cause.code if cause else ""}
    return ProfileFinding("bad_toml", {**(cause.params if cause else {}), **told})
