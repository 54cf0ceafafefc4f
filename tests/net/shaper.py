"""A bad link: two TUN devices, each in a network namespace, joined by this process. Both ends are the kernel's own TCP.

    python -m tests.net.shaper CENTRE HERE GATEWAY THERE SEED        (namespaces and their addresses, as 10.1.2.1 10.1.2.2)

JSON lines on stdin set the link while it is up, each is answered with the counts; when stdin ends the devices go. Keys: see
Settings, or one key "fall": settings that come by themselves, see Link.arm.
"""

import asyncio
import dataclasses
import fcntl
import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
READ_MAX, PACKET_BYTES = 64, 65535
TCP, RST_ACK, HEADERS = 6, 0x14, 40


@dataclasses.dataclass
class Settings:
    """What happens to a packet. Directions: "up" from the gateway to the centre, "down" back."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0  # either way of the delay, evenly
    loss: float = 0.0
    dup: float = 0.0
    reorder: float = 0.0  # this share overtakes what waits
    rate_kbit: float = 0.0  # each way; 0: none
    queue_s: float = 8.0  # what would wait longer for its turn is dropped
    mtu_hole: int = 0  # longer packets vanish without a word
    cut: str = ""  # up, down, both
    hole_after: int = 0  # once so many bytes have gone up, everything vanishes
    reset: bool = False  # the next packet that goes up is answered with a reset
    forget: bool = False  # a NAT that lost its table: what is open now is never heard again, what is opened later is


class Link:
    def __init__(self, seed: int) -> None:
        self.set, self._chance = Settings(), random.Random(seed)
        self._up_bytes = 0
        self._open: set[bytes] = set()  # ports of the connections there were
        self._forgotten: set[bytes] = set()
        self._free_s = {"up": 0.0, "down": 0.0}
        self._armed: tuple[str, int, Mapping[str, object], asyncio.TimerHandle] | None = None
        # fell_ms: when what was armed fell, on the clock of time.monotonic
        self.counts = dict.fromkeys(("up", "down", "lost", "resets", "fell_ms"), 0)

    def ask(self, asked: Mapping[str, Any]) -> None:
        """One line of stdin."""
        if "fall" in asked:
            self.arm(**asked["fall"])
        elif asked:
            self.change(**asked)

    def arm(self, way: str, after: int, within_s: float, settings: Mapping[str, object]) -> None:
        """`settings` come with the packet that makes it `after` bytes `way`, whatever it carries; `within_s` at the latest."""
        self._disarm()
        self.counts["fell_ms"] = 0
        late = asyncio.get_running_loop().call_later(within_s, self._fall)
        self._armed = way, self.counts[way] + after, settings, late

    def _disarm(self) -> None:
        armed, self._armed = self._armed, None
        if armed is not None:
            armed[3].cancel()

    def _fall(self) -> None:
        assert self._armed is not None
        settings = self._armed[2]
        self.change(**settings)
        self.counts["fell_ms"] = int(asyncio.get_running_loop().time() * 1000)

    def change(self, *, seed: int | None = None, **settings: object) -> None:
        """`seed`: from now on the chance of another one."""
        self._disarm()
        if seed is not None:
            self._chance.seed(seed)
        self.set = dataclasses.replace(self.set, **settings)  # type: ignore[arg-type]
        self._up_bytes = 0
        if self.set.forget:
            self._forgotten |= self._open
            self.set.forget = False

    def attach(self, here: int, there: int) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(here, self._read, here, there, "down")
        loop.add_reader(there, self._read, there, here, "up")

    def _read(self, source: int, target: int, way: str) -> None:
        for _ in range(READ_MAX):
            try:
                packet = os.read(source, PACKET_BYTES)
            except BlockingIOError:
                return
            fates = self._fates(packet, way)
            if way == "up" and self.set.reset and packet[9] == TCP:
                self.set.reset = False
                self.counts["resets"] += 1
                os.write(source, reset_of(packet))
            for at_s in fates:
                asyncio.get_running_loop().call_at(at_s, _write, target, packet)

    def _fates(self, packet: bytes, way: str) -> list[float]:
        """When copies of it arrive."""
        size, now_s = len(packet), asyncio.get_running_loop().time()
        self.counts[way] += size
        if self._armed is not None and self._armed[0] == way and self.counts[way] >= self._armed[1]:
            self._fall()
        link = self.set
        if way == "up":
            self._up_bytes += size
        port = port_of(packet, way)
        if port:
            self._open.add(port)
        gone = link.cut in {way, "both"} or (link.hole_after and self._up_bytes > link.hole_after)
        gone = gone or port in self._forgotten
        waits_s = max(0.0, self._free_s[way] - now_s)
        if (
            gone
            or (link.mtu_hole and size > link.mtu_hole)
            or self._chance.random() < link.loss
            or waits_s > link.queue_s
        ):
            self.counts["lost"] += size
            return []
        if link.rate_kbit:
            self._free_s[way] = now_s + waits_s + size * 8 / (link.rate_kbit * 1000)
        sent_s = max(now_s, self._free_s[way]) if link.rate_kbit else now_s
        if self._chance.random() < link.reorder:
            return [now_s]
        copies = 2 if self._chance.random() < link.dup else 1
        spread = (self._chance.uniform(-link.jitter_ms, link.jitter_ms) for _ in range(copies))
        return [sent_s + max(0.0, link.delay_ms + jitter) / 1000 for jitter in spread]


def _write(target: int, packet: bytes) -> None:
    try:
        os.write(target, packet)
    except OSError:
        return  # the far device is going


def port_of(packet: bytes, way: str) -> bytes:
    """The gateway's port of an IPv4 TCP packet; nothing of any other."""
    if packet[9] != TCP:
        return b""
    at = (packet[0] & 15) * 4 + (0 if way == "up" else 2)
    return packet[at : at + 2]


