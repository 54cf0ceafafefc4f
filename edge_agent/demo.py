"""`edge-agent demo`: a whole site on this computer tells the story of a fire. Everything it shows is measured as it happens."""

import asyncio
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from edge_agent.demo_show import Show, short
from edge_agent.terminal import FAILURES, OK, print_json, print_lines
from edge_agent.texts import text

if TYPE_CHECKING:
    from simulators.site import SimulatedSite

INTERRUPTED = 130


def run_demo(seconds: float | None, as_json: bool, lang: str) -> int:
    """Play the story, within `seconds` if given, and tidy up.

    Exit 0: every fire was heard, kept and delivered, nothing lost, nothing twice; 2: not so, or time was up; 130: interrupted.
    """
    try:
        from simulators.broker import NoBroker
    except ImportError:
        print_lines([text("demo.no_simulators", lang)], err=True)
        return FAILURES
    show = Show(lang, quiet=as_json, deadline_s=None if seconds is None else time.monotonic() + seconds)
    try:
        outcome = asyncio.run(_play(show, seconds))
    except NoBroker:
        print_lines([text("demo.no_broker", lang)], err=True)
        return FAILURES
    except asyncio.CancelledError:
        print_lines([text("demo.interrupted", lang)], err=True)
        return INTERRUPTED
    if as_json:
        print_json(outcome.as_dict(show.timeline))
    else:
        _tell(outcome, show)
    return OK if outcome.good else FAILURES


@dataclass(slots=True)
class Fire:
    """One fire of the story and what became of it. Times are ms after the moment the site told the gateway."""

    point: str
    event_id: str = ""
    heard: bool = False
    kept: bool = False
    delivered: bool = False
    buzzer_ms: float | None = None  # None: the gateway was down
    durable_ms: float | None = None
    confirmed_ms: float | None = None  # None: it waited for the cut link, or was never confirmed


@dataclass(slots=True)
class Outcome:
    """What the whole story came to."""

    fires: list[Fire] = field(default_factory=list)
    records: int = 0
    waiting: int = 0
    lost: int = 0
    duplicates: int = 0
    restart_ms: float | None = None  # from starting the killed core to its buzzer
    catch_up_ms: float | None = None  # from healing the link to the centre having every fire
    broker: str = ""
    took_s: float = 0.0
    finished: bool = False
    stopped: str = ""

    def count(self, what: str) -> int:
        """Fires that were heard, kept or delivered."""
        return sum(getattr(fire, what) for fire in self.fires)

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        every = all(fire.heard and fire.kept and fire.delivered for fire in self.fires)
        return self.finished and bool(self.fires) and every and not (self.lost or self.waiting or self.duplicates)

    def worst(self, what: str) -> float | None:
        """The longest of one figure over the fires that have it."""
        values = [value for fire in self.fires if (value := getattr(fire, what)) is not None]
        return max(values, default=None)

    def as_dict(self, timeline: list[dict[str, object]]) -> dict[str, object]:
        """The object of `--json`: the three figures are the worst of all fires, `fires` has each."""
        return {
            "raised": len(self.fires),
            "heard": self.count("heard"),
            "kept": self.count("kept"),
            "delivered": self.count("delivered"),
            "lost": self.lost,
            "duplicates": self.duplicates,
            "waiting": self.waiting,
            "records": self.records,
            "buzzer_ms": self.worst("buzzer_ms"),
            "durable_ms": self.worst("durable_ms"),
            "confirmed_ms": self.worst("confirmed_ms"),
            "restart_ms": self.restart_ms,
            "catch_up_ms": self.catch_up_ms,
            "broker": self.broker,
            "took_s": self.took_s,
            "finished": self.finished,
            "stopped": self.stopped,
            "fires": [asdict(fire) for fire in self.fires],
            "timeline": timeline,
        }


async def _play(show: Show, seconds: float | None) -> Outcome:
    from edge_agent.demo_story import Story
    from simulators.site import SimulatedSite, SiteError

    outcome = Outcome()
    show.title()
    site = SimulatedSite()
    outcome.broker = site.broker.kind
    with _interruptible():
        try:
            async with AsyncExitStack() as close:  # tidying up takes the time it needs, whatever `seconds` is
                async with asyncio.timeout(seconds):
                    await close.enter_async_context(site)
                    close.callback(_judge, site, outcome)
                    await Story(site, show, outcome).tell()
                    outcome.finished = True
        except TimeoutError:
            outcome.stopped = text("demo.time_up", show.lang, seconds=f"{seconds:g}")
        except SiteError as fault:
            if fault.program:
                told = text("demo.ended", show.lang, program=fault.program, directory=fault.directory)
            else:
                what = text(f"demo.wait_{fault.what}", show.lang)
                told = text("demo.failed", show.lang, what=what, directory=fault.directory)
            outcome.stopped = told
            print_lines(
                [f"{name}: {line}" for name, tail in fault.tails.items() for line in tail.splitlines()], err=True
            )
    outcome.took_s = show.elapsed_s()
    if outcome.finished and not outcome.good:
        outcome.stopped = text("demo.bad", show.lang, directory=site.directory)
    return outcome


def _judge(site: "SimulatedSite", outcome: Outcome) -> None:
    """Hold what the core promised against what the centre stored, and keep the logs if it does not match."""
    try:
        account = site.account()
    except (OSError, sqlite3.Error):  # the story ended before the centre had made its tables
        return
    accepted = {event["id"] for event in site.accepted.values()}
    outcome.records, outcome.waiting, outcome.lost = account.records, account.waiting, account.lost
    outcome.duplicates = account.duplicates
    for fire in outcome.fires:
        fire.kept = fire.event_id in accepted
        fire.delivered = fire.event_id in account.stored_ids
    if outcome.finished and not outcome.good:
        site.keep_logs = True


@contextmanager
def _interruptible() -> Iterator[None]:
    """The first Ctrl-C, or the terminal's or a script's wish to end, ends the story; the tidying up is not interrupted."""
    loop, story = asyncio.get_running_loop(), asyncio.current_task()
    assert story is not None
    asked = False

    def stop() -> None:
        nonlocal asked
        if not asked:
            asked = True
            story.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _tell(outcome: Outcome, show: Show) -> None:
    lang = show.lang
    counts = {
        "raised": len(outcome.fires),
        "heard": outcome.count("heard"),
        "kept": outcome.count("kept"),
        "delivered": outcome.count("delivered"),
        "lost": outcome.lost,
        "duplicates": outcome.duplicates,
    }
    told = "  ".join(f"{text(f'demo.sum_{key}', lang)} {value}" for key, value in counts.items())
    lines = ["", told, text("demo.sum_records", lang, count=outcome.records, waiting=outcome.waiting)]
    times = {key: _ms(outcome.worst(key)) for key in ("buzzer_ms", "durable_ms", "confirmed_ms")}
    lines.append(text("demo.sum_times", lang, **times))
    lines.append(
        text("demo.sum_faults", lang, restart_ms=_ms(outcome.restart_ms), catch_up_ms=_ms(outcome.catch_up_ms))
    )
    lines.append(text("demo.good", lang, took_s=outcome.took_s) if outcome.good else outcome.stopped)
    show.end(lines)


def _ms(value: float | None) -> str:
    return "-" if value is None else short(value)
