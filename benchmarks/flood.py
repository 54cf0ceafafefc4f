"""A panel that floods its line, and an alarm on another port meanwhile.

    python -m benchmarks.flood [--seconds 20] [--baud 115200]

Two ptys and one contact on a real core. The first panel says an ever new user code, three times each as its bus does, at the
whole rate of the line; a real port has no flow control, so bytes the pty has no room for count as overrun. The contact on the
board closes and opens about twice a second. lost: user codes that were said and are not in the journal in the end. kept: the
contact closes -> the core tells of it, durable. The floor is the same contact on the same core while the panel is quiet. Prints
one JSON object.
"""

import argparse
import asyncio
import json
import os
import time
import tty
from pathlib import Path

from benchmarks.harness import Gateway, quantiles, workplace
from buffer.reader import JournalReader
from buffer.records import Priority
from edge_agent.local_api import LocalClient
from simulators.board import Board
from simulators.panel_talk import talk_of

BITS = 10  # of a character, 8N1
TICK_S = 0.005
BETWEEN_S = 0.5
CONFIG = """
[[panel]]
id = "flood"
profile = "gst-layer-bus"
port = "{flood}"
baud = {baud}
[[panel]]
id = "quiet"
profile = "gst-layer-bus"
port = "{quiet}"
"""


class Port:
    """One end of a pty that never waits: what does not fit is overrun."""

    def __init__(self) -> None:
        self.fd, self._held = os.openpty()
        os.set_blocking(self.fd, False)
        tty.setraw(self._held)
        self.path = os.ttyname(self._held)
        self.overrun = 0

    def write(self, data: bytes) -> None:
        try:
            written = os.write(self.fd, data)
        except BlockingIOError:
            written = 0
        self.overrun += len(data) - written

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._held)


async def speak(port: Port, baud: int, seconds: float) -> list[str]:
    """Say user codes at line rate for so long; return those said."""
    loop, talk, said, owed = asyncio.get_running_loop(), talk_of("gst-layer-bus"), [], bytearray()
    began_s = loop.time()
    sent = 0
    while (past_s := loop.time() - began_s) < seconds or owed:
        due = int(min(past_s, seconds) * baud / BITS) - sent
        while len(owed) < due and past_s < seconds:
            code = f"{len(said) + 1:06d}"
            said.append(code)
            frame = talk.event("fault", code)
            owed += frame + b"".join(talk.copies(frame))
        now = bytes(owed[: due if past_s < seconds else len(owed)])
        port.write(now)
        sent += len(now)
        del owed[: len(now)]
        await asyncio.sleep(TICK_S)
    return said


async def contact(board: Board, api: LocalClient, line: int, seconds: float) -> list[float]:
    """Close and open the contact until the time is over; milliseconds from each closing to the core's word that it is kept."""
    loop, taken = asyncio.get_running_loop(), []
    until_s = loop.time() + seconds
    while loop.time() < until_s:
        closed_ns = board.set(line, True)
        await told(api, True)
        taken.append((time.monotonic_ns() - closed_ns) / 1e6)
        board.set(line, False)
        await told(api, False)
        await asyncio.sleep(BETWEEN_S)
    return taken


async def told(api: LocalClient, active: bool) -> None:
    async with asyncio.timeout(30):
        async for push in api.pushes():
            event = push.get("event")
            event = json.loads(event) if isinstance(event, str) else event
            if isinstance(event, dict) and event.get("point") == "c0" and event.get("active") is active:
                return


async def run(directory: Path, seconds: float, baud: int) -> dict[str, object]:
    flood, quiet = Port(), Port()
    gateway = Gateway(directory / "gw")
    gateway.configure(contacts=1, more=CONFIG.format(flood=flood.path, quiet=quiet.path, baud=baud))
    await gateway.core.start()
    board, api = await gateway.board(), await gateway.api()
    await api.request("watch", what=["event"])
    line = gateway.contact_lines[0]
    calm = await contact(board, api, line, seconds / 2)
    speaking = asyncio.create_task(speak(flood, baud, seconds))
    busy = await contact(board, api, line, seconds)
    said = await speaking
    await settled(api)
    for end in (board, api):
        await end.close()
    await gateway.stop()
    with JournalReader.open(gateway.data_dir) as reader:
        bodies = [json.loads(record.body) for record in reader.records((Priority.FAULT,))]
    kept = [body["point"].removeprefix("flood/") for body in bodies if body["point"].startswith("flood/")]
    flood.close()
    quiet.close()
    return {
        "baud": baud,
        "seconds": seconds,
        "said": len(said),
        "bytes_per_s": round(baud / BITS),
        "overrun_bytes": flood.overrun,
        "lost": len(set(said) - set(kept)),
        "doubled": len([code for code in kept if code in set(said)]) - len(set(said) & set(kept)),
        "kept_ms": quantiles(busy),
        "floor_kept_ms": quantiles(calm),
    }


async def settled(api: LocalClient) -> None:
    """Until the journal's FAULT stream has stood still for two seconds."""
    head, since_s = -1, time.monotonic()
    async with asyncio.timeout(120):
        while time.monotonic() - since_s < 2.0:
            status = await api.request("status")
            assert isinstance(status, dict)
            now = int(status["journal"]["vital"]["heads"].get("fault", 0))
            if now != head:
                head, since_s = now, time.monotonic()
            await asyncio.sleep(0.1)


def measure(seconds: float = 20.0, baud: int = 115_200) -> dict[str, object]:
    with workplace() as directory:
        return asyncio.run(run(directory, seconds, baud))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--baud", type=int, default=115_200)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.seconds, arguments.baud), indent=2))
