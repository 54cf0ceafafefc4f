"""`edge-agent profile list|show|check|try`: the data that says what a panel or a slave is."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_agent.cli_base import FilePath, lookup, word
from edge_agent.cli_decode import report
from edge_agent.terminal import FAILURES, OK, WARNINGS, CliContext, print_json, print_lines, printable, table
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
    shown = {key: printable(str(value)) for key, value in params.items()}
    known = lookup(f"profile.{code}", lang, **shown)
    return known or f"{code}: " + ", ".join(f"{key}={value}" for key, value in shown.items())


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
    print_lines(["# " + printable(line) if line else "#" for line in head])  # the whole output is a profile again
    print_lines([line.expandtabs() if line.expandtabs().isprintable() else printable(line) for line in body])
    return OK


@profile_group.command("check")
@click.argument("files", type=FilePath(), nargs=-1, required=True, metavar="FILE...")
@click.pass_obj
def check(obj: CliContext, files: tuple[Path, ...]) -> int:
    """Check files before they are installed, with the examples in them."""
    from drivers.profile import ProfileError, ProfileFinding, load_file
    from drivers.profile import check as check_profile
    from edge_agent.uplink.gb26875.survey import rules_of

    worst, shown, lines = OK, [], []
    for file in files:
        try:
            profile = load_file(file)
            findings = check_profile(profile)
            findings += [
                ProfileFinding("bad_gb26875", {"index": rule.index, "key": rule.key, "value": rule.value})
                for rule in rules_of(profile)[1]
            ]
        except ProfileError as error:
            findings = [ProfileFinding(error.code, error.params)]
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
        return report(decoder, found.name, capture, raw=raw, as_json=obj.json_out, lang=obj.lang)
    except ProfileError as error:
        return _complain(error, obj, obj.json_out)


def _open(obj: CliContext, name: str) -> "Profile":
    """A profile by its name, or by the path of a file. Raise ProfileError."""
    from drivers.profile import load_file

    if os.sep in name or name.endswith(".toml"):
        return load_file(Path(name).expanduser())
    return _profiles(obj).get(name)
