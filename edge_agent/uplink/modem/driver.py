"""An AT modem as a path to the centre: start-up, SIM, registration, bearer, sockets, and the ladder when it is stuck.

Polled, because announcements are unreliable. Every state has an ASCII reason with words in edge_agent.texts.uplink. Bars say
nothing: the path is judged by the centre's echo, which the policy tells with `echo_ok` and `echo_lost`.
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

from drivers.codecs.at.fields import Reading
from drivers.codecs.at.readings import REGISTRATIONS, is_registered
from drivers.serial_link import LinkDown, SerialLink
from edge_agent.config.uplinks import Link
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.modem.families import FAMILIES, Family, family_of
from edge_agent.uplink.modem.health import Health, in_time
from edge_agent.uplink.modem.hooks import Hooks
from edge_agent.uplink.modem.ladder import Ladder
from edge_agent.uplink.modem.pin import PinMemory, read_pin
from edge_agent.uplink.modem.port import AtPort, AtTimeout
from edge_agent.uplink.modem.pump import Pace, pair
from edge_agent.uplink.modem.pumps import MakePair, Pumps
from edge_agent.uplink.modem.seen import Seen
from edge_agent.uplink.modem.sockets.base import Events
from edge_agent.uplink.path import is_metered

log = logging.getLogger("edge.modem")

BLOCKED: Final = frozenset(
    {"cme_103", "cme_106", "cme_107", "cme_111", "cme_113"}
)  # SIM or IMEI: a reset mends nothing
SIM_ABSENT: Final = frozenset({"cme_10"})
SIM_BUSY: Final = frozenset({"cme_14"})  # 20 s after a cold start it is usual
OUR_CONTEXTS: Final = (None, 0, 1)  # None: a detach, which takes all of them
OpenPort = Callable[..., SerialLink]
SILENT_TIMES: Final = 3  # commands in a row without an answer: the modem is not there


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How often and how long, in seconds."""

    poll_s: float = 10.0
    command_s: float = 5.0  # an ordinary command
    answer_s: float = 10.0  # AT every 300 ms for this long after the port opened
    boot_s: float = 20.0  # after a restart nothing is asked for this long, or until it says that it is there
    signal_s: float = 60.0
    clock_s: float = 6 * 3600.0
    searching_s: float = 600.0  # searching for so long: tell a person
    pace: Pace = field(default_factory=Pace)


