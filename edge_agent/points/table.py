"""All points of the site: what drivers observe goes in, changes of state come out. Pure rules; time is an argument.

A point that cannot be read keeps its state and is a fault of its own; its missing values are never compared with anything.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from drivers.messages import LinkState, Observation, PanelEvent, PointFault, PointSpec, Reading
from edge_agent.config.model import Journal, Point
from edge_agent.model import KINDS, Event, Instant, Kind, NewEvent, Sound
from edge_agent.points.across import Across
from edge_agent.points.channel import Channel, channels_of
from edge_agent.points.deadlines import Deadlines
from edge_agent.points.derived import Bound, Derived
from edge_agent.points.filters import Settled
from edge_agent.points.learned import Learned
from edge_agent.points.limits import merge_limits
from edge_agent.points.panel import PanelPoints, grade_of, source_of
from edge_agent.points.point import CONTACTS, Outage, PointState, Silence
from edge_agent.points.presets import with_preset
from edge_agent.points.state import Latches, kind_of, read_piece
from edge_agent.points.taps import Tapped, TappedPanels
from edge_agent.points.telemetry import Telemetry
from edge_agent.points.view import counts, rows
from edge_agent.points.vocabulary import MEANINGS, UNLISTED

log = logging.getLogger("edge.points")

# A lost or damaged answer says nothing of the point; it is a fault once it has lasted, unless the whole source is known to be
# silent by then, which is told as one LINK event. (GB 26875.1: own and line faults within 100 s.)
TRANSIENT = frozenset({"timeout", "crc", "foreign", "gpio", "stale", "no_answer", "no_port", "hang_up", "silent"})
TRANSIENT_NS = 30_000_000_000
MAX_ADOPTED = 10_000  # points that speak though no profile names them


class PointTable:
    """The points of one gateway.

    `new_event` gives ids and instants, `instant` turns a monotonic ns into an Instant (for telemetry), `names` are the site's
    words for sources and points, `sources` the ids of everything configured (None: unknown, so nothing is an orphan),
    `parents` the bus of each device, `unbuilt` the sources that have no driver now: what they said last still holds,
    `tapped` the panels with more than one tap.
    """

    def __init__(
        self,
        specs: Iterable[PointSpec],
        points: Iterable[Point] = (),
        *,
        names: Mapping[str, str] | None = None,
        new_event: NewEvent,
        instant: Callable[[int], Instant],
        settings: Journal | None = None,
        sources: Collection[str] | None = None,
        parents: Mapping[str, str] | None = None,
        unbuilt: Collection[str] = (),
        tapped: Iterable[Tapped] = (),
    ) -> None:
        self._new_event = new_event
        self._unbuilt = unbuilt
        self._names = dict(names or {})
        self._settings = settings or Journal()
        self._site = {point.id: point for point in points}
        self._sources = sources
        self._parents = dict(parents or {})
        self._latches = Latches()
        self._telemetry = Telemetry(instant)
        self._panels = PanelPoints(new_event, self._names | _site_names(self._site), self._latches)
        self._taps = TappedPanels(
            tapped, self._panels, new_event=new_event, latches=self._latches, is_up=self._is_up, names=self._names
        )
        self._points: dict[str, PointState] = {}
        self._across = Across(self._points)
        self._deadlines: Deadlines[Channel | Outage | Silence] = Deadlines()
        self.learned = Learned()
        self._links: dict[str, bool] = {}  # source -> up
        self._orphans: list[tuple[str, Kind, str]] = []
        self._adopted = 0
        self.add(specs)

    def add(self, specs: Iterable[PointSpec]) -> None:
        """Points that are known before they speak. Raise ValueError if one is known already or its kind is no kind."""
        for spec in specs:
            if spec.id in self._points:
                raise ValueError(f"point {spec.id} twice")
            self._points[spec.id] = self._build(spec)

    def derive(self, rule: Derived) -> None:
        """A rule over several points; its result is a point. Raise ValueError: known already, or an input in another unit."""
        self.add((rule.spec,))
        self._across.add(rule)

    def _build(self, spec: PointSpec) -> PointState:
        site = self._site.get(spec.id)
        kind_name = site.kind if site is not None and site.kind is not None else spec.kind
        defaults, kind_name = with_preset(spec, kind_name, site.preset if site is not None else "")
        kind = Kind(kind_name) if kind_name else None
        limits = merge_limits(defaults, site.limits if site else None)
        channels = channels_of(spec.id, kind, limits, contact=not spec.unit)
        point = PointState(spec, self._name_of(spec, site), channels, limits)
        point.kind, point.feeds = kind_name or point.kind, self._across.of(spec.id)
        if point.baseline is not None:
            self.learned.add(spec.id, point.baseline)
        if not channels or channels[0].rule:  # a contact's every change is an event already
            settings = self._settings
            point.kept = self._telemetry.join(
                point.source,
                spec.id.partition("/")[2] or spec.id,
                telemetry_s=settings.telemetry_s if site is None or site.telemetry_s is None else site.telemetry_s,
                deadband=settings.deadband if site is None or site.deadband is None else site.deadband,
            )
        return point

    def _name_of(self, spec: PointSpec, site: Point | None) -> str:
        if site is not None and site.name:
            return site.name
        if spec.id in self._names:
            return self._names[spec.id]
        source, slash, _ = spec.id.partition("/")
        return f"{self._names.get(source, '')} {spec.name_zh}".strip() if slash else spec.name_zh

    # --- in -------------------------------------------------------------------------------------------------------------

    def start(self, now_ns: int) -> None:
        """From now on a point with `missing_s` must be heard of, though it has never been."""
        for name, site in self._site.items():
            if (
                "/" in name
                and site.limits is not None
                and site.limits.missing_s is not None
                and name not in self._points
            ):
                try:
                    self._adopt(name)
                except (ValueError, TypeError):
                    log.exception("point=%s", ascii(name))
        for point in self._points.values():
            if point.silence is not None:
                self._deadlines.set(point.silence, now_ns + point.silence.limit_ns)

    def feed(self, observations: Sequence[Observation], now_ns: int) -> list[Event]:
        """Take what one frame, poll or edge gave; return the changes it settled, in order."""
        return [event for settled in self.settled(observations, now_ns) for event in settled]

    def settled(self, observations: Sequence[Observation], now_ns: int) -> Iterator[list[Event]]:
        """As `feed`, the changes of each observation that settled any by themselves; the next is taken when they are dealt with."""
        events: list[Event] = []
        for seen in observations:
            try:
                if type(seen) is Reading:  # nearly all there is, a thousand a second: the shortest way
                    self._take_reading(seen, events)
                else:
                    self._take(seen, events)
            except Exception as bug:  # told as a mishap of its point; the observations behind it must not pay for it
                log.exception("observation %r", seen)
                events += self._mishap(seen, now_ns, bug)
            if events:
                self._note(events, now_ns)
                yield events
                events = []

    def _note(self, events: list[Event], now_ns: int) -> None:
        """Ask again what looks at the fires of the site, if that is what these events changed."""
        for rule in [rule for event in events for rule in self._across.note(event)]:
            self._judge(rule, now_ns, events)

    def _take(self, seen: Observation, events: list[Event]) -> None:
        if isinstance(seen, PanelEvent):
            events += (self._taps if self._taps.owns(source_of(seen.point)) else self._panels).feed(seen)
        elif isinstance(seen, PointFault):
            point = self._points.get(seen.point) or self._adopt(seen.point)
            if point is not None:
                self._fault(point, seen.reason, seen.at_ns, events)
        elif isinstance(seen, LinkState):
            self._link(seen, events)

    def _take_reading(self, seen: Reading, events: list[Event]) -> None:
        point = self._points.get(seen.point) or self._adopt(seen.point)
        if point is None:
            return
        value, at_ns = seen.value, seen.at_ns
        if not point.low_end <= value <= point.high_end:  # a broken sensor, or not a number at all
            self._fault(point, "overrange", at_ns, events)
            return
        if point.outage is not None:
            self._readable(point, at_ns, events)
        if point.stuck_ns and (found := point.moves(value, at_ns)) is not None:
            self._tell_stuck(point, found, at_ns, events)
        if point.channels:
            before = None if point.value is None else (point.at_ns, point.value)
            for channel in point.channels:
                if settled := channel.feed(value, at_ns, before):
                    self._settle(point, channel, settled, events)
                self._deadlines.set(channel, channel.debounce.deadline_ns)
            point.learn(value, at_ns)
        point.value, point.at_ns = value, at_ns
        if point.kept is not None:
            point.kept.feed(value, at_ns)
        for rule in point.feeds:
            self._judge(rule, at_ns, events)

    def _judge(self, rule: Bound, at_ns: int, events: list[Event]) -> None:
        """What a rule over several points says now is a reading of its own point; unknown, and nothing of it settles."""
        answer = rule.judge(self._across, at_ns)
        if answer is not None:
            self._take_reading(Reading(rule.point, answer, at_ns), events)
            return
        point = self._points[rule.point]
        point.value = None
        for channel in point.channels:
            channel.suspend()
            self._deadlines.set(channel, None)

    def _mishap(self, seen: Observation, now_ns: int, bug: Exception) -> list[Event]:
        """A bug of ours met this observation: a fire is still an alarm, whatever it was is a fault. Nothing is dropped."""
        where = seen.source if isinstance(seen, LinkState) else seen.point
        kind, raw = Kind.FAULT, b""
        if isinstance(seen, PanelEvent):
            raw = seen.raw
            if KINDS[MEANINGS.get(seen.event, UNLISTED).kind].sound is Sound.FIRE:
                kind = Kind.UNKNOWN
        fields = {"reason": "bug", "detail": ascii(bug)[:200], "said": ascii(seen)[:500]}
        source, grade = source_of(where), grade_of(kind, True)
        return [self._new_event(kind, where, True, now_ns, source=source, fields=fields, raw=raw, grade=grade)]

    def tick(self, now_ns: int, *, at_most: int | None = None) -> list[Event]:
        """The changes that settled because nothing happened; with `at_most`, of so many points, the earliest first."""
        events: list[Event] = []
        for due in self._deadlines.take_due(now_ns, at_most):
            try:
                if isinstance(due, Channel):
                    self._settle(self._points[due.point], due, due.tick(now_ns), events)
                elif isinstance(due, Silence):
                    self._judge_silence(due, now_ns, events)
                elif due.point.outage is due and not due.told and self._is_up(due.point.source):
                    self._tell_fault(due, now_ns, events)
            except Exception as bug:  # as in `feed`
                log.exception("deadline %r", due)
                where = due.point if isinstance(due, Channel) else due.point.id
                events += self._mishap(PointFault(where, "bug", now_ns), now_ns, bug)
        events += self._taps.tick(now_ns)
        self._note(events, now_ns)
        orphans, self._orphans = self._orphans, []
        for point, kind, source in orphans:
            events.append(self._new_event(kind, point, False, now_ns, source=source, fields={"by": "removed"}))
        return events

    def next_deadline_ns(self) -> int | None:
        """When `tick()` must be called next."""
        if self._orphans:
            return 0
        own_ns, taps_ns = self._deadlines.next_ns(), self._taps.next_deadline_ns()
        return own_ns if taps_ns is None else taps_ns if own_ns is None else min(own_ns, taps_ns)

    # --- out ------------------------------------------------------------------------------------------------------------

    def take_telemetry(self, now_ns: int) -> Iterator[bytes]:
        """Journal bodies of readings due to be kept, made one by one; each reading is in one of them at most."""
        return self._telemetry.take(now_ns)

    def snapshot(self) -> list[dict[str, object]]:
        """Every point, as `points.view.rows` has it."""
        return list(self.rows())

    def rows(self) -> Iterator[dict[str, object]]:
        """The entries of `snapshot()` one by one, each as it is when its turn comes."""
        return rows(self._points, self._panels)

    def standing(self, source: str) -> list[tuple[str, str]]:
        """Point and kind of everything that is active by the word of a panel or device."""
        return [(point, kind.value) for point, kind in self._panels.active_of(source)]

    def believable(self, point: str) -> bool:
        """Whether what a point said last still holds: it can be read, and its source is not silent."""
        state = self._points.get(point)
        if state is not None:
            return state.outage is None and self._is_up(state.source)
        return self._is_up(source_of(point) if "/" in point else CONTACTS)

    def switch(self, point: str) -> bool | None:
        """A switch as it is, None if that cannot be believed now."""
        value = self._across.value(point)
        return bool(value) if value is not None and self.believable(point) else None

    def counts(self) -> dict[str, int]:
        """`{total, active, faulty}`: how many points there are, are active, cannot be read."""
        return counts(self._points, self._panels)

    def counters(self) -> Mapping[str, int]:
        """What the panels said that changed nothing: `repeated`, `restored_again`; `unlisted` words; `forgotten` points."""
        return self._panels.counters | self._taps.counters

    def dump(self) -> dict[str, bytes | None]:
        """The pieces of lasting state that changed since the last call; None where a piece is no more."""
        return self._latches.take()

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Take back what was active before the restart; foreign keys are ignored. Raises no event.

        What belongs to nothing configured any more is ended by the next `tick()`, or the centre would keep it for ever.
        """
        for name, kind in self._panels.restore(state, self._sources):
            self._orphans.append((name, kind, source_of(name)))
        for key, body in state.items():
            prefix, _, rest = key.partition(":")
            piece = read_piece(body) if prefix in ("pb", "pc", "po", "pl", "ps") else None
            if piece is None or (prefix != "pl" and source_of(rest.rpartition(":")[2]) in self._unbuilt):
                continue  # the last: its driver could not be built today; it may be tomorrow
            if prefix == "pb":
                if not self.learned.restore(rest, piece):
                    self._latches.put(key, None)
            elif prefix == "pc":
                self._restore_channels(key, rest, piece.get("rules"))
            elif prefix == "ps" and (point := self._points.get(rest)) is not None:
                point.stuck = bool(point.stuck_ns)
                if not point.stuck:
                    self._orphans.append((rest, Kind.FAULT, point.source))
                    self._latches.put(key, None)
            elif prefix == "po" and (point := self._points.get(rest)) is not None:
                point.outage = Outage(point, str(piece.get("reason")))
                point.outage.told = True
            elif prefix == "pl" and (self._sources is None or rest in self._sources):
                self._links[rest] = False
            else:
                self._orphans.append((rest, Kind.LINK if prefix == "pl" else Kind.FAULT, source_of(rest)))
                self._latches.put(key, None)
        closed = [point.id for point in self._points.values() if any(channel.active for channel in point.channels)]
        self._taps.restore(state, closed)
        held = [
            (point.id, channel.kind) for point in self._points.values() for channel in point.channels if channel.active
        ]
        for name, kind in (*held, *((name, kind) for name, kind, _, _ in self._panels.active())):
            self._across.note_fire(name, kind, active=True)

    def _restore_channels(self, key: str, rest: str, rules: object) -> None:
        """What was in alarm and why; a version before the rules had names wrote none of them."""
        kind_name, _, point_id = rest.partition(":")
        kind, point = kind_of(kind_name), self._points.get(point_id)
        asked = [channel for channel in point.channels if channel.kind is kind] if point else []
        held = [channel for channel in asked if isinstance(rules, list) and channel.rule in rules]
        held = held or [channel for channel in asked if channel.rule in ("limit", "")] or asked[:1]
        for channel in held:
            channel.latch()
        if not held and kind is not None:
            self._orphans.append((point_id, kind, source_of(point_id) if "/" in point_id else CONTACTS))
            self._latches.put(key, None)

    # --- rules ----------------------------------------------------------------------------------------------------------

    def _settle(self, point: PointState, channel: Channel, settled: Sequence[Settled], events: list[Event]) -> None:
        """Each rule that finds something tells of it; the end is told when none of that kind finds anything any more."""
        for active, at_ns in settled:
            fields: dict[str, object] = {"samples": channel.take_samples(at_ns), **channel.question.fields()}
            if channel.rule and point.unit:
                fields["unit"] = point.unit
            if not channel.rule and self._taps.owns_contact(point.id):
                self._latches.put(f"pc:{channel.kind.value}:{point.id}", {"rules": [""]} if active else None)
                events += self._taps.contact(point.id, active, at_ns, fields)
                continue
            rules = point.rules_of(channel.kind)
            self._latches.put(f"pc:{channel.kind.value}:{point.id}", {"rules": rules} if rules else None)
            if active or not rules:
                events.append(self._event(point, channel.kind, active, at_ns, fields))

    def _tell_stuck(self, point: PointState, stuck: bool, at_ns: int, events: list[Event]) -> None:
        """A frozen value is not believed, and compared all the same: it may be frozen in alarm."""
        self._latches.put(f"ps:{point.id}", {} if stuck else None)
        fields = {"reason": "frozen", "value": point.value} if stuck else {"reason": "frozen"}
        events.append(self._event(point, Kind.FAULT, stuck, at_ns, fields))

    def _judge_silence(self, silence: Silence, now_ns: int, events: list[Event]) -> None:
        """A point nobody asks and that must be heard of. Of a source that is known to be silent, one LINK event is enough."""
        point = silence.point
        due_ns = point.at_ns + silence.limit_ns
        if point.at_ns and due_ns > now_ns:
            self._deadlines.set(silence, due_ns)
            return
        self._deadlines.set(silence, now_ns + silence.limit_ns)
        if point.outage is None and self._is_up(point.source):
            self._fault(point, "missing", now_ns, events)

    def _fault(self, point: PointState, reason: str, at_ns: int, events: list[Event]) -> None:
        for channel in point.channels:
            channel.suspend()
            self._deadlines.set(channel, None)
            if reason not in TRANSIENT:
                channel.question.forget()
        if (outage := point.outage) is None:
            outage = point.outage = Outage(point, reason)
            if reason in TRANSIENT:
                self._deadlines.set(outage, at_ns + TRANSIENT_NS)
        outage.reason = reason
        if not outage.told and reason not in TRANSIENT:
            self._deadlines.set(outage, None)
            self._tell_fault(outage, at_ns, events)
        for rule in point.feeds:
            self._judge(rule, at_ns, events)

    def _tell_fault(self, outage: Outage, at_ns: int, events: list[Event]) -> None:
        outage.told = True
        self._latches.put(f"po:{outage.point.id}", {"reason": outage.reason})
        events.append(self._event(outage.point, Kind.FAULT, True, at_ns, {"reason": outage.reason}))

    def _readable(self, point: PointState, at_ns: int, events: list[Event]) -> None:
        outage, point.outage = point.outage, None
        if outage is None:
            return
        self._deadlines.set(outage, None)
        if outage.told:
            self._latches.put(f"po:{point.id}", None)
        if outage.told and not point.stuck:
            events.append(self._event(point, Kind.FAULT, False, at_ns, {"reason": outage.reason}))

    def _link(self, seen: LinkState, events: list[Event]) -> None:
        was_up = self._links.get(seen.source, True)
        self._links[seen.source] = seen.up
        if seen.up and not was_up:  # its points that are still silent get their own time from now on
            for point in self._points.values():
                outage, theirs = point.outage, seen.source in (point.source, self._parents.get(point.source))
                if theirs and outage is not None and not outage.told:
                    self._deadlines.set(outage, seen.at_ns + TRANSIENT_NS)
        if seen.up == was_up:
            return
        self._latches.put(f"pl:{seen.source}", None if seen.up else {"reason": seen.reason})
        fields: dict[str, object] = {"reason": seen.reason}
        if seen.detail:
            fields["detail"] = seen.detail
        name = self._names.get(seen.source, "")
        events.append(
            self._new_event(
                Kind.LINK, seen.source, not seen.up, seen.at_ns, source=seen.source, name=name, fields=fields
            )
        )

    def _is_up(self, source: str) -> bool:
        return self._links.get(source, True) and self._links.get(self._parents.get(source, ""), True)

    def _event(self, point: PointState, kind: Kind, active: bool, at_ns: int, fields: Mapping[str, object]) -> Event:
        return self._new_event(
            kind,
            point.id,
            active,
            at_ns,
            source=point.source,
            name=point.name,
            fields=fields,
            grade=grade_of(kind, active),
        )

    def _adopt(self, point_id: str) -> PointState | None:
        """A point no profile names: kept as telemetry, so that it shows; past the bound it is ignored."""
        if self._adopted >= MAX_ADOPTED:
            return None
        self._adopted += 1
        point = self._points[point_id] = self._build(PointSpec(id=point_id, name_zh=point_id, name_en=point_id))
        return point


def _site_names(site: Mapping[str, Point]) -> dict[str, str]:
    return {point.id: point.name for point in site.values() if point.name}
