"""The last good configuration: what a core ran on is kept beside the journal, and run on again where the files are damaged.

Damaged is what `load` refuses; a file whose bytes changed although its size and time of writing did not, so that nobody wrote it;
a file that ends where the accepted one goes on. Everything else is an edit, and counts. docs/decisions/0016.
"""

import dataclasses
import errno
import logging
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from edge_agent import sent_config
from edge_agent.config.findings import Finding, Findings
from edge_agent.config.loaded import Loaded
from edge_agent.config.model import Config, Gateway
from edge_agent.config.source import Content, fetch
from edge_agent.model import Instant
from edge_agent.sealed import BYTES_MAX, read_sealed, seal, write_whole
from edge_agent.sent_config import Desk, Sent, State, as_dict, check_of, content_of

log = logging.getLogger("edge.config")

FILE: Final = "config.good"
PROFILES: Final = "profiles.good"  # its profiles as files, for who reads profiles from a directory
_FORMAT: Final = 1
_SHOWN_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Copy:
    """Files as they were accepted. `site` is the directory or file that was loaded, `path` where the copy lies."""

    path: Path
    site: str
    files: tuple[Content, ...]  # in reading order
    profiles: tuple[Content, ...]  # the site's own that these files name
    accepted_wall_ns: int
    accepted_clock: str

    def same(self, site: str, files: tuple[Content, ...], profiles: tuple[Content, ...]) -> bool:
        """Whether there is nothing new to keep."""
        return (self.site, self.files, self.profiles) == (site, files, profiles)

    def config(self) -> Config | None:
        """What to run on; `unpack` its profiles first. None: a newer program refuses what an older one accepted."""
        from edge_agent.config.load import load_contents

        config = load_contents(self.files).config
        return replace(config, profile_dirs=(self.path.with_name(PROFILES),)) if config is not None else None


@dataclass(frozen=True, slots=True)
class InForce:
    """What a service runs on, and what is wrong with the files if it is not they."""

    loaded: Loaded  # the files; `config` is None also where only the comparison with the copy shows the damage
    config: Config | None  # None: neither files nor copy can be run on
    copy: Copy | None = None  # what was last accepted of these files
    sent: Sent | None = None  # what a centre sent, in the place of the files
    lies: Sent | None = None  # for a core: what a centre sent last, counting or not, with the outcomes still to be told

    @property
    def check(self) -> str:
        """A name for what is in force (`sent_config.check_of`)."""
        return check_of(self.copy.files if self.stands_in and self.copy is not None else self.loaded.contents)

    @property
    def stands_in(self) -> bool:
        """Whether `config` is the copy's."""
        return self.config is not None and self.loaded.config is None

    def why(self) -> dict[str, object] | None:
        """For `status` and the event: the first thing that is wrong, and when what stands in was accepted. None: nothing is."""
        if not self.stands_in or self.copy is None:
            return None
        errors = [finding for finding in self.loaded.findings if finding.severity == "error"]
        first = errors[0]
        params = {name: _short(value) for name, value in first.params.items()}
        return {
            "code": first.code,
            "file": _short(str(first.file)),
            "line": first.line,
            "key": _short(first.key),
            "params": params,
            "errors": len(errors),
            "accepted_wall_ns": self.copy.accepted_wall_ns,
            "accepted_clock": self.copy.accepted_clock,
            "copy": str(self.copy.path),
        }

    def sent_by(self) -> dict[str, object] | None:
        """Whose configuration it is, and which; None if it is that of the files."""
        letter = self.sent.letter if self.sent is not None else None
        return {"dest": letter.destination, "serial": letter.serial} if letter is not None else None

    def files(self) -> tuple[Content, ...] | None:
        """The files on site, sound ones; None if what runs is a copy because they are not."""
        if self.stands_in:
            return None
        return self.sent.base if self.sent is not None else self.loaded.contents

    def instead(self, source_fault: Exception) -> "InForce | None":
        """The copy, where the files are sound and a core could watch nothing of what they name. None: there is nothing else.

        Only one of the same directories: the uplink goes on with the files.
        """
        if self.stands_in or self.copy is None or self.config is None:
            return None
        config = self.copy.config()
        if config is None or config.gateway != self.config.gateway:
            return None
        why = Finding("error", "nothing_to_watch", self.loaded.sources[0], 0, "", {"why": str(source_fault)})
        damaged = replace(self.loaded, config=None, findings=(why, *self.loaded.findings))
        return InForce(damaged, config, self.copy)

    def before(self) -> Config | None:
        """What was last accepted, where the files have been edited since."""
        if self.copy is None or self.stands_in or self.copy.files == self.loaded.contents:
            return None
        return self.copy.config()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a core's configuration comes from. `keep` makes it the last good one: when, and whether all of it could be built."""

    stands_in: Mapping[str, object] | None = None  # InForce.why
    before: Config | None = None
    keep: Callable[[Instant, bool], object] | None = None
    check: str = ""  # InForce.check
    sent: Sent | None = None  # InForce.sent
    lies: Sent | None = None  # InForce.lies
    desk: Desk | None = None  # where what a centre sends is put; None: nothing is taken


