"""A fire panel on a serial port: port -> codec -> PanelEvent, in the loop turn in which the byte completed the frame.

Passive panels are only listened to. Polled ones get the poll of their protocol, and where the protocol has one the answer
that takes a frame over (`answer` of the link turns that off beside another listener); nothing else is ever sent. Silence,
garbage and a lost port become LinkState; what cannot be read is counted and kept in `refused()`, and text nobody can parse is
a fault of the panel.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from drivers import panel_clock
from drivers.codecs.base import Frame, Refused
from drivers.codecs.registry import build_codec
from drivers.heart import Heart
from drivers.messages import LinkState, Observation, PanelEvent, PointSpec, Reading, Sink
from drivers.panel_poll import make_poller
from drivers.serial_link import LinkDown, SerialLink
from drivers.vocabulary import EVENTS, PANEL_EVENTS, Meaning

if TYPE_CHECKING:
    from drivers.profile import Profile

REFUSED_KEPT: Final = 64
REFUSED_BYTES_KEPT: Final = 256  # of each
HELD_MAX: Final = 1024  # points whose event has to last; past that it is told at once
ECHO_NS: Final = 300_000_000
_PORT_GONE: Final = ("no_port", "hang_up")
_FIRE_KINDS: Final = ("fire", "fire_manual", "unknown", "gas", "electrical")
_FROM_A_HOST: Final = ("host_to_panel", "host_to_card")
_UNLISTED: Final = Meaning("")  # a word of a site's profile that the vocabulary does not have: told on as it is


class PanelDriver:
    """One panel. `baud`, `framing`, `silence_s` None take the profile's; `silence_s` 0 lets it be silent for ever.

    Raises ProfileError for a profile whose link, meaning or poll cannot be used, ValueError for a bad baud or framing.
    """

    def __init__(
        self,
        *,
        id: str,
        profile: "Profile",
        port: str,
        baud: int | None = None,
        framing: str | None = None,
        silence_s: float | None = None,
        open_port: Callable[..., SerialLink] = SerialLink,
    ) -> None:
        self.id = id
        self.profile = profile
        self._settings = settings = profile.link
        self._codec = build_codec(profile)
        self._hold_s = profile.hold_s
        self._link = open_port(
            port, baud=baud or settings.baud, framing=framing or settings.framing, dtr=settings.dtr, rts=settings.rts
        )
        self._poller = make_poller(profile, self._codec, self._link)
        self._silence_ns = round((settings.silence_s if silence_s is None else silence_s) * 1e9)
        self._sink: Sink = _nowhere
        self._counts = dict.fromkeys(("ok", "event", "repeat", "answered", "refused", "unparsed", "noise_bytes"), 0)
        self._refused: deque[Refused] = deque(maxlen=REFUSED_KEPT)
        self._refusals_ns: deque[int] = deque(maxlen=settings.garbage_burst)
        self._heart = Heart()
        self._state = ""  # "" not known yet, "up", or the reason it is down
        self._heard_ns: int | None = None  # of the last sound frame, or of the port's opening; None while it is closed
        self._refused_since_heard = 0
        self._wedged_ns: int | None = None
        self._wedged_told = False
        self._held: dict[tuple[str, str], tuple[int, PanelEvent]] = {}  # point, event: when it has lasted long enough
        self._held_told: set[tuple[str, str]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._answered = 0, b""  # when and what
        self._timed: deque[panel_clock.Timed] = deque(maxlen=panel_clock.KEPT)

    # -- the seam ------------------------------------------------------------------------------------------------
    async def run(self, sink: Sink) -> None:
        """Read the panel until cancelled. A vanished port is handled inside; any other exception is a bug."""
        loop = asyncio.get_running_loop()
        self._sink = sink
        self._link.on_bytes = self._bytes
        self._link.on_state = self._port
        tasks = [loop.create_task(self._link.run(), name=f"{self.id}: port")]
        if self._poller is not None:
            tasks.append(loop.create_task(self._poller.run(), name=f"{self.id}: poll"))
        try:
            await self._heart.run(tasks, lambda: self._guarded(self._now_ns()))
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def progress(self) -> int:
        """Grows twice a second while run() and its tasks live."""
        return self._heart.beats

    def counters(self) -> dict[str, int]:
        """Frames, events, repeats, refusals, polls and bytes since the start."""
        polls = {} if self._poller is None else self._poller.counters()
        link = {"reopened": self._link.reopened, "rx_bytes": self._link.rx_bytes, "tx_bytes": self._link.tx_bytes}
        return {**self._counts, **polls, **link}

    def specs(self) -> Sequence[PointSpec]:
        """None: a panel's points appear when it names them."""
        return ()

    def about(self) -> Sequence[panel_clock.About]:
        """What the panel's clock said last."""
        return [panel_clock.About(self.id, tuple(self._timed))]

    def refused(self) -> Sequence[Refused]:
        """The last refusals, oldest first, at most 64 of at most 256 bytes each."""
        return tuple(self._refused)

    # -- what the port tells -------------------------------------------------------------------------------------
    def _bytes(self, data: bytes, at_ns: int) -> None:
        self._guarded(at_ns, data)

    def _port(self, up: bool, reason: str, detail: str, at_ns: int) -> None:
        if not up:
            self._heard_ns = None
            if self._state not in _PORT_GONE:  # a port that hung up and is then missing has gone once
                self._tell([self._down(reason, detail, at_ns)])
            return
        self._heard_ns, self._refused_since_heard = at_ns, 0
        if not self._silence_ns:  # such a panel says nothing for days: an open port is all that can be known
            self._tell([self._up(at_ns, "opened", detail)])

    def _guarded(self, at_ns: int, data: bytes | None = None) -> None:
        """Work through what the codec settled. A bug in here ends run() instead of vanishing in a loop callback, and loses
        nothing but the one frame it tripped over.
        """
        try:
            found = self._codec.feed(data, at_ns) if data is not None else self._codec.tick(at_ns)
            out: list[Observation | None] = []
            for item in found:
                try:
                    out += self._frame(item, at_ns) if isinstance(item, Frame) else self._refusal(item, at_ns)
                except Exception as bug:  # noqa: BLE001 - see Heart.stop
                    self._heart.stop(bug)
                    out.append(self._unhandled(item, at_ns))
            self._tell(out + self._due(at_ns))
            self._arm(at_ns)
        except Exception as bug:  # noqa: BLE001 - see Heart.stop
            self._heart.stop(bug)

    def _unhandled(self, item: Frame | Refused, at_ns: int) -> PanelEvent:
        """What a bug of ours kept from being understood: a fire is still an alarm, anything else a fault of the panel."""
        event = item.event if isinstance(item, Frame) else None
        said = "unknown" if EVENTS.get(event or "", _UNLISTED).kind in _FIRE_KINDS else "fault"
        return PanelEvent(f"{self.id}/panel", said, at_ns, {"reason": "bug", "said": event or ""}, item.raw)

    # -- frames --------------------------------------------------------------------------------------------------
    def _frame(self, frame: Frame, at_ns: int) -> list[Observation | None]:
        if self._poller is not None:
            self._poller.frame(frame)
        if frame.fields.get("direction") in _FROM_A_HOST:
            return []  # another master, or our own bytes coming back
        self._counts["ok"] += 1
        self._heard_ns = at_ns
        if frame.fields.get("kind") == "card_wedged":
            return list(self._wedged(at_ns))
        self._refused_since_heard = 0
        out = [*self._unwedged(at_ns), self._answering(at_ns)]
        if frame.repeat:
            self._counts["repeat"] += 1
        elif panel_clock.has_time(frame.fields):
            self._timed.append((at_ns, frame.fields))
        self._confirm(frame, at_ns)
        several = frame.fields.get("events")
        if frame.event is not None or (several and not frame.repeat):  # a frame of bits may say only what is over
            for fields in several if isinstance(several, Sequence) else (frame.fields,):
                if isinstance(fields, Mapping) and isinstance(event := fields.get("event"), str):
                    out.append(self._event(event, fields, frame.raw, at_ns))
        return [*out, self._measured(frame.fields, at_ns)]

    def _measured(self, fields: Mapping[str, object], at_ns: int) -> Reading | None:
        """What an electrical-fire host measures: fields quantity, value and unit of its codec."""
        value, quantity = fields.get("value"), fields.get("quantity")
        if not isinstance(value, int | float) or not isinstance(quantity, str):
            return None
        parts = (quantity, str(fields.get("unit", "")).lower(), str(fields.get("channel") or ""))
        return Reading(f"{self._point('', fields)}/{'_'.join(part for part in parts if part)}", value, at_ns)

    def _event(self, event: str, fields: Mapping[str, object], raw: bytes, at_ns: int) -> PanelEvent | None:
        self._counts["event"] += 1
        if event == "fire" and fields.get("manual"):
            event = "fire_manual"
        is_state = fields.get("is_state") is True
        return self._hold(PanelEvent(self._point(event, fields), event, at_ns, fields, raw, is_state), at_ns)

    def _confirm(self, frame: Frame, at_ns: int) -> None:
        if self._settings.answer and (reply := self._codec.reply(frame)) and not self._is_echo(frame.raw, at_ns):
            self._answer(reply, at_ns)

    def _is_echo(self, raw: bytes, at_ns: int) -> bool:
        """Whether these are our own bytes coming back, on a line that hears itself: answering them would never end."""
        answered_ns, reply = self._answered
        return raw == reply and at_ns - answered_ns < ECHO_NS

    def _answer(self, reply: bytes, at_ns: int) -> None:
        self._answered = at_ns, reply
        try:
            self._link.write(reply)
        except LinkDown:  # the port's own task tells of it
            return
        self._counts["answered"] += 1

    def _point(self, event: str, fields: Mapping[str, object]) -> str:
        where = "panel"
        code, point = fields.get("user_code"), fields.get("point")
        loop = fields.get("zone") if fields.get("loop") is None else fields["loop"]
        if event in PANEL_EVENTS:
            pass
        elif isinstance(named := fields.get("point_id"), str) and named:
            where = named
        elif isinstance(code, str) and code.isdecimal():  # AA AA AA is the panel itself
            where = code
        elif loop is not None and point is not None and (loop, point) != (0, 0):
            panel = fields.get("panel")  # of a network of panels; 0 is this one
            where = f"{panel}-{loop}-{point}" if panel else f"{loop}-{point}"
        return f"{self.id}/{where}"

    def _hold(self, told: PanelEvent, at_ns: int) -> PanelEvent | None:
        """`told` itself, or None while it has to last before it counts."""
        meaning = EVENTS.get(told.event, _UNLISTED)
        if told.event == "reset":
            self._held.clear()
            self._held_told.clear()
        if not meaning.active:
            for key in (*self._held, *self._held_told):
                if key[0] == told.point and EVENTS.get(key[1], _UNLISTED).kind == meaning.kind:
                    self._held.pop(key, None)
                    self._held_told.discard(key)
        elif (hold_s := self._hold_s.get(told.event, 0.0)) > 0:
            key = told.point, told.event
            if key in self._held or key in self._held_told:
                return None
            if len(self._held) + len(self._held_told) < HELD_MAX:
                self._held[key] = at_ns + round(hold_s * 1e9), told
                return None
        return told

    def _due(self, at_ns: int) -> list[Observation | None]:
        """What time alone has settled: held events, silence."""
        out: list[Observation | None] = []
        for key, (due_ns, told) in list(self._held.items()):
            if at_ns >= due_ns:
                del self._held[key]
                self._held_told.add(key)
                out.append(replace(told, at_ns=at_ns))
        if self._silence_ns and self._heard_ns is not None and at_ns - self._heard_ns >= self._silence_ns:
            # A line that brings nothing but refusals is not silent: say what a technician would find.
            garbage = self._refused_since_heard > 0
            quiet_s = (at_ns - self._heard_ns) / 1e9
            detail = f"no sound frame for {quiet_s:.0f} s, {self._refused_since_heard} refused"
            out.append(self._down("garbage" if garbage else "silent", detail, at_ns))
        return out

    # -- refusals ------------------------------------------------------------------------------------------------
    def _refusal(self, refused: Refused, at_ns: int) -> list[Observation | None]:
        self._counts["refused"] += 1
        self._refused_since_heard += 1
        if self._poller is not None:
            self._poller.refused(sound=refused.sound)
        if refused.why == "noise":
            self._counts["noise_bytes"] += len(refused.raw)
        self._refused.append(replace(refused, raw=refused.raw[:REFUSED_BYTES_KEPT]))
        if refused.sound:  # the line works and something was said that nobody understands
            self._counts["unparsed"] += 1
            self._heard_ns, self._refused_since_heard = at_ns, 0
            # It is kept, and confirmed: a panel repeats what is not, and what it says next would wait behind it for ever.
            self._confirm(Frame(refused.fields, refused.raw, at_ns), at_ns)
            fields = {"reason": "unparsed", "why": refused.why, **refused.fields}
            return [self._answering(at_ns), PanelEvent(f"{self.id}/panel", "fault", at_ns, fields, refused.raw)]
        self._refusals_ns.append(at_ns)
        if self._is_garbage(at_ns):
            seconds = self._settings.garbage_window_s
            return [self._down("garbage", f"{len(self._refusals_ns)} refusals in {seconds:.0f} s", at_ns)]
        return []

    def _is_garbage(self, at_ns: int) -> bool:
        full = len(self._refusals_ns) == self._refusals_ns.maxlen
        return full and at_ns - self._refusals_ns[0] < self._settings.garbage_window_s * 1e9

    # -- the link's state ----------------------------------------------------------------------------------------
    def _answering(self, at_ns: int) -> LinkState | None:
        return None if self._is_garbage(at_ns) else self._up(at_ns, "answering")

    def _up(self, at_ns: int, reason: str, detail: str = "") -> LinkState | None:
        if self._state == "up":
            return None
        self._state = "up"
        return LinkState(self.id, True, at_ns, reason, detail)

    def _down(self, reason: str, detail: str, at_ns: int) -> LinkState | None:
        if self._state == reason:
            return None
        self._state = reason
        return LinkState(self.id, False, at_ns, reason, detail)

    def _wedged(self, at_ns: int) -> list[Observation | None]:
        if self._wedged_ns is None:
            self._wedged_ns = at_ns
        if self._wedged_told or at_ns - self._wedged_ns < self._settings.wedged_s * 1e9:
            return []
        self._wedged_told = True
        fault = PanelEvent(f"{self.id}/card", "fault", at_ns, {"reason": "card_wedged"})
        return [fault, self._down("no_answer", "card_wedged: power-cycle the interface card", at_ns)]

    def _unwedged(self, at_ns: int) -> list[Observation | None]:
        told, self._wedged_ns, self._wedged_told = self._wedged_told, None, False
        return [PanelEvent(f"{self.id}/card", "fault_restore", at_ns, {"reason": "card_wedged"})] if told else []

    # -- timers and the sink -------------------------------------------------------------------------------------
    def _arm(self, at_ns: int) -> None:
        """Wake when the codec's pause or a held event is due; silence is looked at every beat."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [due_ns for due_ns, _ in self._held.values()]
        if (codec_ns := self._codec.deadline_ns()) is not None:
            due.append(codec_ns)
        if due:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(min(due), at_ns) / 1e9 + 0.0005, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._guarded(self._now_ns())

    def _tell(self, out: Sequence[Observation | None]) -> None:
        told = [observation for observation in out if observation is not None]
        if told:
            self._sink(told)

    @staticmethod
    def _now_ns() -> int:
        return round(asyncio.get_running_loop().time() * 1e9)


def _nowhere(observations: Sequence[Observation]) -> None:
    """Where observations go before run()."""
