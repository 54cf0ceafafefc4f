"""One update from its request to its end: judged, put into the idle slot, tried, and then it stays or what ran before is back.

What is true is in the two links (edge_agent/update/slots.py); each step here first makes durable what the next one stands on. So
whatever ends this process, the next one finds by the links how it went: while `good` still names the old slot, it goes back.
"""

import asyncio
import contextlib
import logging
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from edge_agent import __version__
from edge_agent.sealed import sync
from edge_agent.update import judge, rot, services
from edge_agent.update.bundle import BUNDLE_BYTES_MAX, Bundle, BundleError, read
from edge_agent.update.services import CORE, Core, Systemd
from edge_agent.update.slots import CURRENT, GOOD, NAMES, LayoutError, Slots
from edge_agent.update.state import BUNDLE, Desk, Phase, Request, State
from edge_agent.update.told import SLOT_DAMAGED

log = logging.getLogger("edge.update")

TRIES: Final = 3  # of one request: what takes the machine down each time is not tried for ever
POLL_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long is waited for what, in seconds."""

    calm_s: float = 1800.0  # for a moment without an alarm, and for a centre that can be reached
    trial_s: float = 600.0  # for the centre to confirm, and for every input to answer
    hold_s: float = 60.0  # at least so long everything has to be well
    core_s: float = 60.0  # for the core to answer at all after a restart
    tell_s: float = 600.0  # for a core to tell how it went


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where things are."""

    slots: Slots
    desk: Desk
    keys_dir: Path
    config_dir: Path