FROM_FILES: Final = Provenance()


def _short(value: object) -> object:
    return value if isinstance(value, int | float) else str(value)[:_SHOWN_MAX]


# --- which configuration counts -----------------------------------------------------------------------------------------


def in_force(site: Path, loaded: Loaded | None = None, environ: Mapping[str, str] = os.environ) -> InForce:
    """What a service of `site` runs on now: its files, what a centre sent in their place, or the copy of what was last accepted
    where they are damaged.
    """
    loaded, copy, sent = find(site, loaded, environ)
    return _of_sent(loaded, copy, sent) or _of_files(loaded, copy, sent)


def for_core(site: Path, loaded: Loaded | None = None, environ: Mapping[str, str] = os.environ) -> InForce:
    """As `in_force`, for the core: its start moves on what a centre sent. That is tried once, and put aside where the try ended
    without the centre's word, where the files were edited since, or where they do not allow it.
    """
    loaded, copy, sent = find(site, loaded, environ)
    if sent is None or sent.state is State.VOID:
        return replace(_of_files(loaded, copy, sent), lies=sent)
    found = _of_sent(loaded, copy, sent)
    if found is None and sent.state is State.KEPT and (damaged := _of_files(loaded, copy, sent)).stands_in:
        return replace(damaged, lies=sent)  # no edit: when the files are mended, it stands in for them as before
    why = "not_confirmed" if sent.state is State.TRIAL else "edited" if found is None else ""
    if not why and not _is_allowed(loaded, found):
        why = "not_signed"
    try:
        if found is not None and not why:
            on = sent if sent.state is State.KEPT else sent_config.move(sent, State.TRIAL)
            return replace(found, sent=on, lies=on)
        owing = sent.owing("failed", why)
        lies = owing.without(why)
        if lies.state is State.KEPT and not _is_allowed(loaded, _of_sent(loaded, copy, lies)):
            lies = replace(owing, state=State.VOID, why=why)
        sent_config.write(lies)
    except OSError as fault:  # a card that takes nothing: the first try could not be told from the second
        log.error("sent configuration: %s", ascii(fault))
        lies = replace(sent.owing("failed", "not_written"), state=State.VOID, why="not_written")
    return replace(_of_sent(loaded, copy, lies) or _of_files(loaded, copy, lies), lies=lies)


def find(
    site: Path, loaded: Loaded | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Loaded, Copy | None, Sent | None]:
    """The files as they are, the copy of what was accepted last, and what a centre sent last, counting or not."""
    if loaded is None:
        from edge_agent.config.load import load

        loaded = load(site)
    homes = list(_homes(loaded, environ))
    copy = next((found for home in homes if (found := _of(site, home)) is not None), None)
    sent = next((one for home in homes if (one := sent_config.read(home, name_of(site))) is not None), None)
    return loaded, copy, sent


