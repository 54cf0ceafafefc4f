"""The local alarm: which alarms there are, what sounds, what shines, what is raised to grade 2. Pure rules; time is an argument.

Events come from the points and from the house itself, in the order they were settled. What the machine decides comes back as
events of its own, to be journalled; feeding those back changes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from edge_agent.alarm.alarm import Alarm, Key, State, alarm_of, read_alarm
from edge_agent.alarm.patterns import (
    FAULT_SOUND,
    FIRE_SOUND,
    LINK_SOUND,
    OFF,
    PAST,
    SENDING,
    STEADY,
    Annunciation,
    Pattern,
)
from edge_agent.alarm.zones import Zones
from edge_agent.config.model import Zone
from edge_agent.model import KINDS, Clock, Event, Instant, Kind, NewEvent, Sound, encode_instant, read_instant
from edge_agent.points.deadlines import Deadlines
from edge_agent.points.state import Latches, kind_of, read_piece

UNACKNOWLEDGED_S = 120.0  # of points in no zone
UNCONFIRMED_NS = 30_000_000_000  # a fire the centre has not confirmed by then is a fault of the link, shown here
HOLD_NS = 300_000_000_000  # GB 26875.1-2011 4.1.2.2: the fire lamp stays 5 min after success or panel reset
LAPSE_NS = 10_000_000_000  # after a restart the agent has this long to say again what is wrong with itself
MAX_ALARMS = 10_000  # past that, further points share one alarm for each source and kind
MAX_UNSENT = 4096  # only what the lamp waits for; the journal has them all
DELIVERY = "delivery"  # the point of the LINK event "the centre does not confirm"

OWN = "gateway"  # the source of what the agent says of itself
# keys of the timers that are no alarm's
_HOLD, _UNSENT, _LAPSED = ("\0hold", Kind.LINK), ("\0unsent", Kind.LINK), ("\0lapsed", Kind.LINK)


class AlarmMachine:
    """`uplinks` are the mandatory ones: with none of them nobody confirms, and the fire lamp is steady at once."""

    def __init__(
        self,
        zones: Iterable[Zone] = (),
        *,
        new_event: NewEvent,
        uplinks: Sequence[str] = (),
        unacknowledged_s: float = UNACKNOWLEDGED_S,
    ) -> None:
        self._new_event = new_event
        self._expects_word = bool(uplinks)
        self._zones = Zones(zones, default_unacknowledged_s=unacknowledged_s)
        self._alarms: dict[Key, Alarm] = {}
        self._by_id: dict[str, Key] = {}
        self._count = 0
        self._first: Alarm | None = None
        self._unsent: dict[str, tuple[Key, Instant]] = {}  # event id -> its alarm and when, oldest first
        self._unsent_told = False
        self._hold_until: Instant | None = None
        self._sounding: Counter[Sound] = Counter()
        self._listed: Counter[Sound] = Counter()
        self._active: Counter[Sound] = Counter()
        self._silenced = 0
        self._deadlines: Deadlines[Key] = Deadlines()
        self._latches = Latches()
        self._lapsed: dict[Key, None] = {}
        self._unarmed = False  # restored, and the present moment not yet known
        self._boot_id = ""

    # --- in -------------------------------------------------------------------------------------------------------------

    def feed(self, event: Event, now_ns: int) -> list[Event]:
        """Take one event; return what follows from it."""
        if self._unarmed:
            self._arm(event.at)
        self._boot_id = event.at.boot_id
        if "escalates" in event.fields or (event.point == DELIVERY and event.kind is Kind.LINK):
            return []  # our own, told to us again
        if (
            event.kind is Kind.RESET and "waits" not in event.fields
        ):  # of several taps the others may still say otherwise
            self._reset(event.source or event.point, now_ns)
        if KINDS[event.kind].sound is Sound.NONE:
            return []
        if event.active:
            return self._raise(event, now_ns)
        self._return(event, now_ns)
        return []

    def acknowledge(self, alarm_id: str | None, who: str, now_ns: int) -> list[Event]:
        """A person has seen one alarm, or all of them; one event for each. What was over leaves the list."""
        keys = [key for key in (self._by_id.get(alarm_id),) if key] if alarm_id is not None else list(self._alarms)
        events: list[Event] = []
        for key in keys:
            alarm = self._alarms[key]
            if alarm.acknowledged:
                continue
            fields = {"alarm": alarm.id, "event_id": alarm.event_id, "of": alarm.kind.value, "who": who}
            events.append(self._tell(Kind.ACKNOWLEDGE, alarm, True, now_ns, fields))
            if alarm.state is State.RETURNED:
                self._remove(key, now_ns)
            else:
                self._put(replace(alarm, state=State.ACKNOWLEDGED))
                self._deadlines.set(key, None)
        return events

    def silence(self, who: str, now_ns: int) -> list[Event]:
        """Stop the sound of what sounds now. The lamps stay, and the next alarm sounds again."""
        sounding = [alarm for alarm in self._alarms.values() if alarm.sounding]
        if not sounding:
            return []
        for alarm in sounding:
            self._put(replace(alarm, silenced=True))
        fields = {"alarms": len(sounding), "event_ids": [alarm.event_id for alarm in sounding[:20]], "who": who}
        return [self._new_event(Kind.SILENCE, OWN, True, now_ns, source=OWN, fields=fields)]

    def delivered(self, event_id: str, now_ns: int) -> None:
        """Every mandatory centre has this event. Ask for `annunciation()` and `next_deadline_ns()` afterwards."""
        if (waiting := self._unsent.pop(event_id, None)) is None:
            return
        self._latches.put(f"au:{event_id}", None)
        alarm = self._alarms.get(waiting[0])
        if alarm is not None and alarm.event_id == event_id:
            self._put(replace(alarm, delivered=True))
        if self._first is not None and self._first.event_id == event_id:
            self._pin(replace(self._first, delivered=True))
        self._hold(now_ns)
        self._watch_unsent(now_ns)

    def undelivered(self) -> list[str]:
        """Events the lamp waits for: the centre has not said that it has them, or its word was lost with the power."""
        return list(self._unsent)

    def tick(self, now_ns: int) -> list[Event]:
        """What follows because time has passed."""
        if self._unarmed:
            self._arm(Instant("", now_ns, 0, Clock.UNSET))
        events: list[Event] = []
        for key in self._deadlines.take_due(now_ns):
            if key == _HOLD:
                self._hold_until = None
                self._latches.put("ah", None)
            elif key == _UNSENT:
                events += self._judge_unsent(now_ns)
            elif key == _LAPSED:
                events += self._end_lapsed(now_ns)
            elif (alarm := self._alarms.get(key)) is not None and not alarm.acknowledged:
                events += self._escalate(alarm, "unacknowledged", now_ns)
        return events

    def next_deadline_ns(self) -> int | None:
        """When `tick()` must be called next."""
        return self._deadlines.next_ns()

    # --- out ------------------------------------------------------------------------------------------------------------

    def annunciation(self) -> Annunciation:
        """What buzzer and lamps do now. Fire beats fault, fault beats link."""
        buzzer = OFF
        for sound, pattern in ((Sound.FIRE, FIRE_SOUND), (Sound.FAULT, FAULT_SOUND), (Sound.LINK, LINK_SOUND)):
            if self._sounding[sound]:
                buzzer = pattern
                break
        fire_lamp = OFF
        if self._unsent:
            fire_lamp = SENDING
        elif self._listed[Sound.FIRE] or self._hold_until is not None:
            fire_lamp = STEADY
        return Annunciation(
            buzzer=buzzer,
            fire_lamp=fire_lamp,
            fault_lamp=self._fault_lamp(Sound.FAULT),
            link_lamp=self._fault_lamp(Sound.LINK),
        )

    def _fault_lamp(self, sound: Sound) -> Pattern:
        if self._active[sound]:
            return STEADY
        return PAST if self._listed[sound] else OFF

    def alarms(self) -> list[Alarm]:
        """All that are not over: the first fire on top, then fires before faults, the newest first."""
        rank = {Sound.FIRE: 0, Sound.FAULT: 1, Sound.LINK: 2}
        newest_first = list(self._alarms.values())[::-1]
        return sorted(newest_first, key=lambda alarm: (not alarm.first, rank.get(alarm.sound, 3)))

    def is_latest(self, alarm_id: str, event_id: str) -> bool:
        """Whether the alarm is in the list and `event_id` is the last that raised it."""
        key = self._by_id.get(alarm_id)
        return key is not None and self._alarms[key].event_id == event_id

    def first_fire(self) -> Alarm | None:
        """首警: pinned until no fire is left in the list, even if its own condition went away before."""
        if self._first is None:
            return None
        now = self._alarms.get(self._first.key)
        return now if now is not None and now.id == self._first.id else self._first

    @property
    def silenced(self) -> int:
        """How many alarms in the list have been silenced."""
        return self._silenced

    def dump(self) -> dict[str, bytes | None]:
        """The pieces of lasting state that changed since the last call; None where a piece is no more."""
        return self._latches.take()

    def restore(self, state: Mapping[str, bytes], now: Instant | None = None) -> None:
        """Take back the alarms from before the restart; foreign keys are ignored. Raises no event.

        Within one boot every timer goes on; after a power cut it begins anew, at `now`, else when the first event tells it.
        """
        for key, body in state.items():
            piece = read_piece(body) if key[:2] in ("aa", "af", "ah", "an", "au") else None
            if piece is None:
                continue
            if key.startswith("aa:") and (alarm := read_alarm(piece)) is not None and alarm.key not in self._alarms:
                if alarm.id.isdigit():
                    self._count = max(self._count, int(alarm.id))  # the count may be of a boot that could not read this
                if taken := alarm.id in self._by_id:
                    self._count += 1
                    alarm = replace(alarm, id=str(self._count))
                self._by_id[alarm.id] = alarm.key
                self._put(alarm, latch=taken)
            elif key == "af":
                self._first = read_alarm(piece)
            elif key == "an" and isinstance(count := piece.get("count"), int):
                self._count = max(self._count, count)
            elif key == "ah" or key.startswith("au:"):
                self._restore_moment(key, piece)
        order = sorted(self._alarms.values(), key=lambda alarm: int(alarm.id) if alarm.id.isdigit() else 0)
        self._alarms = {alarm.key: alarm for alarm in order}
        self._unsent = dict(sorted(self._unsent.items(), key=lambda item: item[1][1].wall_ns))
        self._unarmed = True
        if now is not None:
            self._arm(now)

    # --- rules ----------------------------------------------------------------------------------------------------------

    def _raise(self, event: Event, now_ns: int) -> list[Event]:
        key = (event.point, event.kind)
        self._lapsed.pop(key, None)
        alarm = self._alarms.get(key)
        if alarm is None and len(self._alarms) >= MAX_ALARMS:
            key = (f"{event.source}/*", event.kind)
            alarm = self._alarms.get(key)
        if alarm is None:
            self._count += 1
            self._latches.put("an", {"count": self._count})
            alarm = alarm_of(event, str(self._count), key[0])
            self._by_id[alarm.id] = key
        else:  # again, or something new of the same point: it sounds again and wants a person again
            alarm = replace(
                alarm,
                event_id=event.id,
                at=alarm.at if alarm.state is State.ACTIVE else event.at,  # when a person was first wanted
                grade=alarm.grade if alarm.active else event.grade,
                state=State.ACTIVE,
                silenced=False,
                delivered=False,
                count=alarm.count + 1,
                name=event.name if key[0] == event.point else "",
            )
        if alarm.sound is not Sound.FIRE:
            self._put(alarm)
            return []
        if not self._listed[Sound.FIRE]:
            alarm = replace(alarm, first=True)
            self._pin(alarm)
        self._put(alarm)
        self._send(event, key, now_ns)
        return self._grade(alarm, now_ns, extreme=event.fields.get("rule") == "extreme")

    def _grade(self, alarm: Alarm, now_ns: int, *, extreme: bool) -> list[Event]:
        if alarm.grade >= 2:
            return []
        limit_ns = self._zones.unacknowledged_ns(alarm.point)
        self._deadlines.set(alarm.key, None if limit_ns is None else alarm.at.mono_ns + limit_ns)
        why = "manual" if alarm.kind is Kind.FIRE_MANUAL else "extreme" if extreme else ""
        events = self._escalate(alarm, why, now_ns) if why else []
        other, single = self._zones.confirmed_by(alarm.key)
        if other is not None:
            for key in single:
                events += self._escalate(self._alarms[key], "zone", now_ns)
        return events

    def _escalate(self, alarm: Alarm, why: str, now_ns: int) -> list[Event]:
        """Grade 2: flagged upward, in an event of the same point that says whether its condition is still there."""
        if alarm.grade >= 2:
            return []
        self._deadlines.set(alarm.key, None)
        self._put(replace(alarm, grade=2))
        fields = {"escalates": alarm.event_id, "why": why}
        event = self._tell(alarm.kind, alarm, alarm.active, now_ns, fields, grade=2)
        self._send(event, alarm.key, now_ns)
        return [event]

    def _return(self, event: Event, now_ns: int) -> None:
        key = (event.point, event.kind)
        if (alarm := self._alarms.get(key)) is None:
            key = (f"{event.source}/*", event.kind)
            if (alarm := self._alarms.get(key)) is None:
                return
            if alarm.count > 1:  # one of many that share this alarm
                self._put(replace(alarm, count=alarm.count - 1))
                return
        if event.fields.get("by") in ("reset", "tap") or alarm.acknowledged:
            self._remove(
                key, now_ns
            )  # a person stood at the panel, or acknowledged it here; or it goes on under another name
        else:
            self._put(replace(alarm, state=State.RETURNED))

    def _reset(self, source: str, now_ns: int) -> None:
        """The points tell of each point a reset ended. This is for alarms whose points are no longer known to them."""
        for key, alarm in list(self._alarms.items()):
            if alarm.source == source and KINDS[alarm.kind].latched:
                self._remove(key, now_ns)

    def _send(self, event: Event, key: Key, now_ns: int) -> None:
        if not self._expects_word:
            return
        while len(self._unsent) >= MAX_UNSENT:
            forgotten = next(iter(self._unsent))
            del self._unsent[forgotten]
            self._latches.put(f"au:{forgotten}", None)
        self._unsent[event.id] = (key, event.at)
        piece = {"point": key[0], "kind": key[1].value, "at": encode_instant(event.at)}
        self._latches.put(f"au:{event.id}", piece)
        self._watch_unsent(now_ns)

    def _watch_unsent(self, now_ns: int) -> None:
        if self._unsent and not self._unsent_told:
            _, oldest = next(iter(self._unsent.values()))
            self._deadlines.set(_UNSENT, oldest.mono_ns + UNCONFIRMED_NS)
        elif self._unsent_told and not self._late(now_ns):
            self._deadlines.set(_UNSENT, now_ns)
        else:
            self._deadlines.set(_UNSENT, None)

    def _late(self, now_ns: int) -> bool:
        if not self._unsent:
            return False
        _, oldest = next(iter(self._unsent.values()))
        return now_ns - oldest.mono_ns >= UNCONFIRMED_NS

    def _end_lapsed(self, now_ns: int) -> list[Event]:
        """What the agent said of itself before the restart, and has not said again, is over."""
        lapsed, self._lapsed = self._lapsed, {}
        events: list[Event] = []
        for key in lapsed:
            if (alarm := self._alarms.get(key)) is not None:
                events.append(self._tell(alarm.kind, alarm, False, now_ns, {"by": "restart"}))
                self._return(events[-1], now_ns)
        return events

    def _judge_unsent(self, now_ns: int) -> list[Event]:
        late = self._late(now_ns)
        events: list[Event] = []
        if late != self._unsent_told:
            self._unsent_told = late
            fields = {"reason": "unconfirmed", "events": len(self._unsent)}
            event = self._new_event(Kind.LINK, DELIVERY, late, now_ns, source=OWN, fields=fields)
            if late:
                self._raise(event, now_ns)
            else:
                self._return(event, now_ns)
            events.append(event)
        self._watch_unsent(now_ns)
        return events

    def _hold(self, now_ns: int) -> None:
        """The fire lamp stays from now on."""
        self._hold_until = Instant(self._boot_id, now_ns + HOLD_NS, 0, Clock.UNSET)
        self._latches.put("ah", {"at": encode_instant(self._hold_until)})
        self._deadlines.set(_HOLD, now_ns + HOLD_NS)

    def _pin(self, alarm: Alarm) -> None:
        self._first = alarm
        self._latches.put("af", alarm.as_dict())

    def _put(self, alarm: Alarm, *, latch: bool = True) -> None:
        key = alarm.key
        self._count_in(self._alarms.get(key), -1)
        self._alarms[key] = alarm
        self._count_in(alarm, 1)
        if alarm.sound is Sound.FIRE:
            self._zones.note(key, active=alarm.active, grade=alarm.grade)
        if latch:
            self._latches.put(f"aa:{alarm.kind.value}:{alarm.point}", alarm.as_dict())

    def _remove(self, key: Key, now_ns: int) -> None:
        alarm = self._alarms.pop(key)
        self._count_in(alarm, -1)
        self._by_id.pop(alarm.id, None)
        self._deadlines.set(key, None)
        self._latches.put(f"aa:{alarm.kind.value}:{alarm.point}", None)
        if alarm.sound is Sound.FIRE:
            self._zones.note(key, active=False, grade=0)
            self._hold(now_ns)
            if not self._listed[Sound.FIRE]:
                self._first = None
                self._latches.put("af", None)

    def _count_in(self, alarm: Alarm | None, step: int) -> None:
        """Totals, so that a flood of alarms costs the same for each."""
        if alarm is not None:
            sound = alarm.sound
            self._listed[sound] += step
            self._active[sound] += step * alarm.active
            self._sounding[sound] += step * alarm.sounding
            self._silenced += step * alarm.silenced

    def _tell(
        self, kind: Kind, alarm: Alarm, active: bool, now_ns: int, fields: Mapping[str, object], *, grade: int = 0
    ) -> Event:
        return self._new_event(
            kind, alarm.point, active, now_ns, source=alarm.source, name=alarm.name, fields=fields, grade=grade
        )

    # --- after a restart ------------------------------------------------------------------------------------------------

    def _restore_moment(self, key: str, piece: Mapping[str, object]) -> None:
        at, kind = piece.get("at"), kind_of(str(piece.get("kind", "")))
        try:
            instant = read_instant(at) if isinstance(at, dict) else None
        except (KeyError, ValueError):
            instant = None
        if instant is not None and key == "ah":
            self._hold_until = instant
        elif instant is not None and kind is not None and self._expects_word:
            self._unsent[key.removeprefix("au:")] = ((str(piece.get("point")), kind), instant)

    def _arm(self, now: Instant) -> None:
        """Set every timer as if there had been no restart, or, after a power cut, as if it all began now."""
        self._unarmed, self._boot_id = False, now.boot_id

        def since_ns(at: Instant) -> int:
            return at.mono_ns if at.boot_id == now.boot_id else now.mono_ns

        for key, alarm in self._alarms.items():
            if alarm.source == OWN and alarm.active and alarm.point != DELIVERY:
                self._lapsed[key] = None
            limit_ns = self._zones.unacknowledged_ns(alarm.point)
            if alarm.sound is Sound.FIRE and alarm.grade < 2 and not alarm.acknowledged and limit_ns is not None:
                self._deadlines.set(key, since_ns(alarm.at) + limit_ns)
        self._unsent = {
            event_id: (key, replace(at, mono_ns=since_ns(at))) for event_id, (key, at) in self._unsent.items()
        }
        if self._lapsed:
            self._deadlines.set(_LAPSED, now.mono_ns + LAPSE_NS)
        self._unsent_told = (DELIVERY, Kind.LINK) in self._alarms and self._alarms[DELIVERY, Kind.LINK].active
        self._watch_unsent(now.mono_ns)
        if self._hold_until is None:
            return
        if self._hold_until.boot_id == now.boot_id:
            self._deadlines.set(_HOLD, self._hold_until.mono_ns)
        else:
            self._hold(now.mono_ns)
