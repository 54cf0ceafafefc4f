"""`edge-centre`: run the reference centre, and look at what it has."""

import argparse
import logging
import re
import signal
import ssl
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final, NoReturn

from edge_agent.cli_words import place_word, word
from edge_agent.system_words import system_words
from edge_agent.terminal import (
    FAILURES,
    OK,
    USAGE,
    WARNINGS,
    prepare_stdio,
    print_json,
    print_lines,
    table,
    usable_language,
)
from edge_agent.texts import LANGUAGES, language_of_locale, text
from simulators.centre.check import Object, encode
from simulators.centre.far_side import database_away, told_to_people, why_words
from simulators.centre.options import broker_port, host, port
from simulators.centre.query import Look, Row, look
from simulators.centre.store import Database, StoreFault, is_server

CHINA: Final = timezone(timedelta(hours=8))
DB: Final = Path("centre.db")


def _database(text: str) -> Database:
    return text if is_server(text) else Path(text)


def _shown(db: Database) -> str:
    """The database for people: a password in its URL is nobody's business."""
    return re.sub(r"(//[^:/@]*):[^@/]*@", r"\1@", re.sub(r"(password=)[^&]*", r"\1***", str(db)))


class _Parser(argparse.ArgumentParser):
    lang = "en"

    def error(self, message: str) -> NoReturn:
        print(text("centre.usage_error", self.lang, message=_in_words(message, self.lang)), file=sys.stderr)
        sys.exit(USAGE)

    def format_help(self) -> str:
        return super().format_help().replace("usage: ", text("centre.usage", self.lang), 1)


# What argparse says, and the text that says it in both languages.
_COMPLAINTS = (
    (r"the following arguments are required: (?P<name>.*)", "cli.missing_parameter"),
    (r"argument (?P<name>\S+): invalid choice: '(?P<value>.*)' \(choose from (?P<known>.*)\)", "cli.bad_choice"),
    (r"argument (?P<name>.+?): (?:invalid \w+ value: )?'?(?P<value>.*?)'?", "cli.bad_value"),
    (r"unrecognized arguments: (?P<args>.*)", "cli.extra_arguments"),
)


def _in_words(message: str, lang: str) -> str:
    if found := re.fullmatch(r"argument (.+?): expected .* arguments?", message):
        return text("cli.option_needs_value", lang, name=found[1])
    for complaint, key in _COMPLAINTS:
        if (found := re.fullmatch(complaint, message)) is not None:
            return text(key, lang, **{name: value.replace("'", "") for name, value in found.groupdict().items()})
    return message  # our own, in words already