class Updater:
    """One for the machine: whoever makes it holds the lock."""

    def __init__(self, place: Place, core: Core, systemd: Systemd, boot: str, times: Times) -> None:
        self._slots, self._desk, self._place = place.slots, place.desk, place
        self._core, self._systemd, self._boot, self._times = core, systemd, boot, times

    async def run(self) -> None:
        """Settle what a cut left, do what is asked for, and tell it. Raise OSError, LayoutError."""
        state = await self._settle(self._desk.read())
        while (request := self._next(state)) is not None:
            state = await self._do(self._taken(state, request))
        state = await self._tell(state)
        state = await self._tell(await self._look_for_rot(state))
        if not state.untold or CORE not in self._systemd.active():
            self._desk.close()

    # --- what a cut left ------------------------------------------------------------------------------------------------

    async def _settle(self, state: State) -> State:
        current, good = self._slots.named(CURRENT), self._slots.named(GOOD)
        if state.phase is Phase.TRYING and good == state.slot:
            return self._stays(state)  # it had been found good; only the word of it was lost
        if state.phase is Phase.TRYING:
            log.warning("step=found trial slot=%s current=%s good=%s", state.slot, current, good)
            same_boot = state.boot == self._boot  # else the guard put the links right before anything started
            await self._go_back(same_boot or current != good)
            return self._ended(state, "gone_back", "updater_ended" if same_boot else "cut")
        if current != good:
            log.error("step=found current=%s good=%s and no word of a trial", current, good)
            await self._go_back(True)
        return state

    def _next(self, state: State) -> Request | None:
        """What is to be done now. One that has ended already is only cleared away."""
        if state.phase is Phase.TAKEN and state.request is not None:
            return state.request
        request = self._desk.request()
        if request is not None and state.last is not None and state.last.get("request") == request.id:
            self._desk.drop_request()
            return None
        return request

    def _taken(self, state: State, request: Request) -> State:
        self._desk.open()
        tries = state.tries + 1 if state.request == request else 1
        state = replace(state, phase=Phase.TAKEN, request=request, tries=tries, before=__version__, slot="", version="")
        return self._write(state, "taken")

    def _write(self, state: State, step: str) -> State:
        self._desk.write(state)
        log.info("step=%s version=%s", step, state.version or "-")
        return state

    # --- one request ----------------------------------------------------------------------------------------------------

    async def _do(self, state: State) -> State:
        request = state.request
        assert request is not None
        try:
            if state.tries > TRIES:
                raise BundleError("gave_up", tries=TRIES)
            state = await (self._stand_by(state) if request.do == "back" else self._prepare(state))
            state = replace(state, up=await self._moment(state))
        except BundleError as why:
            self._clear_idle()
            return self._ended(state, "refused", why.code, why.params)
        except OSError as fault:  # a card that is full or takes nothing
            self._clear_idle()
            return self._ended(state, "refused", "not_written", {"why": fault.strerror or ascii(fault)[:100]})
        return await self._try(state)

    def _clear_idle(self) -> None:
        """What is not going to be tried need not take up room, which the word of it may need."""
        with contextlib.suppress(OSError, LayoutError):
            self._desk.staged.unlink(missing_ok=True)
            if not self._desk.read().previous:
                self._slots.wipe(self._slots.idle())

    async def _stand_by(self, state: State) -> State:
        """The slot that was good before is tried as it is, if the card has kept it. Raise BundleError."""
        slot = state.previous
        if slot not in NAMES or slot == self._slots.named(CURRENT):
            raise BundleError("no_previous")
        if file := await asyncio.to_thread(rot.damaged, self._slots.path(slot)):
            raise BundleError("slot_damaged", slot=slot, what=file)
        version, counter = self._slots.about(slot)
        return replace(state, slot=slot, version=version, counter=counter)

    async def _prepare(self, state: State) -> State:
        """Judge the bundle and make the idle slot its program, which then shows what it can. Raise BundleError, OSError."""
        bundle = self._judged(state)
        manifest, slot = bundle.manifest, self._slots.idle()
        state = replace(state, version=manifest.version, counter=manifest.counter)
        state = self._write(
            replace(state, previous=""), "judged"
        )  # from here on nothing is there to go back to but `good`
        state = state.telling(_fields(state, "begun", ""))
        state = await self._tell_now(state)
        self._slots.fill(slot, bundle)
        log.info("step=filled slot=%s", slot)
        await asyncio.to_thread(services.self_test, self._slots.path(slot), manifest, self._place.config_dir)
        log.info("step=tested slot=%s", slot)
        return replace(state, slot=slot)

    def _judged(self, state: State) -> Bundle:
        if not self._desk.staged.exists():
            take(self._desk.spool / BUNDLE, self._desk.staged)
            log.info("step=staged")
        self._desk.drop_request()
        bundle = read(self._desk.staged)
        judge.check_signatures(bundle, self._place.keys_dir)
        judge.check_fits(bundle.manifest, self.machine(state))
        judge.check_room(bundle.manifest, self._slots.root)
        return bundle

    def machine(self, state: State) -> judge.Machine:
        """What an update has to fit. The floor is in the slot, too: a damaged state file opens no way to an old program."""
        from buffer.dbfile import SCHEMA

        _, counter = self._slots.about(self._slots.named(GOOD))
        return judge.Machine.here(__version__, max(state.floor, counter), SCHEMA)

    async def _moment(self, state: State) -> tuple[str, ...]:
        """Wait until no alarm is there that a restart would hurt, and return what answers now. Raise BundleError(`not_calm`).

        A core that does not answer at all has nothing to lose.
        """
        request, loop = state.request, asyncio.get_running_loop()
        assert request is not None
        deadline_s, said = loop.time() + self._times.calm_s, ""
        while True:
            status = await self._core.ask("status")
            if not isinstance(status, dict):
                if CORE not in self._systemd.active() or self._systemd.restarts((CORE,)):
                    return ()
                why = "silent"
            else:
                why = await self._core.restless(status)
                if request.without_centre and why == "sending":
                    why = ""
                if not why and not request.without_centre and status.get("uplinks"):
                    there = services.centres_up(status)
                    why = "" if (request.dest in there if request.dest else there) else "no_centre"
                if not why:
                    return services.answering(status)
            if loop.time() >= deadline_s:
                raise BundleError("not_calm", what=why)
            if why != said:
                log.info("step=waiting why=%s", why)
                said = why
            await asyncio.sleep(POLL_S)

    # --- the trial ------------------------------------------------------------------------------------------------------

    async def _try(self, state: State) -> State:
        state = self._write(replace(state, phase=Phase.TRYING, boot=self._boot), "trying")
        self._slots.point(CURRENT, state.slot)
        log.info("step=switched slot=%s", state.slot)
        units = self._systemd.active()
        away_s = await asyncio.to_thread(self._systemd.restart, units)
        log.info("step=restarted away_ms=%d", away_s * 1000)
        why = await self._watch(state, units, _fields(state, "switched", "", {"away_ms": round(away_s * 1000)}))
        if not why:
            self._slots.point(GOOD, state.slot)
            log.info("step=good slot=%s", state.slot)
            return self._stays(state)
        await self._go_back(True)
        return self._ended(state, "gone_back", why)

    async def _watch(self, state: State, units: list[str], switched: Mapping[str, object]) -> str:
        """Why what runs now must not stay; "" once all of it is well. Codes: crashed, core_absent, other_version, inputs,
        not_confirmed.
        """
        request, times, loop = state.request, self._times, asyncio.get_running_loop()
        assert request is not None
        began_s = loop.time()
        heard_s, name, why = began_s, None, "core_absent"
        while loop.time() - began_s < times.trial_s:
            if self._systemd.restarts(units):
                return "crashed"
            now_s = loop.time()
            status = await self._core.ask("status")
            if not isinstance(status, dict):
                if CORE in units and now_s - heard_s > times.core_s:
                    return "core_absent"
                if CORE not in units:
                    return ""  # nothing ran before, nothing can be asked
            else:
                heard_s = now_s
                if state.version and status.get("version") != state.version:
                    return "other_version"
                if name is None:  # the record that the centre has to confirm over this program
                    name = await self._core.ask("update_told", fields=dict(switched))
                why = self._not_yet(state, request, status, name, settled=now_s - began_s > times.hold_s)
                if not why and now_s - began_s >= times.hold_s:
                    return ""
            await asyncio.sleep(POLL_S)
        return why

    @staticmethod
    def _not_yet(state: State, request: Request, status: Mapping[str, Any], name: object, *, settled: bool) -> str:
        if gone := services.lost(state.up, status, settled=settled):
            log.info("step=watching lost=%s", ascii(gone)[:200])
            return "inputs"
        if request.without_centre or not status.get("uplinks"):
            return ""
        return "" if isinstance(name, dict) and services.has_stored(status, name, request.dest) else "not_confirmed"

    async def _go_back(self, restart: bool) -> None:
        """`good` runs again. The uplink may be restarted at any instant; a core that hears a fire is left to it."""
        good = self._slots.named(GOOD)
        if self._slots.named(CURRENT) != good:
            self._slots.point(CURRENT, good)
        log.warning("step=back slot=%s", good)
        if not restart:
            return
        units = self._systemd.active()
        await asyncio.to_thread(self._systemd.restart, [unit for unit in units if unit != CORE])
        while CORE in units:
            status = await self._core.ask("status")
            if not isinstance(status, dict) or self._systemd.restarts((CORE,)):
                break
            if (status.get("update") or {}).get("slot") == good:
                return  # it was never restarted
            if await self._core.restless(status) != "fire":
                break
            await asyncio.sleep(POLL_S)
        if CORE in units:
            await asyncio.to_thread(self._systemd.restart, (CORE,))
        log.info("step=back_again")

    # --- what the card has kept ---------------------------------------------------------------------------------------------

    async def _look_for_rot(self, state: State) -> State:
        """Hold both slots against their sums: at each run, which a timer sees to once a day. What is new of it the core is told.

        One that was filled by hand and is nobody's now gets its sums first: what it is today is what may be gone back to.
        """
        found, known, runs = dict[str, str](), self._desk.damaged(), self._slots.named(CURRENT)
        for slot in NAMES:
            place = self._slots.path(slot)
            if slot == state.previous and not rot.has_sums(place):
                try:
                    await asyncio.to_thread(rot.write_sums, place)
                except OSError as fault:  # a card that is full; there is another day
                    log.warning("step=looked slot=%s %s", slot, ascii(fault))
            elif file := await asyncio.to_thread(rot.damaged, place):
                found[slot] = file
                log.error("step=looked slot=%s damaged=%s", slot, ascii(file)[:200])
                if slot not in known:
                    told = {"status": SLOT_DAMAGED, "slot": slot, "file": file[:200], "runs": slot == runs}
                    state = state.telling(told)
        if found != known:
            self._desk.write(state)
            self._desk.write_damaged(found)
        return state

    # --- how it ended ---------------------------------------------------------------------------------------------------

    def _stays(self, state: State) -> State:
        before = NAMES[1 - NAMES.index(state.slot)]
        state = replace(state, floor=max(state.floor, state.counter), previous=before)
        return self._ended(state, "confirmed", "")

    def _ended(self, state: State, status: str, code: str, params: Mapping[str, object] | None = None) -> State:
        fields = _fields(state, status, code, {key: str(value)[:200] for key, value in (params or {}).items()})
        last = {**fields, "request": state.request.id if state.request else ""}
        state = replace(state, phase=Phase.IDLE, last=last, request=None, tries=0, slot="", up=()).telling(fields)
        self._write(state, status)
        if code:
            log.warning("step=ended status=%s code=%s %s", status, code, ascii(dict(params or {}))[:300])
        self._desk.staged.unlink(missing_ok=True)
        self._desk.drop_request()
        return state

    async def _tell_now(self, state: State) -> State:
        """Tell the core what it has not heard, as far as it answers."""
        while state.untold and await self._core.ask("update_told", fields=dict(state.untold[0])) is not None:
            state = replace(state, untold=state.untold[1:])
            self._desk.write(state)
        return state

    async def _tell(self, state: State) -> State:
        """With what is left to tell. To a core that is not wanted nothing can be told; the next run does."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._times.tell_s
        while (state := await self._tell_now(state)).untold and CORE in self._systemd.active():
            if loop.time() >= deadline_s:
                break
            await asyncio.sleep(POLL_S)
        return state


def _fields(state: State, status: str, code: str, more: Mapping[str, object] | None = None) -> dict[str, object]:
    """One record of an update: docs/contract.md, section 7."""
    request = state.request or Request(id="?")
    said: dict[str, object] = {"status": status, "version": state.version, "before": state.before, **(more or {})}
    rest = {"code": code, "dest": request.dest, "command": request.command, "who": request.who}
    return said | {key: value for key, value in rest.items() if value}


def take(source: Path, target: Path) -> None:
    """Copy what others may write to where only root may, durably. Raise BundleError: no_bundle, too_large; OSError."""
    try:
        fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as fault:
        raise BundleError("no_bundle", why=fault.strerror) from None
    with os.fdopen(fd, "rb") as stream:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise BundleError("no_bundle", why="no file")
        if about.st_size > BUNDLE_BYTES_MAX:
            raise BundleError("too_large", mb=BUNDLE_BYTES_MAX >> 20)
        new = target.with_suffix(".new")
        with new.open("wb") as out:
            left = BUNDLE_BYTES_MAX
            while left > 0 and (piece := stream.read(min(left, 1 << 20))):  # it may grow while it is read
                left -= out.write(piece)
            out.flush()
            os.fsync(out.fileno())
    new.replace(target)
    sync(target.parent)