def _of_sent(loaded: Loaded, copy: Copy | None, sent: Sent | None) -> InForce | None:
    if sent is None or not sent.counts_for(loaded.contents):
        return None
    from edge_agent.config.load import load_contents

    instead = load_contents((sent.content,))
    # None: a newer program refuses what an older one took.
    return InForce(instead, instead.config, copy, sent) if instead.config is not None else None


def _is_allowed(files: Loaded, found: InForce | None) -> bool:
    from edge_agent.sent_check import stands

    if found is None or found.sent is None or files.config is None or found.config is None:
        return False
    return stands(found.sent.letter, files.config, found.config)


def _of_files(loaded: Loaded, copy: Copy | None, sent: Sent | None) -> InForce:
    if copy is None:
        return InForce(loaded, loaded.config)
    if sent is not None and sent.state is State.KEPT and copy.files == (sent.content,):
        damage = list(
            _damage(replace(copy, files=sent.base), loaded)
        )  # the files are judged by what they were, not by it
    else:
        damage = list(_damage(copy, loaded))
    if loaded.config is not None and not damage:
        return InForce(loaded, loaded.config, copy)
    damaged = replace(loaded, config=None, findings=(*damage, *loaded.findings))
    return InForce(damaged, copy.config(), copy)


def gateway_of(site: Path) -> Gateway:
    """Where the gateway of `site` keeps its things; by default if neither the files nor a copy can say."""
    config = in_force(site).config
    return config.gateway if config else Gateway(id="none")


def _homes(loaded: Loaded, environ: Mapping[str, str]) -> Iterator[Path]:
    """Where a copy may lie. The files may be too damaged to say where: systemd's word comes first, and there is a default."""
    yield from (Path(directory) for directory in environ.get("STATE_DIRECTORY", "").split(":") if directory)
    if loaded.data_dir is not None:
        yield loaded.data_dir
    yield Gateway(id="").data_dir


def _of(site: Path, home: Path) -> Copy | None:
    copy = read(home / FILE)
    return copy if copy is not None and copy.site == name_of(site) else None


def name_of(site: Path) -> str:
    """What a copy says it is of."""
    return os.path.abspath(site)  # noqa: PTH100 - resolve() asks the disk, which may be what is damaged


def _damage(copy: Copy, loaded: Loaded) -> Iterator[Finding]:
    present = {content.file: content for content in loaded.contents}
    for accepted in copy.files:
        if (now := present.get(accepted.file)) is not None and (code := _damaged(accepted, now)):
            yield _finding(code, accepted, now)
    if loaded.config is None:
        return
    profiles = _site_profiles(loaded.config)
    for accepted in copy.profiles:
        name = accepted.file.stem
        if name not in profiles:
            continue  # no longer named
        if (file := profiles[name]) is None:
            if not _is_shipped(name):
                yield Finding("error", "lost_profile", accepted.file, 0, "", {"value": name})
        elif file == accepted.file:
            now = fetch(file, Findings())
            if now is None or _tree(now.data) is None:
                yield Finding("error", "broken_profile", file, 0, "", {"value": name})
            elif code := _damaged(accepted, now):
                yield _finding(code, accepted, now)


def _damaged(accepted: Content, now: Content) -> str:
    """Why `now` cannot be what somebody wrote; "" if it can, or if it says the same."""
    if now.data == accepted.data or _tree(now.data) == _tree(accepted.data):
        return ""
    if len(now.data) == len(accepted.data) and now.mtime_ns == accepted.mtime_ns:
        return "rotted"
    return "cut_short" if accepted.data.startswith(now.data) else ""


def _finding(code: str, accepted: Content, now: Content) -> Finding:
    params = {"path": accepted.file, "bytes": len(now.data), "bytes_accepted": len(accepted.data)}
    return Finding("error", code, accepted.file, 0, "", params)


def _tree(data: bytes) -> dict[str, Any] | None:
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # not UTF-8, not TOML
        return None


