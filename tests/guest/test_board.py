"""The real core on a real kernel's devices: contacts on a GPIO chip (matrix A2), a panel on a USB adapter that is pulled (I2);
and a kernel that dies under the board's watchdog with our settings (R1).

One aarch64 guest for the first two: its processor is interpreted, and a boot costs more than what is tried in it. What is not
tried: voltage, a contact's own bounce. Its clock counts instructions, one nanosecond each, so seconds and shares of its processor
are those of a machine of that speed, however busy this one is.
"""

import asyncio
import json
import os
import random
import re
from pathlib import Path

import pytest

from edge_agent.tasks import end
from tests.guest.board import ROOT, TARGET, WHEELS, board_image
from tests.guest.house import CHIP, USB, WATCHDOG, House, Socket, Wires, house, port, told
from tests.guest.machine import Machine

ROUNDS = int(os.environ.get("EDGE_BOARD_ROUNDS", "0"))
EDGES = 10
SEED = 4
BUZZER, FIRE_LAMP, FAULT_LAMP = 0, 1, 2
FAST, SLOW, BUTTON, STUCK = 4, 5, 6, 7  # 3 is the kernel's
SLOW_S = 5.0  # a true change of the slow contact lasts as long: no busy machine stretches 50 ms so far
POINTS = ("fast", "slow", "stuck", "panel1", "button/silence")
PANEL = "/dev/zg/usb-1-1:1.0"
FOUND_AGAIN_S = 5.0
CHATTER_SHARE, SEARCH_SHARE = 0.5, 0.05  # of a processor of a thousand million instructions a second, about a Pi's core

CONFIG = f"""
[gateway]
id = "ZG-BOARD-0001"
data_dir = "/var/lib/edge-agent"
run_dir = "/run/edge-agent"
[board]
gpio = "gpiod"
chip_label = "{CHIP}"
outputs = {{ buzzer = {BUZZER}, fire_lamp = {FIRE_LAMP}, fault_lamp = {FAULT_LAMP} }}
buttons = {{ silence = {BUTTON} }}
[[contact]]
id = "fast"
line = {FAST}
on_delay_s = 0.0
off_delay_s = 0.0
[[contact]]
id = "slow"
line = {SLOW}
on_delay_s = {SLOW_S}
off_delay_s = {SLOW_S}
[[contact]]
id = "stuck"
line = {STUCK}
[[panel]]
id = "panel1"
profile = "gst9000-printer"
port = "{PANEL}"
"""


def test_the_guest_has_the_versions_the_product_asks_for() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert [wheel for wheel in WHEELS if f'"{wheel}"' not in text] == []


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not ROUNDS, reason="set EDGE_BOARD_ROUNDS: minutes of an interpreted processor")
async def test_contacts_on_a_chip_and_a_panel_on_an_adapter(tmp_path: Path) -> None:
    image = await asyncio.to_thread(board_image)
    async with port() as (place, more):
        panel = place / "panel"
        line = ("-chardev", f"socket,id=panel,path={panel},server=on,wait=off", "-chardev", "null,id=other")
        async with Machine(image, tmp_path, init="/opt/guest/init", more=(*more, *USB, *line), own_time=True) as guest:
            await guest.up()
            wires, socket = await Wires.of(guest), Socket(guest, 1, "panel")
            await wires.close(STUCK)
            await guest.shell("/usr/lib/systemd/systemd-udevd --daemon")  # the real one, with our rules
            await socket.plug()
            await guest.shell(f"until [ -e {PANEL} ]; do sleep 0.2; done; test $(readlink -f {PANEL}) = /dev/ttyUSB0")
            async with house(guest, place, wires, CONFIG) as core:
                _, writer = await asyncio.open_unix_connection(panel)
                await core.only_in_alarm("stuck")  # it was closed before the start
                seen = {"edges": await true_edges(core), "bounces": await bounces(core), "chatter": await chatter(core)}
                print(json.dumps(seen))
                await wires.close(BUTTON)
                seen |= {"pulls": await pulls(core, socket, writer)}
                print(json.dumps(seen))
                await core.until(lambda: core.told("button/silence") == [True], "the button that stays down is told")
                await wires.open(BUTTON)
                await core.until(lambda: core.told("button/silence") == [True, False], "it is up again")
                kept = await core.journal()
                writer.close()
    once = {point: core.told(point) for point in POINTS} | {"stuck": [True]}  # however long it stays
    assert {point: told(kept, point) for point in POINTS} == once
    print(json.dumps(seen))
    if into := os.environ.get("EDGE_EVIDENCE_DIR"):
        (Path(into) / "board.json").write_text(json.dumps(seen) + "\n")


