"""`edge-agent profile list|show|check|try|new|diff|install|bundle`: the data that says what a panel or a slave is."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_agent.cli_base import FilePath
from edge_agent.cli_decode import names_of, note_template, report
from edge_agent.cli_words import lookup, refusal_words, word
from edge_agent.system_words import system_words
from edge_agent.terminal import (
    FAILURES,
    OK,
    WARNINGS,
    CliContext,
    print_file,
    print_json,
    print_lines,
    printable,
    table,
)
from edge_agent.texts import text

if TYPE_CHECKING:
    from drivers.profile import Profile, ProfileError, Profiles


@click.group()
def profile_group() -> None:
    """Words for it are in the catalogue."""


def _profiles(obj: CliContext) -> "Profiles":
    from drivers.profile import load_profiles
    from edge_agent.config.load import load

    return load_profiles(load(obj.config_dir).profile_dirs)


def say(code: str, params: Mapping[str, object], lang: str) -> str:
    """A finding or error of a profile in words; its code and parameters where the catalogue has none."""
    if code == "bad_toml":
        params = _toml_cause(params, lang)
        code = "bad_toml" if params["detail"] else "bad_toml_also"
    shown = {key: printable(str(value)) for key, value in params.items()}
    if "detail" in shown:  # a code where the drivers say what is wrong with a table
        shown["detail"] = lookup(f"profile.fault_{shown['detail']}", lang) or system_words(shown["detail"], lang)
    if code == "example_refused":  # by a codec, whose reasons have words of their own
        shown["why"] = refusal_words(str(params["why"]), lang)
    known = lookup(f"profile.{code}", lang, **shown)
    return known or f"{code}: " + ", ".join(f"{key}={value}" for key, value in shown.items())


def _toml_cause(params: Mapping[str, object], lang: str) -> Mapping[str, object]:
    """The parameters with `what` is wrong in words; of an error of the drivers, those of the first place."""
    if "cause" not in params:
        from edge_agent.profile_syntax import toml_findings

        params = toml_findings(params)[0].params
    shown = {key: printable(str(value)) for key, value in params.items()}
    known = lookup(f"config.{shown['cause']}", lang, **shown) if shown["cause"] else None
    return {**params, "what": known or text("profile.toml_unclear", lang)}


def _complain(error: "ProfileError", obj: CliContext, as_json: bool) -> int:
    if as_json:
        print_json({"error": error.code, "params": {key: str(value) for key, value in error.params.items()}})
    print_lines([say(error.code, error.params, obj.lang)], err=True)
    return FAILURES


def _device(profile: "Profile", lang: str) -> str:
    product = profile.words("product", lang) or str(profile.data.get(f"product_{lang}") or "")
    brand = profile.words("brand", lang)
    return product if product.startswith(brand) else f"{brand} {product}"


def _origin(profile: "Profile") -> str:
    return "overrides" if profile.overrides else "site" if profile.site else "shipped"


@profile_group.command("list")
@click.pass_obj
def list_(obj: CliContext) -> int:
    """Every profile, and whether it is shipped or the site's own."""
    profiles = _profiles(obj)
    found = profiles.list()
    if obj.json_out:
        print_json(
            [
                {
                    "name": profile.name,
                    "kind": profile.kind,
                    "brand": profile.data.get("brand"),
                    "product": profile.data.get("product"),
                    "evidence": profile.evidence,
                    "origin": _origin(profile),
                    "path": str(profile.path),
                }
                for profile in found
            ]
        )
    else:
        lang = obj.lang
        rows = [
            (
                profile.name,
                _device(profile, lang),
                word(f"cli.profilekind_{profile.kind}", profile.kind, lang),
                word(f"cli.evidence_{profile.evidence}", profile.evidence, lang),
                text(f"cli.origin_{_origin(profile)}", lang),
            )
            for profile in found
        ]
        headers = [text(f"cli.col_{name}", lang) for name in ("profile", "device", "kind", "evidence", "origin")]
        print_lines(table(headers, rows))
    print_lines([say(error.code, error.params, obj.lang) for error in profiles.broken.values()], err=True)
    return WARNINGS if profiles.broken else OK


@profile_group.command("show")
@click.argument("name")
@click.pass_obj
def show(obj: CliContext, name: str) -> int:
    """One profile: where it is and what it says."""
    from drivers.profile import ProfileError

    try:
        profile = _open(obj, name)
    except ProfileError as error:
        return _complain(error, obj, obj.json_out)
    if obj.json_out:
        print_json({"name": profile.name, "origin": _origin(profile), "path": str(profile.path), "data": profile.data})
        return OK
    head = [
        f"{profile.name}  {_device(profile, obj.lang)}",
        text("cli.profile_file", obj.lang, path=profile.path)
        + f" ({text(f'cli.origin_{_origin(profile)}', obj.lang)})",
        "",
    ]
    body = profile.path.read_text("utf-8-sig").splitlines()
    lines = ["# " + printable(line) if line else "#" for line in head]  # the whole output is a profile again
    lines += [line.expandtabs() if line.expandtabs().isprintable() else printable(line) for line in body]
    print_file(lines)
    return OK