def reset_of(packet: bytes) -> bytes:
    """The reset a middlebox would answer an IPv4 TCP packet with."""
    at = (packet[0] & 15) * 4
    ports, answered = packet[at : at + 4], packet[at + 8 : at + 12]
    length = len(packet) - at - (packet[at + 12] >> 4) * 4
    ack = (int.from_bytes(packet[at + 4 : at + 8], "big") + length) & 0xFFFFFFFF
    tcp = ports[2:] + ports[:2] + answered + struct.pack(">IBBHHH", ack, 5 << 4, RST_ACK, 0, 0, 0)
    addresses = packet[16:20] + packet[12:16]
    total = _sum(addresses + struct.pack(">BBH", 0, TCP, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack(">H", total) + tcp[18:]
    head = struct.pack(">BBHHHBBH", 0x45, 0, HEADERS, 0, 0, 64, TCP, 0) + addresses
    return head[:10] + struct.pack(">H", _sum(head)) + head[12:] + tcp


def _sum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tun(namespace: str, address: str) -> int:
    """A device with an address in a namespace, both of one name. Returns its descriptor. Raise OSError or CalledProcessError."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", namespace.encode(), IFF_TUN | IFF_NO_PI))
    where = ["ip", "-n", namespace]
    subprocess.run(["ip", "link", "set", namespace, "netns", namespace], check=True)
    subprocess.run([*where, "link", "set", "lo", "up"], check=True)
    subprocess.run([*where, "addr", "add", f"{address}/30", "dev", namespace], check=True)
    subprocess.run([*where, "link", "set", namespace, "mtu", "1400", "up"], check=True)
    return fd


async def main() -> None:
    centre, here, gateway, there, seed = sys.argv[1:6]
    link, loop = Link(int(seed)), asyncio.get_running_loop()
    link.attach(tun(centre, here), tun(gateway, there))
    print("{}", flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        link.ask(json.loads(line))
        print(json.dumps(link.counts), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
