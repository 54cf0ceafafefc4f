"""A small machine for some programs: few descriptors, little memory, a ninth of one CPU between them.

The CPU is a control group's quota where this machine has one to give (1.1 of every 10 ms). Elsewhere a duty cycle stands in: all
programs are stopped (SIGSTOP) for eight of nine slices. That is coarser, and stops them at the same moments.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from edge_agent.tasks import end
from tests.proof.site import ProofSite

DESCRIPTORS: Final = 64
MEMORY_BYTES: Final = 160_000_000
PERIOD_US: Final = 10_000
QUOTA_US: Final = PERIOD_US // 9
SLICE_S: Final = 0.01
CGROUPS: Final = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))


def limited(command: Iterable[str], cpu: Path | None) -> tuple[str, ...]:
    """The command with its limits on from its first instruction. prlimit and sh become the program: its pid is theirs."""
    limits = ("prlimit", f"--nofile={DESCRIPTORS}", f"--data={MEMORY_BYTES}", *command)
    return limits if cpu is None else ("sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(cpu), *limits)


@contextlib.contextmanager
def ninth_of_a_cpu() -> Iterator[Path | None]:
    """A control group with that quota; None where there is none to be had."""
    made = next(filter(None, map(_group, CGROUPS)), None)
    try:
        yield made
    finally:
        if made is not None:
            for pid in (made / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    (made.parent / "cgroup.procs").write_text(pid)
            made.rmdir()


def _group(parent: Path) -> Path | None:
    group = parent / f"edge-small-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        return None
    try:
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{QUOTA_US} {PERIOD_US}")
            return group
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(QUOTA_US))
    except OSError:
        group.rmdir()
        return None
    return group


@contextlib.asynccontextmanager
async def small_machine(site: ProofSite) -> AsyncIterator[Path | None]:
    """Core, uplink and broker of a site that is not entered yet share the CPU's ninth, each with its limits. The control group."""
    with ninth_of_a_cpu() as group:
        for program in (site.core, site.uplink):
            program.arguments = limited(program.arguments, group)
        site.broker.command = limited(site.broker.command, group)
        async with contextlib.nullcontext() if group is not None else duty_cycle(lambda: pids(site)):
            yield group


def pids(site: ProofSite) -> list[int]:
    """Of those that run."""
    broker = [site.broker.pid] if site.broker.running else []
    return [program.pid for program in (site.core, site.uplink) if program.running] + broker


def throttled(group: Path) -> int:
    """How many periods the group had to wait in."""
    counts = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(counts["nr_throttled"])


@contextlib.asynccontextmanager
async def duty_cycle(pids: Callable[[], Iterable[int]]) -> AsyncIterator[None]:
    """The stand-in: `pids()` run for one slice in nine."""

    def send(number: signal.Signals) -> None:
        for pid in pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def turn() -> None:
        while True:
            send(signal.SIGSTOP)
            await asyncio.sleep(8 * SLICE_S)
            send(signal.SIGCONT)
            await asyncio.sleep(SLICE_S)

    task = asyncio.create_task(turn())
    try:
        yield
    finally:
        await end(task)
        send(signal.SIGCONT)
