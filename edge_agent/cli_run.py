"""`edge-agent run`, `uplink` and `demo`: the two services of the gateway, and the story they tell together."""

import contextlib
import gc
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from edge_agent.cli_base import Seconds
from edge_agent.terminal import CONFIG, FAILURES, OK, CliContext, print_lines
from edge_agent.texts import forget as forget_texts
from edge_agent.texts import text

if TYPE_CHECKING:
    from edge_agent.last_good import InForce

log = logging.getLogger("edge.cli")

LOG_LINES_MAX = 10_000
LOG_END_S = 1.0


def load_or_complain(obj: CliContext, *, as_core: bool = False) -> "InForce":
    """What to run on. Print every finding to stderr, and what stands in for damaged files."""
    from edge_agent.config.report import render
    from edge_agent.last_good import for_core, in_force

    # A port that is not there yet, a profile that cannot be used: faults for the core to tell, no reason to stay off.
    found = for_core(obj.config_dir) if as_core else in_force(obj.config_dir)
    print_lines([render(finding, obj.lang) for finding in found.loaded.findings], err=True)
    return _standing(obj, found)


def _standing(obj: CliContext, found: "InForce") -> "InForce":
    """Say what stands in for damaged files, and lay its profiles out."""
    from edge_agent.config.report import stand_in_words
    from edge_agent.last_good import unpack

    print_lines(stand_in_words(found, obj.lang), err=True)
    if found.stands_in and found.copy is not None:
        unpack(found.copy)
    return found


def log_to_stderr(environ: Mapping[str, str] = os.environ) -> Callable[[], None]:
    """ASCII lines for journald: with a priority prefix where journald reads them, with the time where a person does.

    A thread writes them: a journald that hangs, or a terminal nobody reads, must not hold up an alarm. What does not fit
    meanwhile is dropped and counted. Returns what ends it: the lines that wait are written, if that is possible at once.
    """
    lines = _LogLine("JOURNAL_STREAM" in environ)
    waiting: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
    front = _Waiting(waiting)
    logging.basicConfig(level=logging.INFO, handlers=[front], force=True)

    def write() -> None:
        while (record := waiting.get()) is not None:
            if dropped := front.take_dropped():
                words = f"lines dropped={dropped}"
                _write(lines.format(logging.LogRecord("edge.log", logging.ERROR, "", 0, words, None, None)))
            _write(lines.format(record))

    thread = threading.Thread(target=write, name="log", daemon=True)
    thread.start()

    def end() -> None:
        waiting.put(None)
        thread.join(LOG_END_S)

    return end


class _Waiting(logging.Handler):
    """Lines on their way to the thread that writes them."""

    def __init__(self, waiting: "queue.SimpleQueue[logging.LogRecord | None]") -> None:
        super().__init__()
        self._waiting, self._dropped = waiting, 0

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line. The words are put together here: what they name may change before the thread comes to it."""
        if self._waiting.qsize() >= LOG_LINES_MAX:
            self._dropped += 1
            return
        try:
            record.msg, record.args = record.getMessage(), None
        except Exception as fault:  # noqa: BLE001 - a wrong log line must not end what wrote it
            record.msg, record.args = f"{record.msg!r} {fault!r}", None
        self._waiting.put(record)

    def take_dropped(self) -> int:
        """How many lines were dropped since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped


def _write(line: str) -> None:
    """Past sys.stderr, whose lock a thread that hangs in it would keep at the end of the program."""
    left = line.encode("ascii", "backslashreplace") + b"\n"
    with contextlib.suppress(OSError):
        while left:
            left = left[os.write(2, left) :]