def _parser(lang: str) -> argparse.ArgumentParser:
    def word(name: str) -> str:
        return text(f"centre.{name}", lang).replace("%", "%%")

    _Parser.lang = lang
    common = _Parser(add_help=False)
    common.add_argument("-h", "--help", action="help", help=word("opt_help"))
    common.add_argument("--db", type=_database, default=DB, metavar="FILE|URL", help=word("opt_db"))
    common.add_argument("--lang", choices=LANGUAGES, default=lang, help=word("opt_lang"))
    parser = _Parser(prog="edge-centre", usage=word("usage_all"), description=word("about"), add_help=False)
    parser.add_argument("-h", "--help", action="help", help=word("opt_help"))
    parser.add_argument("--lang", choices=LANGUAGES, help=word("opt_lang"))
    commands = parser.add_subparsers(
        dest="command", required=True, prog="edge-centre", title=word("commands"), metavar=word("arg_command")
    )
    for name in ("run", "gb26875", "gaps", "events", "media", "stats", "gateways", "command", "apply-config", "update"):
        about = word(f"help_{name}") + ("\n\n" + word("about_run") if name == "run" else "")
        command = commands.add_parser(
            name,
            help=word(f"help_{name}"),
            description=about,
            parents=[common],
            add_help=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in ("run", "command", "apply-config", "update"):
            command.add_argument("--host", type=host, default="127.0.0.1", help=word("opt_host"))
            command.add_argument("--port", type=broker_port, default=1883, help=word("opt_port"))
            command.add_argument("--tls-ca", type=Path, metavar="FILE", help=word("opt_tls_ca"))
            command.add_argument("--cert", type=Path, metavar="FILE", help=word("opt_cert"))
            command.add_argument("--key", type=Path, metavar="FILE", help=word("opt_key"))
        if name == "run":
            command.add_argument("--client-id", default="edge-centre", help=word("opt_client_id"))
            command.add_argument("--group", default="centre", help=word("opt_group"))
            command.add_argument("--packed-port", type=port, default=0, metavar="PORT", help=word("opt_packed_port"))
            command.add_argument(
                "--packed-host", type=host, default="127.0.0.1", metavar="HOST", help=word("opt_packed_host")
            )
            command.add_argument("--packed-keys", type=Path, metavar="DIR", help=word("opt_packed_keys"))
            continue
        if name == "gb26875":
            from simulators.centre import gb_cli

            gb_cli.add_options(command, word)
            continue
        command.add_argument("--json", action="store_true", help=word("opt_json"))
        if name in ("command", "apply-config", "update"):
            command.add_argument("gateway", metavar=word("name_gateway"), help=word("arg_gateway"))
        if name == "apply-config":
            command.add_argument("file", metavar=word("name_file"), type=Path, help=word("arg_config"))
            command.add_argument("--sign-key", type=Path, required=True, metavar="FILE", help=word("opt_sign_key"))
            command.add_argument("--serial", type=int, required=True, metavar="N", help=word("opt_serial"))
        if name == "update":
            command.add_argument("file", metavar=word("name_file"), type=Path, help=word("arg_bundle"))
        if name == "command":
            command.add_argument("name", metavar=word("arg_command"), help=word("arg_name"))
            command.add_argument("params", metavar=word("name_params"), nargs="*", help=word("arg_params"))
        if name in ("command", "apply-config", "update"):
            command.add_argument("--id", default="", help=word("opt_id"))
            command.add_argument("--by", default="", help=word("opt_by"))
            command.add_argument("--wait", type=float, default=30.0, metavar="S", help=word("opt_wait"))
        if name == "gaps":
            command.add_argument("--recount", action="store_true", help=word("opt_recount"))
        if name == "media":
            command.add_argument("--out", type=Path, metavar="DIR", help=word("opt_out"))
        if name == "events":
            command.add_argument("--stream", default="", help=word("opt_stream"))
        if name in ("events", "media"):
            command.add_argument("--gateway", default="", help=word("opt_gateway"))
            command.add_argument("--limit", type=int, default=100, help=word("opt_limit"))
    for made in (parser, *commands.choices.values()):
        if made is not parser:
            names = [(str(action.metavar), action.nargs) for action in made._get_positional_actions()]
            given = [f"[{name} ...]" if nargs == "*" else name for name, nargs in names]
            made.usage = " ".join(["%(prog)s", word("arg_options"), *given])
        made._optionals.title = word("options")
        made._positionals.title = word("arguments")
    return parser


def _language_asked(args: Sequence[str]) -> str:
    asked = ""
    for position, arg in enumerate(args):
        if arg == "--lang":
            asked = "".join(args[position + 1 : position + 2])
        elif arg.startswith("--lang="):
            asked = arg.removeprefix("--lang=")
    return usable_language(asked if asked in LANGUAGES else language_of_locale())


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the script `edge-centre`."""
    prepare_stdio()
    given = list(sys.argv[1:] if args is None else args)
    lang = _language_asked(given)
    parser = _parser(lang)
    options = parser.parse_args(given)
    if options.command == "run" and options.packed_port and options.packed_keys is None:
        parser.error(text("centre.no_packed_keys", lang))
    try:
        if options.command == "gb26875":
            from simulators.centre import gb_cli

            sys.exit(gb_cli.run(options, lang, _shown(options.db)))
        sys.exit(
            {"run": _run, "command": _command, "apply-config": _command, "update": _command}.get(
                options.command, _look
            )(options, lang)
        )
    except FileNotFoundError:
        print_lines([text("centre.no_db", lang, db=options.db)], err=True)
    except StoreFault as fault:
        why = why_words(database_away(fault, options.db), lang)
        print_lines([text("centre.bad_db", lang, db=_shown(options.db), why=why)], err=True)
    except ImportError as fault:
        if fault.name != "psycopg":
            raise
        print_lines([text("centre.no_driver", lang)], err=True)
    sys.exit(FAILURES)


def _run(options: argparse.Namespace, lang: str) -> int:
    from simulators.centre.service import Centre, Settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    settings = Settings(
        host=options.host,
        port=options.port,
        db=options.db,
        client_id=options.client_id,
        group=options.group,
        tls_ca=options.tls_ca,
        cert=options.cert,
        key=options.key,
    )

    def ready() -> None:
        said = text("centre.ready", lang, host=options.host, port=options.port, db=_shown(options.db))
        print(said, flush=True)

    stop, bug = threading.Event(), threading.Event()

    def fall() -> None:
        bug.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    database = told_to_people("database", _shown(options.db), lang)
    broker = told_to_people("broker", f"{options.host}:{options.port}", lang)
    centre = Centre(settings, ready, fall, broker=broker, database=database)
    ear = None
    if options.packed_port:
        from simulators.centre.packed import PackedListener

        try:
            where = options.packed_host, options.packed_port
            ear = PackedListener(*where, options.packed_keys, options.db, database=database, on_bug=fall)
        except OSError as fault:
            print_lines(
                [text("centre.bad_packed", lang, port=options.packed_port, why=system_words(fault, lang))], err=True
            )
            return FAILURES
        ear.start()
    try:
        centre.start()
    except (OSError, ssl.SSLError) as fault:
        if ear is not None:
            ear.stop()
        print_lines([text("centre.bad_tls", lang, why=system_words(fault, lang))], err=True)
        return FAILURES
    stop.wait()
    if ear is not None:
        ear.stop()
    centre.stop()
    print(text("centre.stopped", lang), flush=True)
    return FAILURES if bug.is_set() else OK


def _command(options: argparse.Namespace, lang: str) -> int:
    """One command to one gateway. Exit 0: done; 1: refused; 2: failed, or no answer."""
    from simulators.centre.command import NoAnswer, Where, ask, new_id, read_params
    from simulators.centre.sign_config import CannotSign, signed_params

    where = Where(host=options.host, port=options.port, tls_ca=options.tls_ca, cert=options.cert, key=options.key)
    try:
        if options.command == "update":
            from simulators.centre.update import offer

            names = {"command_id": options.id or new_id(), "by": options.by}
            return _answered(offer(where, options.gateway, options.file, wait_s=options.wait, **names), options, lang)
        if options.command == "apply-config":
            name, params = (
                "apply_config",
                signed_params(
                    where,
                    options.gateway,
                    options.file,
                    options.sign_key,
                    serial=options.serial,
                    wait_s=options.wait,
                ),
            )
        else:
            name, params = options.name, read_params(options.params)
        answer = ask(
            where,
            options.gateway,
            name,
            params,
            command_id=options.id or new_id(),
            by=options.by,
            wait_s=options.wait,
        )
    except ValueError as fault:
        print_lines([text("centre.usage_error", lang, message=text("centre.no_pair", lang, pair=fault))], err=True)
        return USAGE
    except CannotSign as fault:
        print_lines([text("centre.cannot_sign", lang, why=fault)], err=True)
        return FAILURES
    except (NoAnswer, OSError) as fault:
        print_lines([text("centre.no_answer", lang, gateway=options.gateway, why=system_words(fault, lang))], err=True)
        return FAILURES
    return _answered(answer, options, lang)


def _answered(answer: Object, options: argparse.Namespace, lang: str) -> int:
    status = str(answer.get("status"))
    if options.json:
        print_json(answer)
    else:
        known = status if status in ("done", "refused", "failed") else "failed"
        code = answer.get("code") or ""
        print_lines(
            [text(f"centre.command_{known}", lang, id=answer.get("id"), why=word(f"cli.command_{code}", code, lang))]
        )
        result = answer.get("result")
        rows = [(key, encode(value)) for key, value in result.items()] if isinstance(result, dict) else []
        print_lines(table((), rows) if rows else [])
    return {"done": OK, "refused": WARNINGS}.get(status, FAILURES)


def _look(options: argparse.Namespace, lang: str) -> int:
    with look(options.db) as ask:
        if options.command == "stats":
            stats = ask.stats()
            if options.json:
                print_json(stats)
            else:
                print_lines(table((), [(text(f"centre.stat_{name}", lang), value) for name, value in stats.items()]))
            return OK
        if options.command == "media":
            return _pictures(ask, options, lang)
        if options.command == "events":
            rows = ask.events(gateway=options.gateway, stream=options.stream, limit=options.limit)
        else:
            rows = ask.gaps(recount=options.recount) if options.command == "gaps" else ask.gateways()
    if options.json:
        print_json(rows)
    else:
        print_lines(_lines(options.command, rows, lang))
    return WARNINGS if options.command == "gaps" and rows else OK


def _pictures(ask: Look, options: argparse.Namespace, lang: str) -> int:
    """The pictures; with --out those that are whole are written there. Exit 1 if one of them is not."""
    from edge_agent.media import assemble

    rows = ask.pictures(gateway=options.gateway, limit=options.limit)
    for row in rows:
        found = assemble(ask.parts(str(row["gateway"]), str(row["picture"])))
        row["whole"] = found is not None
        if found is not None and options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            safe = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{row['gateway']}-{row['source']}-{row['picture']}")
            (options.out / f"{safe[:200]}.jpg").write_bytes(found[1])
    if options.json:
        print_json(rows)
    else:
        print_lines(_lines("media", rows, lang))
    return OK if all(row["whole"] for row in rows) else WARNINGS


def _lines(command: str, rows: list[Row], lang: str) -> list[str]:
    if not rows:
        return [text("centre.none", lang)]
    columns = {
        "gaps": ("gateway", "epoch", "stream", "first", "last", "why"),
        "events": ("at", "gateway", "stream", "n", "kind", "active", "point"),
        "media": ("taken", "gateway", "source", "shot", "points", "bytes", "whole"),
        "gateways": ("gateway", "online", "seen", "agent", "stored"),
    }[command]
    headers = [text(f"centre.col_{column}", lang) for column in columns]
    return table(headers, [[_cell(column, row, lang) for column in columns] for row in rows])


def _cell(column: str, row: Row, lang: str) -> object:
    value = row.get(column)
    if column == "kind":
        value = word(f"alarm.kind_{value}", value, lang)
    if column == "point":
        return place_word(value, lang)
    if column == "why":
        return text(f"centre.why_{value}", lang) if value in ("missing", "gone", "refused") else value
    if column == "kind" and row.get("brief"):
        covers = row.get("covers")
        count = covers["last"] - covers["first"] + 1 if isinstance(covers, dict) else 1
        return text("centre.brief" if count == 1 else "centre.brief_many", lang, kind=value, count=count)
    if column == "taken":
        return _china(row.get("taken_wall_ns"))
    if column == "points" and isinstance(value, list):
        return ", ".join(map(str, value))
    if column in ("online", "whole"):
        return text("centre.yes" if value else "centre.no", lang)
    if column == "active":
        return text("centre.on" if value else "centre.off", lang)
    if column == "seen":
        return _china(row.get("seen_ns"))
    if column == "at":
        return _china(value.get("wall_ns") if isinstance(value, dict) else None)
    if column == "stored" and isinstance(value, dict):
        return ", ".join(f"{stream} {count}" for stream, count in value.items())
    return value


def _china(wall_ns: object) -> str:
    if not isinstance(wall_ns, int) or not 0 <= wall_ns < 2**62:
        return "?"
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=wall_ns // 1000)
    return f"{at.astimezone(CHINA):%Y-%m-%d %H:%M:%S}"
