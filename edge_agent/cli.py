"""`edge-agent`: the one command of the gateway. Nothing heavy is imported here; each command loads its own part when it runs."""

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from edge_agent import __version__
from edge_agent.cli_base import LazyGroup, dress, say_usage_error
from edge_agent.terminal import FAILURES, OK, USAGE, CliContext, prepare_stdio, usable_language
from edge_agent.texts import LANGUAGES, language_of_locale, text

PROG = "edge-agent"
COMMANDS = {
    "run": "edge_agent.cli_run:run",
    "uplink": "edge_agent.cli_run:uplink",
    "cameras": "edge_agent.cli_run:cameras",
    "status": "edge_agent.cli_status:status",
    "points": "edge_agent.cli_points:points",
    "alarms": "edge_agent.cli_alarms:alarms",
    "events": "edge_agent.cli_events:events",
    "ack": "edge_agent.cli_alarms:ack",
    "silence": "edge_agent.cli_alarms:silence",
    "duty": "edge_agent.cli_duty:duty_group",
    "linkage": "edge_agent.cli_linkage:linkage_group",
    "camera": "edge_agent.cli_camera:camera_group",
    "node": "edge_agent.cli_node:node_group",
    "patrol": "edge_agent.cli_patrol:patrol_group",
    "update": "edge_agent.cli_update:update_group",
    "decode": "edge_agent.cli_decode:decode",
    "config": "edge_agent.cli_config:config_group",
    "journal": "edge_agent.cli_journal:journal_group",
    "profile": "edge_agent.cli_profile:profile_group",
    "gb26875": "edge_agent.cli_gb26875:gb26875_group",
    "demo": "edge_agent.cli_run:demo",
}


def language_asked(args: Sequence[str]) -> str:
    """The language before anything is parsed, so that help and usage errors speak it wherever --lang stands."""
    asked = ""
    for position, arg in enumerate(args):
        if arg == "--":
            break
        name, equals, value = arg.partition("=")
        if name == "--lang":
            asked = value if equals else "".join(args[position + 1 : position + 2])
    return usable_language(asked if asked in LANGUAGES else language_of_locale())


class Root(LazyGroup):
    """The top command: turns every way to fail into words and an exit code."""

    def main(
        self, args: Sequence[str] | None = None, prog_name: str | None = None, *rest: Any, **extra: Any
    ) -> NoReturn:
        """Run one command line and exit the process with its code."""
        prepare_stdio()
        given = list(sys.argv[1:] if args is None else args)
        lang = language_asked(given)
        dress(self, (), lang)
        if os.environ.get("_EDGE_AGENT_COMPLETE"):  # a shell asks what could come next
            super().main(given, PROG, obj=CliContext(lang=lang))
        sys.exit(self._run(given, lang))

    def _run(self, args: list[str], lang: str) -> int:
        try:
            with self.make_context(PROG, args, obj=CliContext(lang=lang)) as ctx:
                code = self.invoke(ctx)
            sys.stdout.flush()
            return code if isinstance(code, int) else OK
        except click.exceptions.Exit as done:
            return done.exit_code
        except click.exceptions.NoArgsIsHelpError as asked:
            click.echo(asked.ctx.get_help(), err=True)
            return USAGE
        except click.UsageError as error:
            click.echo(say_usage_error(error, lang), err=True)
            return USAGE
        except BrokenPipeError:  # `edge-agent events | head`: the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OK
        except KeyboardInterrupt:
            return 130
        except Exception:  # noqa: BLE001 - Python's own exit code for a bug is 1, which scripts read as "warnings"
            import traceback

            traceback.print_exc()
            click.echo(text("cli.bug", lang), err=True)
            return FAILURES


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"{PROG} {__version__}")
        ctx.exit()


@click.group(cls=Root, lazy=COMMANDS)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version)
def root() -> None:
    """Everything here is said by the commands below it."""


def main() -> NoReturn:
    """Entry point of the script `edge-agent`."""
    root.main()
