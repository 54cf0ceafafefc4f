"""What reading the configuration found. Apart from the reading, so that a service can let go of that and keep this."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_agent.config.findings import Finding, Origin
from edge_agent.config.model import Config, Gateway
from edge_agent.config.source import Content

PROFILE_DIRS: Final = Config(gateway=Gateway(id="")).profile_dirs


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `load` found. `config` is None if any finding is an error."""

    config: Config | None
    findings: tuple[Finding, ...]
    sources: tuple[Path, ...]  # the files, in reading order
    origins: Mapping[str, Origin] = field(default_factory=dict)  # "panel[hall].baud" -> where it is written
    profile_dirs: tuple[Path, ...] = PROFILE_DIRS  # sound even if `config` is None
    data_dir: Path | None = None  # as written; it too may be known although `config` is None
    contents: tuple[Content, ...] = ()  # of the sources, as far as they could be read
