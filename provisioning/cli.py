"""`edge-provision`: what the installer's laptop needs. Both languages, `--json` on what reports, never a question."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from edge_agent.cli_base import Choice, Whole, help_option, say_usage_error, speak
from edge_agent.terminal import (
    FAILURES,
    OK,
    USAGE,
    WARNINGS,
    CliContext,
    prepare_stdio,
    print_json,
    print_lines,
    printable,
    table,
    usable_language,
)
from edge_agent.texts import LANGUAGES, language_of_locale, text
from edge_agent.update.bundle import COUNTER_MAX, BundleError
from edge_agent.update.words import about_words, why_words
from provisioning.errors import ProvisionError

PROG = "edge-provision"


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the script `edge-provision`."""
    prepare_stdio()
    given = list(sys.argv[1:] if args is None else args)
    lang = language_asked(given)
    try:
        code = commands(lang).main(given, PROG, standalone_mode=False, obj=CliContext(lang=lang))
    except ProvisionError as error:
        print_lines([error.say(lang)], err=True)
        code = error.exit_code
    except BundleError as error:
        print_lines([why_words(error.code, error.params, lang)], err=True)
        code = FAILURES
    except click.exceptions.NoArgsIsHelpError as asked:
        print_lines([asked.ctx.get_help()], err=True)
        code = USAGE
    except click.UsageError as error:
        print_lines([say_usage_error(error, lang)], err=True)
        code = USAGE
    except click.exceptions.Exit as done:  # --help
        code = done.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    sys.exit(code if isinstance(code, int) else OK)


def language_asked(args: Sequence[str]) -> str:
    """The language before anything is parsed, so that help and errors speak it wherever --lang stands."""
    asked = ""
    for position, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if name == "--lang":
            asked = value if equals else "".join(args[position + 1 : position + 2])
    return usable_language(asked if asked in LANGUAGES else language_of_locale())


