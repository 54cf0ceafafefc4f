"""The serial link over real ptys: bytes, hang-up without spinning, return, who is in the way."""

import asyncio
import contextlib
import errno
import json
import os
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from drivers.serial_link import Framing, LinkDown, SerialLink
from tests.waiting import until

PULLS_ASKED = int(
    os.environ.get("EDGE_PULLS", "0")
)  # of a port (matrix I2), in a full run; then the time is held to its bound
PULLS = PULLS_ASKED or 3


class Pty:
    """A pty behind a symlink that can be pulled and plugged."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.master = -1

    def plug(self) -> None:
        self.master, slave = os.openpty()
        os.set_blocking(self.master, False)
        tty.setraw(slave)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(slave))
        os.close(slave)

    def pull(self) -> None:
        self.link.unlink(missing_ok=True)
        os.close(self.master)
        self.master = -1

    def read(self) -> bytes:
        try:
            return os.read(self.master, 65536)
        except OSError as nothing:
            assert nothing.errno in (errno.EAGAIN, errno.EIO)
            return b""


@pytest.fixture
def pty(tmp_path: Path) -> Iterator[Pty]:
    port = Pty(tmp_path / "port")
    port.plug()
    yield port
    if port.master >= 0:
        port.pull()


@contextlib.asynccontextmanager
async def running(link: SerialLink):  # type: ignore[no-untyped-def]
    task = asyncio.create_task(link.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("baud", "framing"), [(2400, "8N1"), (9600, "8E1"), (28800, "7E2"), (2400, "8M1"), (22800, "8N2")]
)
async def test_bytes_pass_both_ways_at_any_speed_and_framing(pty: Pty, baud: int, framing: str) -> None:
    link, got = SerialLink(str(pty.link), baud=baud, framing=framing), bytearray()
    link.on_bytes = lambda data, at_ns: got.extend(data)
    await link.open()
    everything = bytes(range(256))  # no byte may be taken for a control character
    os.write(pty.master, everything)
    await until(lambda: bytes(got) == everything)
    link.write(everything)
    heard = bytearray()
    await until(lambda: heard.extend(pty.read()) is None and bytes(heard) == everything)
    await link.drain()
    link.close()
    assert (link.rx_bytes, link.tx_bytes) == (256, 256)


@pytest.mark.asyncio
async def test_bytes_carry_the_loop_time_of_their_arrival(pty: Pty) -> None:
    link, stamps = SerialLink(str(pty.link)), list[int]()
    link.on_bytes = lambda data, at_ns: stamps.append(at_ns)
    await link.open()
    loop = asyncio.get_running_loop()
    before_s = loop.time()
    os.write(pty.master, b"x")
    await until(lambda: bool(stamps))
    assert round(before_s * 1e9) <= stamps[0] <= round(loop.time() * 1e9)
    link.close()


@pytest.mark.asyncio
async def test_a_port_that_hangs_up_costs_no_cpu_and_is_told_once(pty: Pty) -> None:
    link, told = SerialLink(str(pty.link)), list[tuple[bool, str]]()
    link.on_state = lambda up, reason, detail, at_ns: told.append((up, reason))
    async with running(link):
        await until(lambda: told == [(True, "opened")])
        pty.pull()
        await until(lambda: told[1:2] == [(False, "hang_up")])
        turns = 0

        def count() -> None:
            nonlocal turns
            turns += 1

        loop = asyncio.get_running_loop()
        selector = loop._selector  # type: ignore[attr-defined]
        select = selector.select
        selector.select = lambda timeout=None: (count(), select(timeout))[1]
        began_s, ends_s = time.process_time(), loop.time() + 1.0
        await asyncio.sleep(ends_s - loop.time())
        selector.select = select
        # A reader left on a hung-up tty turns the loop some 100000 times a second.
        assert turns < 100
        assert time.process_time() - began_s < 0.5
    assert told[1:] == [(False, "hang_up"), (False, "no_port")]


@pytest.mark.asyncio
async def test_what_comes_in_a_pause_is_handed_over_when_it_is_over(pty: Pty) -> None:
    link, got, over = SerialLink(str(pty.link)), list[tuple[bytes, int]](), list[float]()
    link.on_bytes = lambda data, at_ns: got.append((data, at_ns))
    await link.open()
    loop = asyncio.get_running_loop()
    until_s = loop.time() + 0.2
    link.pause(until_s, lambda: over.append(loop.time()))
    os.write(pty.master, b"ab")
    await asyncio.sleep(0.02)
    os.write(pty.master, b"cd")
    await until(lambda: b"".join(data for data, _ in got) == b"abcd" and bool(over))
    assert all(at_ns >= until_s * 1e9 for _, at_ns in got)
    assert len(over) == 1
    os.write(pty.master, b"e")
    await until(lambda: got[-1][0] == b"e")
    link.close()


@pytest.mark.asyncio
async def test_a_pause_begun_by_what_the_last_one_held_back_goes_on_without_a_word(pty: Pty) -> None:
    link, got, over = SerialLink(str(pty.link)), bytearray(), list[str]()
    loop = asyncio.get_running_loop()

    def on_bytes(data: bytes, at_ns: int) -> None:
        got.extend(data)
        if data == b"a":
            link.pause(loop.time() + 0.05, lambda: over.append("second"))

    link.on_bytes = on_bytes
    await link.open()
    os.write(pty.master, b"a")
    link.pause(loop.time() + 0.05, lambda: over.append("first"))
    await until(lambda: over == ["second"])
    os.write(pty.master, b"b")
    await until(lambda: bytes(got) == b"ab")
    assert over == ["second"]
    link.close()


@pytest.mark.asyncio
async def test_a_hang_up_in_a_pause_is_noticed_at_once(pty: Pty) -> None:
    link, told, over = SerialLink(str(pty.link)), list[tuple[bool, str]](), list[str]()
    link.on_state = lambda up, reason, detail, at_ns: told.append((up, reason))
    async with running(link):
        await until(lambda: told == [(True, "opened")])
        link.pause(asyncio.get_running_loop().time() + 3600, lambda: over.append("over"))
        pty.pull()
        await until(lambda: told[1:2] == [(False, "hang_up")])
        pty.plug()
        await until(lambda: told[-1] == (True, "opened"))
        got = bytearray()
        link.on_bytes = lambda data, at_ns: got.extend(data)
        os.write(pty.master, b"x")  # the pause went with the port
        await until(lambda: bytes(got) == b"x")
    assert over == []


@pytest.mark.asyncio
async def test_a_port_for_which_no_descriptor_is_left_is_tried_again(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    link, told = SerialLink(str(pty.link)), list[tuple[bool, str]]()
    link.on_state = lambda up, reason, detail, at_ns: told.append((up, reason))
    with monkeypatch.context() as patch:
        patch.setattr("drivers.serial_link.select.epoll", none_left)
        task = asyncio.create_task(link.run())
        await until(lambda: told == [(False, "no_port")])
        assert not link.up
    await until(lambda: told[1:] == [(True, "opened")])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.asyncio
async def test_a_port_that_comes_back_is_reopened_by_its_path(pty: Pty) -> None:
    link, told, got = SerialLink(str(pty.link)), list[tuple[bool, str]](), bytearray()
    link.on_state = lambda up, reason, detail, at_ns: told.append((up, reason))
    link.on_bytes = lambda data, at_ns: got.extend(data)
    async with running(link):
        await until(lambda: told == [(True, "opened")])
        pty.pull()
        await until(lambda: (False, "no_port") in told)
        pty.plug()
        await until(lambda: told[-1] == (True, "opened"))
        os.write(pty.master, b"again")
        await until(lambda: bytes(got) == b"again")
    assert link.reopened == 1


@pytest.mark.asyncio
async def test_every_pull_is_told_and_found_again_with_all_that_comes_after_it(pty: Pty) -> None:
    link, told, got = SerialLink(str(pty.link)), list[tuple[bool, str]](), bytearray()
    link.on_state = lambda up, reason, detail, at_ns: told.append((up, reason))
    link.on_bytes = lambda data, at_ns: got.extend(data)
    loop, found_s, waiting_cpu_s, waiting_s = asyncio.get_running_loop(), list[float](), 0.0, 0.0
    async with running(link):
        await until(lambda: link.up)
        for count in range(PULLS):
            pty.pull()
            began_s, began_cpu_s = loop.time(), time.process_time()
            await until(lambda: told[-1] == (False, "no_port"))
            await asyncio.sleep(0.3 if PULLS_ASKED else 0)
            waiting_s, waiting_cpu_s = (
                waiting_s + loop.time() - began_s,
                waiting_cpu_s + time.process_time() - began_cpu_s,
            )
            stranger = os.openpty()  # takes the number the port had, so that only the path leads to it
            pty.plug()
            plugged_s = loop.time()
            await until(lambda: told[-1] == (True, "opened"))
            found_s.append(loop.time() - plugged_s)
            os.write(pty.master, b"%03d" % count)
            await until(lambda: len(got) == 3 * link.reopened)
            for fd in stranger:
                os.close(fd)
    assert link.reopened == PULLS
    assert told == [(True, "opened"), *[(False, "hang_up"), (False, "no_port"), (True, "opened")] * PULLS]
    assert bytes(got) == b"".join(b"%03d" % count for count in range(PULLS))
    if PULLS_ASKED:
        assert max(found_s) <= 5.0
    if into := os.environ.get("EDGE_EVIDENCE_DIR"):
        row = {
            "pulls": PULLS,
            "found_again_s_max": round(max(found_s), 2),
            "cpu_share": round(waiting_cpu_s / waiting_s, 4),
        }
        (Path(into) / "pulls.json").write_text(json.dumps(row) + "\n")


@pytest.mark.asyncio
async def test_writing_to_a_port_that_went_away_is_an_error_and_a_reopening(pty: Pty) -> None:
    link, told = SerialLink(str(pty.link)), list[tuple[bool, str]]()
    link.on_state = lambda up, reason, detail, at_ns: told.append((up, reason))
    async with running(link):
        await until(lambda: link.up)
        pty.pull()
        with pytest.raises(LinkDown):
            link.write(b"\x20")
            await link.drain()
        pty.plug()
        await until(lambda: told[-1] == (True, "opened") and link.reopened == 1)


@pytest.mark.asyncio
async def test_a_port_nobody_reads_takes_a_bounded_number_of_bytes(pty: Pty) -> None:
    link = SerialLink(str(pty.link))
    await link.open()
    with pytest.raises(LinkDown):
        for _ in range(100_000):
            link.write(b"\x20" * 64)
    link.close()


async def refused_while_held(pty: Pty, hold: str) -> tuple[int, LinkDown]:
    """A process that does `hold` to the port: its number, and what we are told of the port meanwhile."""
    code = f"import fcntl,os,sys; {hold}; print(1,flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(pty.link)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    try:
        await asyncio.to_thread(holder.stdout.readline)
        with pytest.raises(LinkDown) as down:
            await SerialLink(str(pty.link)).open()
    finally:
        holder.communicate()
    return holder.pid, down.value


@pytest.mark.asyncio
async def test_a_busy_port_is_refused_and_its_holder_named(pty: Pty) -> None:
    locks = "f=os.open(sys.argv[1],os.O_RDWR|os.O_NOCTTY); fcntl.flock(f,fcntl.LOCK_EX)"
    pid, down = await refused_while_held(pty, locks)
    assert down.reason == "no_port"
    assert f"process {pid}" in down.detail
    link = SerialLink(str(pty.link))
    await link.open()  # free again
    link.close()


@pytest.mark.asyncio
async def test_a_port_that_is_a_terminal_is_refused(pty: Pty) -> None:
    pid, down = await refused_while_held(pty, "os.setsid(); f=os.open(sys.argv[1],os.O_RDWR)")
    assert f"terminal of process {pid}" in down.detail


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "words"), [("/dev/nowhere", "No such file"), ("/dev/null", "not a serial port"), ("a\0b", "null")]
)
async def test_a_path_that_is_no_port_is_refused_with_the_reason(path: str, words: str) -> None:
    with pytest.raises(LinkDown) as down:
        await SerialLink(path).open()
    assert down.value.reason == "no_port"
    assert words in down.value.detail
    assert down.value.detail.isascii()


_OPEN_OR_SAY_WHY = """
import asyncio, sys
from drivers.serial_link import LinkDown, SerialLink
try:
    asyncio.run(SerialLink(sys.argv[1]).open())