@pytest.mark.asyncio
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not ROUNDS, reason="set EDGE_BOARD_ROUNDS: minutes of an interpreted processor")
async def test_a_kernel_that_died_is_reset_by_the_watchdog_systemd_fed(tmp_path: Path) -> None:
    """It has panicked and stands still; nothing but the hardware is left. qemu stops where a board is reset."""
    image = await asyncio.to_thread(board_image)
    # Its clock counts instructions: a busy machine that gives it no turn does not let the watchdog run out.
    more = (*WATCHDOG, "-icount", "shift=3,sleep=off")
    async with Machine(image, tmp_path, append=TARGET, accel="tcg", more=more) as guest:
        await guest.up()
        place = "/sys/class/watchdog/watchdog0"
        assert await guest.shell(f"cat {place}/state {place}/timeout") == "active\n15"
        die = "cd /proc; echo 0 > sys/kernel/panic; echo 1 > sys/kernel/sysrq; echo c > sysrq-trigger"  # it is to last
        dying = asyncio.create_task(guest.shell(die))
        await guest.line("Kernel panic")
        async with asyncio.timeout(guest.patience_s):
            while (status := (await guest.qmp("query-status"))["status"]) == "running":
                await asyncio.sleep(0.1)
        await end(dying, forgive=(Exception,))
        assert status == "watchdog"