def commands(lang: str) -> click.Group:
    """The whole command, its help in `lang`."""

    def words(key: str) -> str:
        return text(f"provision.{key}", lang)

    def options(command: click.Command) -> click.Command:
        speak(command, lang)
        command.add_help_option = False
        command.params += [
            click.Option(["--lang"], type=Choice(LANGUAGES), expose_value=False, help=words("opt_lang")),
            help_option(lang),
        ]
        return command

    json_option = click.option("--json", "as_json", is_flag=True, help=words("opt_json"))
    gateway_option = click.option("--gateway", required=True, metavar="ID", help=words("opt_gateway"))
    out_option = click.option(
        "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help=words("opt_out")
    )
    root = click.Group(PROG, help=words("help_root"))
    groups = {
        name: click.Group(name, help=words(f"help_{name}")) for name in ("identity", "site", "batch", "node", "update")
    }

    @groups["identity"].command("new", help=words("help_identity_new"))
    @gateway_option
    @out_option
    @json_option
    def identity_new(gateway: str, out: Path, as_json: bool) -> int:
        return _identity_new(gateway, out, as_json, lang)

    @groups["identity"].command("show", help=words("help_identity_show"))
    @click.argument("path", type=click.Path(path_type=Path), default=Path(), metavar=words("arg_path"))
    @json_option
    def identity_show(path: Path, as_json: bool) -> int:
        return _identity_show(path, as_json, lang)

    @groups["site"].command("new", help=words("help_site_new"))
    @gateway_option
    @click.option("--name", required=True, metavar="TEXT", help=words("opt_name"))
    @click.option("--centre", required=True, metavar="HOST", help=words("opt_centre"))
    @out_option
    @json_option
    def site_new(gateway: str, name: str, centre: str, out: Path, as_json: bool) -> int:
        return _site_new(gateway, name, centre, out, as_json=as_json, lang=lang)

    @groups["batch"].command("check", help=words("help_batch_check"))
    @click.argument("sheet", type=click.Path(path_type=Path), metavar=words("arg_sheet"))
    @json_option
    def batch_check(sheet: Path, as_json: bool) -> int:
        return _batch_check(sheet, as_json, lang)

    @groups["node"].command("image", help=words("help_node_image"))
    @click.argument("source", type=click.Path(path_type=Path), metavar=words("arg_dir"))
    @click.option("--model", required=True, metavar="MODEL", help=words("opt_model"))
    @click.option("--key", required=True, type=click.Path(path_type=Path), metavar="FILE", help=words("opt_node_key"))
    @click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help=words("opt_image"))
    @json_option
    def node_image(source: Path, model: str, key: Path, out: Path, as_json: bool) -> int:
        return _node_image(source, model, key, out, as_json=as_json, lang=lang)

    file_argument = click.argument("file", type=click.Path(path_type=Path), metavar=words("arg_file"))

    @groups["update"].command("make", help=words("help_update_make"))
    @click.argument("wheels", type=click.Path(path_type=Path), metavar=words("arg_dir"))
    @click.option("--counter", required=True, type=Whole(1, COUNTER_MAX), metavar="N", help=words("opt_counter"))
    @click.option("--python", "pythons", required=True, multiple=True, metavar="X.Y", help=words("opt_python"))
    @click.option("--machine", "machines", multiple=True, metavar="NAME", help=words("opt_machine"))
    @click.option("--board", "boards", multiple=True, metavar="TEXT", help=words("opt_board"))
    @click.option("--min-version", default="0", metavar="X.Y.Z", help=words("opt_min_version"))
    @click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help=words("opt_bundle"))
    @json_option
    def update_make(wheels: Path, counter: int, out: Path, as_json: bool, **meant: Any) -> int:
        return _update_make(wheels, counter, meant, out, as_json=as_json, lang=lang)

    @groups["update"].command("sign", help=words("help_update_sign"))
    @file_argument
    @click.option("--key", required=True, type=click.Path(path_type=Path), metavar="FILE", help=words("opt_sign_key"))
    @json_option
    def update_sign(file: Path, key: Path, as_json: bool) -> int:
        return _update_sign(file, key, as_json, lang)

    @groups["update"].command("check", help=words("help_update_check"))
    @file_argument
    @click.option("--keys", type=click.Path(path_type=Path), metavar="DIR", help=words("opt_public_keys"))
    @json_option
    def update_check(file: Path, keys: Path | None, as_json: bool) -> int:
        return _update_check(file, keys, as_json, lang)

    for group in groups.values():
        for command in group.commands.values():
            options(command)
        root.add_command(options(group))
    options(root)
    return root


def _identity_new(gateway: str, out: Path, as_json: bool, lang: str) -> int:
    from provisioning import identity

    made = identity.make(gateway, out)
    key, request = out / identity.KEY, out / identity.REQUEST
    if as_json:
        print_json({"gateway": gateway, "key": str(key), "request": str(request), "public_sha256": made.public})
    else:
        print_lines([text("provision.made_identity", lang, key=key, csr=request, fingerprint=made.public)])
    return OK


def _identity_show(path: Path, as_json: bool, lang: str) -> int:
    from provisioning import identity

    found = identity.find(path)
    doubts = identity.doubts(found, datetime.now(UTC))
    said = [(code, text(f"provision.{code}", lang, **params)) for code, params in (*doubts.failures, *doubts.warnings)]
    if as_json:
        files = [_plain(one) for one in found]
        print_json({"files": files, "faults": [{"code": code, "message": message} for code, message in said]})
    else:
        for one in found:
            print_lines([f"{text(f'provision.kind_{one.kind}', lang)}  {one.path}"])
            fields = (
                ("subject", one.subject),
                ("names", ", ".join(one.names)),
                ("public", one.public),
                ("fingerprint", one.fingerprint),
                ("not_before", one.not_before),
                ("not_after", one.not_after),
            )
            rows = [("", text(f"provision.field_{name}", lang), value) for name, value in fields if value]
            print_lines(table((), rows))
        print_lines((message for _, message in said), err=True)
    return FAILURES if doubts.failures else WARNINGS if doubts.warnings else OK