@profile_group.command("check")
@click.argument("files", type=FilePath(), nargs=-1, required=True, metavar="FILE...")
@click.pass_obj
def check(obj: CliContext, files: tuple[Path, ...]) -> int:
    """Check files before they are installed, with the examples in them."""
    from drivers.profile import ProfileError, ProfileFinding, load_file
    from edge_agent.profile_files import findings_of
    from edge_agent.profile_syntax import toml_findings

    worst, shown, lines = OK, [], []
    for file in files:
        try:
            findings = findings_of(load_file(file))
        except ProfileError as error:
            broken = error.code == "bad_toml"
            findings = toml_findings(error.params) if broken else [ProfileFinding(error.code, error.params)]
        severities = {finding.severity for finding in findings}
        code = FAILURES if "error" in severities else WARNINGS if "warning" in severities else OK
        worst = max(worst, code)
        shown.append(
            {
                "file": str(file),
                "sound": code != FAILURES,
                "findings": [
                    {
                        "severity": finding.severity,
                        "code": finding.code,
                        "params": {k: str(v) for k, v in finding.params.items()},
                    }
                    for finding in findings
                ],
            }
        )
        verdict = {OK: "sound", WARNINGS: "doubtful", FAILURES: "unsound"}[code]
        lines.append(text(f"cli.profile_{verdict}", obj.lang, file=printable(str(file))))
        lines += [
            f"    {text(f'cli.profile_{finding.severity}', obj.lang)}: {say(finding.code, finding.params, obj.lang)}"
            for finding in findings
        ]
    if obj.json_out:
        print_json(shown)
    else:
        print_lines(lines)
    return worst


@profile_group.command("try")
@click.argument("profile")
@click.argument("capture", metavar="CAPTURE|HEX|-")
@click.option("--raw", is_flag=True)
@click.pass_obj
def try_(obj: CliContext, profile: str, capture: str, raw: bool) -> int:
    """Read a capture with a profile that need not be installed."""
    from drivers.profile import ProfileError, try_capture

    try:
        found = _open(obj, profile)
        decoder: Callable[[bytes], list[dict[str, object]]] = lambda data: try_capture(found, data)  # noqa: E731 - typed
        note_template(found, obj.lang)
        names = names_of(found, obj.lang)
        return report(decoder, found.name, capture, raw=raw, as_json=obj.json_out, lang=obj.lang, names=names)
    except ProfileError as error:
        return _complain(error, obj, obj.json_out)


@profile_group.command("new")
@click.argument("name")
@click.option("--like", required=True, metavar="PROFILE")
@click.pass_obj
def new(obj: CliContext, name: str, like: str) -> int:
    """A file to begin with, in the current directory."""
    from drivers.profile import NAME, TEMPLATE, ProfileError
    from edge_agent.profile_files import new_text

    try:
        if not NAME.fullmatch(name):
            raise ProfileError("bad_name", profile=name)
        target = Path(f"{name}.toml")
        pattern = _open(obj, like)
        steps = "cli.profile_steps_template" if pattern.evidence == TEMPLATE else "cli.profile_steps"
        body = new_text(pattern, name, text(steps, obj.lang, file=target))
        with target.open("x", encoding="utf-8") as file:
            file.write(body)
    except FileExistsError:
        return _complain(ProfileError("file_exists", profile=name, file=str(target)), obj, obj.json_out)
    except OSError as fault:
        told = ProfileError("unwritable", profile=name, file=str(target), detail=fault.strerror or str(fault))
        return _complain(told, obj, obj.json_out)
    except ProfileError as error:
        return _complain(error, obj, obj.json_out)
    if obj.json_out:
        print_json({"file": str(target), "like": like})
    else:
        print_lines([text("cli.profile_made", obj.lang, file=target, like=like)])
    return OK


@profile_group.command("diff")
@click.argument("before", metavar="PROFILE")
@click.argument("after", metavar="[PROFILE]", required=False)
@click.pass_obj
def diff(obj: CliContext, before: str, after: str | None) -> int:
    """What two profiles say differently; one name alone: the shipped one and the site's own."""
    from drivers.profile import ProfileError
    from edge_agent.profile_files import differences

    try:
        old, new = _open(obj, before) if after else _shipped(before), _open(obj, after or before)
    except ProfileError as error:
        return _complain(error, obj, obj.json_out)
    changes = differences(old.data, new.data)
    if obj.json_out:
        print_json([{"key": change.key, "before": change.before, "after": change.after} for change in changes])
        return WARNINGS if changes else OK
    if not changes:
        print_lines([text("cli.profile_same", obj.lang)])
        return OK
    lines = [f"--- {printable(str(old.path))}", f"+++ {printable(str(new.path))}"]
    for change in changes:
        lines += [
            f"{sign} {change.key} = {printable(str(value))}"
            for sign, value in (("-", change.before), ("+", change.after))
            if value is not None
        ]
    print_lines(lines)
    return WARNINGS