async def true_edges(core: House) -> dict[str, object]:
    """A contact closes and opens: one event each, with its own moment; buzzer and lamp as driven, seen from outside."""
    expected: list[bool] = []
    for _ in range(EDGES * ROUNDS // 2):
        await core.wires.close(FAST)
        expected.append(True)
        await core.until(lambda: core.told("fast") == expected, "it closed")
        await core.wires.open(FAST)
        expected.append(False)
        await core.until(lambda: core.told("fast") == expected, "it opened")
    moments = [event["at"]["mono_ns"] for event in core.events if event["point"] == "fast"]
    assert moments == sorted(set(moments))
    shown: set[tuple[bool, bool]] = set()
    async with asyncio.timeout(core.guest.patience_s):
        while not shown >= {(True, True), (False, True)}:  # the buzzer beats
            pins = await core.wires.pins()
            shown.add((pins[BUZZER], pins[FIRE_LAMP]))
    await core.api.request("silence")
    await core.until(lambda: core.told("fast") == expected, "nothing more is told")
    return {"edges": len(expected), "events": len(core.told("fast"))}


async def bounces(core: House) -> dict[str, object]:
    """A contact that bounces for 1 to 50 ms at a time before it stays: one event for the one true change."""
    chance, expected, edges = random.Random(SEED), list[bool](), 0
    for closed in [True, False] * ROUNDS:
        level = closed
        for _ in range(2 * chance.randint(3, 8) + 1):
            await (core.wires.close(SLOW) if level else core.wires.open(SLOW))
            edges, level = edges + 1, not level
            await asyncio.sleep(chance.uniform(0.001, 0.050))
        expected.append(closed)
        await core.until(lambda: core.told("slow")[: len(expected)] == expected, "the change is told")
    assert core.told("slow") == expected
    return {"edges": edges, "changes": len(expected), "events": len(core.told("slow"))}


async def chatter(core: House, lasting_s: float = 2.0) -> dict[str, object]:
    """A contact that chatters at 1 kHz, as far as this machine keeps the pace, then stays closed: one event, little work."""
    loop, level, edges = asyncio.get_running_loop(), False, 0
    before, taken, began = core.told("slow"), await interrupts(core, SLOW), await core.spent()
    began_s = next_s = loop.time()
    while loop.time() < began_s + lasting_s or not level:
        level, next_s = not level, next_s + 0.0005
        await (core.wires.close(SLOW) if level else core.wires.open(SLOW))
        edges += 1
        await asyncio.sleep(max(0.0, next_s - loop.time()))
    took_s = loop.time() - began_s
    spent = (await core.spent()).since(began)
    taken = await interrupts(core, SLOW) - taken
    await core.until(lambda: core.told("slow") == [*before, True], "it stays closed")
    await core.wires.open(SLOW)
    await core.until(lambda: core.told("slow") == [*before, True, False], "it is open")
    contacts = (await core.sources())["contacts"]["counters"]
    assert taken > edges // 10, "the kernel was not troubled"
    assert spent.busy_s / spent.up_s <= CHATTER_SHARE
    return {
        "edges": edges,
        "hz": round(edges / took_s / 2),
        "hz_in_the_guest": round(edges / spent.up_s / 2),
        "events": 2,
        "interrupts": taken,
        "read_by_the_core": contacts["edges"],
        "cpu_share": {"core": round(spent.core_s / spent.up_s, 3), "all": round(spent.busy_s / spent.up_s, 3)},
    }


async def interrupts(core: House, line: int) -> int:
    """How often this line of the chip has interrupted the kernel."""
    (said,) = (await core.guest.shell(f"grep -E '9030000.pl061 +{line} ' /proc/interrupts")).splitlines()
    return int(said.split()[1])


async def pulls(core: House, socket: Socket, panel: asyncio.StreamWriter) -> dict[str, object]:
    """The adapter is pulled and comes back: under its old number, and under another because a stranger took that."""
    stranger = Socket(core.guest, 2, "other")
    found_s, idle, expected = [], [], list[bool]()
    await says(core, panel, 1)
    for count, number in enumerate(["/dev/ttyUSB0", "/dev/ttyUSB1"] * ROUNDS, 2):
        await socket.pull()
        expected.append(True)
        await core.until(lambda: core.told("panel1", "link") == expected, "the loss is told")
        if number == "/dev/ttyUSB1":
            await stranger.plug()
            await there(core, "/dev/ttyUSB0")
        if count % 2:
            idle.append(await share(core))
        await socket.plug()
        expected.append(False)
        await core.until(lambda: core.told("panel1", "link") == expected, f"it is found again as {number}")
        back_s = next(e["at"]["mono_ns"] for e in reversed(core.events) if e["kind"] == "link") / 1e9
        found_s.append(back_s - await attached(core, number))
        await says(core, panel, count)
        if number == "/dev/ttyUSB1":
            await stranger.pull()
            await there(core, "/dev/ttyUSB0", False)
    assert core.told("panel1", "link") == expected
    assert max(found_s) <= FOUND_AGAIN_S
    assert max(idle) <= SEARCH_SHARE
    return {
        "pulls": len(found_s),
        "faults_and_ends": len(expected),
        "found_again_s": [round(s, 2) for s in found_s],
        "core_share_of_the_cpu_meanwhile": idle,
    }


async def says(core: House, panel: asyncio.StreamWriter, count: int) -> None:
    """A fire that the panel prints is an event once."""
    text = f"\x1b608/12/02  17:24\n  004-{count:03d}\n\x1b9首次火警\n裙楼一层上空\n感烟探测器\n\n"
    panel.write(text.encode("gb18030"))
    await panel.drain()
    await core.until(lambda: core.told(f"panel1/4-{count}") == [True], f"fire {count} of the panel is told")


async def there(core: House, device: str, wanted: bool = True) -> None:
    """Wait until the kernel has this device, or has it no more."""
    await core.guest.shell(f"until [ {'' if wanted else '!'} -e {device} ]; do sleep 1; done")


async def attached(core: House, device: str) -> float:
    """When the kernel last made this device, on its own clock; the panel's stable name leads there."""
    messages = f"dmesg | grep 'now attached to {Path(device).name}$' | tail -1"
    link, said = (await core.guest.shell(f"readlink -f {PANEL}; {messages}")).splitlines()
    found = re.match(r"\[ *(\d+\.\d+)\]", said)
    assert link == device and found is not None, (link, said)
    return float(found[1])


async def share(core: House, lasting_s: float = 5.0) -> float:
    """How much of the guest's processor the core takes while the adapter is out."""
    began = await core.spent()
    await asyncio.sleep(lasting_s)
    spent = (await core.spent()).since(began)
    return round(spent.core_s / spent.up_s, 3)
