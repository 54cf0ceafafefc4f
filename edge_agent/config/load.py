"""Reads, merges and checks the configuration: `config.toml`, then `conf.d/*.toml` in lexical order.

Tables merge, arrays of tables append, any other value of a later file replaces the earlier one. Every fault is told at once.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from edge_agent.config.check import check_all, machine
from edge_agent.config.findings import Finding, Findings, Origin
from edge_agent.config.loaded import PROFILE_DIRS, Loaded
from edge_agent.config.model import Config
from edge_agent.config.schema import children
from edge_agent.config.site import Item, Site
from edge_agent.config.source import Content, Source, parse, read

_FILES_MAX: Final = 64
_IGNORED_QUIETLY: Final = (
    "~",
    ".bak",
    ".old",
    ".orig",
    ".swp",
    ".dpkg-dist",
    ".dpkg-old",
    ".dpkg-new",
    ".md",
    "README",
)
_CREDENTIALS: Final = ("ca_file", "cert_file", "key_file", "crl_file", "packed_key_file")
_CAMERA_CREDENTIALS: Final = ("ca_file", "credentials_file")


def load(
    directory_or_file: Path,
    *,
    check_ports: bool = False,
    check_tls: bool = False,
    profiles: Callable[[], Collection[str]] | None = None,
    unsound: Callable[[str], str] = lambda name: "",
) -> Loaded:
    """Read the configuration and check it. Never raises on what the files hold.

    `check_ports` and `check_tls` also look at this machine: serial ports that are not there, certificates that cannot be
    read. The agent itself starts without those checks: a missing adapter is a fault to tell, not a reason to be silent.
    `profiles` gives the names of the profiles there are; without it they are not checked. `unsound` says why one of them
    cannot be used, "" if it can.
    """
    findings = Findings()
    sources = [read(file, findings) for file in _files(directory_or_file, findings)]
    site = _checked(sources, findings)
    if profiles is not None:
        machine.check_profiles(site, profiles(), unsound)
    if check_ports:
        machine.check_serial_ports(site)
        machine.check_listening(site)
    if check_tls:
        machine.check_tls_files(site)
        machine.check_receiver_keys(site)
        _check_crl(site)
    return _loaded(site, sources, findings, directory_or_file)


def _check_crl(site: Site) -> None:
    from edge_agent.china_time import EPOCH  # what a core that starts need not have
    from edge_agent.clock import SystemClock
    from edge_agent.config.check.crl import check_crl
    from edge_agent.model import Clock

    now = SystemClock().now()
    check_crl(site, None if now.clock is Clock.UNSET else EPOCH + timedelta(microseconds=now.wall_ns // 1000))


def load_contents(contents: Iterable[Content]) -> Loaded:
    """As `load`, of files that were read before: nothing is looked at but these bytes."""
    findings = Findings()
    sources = [parse(content, findings) for content in contents]
    return _loaded(_checked(sources, findings), sources, findings, Path())


def _checked(sources: Sequence[Source], findings: Findings) -> Site:
    site = Site(sources, findings)
    check_all(site)
    return site


def _loaded(site: Site, sources: Sequence[Source], findings: Findings, whole: Path) -> Loaded:
    order = {source.file: n for n, source in enumerate(sources)}
    found = list(findings.sorted(order))
    if findings.more:
        found.append(Finding("error", "more", whole, 0, "", {"count": findings.more}))
    gateway = next(iter(site.items("gateway")), None)
    return Loaded(
        None if findings.failed() else _with_credentials(_build(site.top)),
        tuple(found),
        tuple(source.file for source in sources),
        dict(site.written()),
        site.top.values.get("profile_dirs", PROFILE_DIRS),
        gateway.values.get("data_dir") if gateway is not None else None,
        tuple(source.content for source in sources if source.content is not None),
    )


def _files(path: Path, findings: Findings) -> Sequence[Path]:
    try:
        is_dir = path.is_dir()
    except (OSError, ValueError):
        is_dir = False
    if not is_dir:
        return [path]  # read() says what is wrong with it
    found = [path / "config.toml"]
    try:
        names = sorted(entry.name for entry in os.scandir(path / "conf.d"))
    except FileNotFoundError:
        names = []
    except OSError as fault:
        findings.error("unreadable_file", Origin(path / "conf.d", 0), "", why=fault.strerror or "")
        names = []
    for name in names:
        file = path / "conf.d" / name
        if name.startswith(".") or name.endswith(_IGNORED_QUIETLY):
            continue
        if not name.endswith(".toml"):  # "panel.toml.txt": Windows hides the ending
            findings.warning("ignored_file", Origin(file, 0))
        elif len(found) == _FILES_MAX:
            findings.error("too_many_files", Origin(file, 0), "", count=_FILES_MAX)
            break
        else:
            found.append(file)
    return found


def _build(item: Item) -> Any:
    """The dataclass of a table whose values and children are all sound."""
    values = dict(item.values)
    for section in children(item.section.name):
        tables = item.children.get(section.name, [])
        if section.many:
            values[section.into] = tuple(_build(table) for table in tables)
        elif tables:
            values[section.into] = _build(tables[0])
    return item.section.cls(**values)


def _with_credentials(config: Config, environ: Mapping[str, str] = os.environ) -> Config:
    """Where systemd handed over a file of `tls/` or `cameras/` as a credential (LoadCredential=), use that copy.

    The service's user cannot read the original, and need not.
    """
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return config

    def handed_over(path: Path | None) -> Path | None:
        if path is not None and (copy := Path(directory) / f"{path.parent.name}_{path.name}").is_file():
            return copy
        return path

    uplinks = [
        replace(uplink, **{key: handed_over(getattr(uplink, key)) for key in _CREDENTIALS})  # type: ignore[arg-type]
        for uplink in config.uplinks
    ]
    links = [
        replace(link, modem=replace(link.modem, pin_file=handed_over(link.modem.pin_file))) if link.modem else link
        for link in config.links
    ]
    cameras = [
        replace(camera, **{key: handed_over(getattr(camera, key)) for key in _CAMERA_CREDENTIALS})  # type: ignore[arg-type]
        for camera in config.cameras
    ]
    return replace(config, uplinks=tuple(uplinks), links=tuple(links), cameras=tuple(cameras))