except LinkDown as down:
    print(down.detail)
"""


def test_a_port_we_may_not_open_says_so(pty: Pty) -> None:
    Path(pty.link).chmod(0)
    caps = "-dac_override,-dac_read_search"  # with these root may open everything
    plain = ["setpriv", "--bounding-set", caps, "--inh-caps", caps] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*plain, sys.executable, "-c", _OPEN_OR_SAY_WHY, str(pty.link)], capture_output=True, text=True, check=True
    )
    assert "permission denied" in done.stdout


_OPEN_AND_WAIT = """
import asyncio, sys, time
from drivers.serial_link import SerialLink
asyncio.run(SerialLink(sys.argv[1]).open())
print("open", flush=True)
time.sleep(60)
"""


def test_a_reader_killed_with_9_leaves_no_lock_that_keeps_an_ordinary_user_out(pty: Pty) -> None:
    # Root passes by every lock of a tty. Without this capability it is held up as the service's own user is.
    plain = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"] if os.geteuid() == 0 else []
    for _ in range(2):
        with subprocess.Popen(
            [*plain, sys.executable, "-c", _OPEN_AND_WAIT, str(pty.link)], stdout=subprocess.PIPE, text=True
        ) as reader:
            assert reader.stdout is not None
            said = reader.stdout.readline()
            reader.kill()
        assert said == "open\n"


@pytest.mark.asyncio
async def test_a_dropped_parity_is_known(pty: Pty) -> None:
    link = SerialLink(str(pty.link), framing="8E1")
    await link.open()
    assert not link.parity_kept  # what every pty does
    link.close()
    plain = SerialLink(str(pty.link), framing="8N1")
    await plain.open()
    assert plain.parity_kept
    plain.close()


@pytest.mark.asyncio
async def test_cancelling_closes_the_port(pty: Pty) -> None:
    link = SerialLink(str(pty.link))
    async with running(link):
        await until(lambda: link.up)
    assert not link.up
    again = SerialLink(str(pty.link))
    await again.open()
    again.close()


@pytest.mark.parametrize("text", ["", "8N", "9N1", "8X1", "8N3", "8N1 ", "81N"])
def test_a_framing_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="framing"):
        Framing.parse(text)


def test_the_time_of_a_character_counts_its_start_and_parity_bits() -> None:
    assert SerialLink("x", baud=2400, framing="8M1").char_s(2) == pytest.approx(22 / 2400)
