"""Alarms over packed frames and an NB-IoT profile: from the uplink's wake-up to the centre's confirmation.

    python -m benchmarks.nbiot [--gateways 16] [--alarms 13] [--loss 0.05]

Real uplink processes' parts, real UDP through a relay (800 +- 500 ms and the loss, each way), the reference centre with its
database. Also what one fire event weighs.
"""

import argparse
import asyncio
import dataclasses
import json
import random
import tempfile
from pathlib import Path

from benchmarks.harness import quantiles
from buffer.records import Priority
from edge_agent.config.uplinks import Link
from simulators.centre.packed import PackedListener
from simulators.datagrams import DatagramRelay, Mood
from tests.uplink.site import MemoryJournal, event_body, running_uplink, site_config

KEY = "5a" * 32


async def gateway(number: int, directory: Path, relay: DatagramRelay, alarms: int, rng: random.Random) -> list[float]:
    """Seconds from each alarm's wake-up to its lamp."""
    loop, journal = asyncio.get_running_loop(), MemoryJournal("v-3f2a91c07d4e")
    directory.mkdir()
    (directory / "packed.key").write_text(KEY)
    config = site_config(directory, 1, packed_port=relay.port, packed_key_file=directory / "packed.key")
    config = dataclasses.replace(
        config,
        gateway=dataclasses.replace(config.gateway, id=f"ZG-BENCH-{number:04d}"),
        links=(Link(id="nb", kind="nbiot"),),
    )
    rung: dict[str, float] = {}
    took: list[float] = []

    def delivered(ids: list[str]) -> None:
        took.extend(loop.time() - rung.pop(event_id) for event_id in ids if event_id in rung)

    async with running_uplink(config, journal, seed=number) as uplink:
        uplink.core.delivered = delivered  # type: ignore[method-assign, assignment]
        while uplink.paths._policies["county"].choice.current is None:
            await asyncio.sleep(0.1)
        for n in range(1, alarms + 1):
            await asyncio.sleep(rng.uniform(4.0, 8.0))
            body = event_body(n).replace(b'-%d","kind"' % n, b'-1a2b3c-%x","kind"' % n)  # an id as the core gives it
            rung[json.loads(body)["id"]] = loop.time()
            uplink._on_record(journal.epoch, Priority.ALARM, journal.append(Priority.ALARM, body), body)
        async with asyncio.timeout(180):
            while rung:
                await asyncio.sleep(0.1)
    return took


async def measure(gateways: int, alarms: int, loss: float) -> dict[str, object]:
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        (directory / "keys").mkdir()
        for number in range(gateways):
            (directory / "keys" / f"ZG-BENCH-{number:04d}.key").write_text(KEY)
        ear = PackedListener("127.0.0.1", 0, directory / "keys", directory / "centre.db")
        ear.start()
        relay = DatagramRelay(ear.port, rng, Mood(loss=loss, delay_s=0.8, jitter_s=0.5))
        await relay.start()
        try:
            runs = [
                gateway(n, directory / str(n), relay, alarms, random.Random(rng.getrandbits(64)))
                for n in range(gateways)
            ]
            took = [one for run in await asyncio.gather(*runs) for one in run]
        finally:
            relay.close()
            await asyncio.to_thread(ear.stop)
        events = sorted(size for size in relay.sizes if size > 30)  # an echo is 17
        return {
            "gateways": gateways,
            "loss_each_way": loss,
            "confirmed_s": quantiles(took),
            "event_bytes": events[len(events) // 2],
            "frames": len(relay.sizes),
            "bytes": sum(relay.sizes),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateways", type=int, default=16)
    parser.add_argument("--alarms", type=int, default=13, help="of each gateway")
    parser.add_argument("--loss", type=float, default=0.05)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.gateways, options.alarms, options.loss)), indent=2))


if __name__ == "__main__":
    main()