def _plain(one: Any) -> dict[str, object]:
    return {
        "path": str(one.path),
        "kind": one.kind,
        "subject": one.subject,
        "names": list(one.names),
        "public_sha256": one.public,
        "sha256": one.fingerprint,
        "not_before": one.not_before.isoformat() if one.not_before else None,
        "not_after": one.not_after.isoformat() if one.not_after else None,
    }


def _site_new(gateway: str, name: str, centre: str, out: Path, *, as_json: bool, lang: str) -> int:
    from edge_agent.config.report import as_json as finding_json
    from edge_agent.config.report import render
    from provisioning import site

    file, findings = site.make(gateway, name, centre, out, lang)
    if as_json:
        print_json({"path": str(file), "findings": [finding_json(finding, lang) for finding in findings]})
    else:
        print_lines([text("provision.made_site", lang, path=file)])
        print_lines((render(finding, lang) for finding in findings), err=True)
    return FAILURES if any(finding.severity == "error" for finding in findings) else OK


def _node_image(source: Path, model: str, key: Path, out: Path, *, as_json: bool, lang: str) -> int:
    from provisioning import node

    made = node.make(source, model, key, out)
    said = {
        "path": str(made.path),
        "model": model,
        "version": made.version,
        "size": made.size,
        "update_key": made.update_key,
    }
    if as_json:
        print_json(said)
    else:
        print_lines([text("provision.made_image", lang, **said)])
    return OK


def _update_make(wheels: Path, counter: int, meant: dict[str, Any], out: Path, *, as_json: bool, lang: str) -> int:
    from edge_agent.update.judge import as_dict
    from provisioning import update

    made = update.make(wheels, counter, update.For(**meant), out)
    if as_json:
        print_json({"path": str(out), **as_dict(made)})
    else:
        print_lines([text("provision.made_bundle", lang, path=out, version=made.version, counter=made.counter)])
    return OK


def _update_sign(file: Path, key: Path, as_json: bool, lang: str) -> int:
    from provisioning import update

    count = update.sign(file, key)
    if as_json:
        print_json({"path": str(file), "signatures": count})
    else:
        print_lines([text("provision.signed_bundle", lang, path=file, count=count)])
    return OK


def _update_check(file: Path, keys: Path | None, as_json: bool, lang: str) -> int:
    from edge_agent.update.judge import as_dict
    from provisioning import update

    manifest, signatures, fault = update.check(file, keys)
    said = as_dict(manifest)
    names = [one.key for one in signatures]
    if as_json:
        print_json({**said, "signatures": names, "code": fault.code if fault else ""})
    else:
        lines = [about_words(said, lang), *(text("provision.signed_by", lang, key=name) for name in names)]
        if keys is not None and fault is None:
            lines.append(text("provision.bundle_enough", lang))
        print_lines(lines)
        if fault is not None:
            print_lines(
                [text("provision.bundle_refused", lang, why=why_words(fault.code, fault.params, lang))], err=True
            )
    return FAILURES if fault is not None else OK


def _batch_check(sheet: Path, as_json: bool, lang: str) -> int:
    from provisioning import batch

    checked = batch.check(sheet)
    faults = []
    for fault in checked.faults:
        params: dict[str, Any] = dict(fault.params)
        if "nearest" in params:
            near = params["nearest"]
            params["nearest"] = text("provision.did_you_mean", lang, nearest=near) if near else ""
        faults.append((fault, text(f"provision.{fault.code}", lang, **params)))
    if as_json:
        print_json(
            {
                "ok": not faults,
                "rows": len(checked.rows),
                "faults": [
                    {"row": f.row, "column": f.column, "field": f.name, "code": f.code, "message": message}
                    for f, message in faults
                ],
            }
        )
    else:
        for fault, message in faults:
            at = {"row": fault.row, "message": printable(message)}
            if fault.column:
                at |= {"column": fault.column, "field": fault.name or "?"}
            print_lines([text("provision.at_cell" if fault.column else "provision.at_row", lang, **at)])
        key = "provision.sheet_faults" if faults else "provision.sheet_ok"
        print_lines([text(key, lang, rows=len(checked.rows), faults=len(faults))])
    return FAILURES if faults else OK
