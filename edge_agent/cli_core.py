"""Asks the running core one thing, and says in words why it did not answer or will not."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_agent.cli_base import FilePath
from edge_agent.cli_words import lookup
from edge_agent.system_words import system_words
from edge_agent.terminal import FAILURES, CliContext, print_json, print_lines, printable
from edge_agent.texts import text

if TYPE_CHECKING:
    from edge_agent.local_api import LocalClient

ANSWER_S = 5.0  # a core that needs longer for a snapshot is stuck: its loop is never blocked for even a tenth of that

socket_option = click.option("--socket", type=FilePath(), metavar="PATH")


class Unreachable(Exception):
    """The core did not answer. `code` is ASCII; `cli.core_<code>` says it in words."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code)
        self.code, self.params = code, params

    def say(self, obj: CliContext) -> int:
        """Tell person or script, and return the exit code."""
        if obj.json_out:
            print_json({"error": self.code, "params": self.params})
        print_lines([self.words(obj.lang)], err=True)
        return FAILURES

    def words(self, lang: str) -> str:
        """The fact, then what to do."""
        params = {key: system_words(value, lang) if key == "detail" else value for key, value in self.params.items()}
        return text(f"cli.core_{self.code}", lang, **params)


class Refused(Unreachable):
    """The core answered that it will not. `cli.api_<code>` says why in words."""

    def words(self, lang: str) -> str:
        """The refusal in words; its code and parameters where the catalogue has none."""
        params = ", ".join(f"{key}={value}" for key, value in self.params.items())
        known = lookup(f"cli.api_{self.code}", lang)
        return known or text("cli.api_refused", lang, code=self.code, params=printable(params))


def socket_path(obj: CliContext, given: Path | None) -> Path:
    """Where the core listens: `given`, else by the configuration in force, else where it does by default."""
    if given is not None:
        return given
    from edge_agent.last_good import gateway_of

    return gateway_of(obj.config_dir).run_dir / "core.sock"


async def connect(path: Path) -> "LocalClient":
    """A client of the core on `path`. Raise Unreachable, saying why."""
    from edge_agent.local_api import LocalClient

    try:
        return await LocalClient.connect(path)
    except PermissionError:
        raise Unreachable("no_permission", socket=str(path)) from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise Unreachable("not_running", socket=str(path)) from None
    except OSError as fault:
        raise Unreachable("broken", socket=str(path), detail=fault.strerror or str(fault)) from None


def ask(path: Path, do: str, **params: object) -> Any:
    """Ask the core one thing. Raise Unreachable if it does not answer, Refused if it will not."""
    import asyncio

    from edge_agent.local_api import ApiError

    async def once() -> object:
        client = await connect(path)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await client.request(do, **params)
        except TimeoutError:
            raise Unreachable("silent", socket=str(path), seconds=round(ANSWER_S)) from None
        except ConnectionError:
            raise Unreachable("hung_up", socket=str(path)) from None
        except ApiError as refusal:
            raise Refused(refusal.code, **refusal.params) from None
        finally:
            with contextlib.suppress(OSError):
                await client.close()

    return asyncio.run(once())
