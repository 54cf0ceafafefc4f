"""A cellular modem on a pty: speaks the AT of its family, with real UDP and TCP to this machine behind its sockets, and moods.

In a program:

    async with ModemSim("bc95", link=Path("/tmp/modem1"), chance=random.Random(1)) as modem:
        modem.sim = "absent"; modem.network = "denied"; modem.hung = True; modem.loss = 0.05; modem.delay_s = 0.8
        modem.drop_context(); await modem.restart(); await modem.power(False); await modem.power(True)

On its own: `python -m simulators.modem bc95 --link /tmp/modem1`, commands on stdin, one JSON line for each:
`sim ready|absent|pin|puk|failure`, `network home|searching|denied|blocked|emergency`, `hung|deaf|storm|mute on|off`,
`garbage|loss 0.05`, `delay|slow 0.8`, `drop_context`, `restart`, `power on|off`, `quit`.
"""

import argparse
import asyncio
import random
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from simulators.modem_families import TALKS
from simulators.modem_families.base import Dial, Talk, dial_this_machine
from simulators.orders import obey
from simulators.pty_port import PtyPort

FAMILIES: Final = tuple(TALKS)
SIMS: Final = ("ready", "absent", "pin", "puk", "failure")
NETWORKS: Final = ("home", "searching", "denied", "blocked", "emergency")
STATS: Final = {"home": 1, "searching": 2, "denied": 3, "blocked": 1, "emergency": 8}
ICCID: Final = "89860400102030405060"
IMEI: Final = "866971030000018"
HEARD_MAX: Final = 2000
LINE_BYTES_MAX: Final = 8192


class Port(Protocol):
    """The modem's end of the line, as simulators.pty_port.PtyPort is one."""

    def come_back(self) -> None:
        """It is there."""
        ...

    def hang_up(self) -> None:
        """It is gone, as a USB adapter."""
        ...

    def write(self, data: bytes) -> None:
        """Bytes for the host."""
        ...