@profile_group.command("install")
@click.argument("file", type=FilePath(), metavar="FILE")
@click.option("--force", is_flag=True)
@click.pass_obj
def install(obj: CliContext, file: Path, force: bool) -> int:
    """Check a file and put it among the site's own profiles."""
    from drivers.profile import NAME, ProfileError, load_file, require_facts
    from edge_agent.config.load import load
    from edge_agent.profile_files import findings_of, users_of
    from edge_agent.profile_files import install as put

    loaded = load(obj.config_dir)
    try:
        profile = load_file(file)
        if not NAME.fullmatch(profile.name):
            raise ProfileError("bad_name", profile=profile.name)
        require_facts(profile)
        findings = findings_of(profile)
        unsound = any(finding.severity == "error" for finding in findings)
        if not unsound and not loaded.profile_dirs:
            raise ProfileError("no_directory", profile=profile.name)
        users = users_of(loaded.config, profile.name)
        if not unsound and users and not force:
            raise ProfileError("in_use", profile=profile.name, users=", ".join(users))
        if not unsound and loaded.config is None and loaded.sources and not force:
            raise ProfileError("users_unknown", profile=profile.name)
        target = None if unsound else put(profile, loaded.profile_dirs[0])
    except ProfileError as error:
        return _complain(error, obj, obj.json_out)
    if obj.json_out:
        told = [{"severity": finding.severity, "code": finding.code} for finding in findings]
        print_json({"installed": None if target is None else str(target), "users": users, "findings": told})
    else:
        lines = [
            f"{text(f'cli.profile_{finding.severity}', obj.lang)}: {say(finding.code, finding.params, obj.lang)}"
            for finding in findings
        ]
        if target is None:
            lines.append(text("cli.profile_not_installed", obj.lang, file=printable(str(file))))
        else:
            lines.append(text("cli.profile_installed", obj.lang, file=printable(str(target))))
            if users:
                lines.append(text("cli.profile_restart", obj.lang, users=", ".join(users)))
        print_lines(lines)
    return FAILURES if unsound else OK


@profile_group.command("bundle")
@click.argument("profile")
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True)
@click.option("--out", type=FilePath(), metavar="FILE")
@click.option("--raw", is_flag=True)
@click.pass_obj
def bundle(obj: CliContext, profile: str, captures: tuple[str, ...], out: Path | None, raw: bool) -> int:
    """A contribution: the profile, the captures without names of people and places, and what was read in them."""
    from drivers.profile import ProfileError
    from edge_agent import __version__
    from edge_agent.cli_decode import BadInput, read_input
    from edge_agent.profile_bundle import write_bundle

    try:
        data = [read_input(capture, raw=raw) for capture in captures]
    except BadInput as bad:
        raise click.UsageError(bad.say(obj.lang), click.get_current_context()) from None
    try:
        found = _open(obj, profile)
        target = out or Path(f"{found.name}.zip")
        manifest = write_bundle(target, found, data, __version__)
    except ProfileError as error:
        return _complain(error, obj, obj.json_out)
    except OSError as fault:
        code = "file_exists" if isinstance(fault, FileExistsError) else "unwritable"
        told = ProfileError(code, profile=profile, file=str(target), detail=fault.strerror or str(fault))
        return _complain(told, obj, obj.json_out)
    if obj.json_out:
        print_json({"file": str(target), **manifest})
        return OK
    lines = [text("cli.profile_bundled", obj.lang, file=printable(str(target)))]
    read: Any = manifest["captures"]
    lines += [
        text(
            "cli.profile_bundled_capture",
            obj.lang,
            file=one["file"],
            bytes=one["bytes"],
            replaced=one["replaced"],
            dropped=one["frames_left_out"],
            read=", ".join(f"{_read_as(event, obj.lang)} {count}" for event, count in one["read"].items()),
        )
        for one in read
    ]
    print_lines([*lines, text("cli.profile_bundle_look", obj.lang)])
    return OK


def _read_as(event: str, lang: str) -> str:
    """What frames of a bundle were read as: an event, nothing, or refused."""
    return lookup(f"decode.event_{event}", lang) or lookup(f"cli.bundle_{event}", lang) or event


def _shipped(name: str) -> "Profile":
    """The shipped profile of a name, whatever the site puts over it. Raise ProfileError."""
    from drivers.profile import load_profiles

    return load_profiles(()).get(name)


def _open(obj: CliContext, name: str) -> "Profile":
    """A profile by its name, or by the path of a file. Raise ProfileError."""
    from drivers.profile import load_file

    if os.sep in name or name.endswith(".toml"):
        return load_file(Path(name).expanduser())
    return _profiles(obj).get(name)