class _LogLine(logging.Formatter):
    _PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

    def __init__(self, for_journald: bool) -> None:
        super().__init__("%(name)s %(message)s" if for_journald else "%(asctime)s %(levelname)s %(name)s %(message)s")
        self._for_journald = for_journald

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record).encode("ascii", "backslashreplace").decode()
        if not self._for_journald:
            return line
        rank = next((number for level, number in self._PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{rank}>{part}" for part in line.splitlines())


@click.command()
@click.pass_obj
def run(obj: CliContext) -> int:
    """Run the core: drivers, points, alarms, journal."""
    # The core speaks no TLS (docs/decisions/0006). asyncio takes a missing ssl for granted; with it come 4 MB of libcrypto.
    sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]
    found = load_or_complain(obj, as_core=True)
    config = found.config
    if config is None:
        return CONFIG
    running: InForce | None = found
    from buffer.faults import JournalError
    from drivers.profile import ProfileError

    end_log = log_to_stderr()
    sys.setswitchinterval(0.0005)  # no input waits for another thread's full 5 ms turn (p99.9 10 ms -> 2.5 ms)
    _forget_reading()
    gc.freeze()  # nothing of the program itself is looked through again
    gc.set_threshold(20_000, 20, 50)  # a full collection among 5 000 alarms holds up the next one by 20 ms and more
    try:
        while running is not None:
            try:
                return _serve(_core(obj, running), refuses=(JournalError, ProfileError))
            except ProfileError as error:
                from edge_agent.cli_profile import say  # and with it all the command line

                print_lines([say(error.code, error.params, obj.lang)], err=True)
                instead = running.instead(error)
                running = _standing(obj, instead) if instead is not None else None
        return CONFIG  # a restart would not mend it
    except JournalError as error:
        print_lines([text(f"journal.{error.code}", obj.lang, path=config.gateway.data_dir)], err=True)
        return FAILURES
    finally:
        end_log()


def _forget_reading() -> None:
    """Let go of what reads and checks a configuration, and of all words: 3 MB that the service's own modules then fill."""
    package = sys.modules["edge_agent.config"]
    for name in ("check", "keys", "load", "report", "schema", "site"):
        whole = f"{package.__name__}.{name}"
        for loaded in [key for key in sys.modules if key == whole or key.startswith(f"{whole}.")]:
            del sys.modules[loaded]
        vars(package).pop(name, None)
    forget_texts()
    gc.collect()


async def _core(obj: CliContext, found: "InForce") -> None:
    from edge_agent.core import run_core
    from edge_agent.last_good import Provenance, home_of, keep, name_of
    from edge_agent.sent_config import Desk

    assert found.config is not None
    home = home_of(found.config)
    kept = None if found.stands_in else partial(keep, obj.config_dir, found.loaded, home)
    base = found.files()
    provenance = Provenance(
        stands_in=found.why(),
        before=found.before(),
        keep=kept,
        check=found.check,
        sent=found.sent,
        lies=found.lies,
        desk=Desk(home, name_of(obj.config_dir), base) if base is not None else None,
    )
    await run_core(found.config, provenance)


@click.command()
@click.pass_obj
def uplink(obj: CliContext) -> int:
    """Run the uplink: the journal to the centres."""
    found = load_or_complain(obj)
    config, check, site = found.config, found.check, obj.config_dir
    if config is None:
        return CONFIG
    import random

    _forget_reading()
    from edge_agent.clock import SystemClock
    from edge_agent.uplink.main import run_uplink
    from edge_agent.uplink.sent_config import Footing

    end_log = log_to_stderr()
    try:
        return _serve(run_uplink(config, clock=SystemClock(), rng=random.Random(), footing=Footing(site, check)))
    finally:
        end_log()


@click.command()
@click.pass_obj
def cameras(obj: CliContext) -> int:
    """Run the cameras: pictures of alarms."""
    config = load_or_complain(obj).config
    if config is None:
        return CONFIG
    if not config.cameras:
        print_lines([text("camera.none", obj.lang)], err=True)
        return CONFIG  # a restart would find none either
    from edge_agent.cameras.service import CameraProcess
    from edge_agent.clock import SystemClock

    async def serve() -> None:
        await CameraProcess(config, clock=SystemClock()).run()

    end_log = log_to_stderr()
    try:
        return _serve(serve())
    finally:
        end_log()


@click.command()
@click.option("--seconds", type=Seconds(), metavar="N")
@click.option("--json", "json_out", is_flag=True)
@click.pass_obj
def demo(obj: CliContext, seconds: float | None, json_out: bool) -> int:
    """Play a whole simulated site on this machine."""
    from edge_agent.demo import run_demo

    return run_demo(seconds, json_out or obj.json_out, obj.lang)


def _serve(service: Coroutine[Any, Any, object], refuses: tuple[type[Exception], ...] = ()) -> int:
    """Run one service until it ends or SIGTERM or SIGINT asks it to; a second signal no longer waits. Raise what it `refuses`."""

    import asyncio

    async def until_signal() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(name: str) -> None:
            log.info("signal=%s stopping", name)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number.name)
        await service

    try:
        asyncio.run(until_signal())
    except asyncio.CancelledError:
        return OK
    except refuses:
        raise
    except Exception:  # the last one who can write down why the process ends; systemd starts it again
        log.critical("ended by a bug", exc_info=True)
        return FAILURES
    return OK