class ModemSim:
    """One modem. `link` is the path of a symlink to its pty. `usb`: its port vanishes while it has no power.

    Everything below `moods` may be changed at any time. `port` makes its end of the line and `dial` its far ends: a pty and this
    machine, or others that follow a simulated clock.
    """

    def __init__(
        self,
        family: str,
        *,
        link: Path,
        chance: random.Random,
        boot_s: float = 0.2,
        usb: bool = False,
        port: Callable[[Path, Callable[[bytes], None]], Port] = PtyPort,
        dial: Dial = dial_this_machine,
    ) -> None:
        self.family, self.boot_s, self.usb = family, boot_s, usb
        self.chance = chance
        # moods
        self.sim = "ready"
        self.pin, self.pin_tries = "1234", 3
        self.network = "home"
        self.attached = True
        self.radio = True  # CFUN=4 switches it off, and a restart on
        self.context = True  # the bearer is up; some families wait to be asked for it
        self.hung = False  # hears, never answers; a restart by AT is not heard either
        self.deaf = False  # sockets say that they are connected and carry nothing
        self.mute = False  # announcements are lost
        self.storm = False  # announcements inside every answer
        self.garbage = 0.0  # chance of noise before a line
        self.slow_s = 0.0  # before every answer
        self.loss = 0.0  # of datagrams, each way
        self.delay_s = 0.0  # each way
        self.leaked: set[int] = set()  # socket numbers lost until closed or restarted
        self.leak_held = False  # not even closing frees them: only a restart does
        self.register_s = 0.0  # after boot
        self.utc: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.nitz = True
        # what happened
        self.heard: deque[str] = deque(maxlen=HEARD_MAX)
        self.power_cuts = 0
        self.echo = True
        self.powered = True
        self.dial = dial
        self._port = port(link, self._bytes)
        self._talk: Talk = TALKS[family](self)
        self._inbox = bytearray()
        self._data: tuple[int, Callable[[bytes], None]] | None = None  # a prompt waits for so many bytes
        self._booted_s = self._answer_due_s = 0.0
        self._unanswered: deque[str] = deque()
        self._booting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._booted_s = asyncio.get_running_loop().time()
        self._port.come_back()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._port.hang_up()
        self._talk.reset()
        tasks = [*self._tasks, *([self._booting] if self._booting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what happens to it --------------------------------------------------------------------------------------
    async def restart(self) -> None:
        """Restart by itself or when told: sockets gone, silent for `boot_s`, then its boot lines."""
        self._talk.reset()
        self._data = None
        self._inbox.clear()
        self.context, self.echo = self._talk.context_by_itself, self._talk.echo_after_boot
        self.leaked.clear()
        self.leak_held = False
        self.radio = True
        self._booted_s = asyncio.get_running_loop().time() + self.boot_s
        await asyncio.sleep(self.boot_s)
        if self.powered and not self.hung:
            for line in self._talk.boot_lines:
                self.say(line, urc=False)

    def restart_soon(self) -> None:
        """As restart(), behind the answer that is being given."""
        if self._booting is None or self._booting.done():
            self._booting = asyncio.create_task(self.restart())

    async def power(self, on: bool) -> None:
        """The supply: what the power pin of a board switches. A hung modem comes back to its senses."""
        if on == self.powered:
            return
        self.powered = on
        if not on:
            self.power_cuts += 1
            self._talk.reset()
            if self.usb:
                self._port.hang_up()
            return
        self.hung = self.deaf = False
        if self.usb:
            self._port.come_back()
        await self.restart()

    def drop_context(self) -> None:
        """The network takes the bearer away."""
        self.context = False
        self._talk.context_lost()

    # -- speaking ------------------------------------------------------------------------------------------------
    def say(self, line: str, *, urc: bool = True) -> None:
        """One line, as announced (`urc`) or as part of an answer."""
        if not self.powered or (urc and (self.mute or self.hung)):
            return
        if self.garbage and self.chance.random() < self.garbage:
            self._port.write(
                b"\r\n" + bytes(self.chance.randrange(128, 256) for _ in range(self.chance.randrange(1, 9)))
            )
        self._port.write(b"\r\n" + line.encode() + b"\r\n")

    def raw(self, data: bytes) -> None:
        """Bytes that are no line: a prompt, a payload."""
        if self.powered:
            self._port.write(data)

    def spawn(self, work: asyncio.Task[None]) -> None:
        """Keep a task until it ends."""
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)

    def prompt(self, count: int, then: Callable[[bytes], None]) -> None:
        """Ask for `count` bytes."""
        self._data = count, then
        self.raw(b"\r\n> ")

    # -- hearing -------------------------------------------------------------------------------------------------
    def _bytes(self, data: bytes) -> None:
        if not self.powered or self.hung or asyncio.get_running_loop().time() < self._booted_s:
            return
        self._inbox += data
        if len(self._inbox) > LINE_BYTES_MAX:
            self._inbox.clear()
        while self._inbox:
            if self._data is not None:
                count, then = self._data
                if self._inbox[:1] == b"\x1b":  # escape leaves the prompt
                    self._data = None
                    del self._inbox[:1]
                    continue
                if len(self._inbox) < count:
                    return
                taken = bytes(self._inbox[:count])
                del self._inbox[:count]
                self._data = None
                then(taken)
                continue
            line, end, rest = bytes(self._inbox).partition(b"\r")
            if not end:
                return
            self._inbox[:] = rest
            self._heard(line.decode("ascii", "replace").strip("\n\x1b "))

    def _heard(self, line: str) -> None:
        if self.echo:
            self.raw(line.encode("ascii", "replace") + b"\r")
        if line[:2].upper() != "AT":
            return
        self.heard.append(line)
        loop = asyncio.get_running_loop()
        self._answer_due_s = max(loop.time() + self.slow_s, self._answer_due_s)
        self._unanswered.append(line[2:])
        if len(self._unanswered) > 1 or self._answer_due_s > loop.time():
            loop.call_at(self._answer_due_s, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        """Answer what was asked first: in order, as every modem does, also when a timer is late."""
        command = self._unanswered.popleft()
        if not self.powered or self.hung:
            return
        if self.storm:
            for _ in range(3):
                self.say(
                    self.chance.choice(
                        ("+CEREG: 1", "+CSQ: 20,99", '+QIURC: "recv",9', "+NSONMI:6,12", "+CGEV: ME PDN ACT 2")
                    )
                )
        done = self._common(command)
        if done is None:
            done = self._talk.command(command)
        for line in done:
            if self.storm:
                self.say('+CGEV: NW CLASS "B"')
            self.say(line, urc=False)

    @property
    def registered(self) -> bool:
        """Whether the network has taken it on."""
        return self.sim == "ready" and self._stat() == 1

    def _stat(self) -> int:
        if self.sim != "ready" or not self.radio:
            return 0
        waited_s = asyncio.get_running_loop().time() - self._booted_s
        return STATS[self.network] if waited_s >= self.register_s else 2

    def _common(self, command: str) -> list[str] | None:
        """What every family answers alike; None: ask the family."""
        name, _, value = command.partition("=")
        if command == "" or name in ("E0", "E1"):
            self.echo = self.echo if command == "" else command == "E1"
            return ["OK"]
        fixed = {
            "I": [*self._talk.identity, "OK"],
            "+CGMM": [self._talk.identity[-1], "OK"],
            "+CEREG?": [f'+CEREG: 2,{self._stat()},"1F00","0079D903",{self._talk.act}', "OK"],
            "+CREG?": [f"+CREG: 0,{0 if self._talk.act == 9 else self._stat()}", "OK"],
            "+CGREG?": ["+CGREG: 0,0", "OK"],
            "+CSQ": ["+CSQ: 20,99" if self.registered else "+CSQ: 99,99", "OK"],
            "+CESQ": ["+CESQ: 99,99,255,255,20,60", "OK"],
            "+COPS?": ['+COPS: 0,2,"46000"', "OK"] if self.registered else ["+COPS: 0", "OK"],
            "+CGATT?": [f"+CGATT: {int(self.attached and self.registered)}", "OK"],
            "+CGPADDR": self._address(),
            "+CFUN?": [f"+CFUN: {1 if self.radio else 4}", "OK"],
        }
        if command in fixed:
            return fixed[command]
        if name == "+CPIN" or command == "+CPIN?":
            return self._cpin(command, value.strip('"'))
        if name == "+CGATT":
            return self._cgatt(value)
        if command in ("+CCLK?", "+QLTS=1"):
            return [self._clock(command), "OK"]
        if command == self._talk.iccid:
            return [f"{self._talk.iccid}: {ICCID}", "OK"] if self.sim != "absent" else ["+CME ERROR: 10"]
        if name == "+CGSN":
            return [f"+CGSN:{IMEI}" if value else IMEI, "OK"]
        if command in self._talk.restarts:
            self.restart_soon()
            return ["REBOOTING"] if command == "+NRB" else ["OK"]
        if command in ("+CFUN=4", "+CFUN=0", "+CFUN=1"):
            if command == "+CFUN=1":
                self.context = self.context or (not self.radio and self._talk.context_by_itself)
            else:
                self.drop_context()
            self.radio = command == "+CFUN=1"
            return ["OK"]
        if name in ("+CFUN", "+CMEE", "+CEREG", "+CTZU", "+COPS", "+CPSMS", "+CEDRXS", "+CGDCONT"):
            return ["OK"]
        return None

    def _cpin(self, command: str, value: str) -> list[str]:
        if command == "+CPIN?":
            said = {"ready": "READY", "pin": "SIM PIN", "puk": "SIM PUK"}.get(self.sim)
            return (
                [f"+CPIN: {said}", "OK"] if said else ["+CME ERROR: 10" if self.sim == "absent" else "+CME ERROR: 13"]
            )
        if self.sim != "pin":
            return ["+CME ERROR: 3"]
        if value == self.pin:
            self.sim, self.pin_tries = "ready", 3
            return ["OK"]
        self.pin_tries -= 1
        self.sim = "pin" if self.pin_tries else "puk"
        return ["+CME ERROR: 16"]

    def _cgatt(self, value: str) -> list[str]:
        if self.network == "blocked":
            self.attached = False
            return ["+CME ERROR: 107"]
        if value == "0":
            self.attached = False
            self.drop_context()
        elif self.registered:
            self.attached = True
            self.context = self.context or self._talk.context_by_itself
        return ["OK"]

    def _address(self) -> list[str]:
        there = self.context and self.attached and self.registered
        return [f'+CGPADDR: 1,"{"10.43.0.7" if there else "0.0.0.0"}"', "OK"]  # noqa: S104 - "none yet"

    def _clock(self, command: str) -> str:
        now = self.utc() if self.nitz else datetime(2004, 1, 1, tzinfo=UTC)
        if command == "+QLTS=1":
            return now.strftime('+QLTS: "%Y/%m/%d,%H:%M:%S+00,0"')
        told = now if self._talk.clock_utc else now + timedelta(hours=8)
        return told.strftime('+CCLK: "%y/%m/%d,%H:%M:%S+32"')


def apply(modem: ModemSim, words: list[str]) -> None:
    """A mood in words, as on stdin. Raise ValueError for one there is not."""
    verb, value = words[0], words[1] if len(words) > 1 else ""
    if verb == "sim" and value in SIMS:
        modem.sim = value
    elif verb == "network" and value in NETWORKS:
        modem.network = value
    elif verb in ("hung", "deaf", "mute", "storm") and value in ("on", "off"):
        setattr(modem, verb, value == "on")
    elif verb in ("garbage", "loss"):
        setattr(modem, verb, min(1.0, max(0.0, float(value))))
    elif verb in ("delay", "slow"):
        setattr(modem, f"{verb}_s", max(0.0, float(value)))
    elif verb == "drop_context":
        modem.drop_context()
    elif verb == "restart":
        modem.restart_soon()
    elif verb == "power" and value in ("on", "off"):
        modem.spawn(asyncio.create_task(modem.power(value == "on")))
    else:
        raise ValueError(f"no mood {' '.join(words)!r}")


async def _main(family: str, link: Path, usb: bool) -> None:
    async with ModemSim(family, link=link, chance=random.Random(), boot_s=2.0, usb=usb) as modem:

        async def carry_out(words: list[str]) -> dict[str, object]:
            apply(modem, words)
            return {"did": words[0]}

        await obey(link, carry_out)


def main() -> None:
    """Run one modem until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m simulators.modem", description="A cellular modem on a pty.")
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("--link", type=Path, required=True, help="path of the symlink to the pty")
    parser.add_argument("--usb", action="store_true", help="the port vanishes while it has no power")
    given = parser.parse_args()
    asyncio.run(_main(given.family, given.link, given.usb))


if __name__ == "__main__":
    main()