class Modem:
    """One modem on `link.modem.port`; a `Path` (edge_agent.uplink.path). Run it for ever."""

    def __init__(
        self,
        link: Link,
        *,
        hooks: Hooks,
        ladder: Ladder,
        pin: PinMemory,
        timing: Timing | None = None,
        open_port: OpenPort = SerialLink,
        make_pair: MakePair = pair,
    ) -> None:
        assert link.modem is not None
        self.id, self.kind = link.id, link.kind
        self.metered, self.packed = is_metered(link), link.kind == "nbiot"
        self.settings, self.hooks, self.ladder = link.modem, hooks, ladder
        self.timing = timing or Timing()
        self.family: Family | None = FAMILIES.get(self.settings.family)
        baud = self.settings.baud or (self.family.baud if self.family is not None else 115200)
        self.serial = open_port(str(self.settings.port), baud=baud)
        self.port = AtPort(self.serial, on_urc=self._urc)
        self.port.answer_s = self.timing.command_s
        self.seen = Seen(self.port, hooks, signal_s=self.timing.signal_s, clock_s=self.timing.clock_s)
        self.health = Health(link.id, hooks, ladder)
        self.counts: Counter[str] = Counter()
        self._pin = pin
        self._wake = asyncio.Event()
        self._pumps = Pumps(link.id, self.counts, self.timing.pace, make_pair, wake=self._wake.set)
        self._loops = 0
        self._started = False
        self._silent = 0  # commands in a row without an answer
        self._searching_since_s: float | None = None

    # -- the path ------------------------------------------------------------------------------------------------
    async def tcp(self, host: str, port: int) -> socket.socket:
        """A stream to the centre through the modem. Raise LinkError."""
        return await self._open("tcp", host, port)

    async def udp(self, host: str, port: int) -> socket.socket:
        """Datagrams to the centre through the modem (SEQPACKET: one send, one datagram). Raise LinkError."""
        return await self._open("udp", host, port)

    async def _open(self, kind: str, host: str, port: int) -> socket.socket:
        if not self.health.up or self._pumps.sockets is None:
            raise LinkError(self.health.reason)
        try:
            return await self._pumps.open(self._pumps.sockets, kind, host, port)
        except LinkError as fault:
            if fault.reason == "modem_sockets_leaked":
                self.health.note("modem_sockets_leaked")
            raise

    def echo_ok(self) -> None:
        """The centre answered over this path."""
        self.health.clear("modem_echo_lost")

    def echo_lost(self) -> None:
        """It did not, although it should have: the ladder begins to climb."""
        if self.health.up:  # else the modem's own reason says more
            self.health.note("modem_echo_lost")
            self._wake.set()

    def progress(self) -> int:
        """Grows while the worker lives, modem or no modem."""
        return self._loops

    def snapshot(self) -> dict[str, object]:
        """For people: what the modem is, sees and suffers. Numbers of SIM and modem are masked."""
        family = self.family.name if self.family is not None else None
        return {**self.health.snapshot(), "family": family, **self.seen.snapshot(), "counters": self.counters()}

    def counters(self) -> dict[str, int]:
        """Bytes up and down, sockets opened, failed and lost, timeouts, noise, and every step of the ladder."""
        heard = {"timeouts": self.port.timeouts, "noise": self.port.refused, "stray": self.port.stray}
        more = {"reopened": self.serial.reopened, "sockets": len(self._pumps)}
        return {**self.counts, **heard, **more, **self.health.counters()}

    async def run(self) -> NoReturn:
        """Keep the modem up until cancelled."""
        self.serial.on_state = self._port_state
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.serial.run(), name=f"{self.id}-port")
                tasks.create_task(self._work(), name=f"{self.id}-work")
        finally:
            await self._pumps.end()
        raise AssertionError("unreachable")

    # -- work ----------------------------------------------------------------------------------------------------
    async def _work(self) -> NoReturn:
        while True:
            self._loops += 1
            self._wake.clear()
            try:
                await in_time(self._turn(), self._tick)
                self._silent = 0
            except AtTimeout as fault:
                self._silent += 1
                log.info("modem=%s no answer to %s, %d in a row", self.id, fault, self._silent)
                if self._silent >= SILENT_TIMES or not self._started:
                    self.health.trouble("modem_no_answer")
            except TimeoutError:
                self.health.trouble("modem_no_answer")
            except LinkDown as down:
                log.info("modem=%s port %s", self.id, down)
            except LinkError as fault:
                log.info("modem=%s %s", self.id, fault)
                self.health.trouble(_REFUSALS.get(fault.reason, "modem_no_address"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.health.pause_s(self.timing.poll_s)):
                    await self._wake.wait()

    def _tick(self) -> None:
        self._loops += 1

    async def _turn(self) -> None:
        """One look at everything, after the step of the ladder that is due."""
        if not self.serial.up:
            self.health.trouble("modem_no_port")
        if (action := self.health.due()) is not None:
            await self._act(action)
        if not self.serial.up:
            return
        if not self._started or self._silent >= SILENT_TIMES:
            await self._start()
        if not await self._sim() or not await self._registered() or not await self._bearer():
            return
        self.health.healthy()
        assert self.family is not None, "it has started"
        await self.seen.look(self.family)

    async def _start(self) -> None:
        """AT until it answers, echo off, errors by number, which modem it is, what its family wants set."""
        self.health.down("modem_starting")
        self._started = False
        if not await self.port.probe(self.timing.answer_s):
            raise AtTimeout("AT")
        await self.port.ask("E0")
        await self.port.ask("+CMEE=1")
        await self._identify()
        assert self.family is not None
        self.port.gap_s = self.family.gap_s
        for command in self.family.set_up:
            if command.endswith(("CPSMS=0", "CEDRXS=0", "QSCLK=0")) and not self.settings.mains_fed:
                continue
            answer = await self.port.ask(command, timeout_s=10)
            if not answer.ok:
                self.counts["set_up_refused"] += 1
                log.info("modem=%s refused %s code=%s", self.id, command, answer.code)
        self._pumps.drop("modem_restarted")
        self._pumps.sockets = self.family.sockets(self.port, Events(self._pumps.data, self._pumps.closed, self._lost))
        await self._pumps.sockets.close_all()
        self._started = True
        self._silent = 0
        self.health.clear("modem_no_answer", "modem_no_port")

    async def _identify(self) -> None:
        said = []
        for command in ("I", "+CGMM", "+CGMR"):
            answer = await self.port.ask(command)
            if command == "I" and answer.ok:  # not what it happens to announce: nobody knows all of that
                self.port.identity = next((line.text for line in answer.lines if line.text[0].isalnum()), "")
            said += [line.text for line in answer.lines]
            if self.settings.family == "auto" and (known := family_of(" ".join(said))) is not None:
                self.family = known
                break
            if self.settings.family != "auto":
                break
        model = self.seen.note_model(" ".join(said))
        if self.family is None:
            raise LinkError("modem_unknown", model)
        self.seen.note_imei(await self.port.ask("+CGSN=1" if self.family.nb_only else "+CGSN"))
        log.info("modem=%s family=%s model=%s", self.id, self.family.name, ascii(model))

    async def _sim(self) -> bool:
        """Whether the SIM is there and unlocked. The PIN is tried once for each content of its file: a third miss locks the SIM."""
        answer = await self.port.ask("+CPIN?")
        reading = answer.first("CPIN?")
        lock = reading.text("lock") if reading is not None else ""
        if self.family is not None and self.family.name == "bc95" and answer.code in ("error", "cme_4"):
            lock = "none"  # most BC95 firmware has no CPIN; a missing SIM shows in the registration
        if lock == "sim_pin":
            return await self._enter_pin()
        if answer.code in SIM_BUSY:
            self.health.down("modem_starting")
            return False
        if lock != "none":
            self.health.trouble(_sim_reason(lock, answer.code))
            return False
        self.health.clear("modem_no_sim", "modem_sim_pin", "modem_sim_puk", "modem_pin_wrong", "modem_sim_error")
        if not self.seen.iccid and self.family is not None:
            found = (await self.port.ask(self.family.iccid)).first("CCID")
            self.seen.iccid = found.text("value") if found is not None else ""
        return True

    async def _enter_pin(self) -> bool:
        pin = read_pin(self.settings.pin_file)
        if not pin or not self._pin.may_try(pin):
            self.health.trouble("modem_pin_wrong" if pin else "modem_sim_pin")
            return False
        answer = await self.port.ask(f'+CPIN="{pin}"', timeout_s=20)
        if not answer.ok:
            log.warning("modem=%s PIN refused code=%s", self.id, answer.code)
            self.health.trouble("modem_pin_wrong")
            return False
        self._pin.accepted()
        self._wake.set()  # registration takes a moment
        return False

    async def _registered(self) -> bool:
        """Judged by CEREG and CGATT: an NB-IoT modem never registers with CREG."""
        assert self.family is not None
        readings = [*(await self.port.ask("+CEREG?")).readings]
        if not self.family.nb_only and not is_registered(readings):
            readings += [*(await self.port.ask("+CGREG?")).readings]
        states = [one for one in readings if one.command in REGISTRATIONS]
        self.seen.note_registration(states)
        if is_registered(readings):
            self._searching_since_s = None
            self.health.clear("modem_denied", "modem_no_network", "modem_emergency_only")
            return await self._attached()
        await self._radio_on()
        stats = {one.text("state") for one in states}
        now_s = self._now_s()
        if self._searching_since_s is None:
            self._searching_since_s = now_s
        if "denied" in stats:
            self.health.trouble("modem_denied")
        elif "emergency" in stats:
            self.health.trouble("modem_emergency_only")
        elif now_s - self._searching_since_s >= self.timing.searching_s:
            self.health.trouble("modem_no_network")
        else:
            self.health.down("modem_searching")
        return False

    async def _radio_on(self) -> None:
        """Our own ladder switches it off for a moment, and whoever does may not live, or be heard, to switch it on again."""
        found = (await self.port.ask("+CFUN?")).first("CFUN?")
        if found is not None and found.text("power") in ("off", "radio_off"):
            self.counts["radio_found_off"] += 1
            await self.port.ask("+CFUN=1", timeout_s=15)

    async def _attached(self) -> bool:
        answer = await self.port.ask("+CGATT?", timeout_s=10)
        reading = answer.first("CGATT?")
        if reading is None or not reading.fields.get("attached"):
            attach = await self.port.ask("+CGATT=1", timeout_s=140)
            if not attach.ok:
                self.health.trouble("modem_blocked" if attach.code in BLOCKED else "modem_detached")
                return False
        self.health.clear("modem_detached", "modem_blocked")
        return True

    async def _bearer(self) -> bool:
        assert self._pumps.sockets is not None
        address = await self._pumps.sockets.address()
        if address is None:
            self.health.down("modem_connecting")
            await self._pumps.sockets.bearer_up(self.settings.apn)
            address = await self._pumps.sockets.address()
        self.seen.address = address or ""
        if address is None:
            self.health.trouble("modem_no_address")
            return False
        return True

    # -- the ladder ----------------------------------------------------------------------------------------------
    async def _act(self, action: str) -> None:
        if action == "reopen":
            self._pumps.drop("modem_echo_lost")
        elif action == "power":
            await self._power_cycle()
        elif action == "host":
            await self.hooks.reboot_host()
        elif self.serial.up and action != "give_up":
            steps = {"bearer": self._step_bearer, "radio": self._step_radio, "restart": self._step_restart}
            await steps.get(action, self._step_retry)()

    async def _step_bearer(self) -> None:
        self._pumps.drop("modem_pdp_lost")
        if self._pumps.sockets is not None:
            await self._pumps.sockets.bearer_down()
            await self._pumps.sockets.bearer_up(self.settings.apn)

    async def _step_radio(self) -> None:
        self._pumps.drop("modem_pdp_lost")
        with contextlib.suppress(AtTimeout):
            await self.port.ask("+CFUN=4", timeout_s=15)
        await self.port.ask("+CFUN=1", timeout_s=15)

    async def _step_restart(self) -> None:
        self._pumps.drop("modem_restarted")
        self._started = False
        command = self.family.restart if self.family is not None else "+CFUN=1,1"
        with contextlib.suppress(AtTimeout):  # some restart without a word
            await self.port.ask(command, timeout_s=10)
        await self._until_booted()

    async def _power_cycle(self) -> None:
        self._pumps.drop("modem_power_cycled")
        self._started = False
        self.health.down("modem_power_cycling")
        if await self.hooks.power():
            await self._until_booted()
        else:
            self.counts["power_refused"] += 1

    async def _step_retry(self) -> None:
        """Every hour for a reason no reset mends: choose the network anew."""
        await self.port.ask("+COPS=0", timeout_s=180)

    async def _until_booted(self) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.timing.boot_s):
                await self._wake.wait()

    def _lost(self, reason: str) -> None:
        """The context is gone, and every socket with it."""
        self._pumps.drop(reason)
        self.health.trouble(reason)
        self._wake.set()

    # -- what it sees ----------------------------------------------------------------------------------------------
    def _port_state(self, up: bool, reason: str, detail: str, at_ns: int) -> None:
        log.log(logging.INFO if up else logging.WARNING, "modem=%s port %s %s", self.id, reason, detail)
        if not up:
            self.port.closed()
            self._started = False
            self._pumps.drop("modem_no_port")
            self.health.down("modem_no_port")
        self._wake.set()

    def _urc(self, reading: Reading, payload: bytes | None) -> None:
        if reading.command == "boot" and self._started:  # it restarted by itself
            self.counts["restarted_itself"] += 1
            self._started = False
            self.health.down("modem_restarted")
            self._pumps.drop("modem_restarted")
            self._wake.set()
        elif reading.command in ("boot", "ready"):
            self._wake.set()
        elif reading.command == "CGEV":
            if (
                reading.fields.get("link_lost") and reading.number("cid") in OUR_CONTEXTS
            ):  # the others are the network's (IMS)
                self._lost("modem_pdp_lost")
        elif self._pumps.sockets is not None:
            self._pumps.sockets.urc(reading, payload)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


_REFUSALS: Final = {
    "modem_no_context": "modem_no_address",
    "modem_unknown": "modem_unknown",
    "not_allowed_apn": "modem_apn_refused",
}


def _sim_reason(lock: str, code: str) -> str:
    if code in SIM_ABSENT or lock == "not_inserted":
        return "modem_no_sim"
    if not lock:
        return "modem_sim_error"
    return "modem_sim_puk" if "puk" in lock else "modem_sim_pin"