def _site_profiles(config: Config) -> dict[str, Path | None]:
    """Every profile the configuration names, and the site's own file of it, if it has one."""
    found: dict[str, Path | None] = {}
    for name in _profiles_named(config):
        files = [directory / f"{name}.toml" for directory in config.profile_dirs]
        found[name] = next((file for file in reversed(files) if _is_there(file)), None)
    return found


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # it is, and cannot be read, which is damage
        return True


def _profiles_named(part: object) -> Iterator[str]:
    """The values of every key `profile`, of whatever kind of source."""
    if dataclasses.is_dataclass(part):
        for key in dataclasses.fields(part):
            value = getattr(part, key.name)
            if key.name == "profile" and isinstance(value, str):
                yield value
            else:
                yield from _profiles_named(value)
    elif isinstance(part, tuple):
        for one in part:
            yield from _profiles_named(one)


def _is_shipped(name: str) -> bool:
    from drivers.profile import SHIPPED_DIR

    return (SHIPPED_DIR / f"{name}.toml").is_file()


# --- the copy on the card -----------------------------------------------------------------------------------------------


def home_of(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the copy is put: where `in_force` looks first."""
    return Path(environ.get("STATE_DIRECTORY", "").split(":")[0] or config.gateway.data_dir)


def keep(site: Path, loaded: Loaded, home: Path, at: Instant, whole: bool = True) -> bool:
    """Make `loaded` the last good configuration, durably, unless it is already; return whether anything was written.

    What could not be built as a whole only comes where there is nothing better. Raise OSError.
    """
    assert loaded.config is not None, "only what was accepted is kept"
    files = [file for file in _site_profiles(loaded.config).values() if file is not None]
    profiles = tuple(content for file in files if (content := fetch(file, Findings())) is not None)
    old = _of(site, home)
    if old is not None and (not whole or old.same(name_of(site), loaded.contents, profiles)):
        return False
    path = home / FILE
    new = Copy(path, name_of(site), loaded.contents, profiles, at.wall_ns, at.clock.value)
    data = _encode(new)
    if len(data) > BYTES_MAX:
        raise OSError(errno.EFBIG, "more than is kept", str(path))
    unpack(new)
    write_whole(path, data, 0o600 if any(content.private for content in (*new.files, *profiles)) else 0o640)
    log.info("last good files=%d profiles=%d", len(new.files), len(profiles))
    return True


def read(path: Path) -> Copy | None:
    """The copy at `path`; None if there is none, or not a sound one."""
    said = read_sealed(path)
    try:
        if said is None or said["format"] != _FORMAT:
            return None
        files, profiles = (tuple(content_of(one) for one in said[part]) for part in ("files", "profiles"))
        return Copy(path, said["site"], files, profiles, said["accepted_wall_ns"], said["accepted_clock"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _encode(copy: Copy) -> bytes:
    head: dict[str, object] = {
        "format": _FORMAT,
        "site": copy.site,
        "accepted_wall_ns": copy.accepted_wall_ns,
        "accepted_clock": copy.accepted_clock,
    }
    return seal(head | {part: [as_dict(one) for one in getattr(copy, part)] for part in ("files", "profiles")})


def unpack(copy: Copy) -> None:
    """Let the directory beside the copy hold its profiles and no others. For services only, which own it; both may be at it."""
    directory = copy.path.with_name(PROFILES)
    wanted = {one.file.name: one for one in copy.profiles}
    try:
        if wanted:
            directory.mkdir(mode=0o750, exist_ok=True)
        elif not directory.is_dir():
            return
        for there in directory.iterdir():
            if there.name not in wanted:
                there.unlink(missing_ok=True)
        for name, one in wanted.items():
            kept = fetch(directory / name, Findings())
            if kept is None or kept.data != one.data:
                write_whole(directory / name, one.data, 0o600 if one.private else 0o640)
    except OSError as fault:  # a card that takes nothing: what is there is used, what is not is a fault of its source
        log.error("profiles of the last good configuration: %s", ascii(fault))
