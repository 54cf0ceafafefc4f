"""What becomes of a record: the unit it travels in, the picture of the component it shows, and what its confirm settles."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from buffer.records import Priority
from drivers.codecs.gb26875 import STANDARD, Dialect, decode_adu, read_text
from drivers.codecs.gb26875.objects import (
    AnalogueValue,
    ComponentStatus,
    DeviceOperation,
    DeviceStatus,
    FacilityOperation,
    InformationObject,
    SystemStatus,
)
from edge_agent.alarm.machine import DELIVERY
from edge_agent.config.model import Bus, Config, Contact, Device, Gateway, Panel
from edge_agent.config.uplinks import Gb26875Point
from edge_agent.model import KINDS, Clock, Event, Instant, Kind, encode_event, encode_instant
from edge_agent.uplink.contract import Batch
from edge_agent.uplink.gb26875.places import Known, Places
from edge_agent.uplink.gb26875.plan import Plan, Writer
from edge_agent.uplink.gb26875.units import Unit, split

NOTHING = {"alarms": [], "points": [], "points_loud": 0}
NOW = Instant("boot", 1, 1_764_000_000_000_000_000, Clock.SYNCED)  # 2025-11-25 00:00:00 in China
CONFIG = Config(
    gateway=Gateway(id="ZG-1234"),
    panels=(Panel(id="panel1", profile="x", port="/dev/x"),),
    buses=(Bus(id="rtu1", port="/dev/y", devices=(Device(id="meter1", profile="m", address=7),)),),
    contacts=(Contact(id="pump-room", line=12, kind="fire_manual", name="水泵房手报"),),
)
KNOWN = [
    Known("meter1/voltage_v", "电压", "V", order=1),
    Known("meter1/residual_1_ma", "剩余电流", "mA", "electrical", order=2),
    Known("meter1/pressure_mpa", "水压", "MPa", order=3),
]


def event(kind: Kind, point: str = "panel1/1-027", active: bool = True, **more: object) -> bytes:
    told: dict[str, object] = {"source": point.partition("/")[0], "name": "一层走道", "at": NOW, **more}
    return encode_event(Event(id=f"e-{kind}-{point}-{active}", kind=kind, point=point, active=active, **told))  # type: ignore[arg-type]


def batch(
    bodies: Sequence[bytes], priority: Priority = Priority.ALARM, *, first: int = 1, replay: bool = False
) -> Batch:
    records = [(first + i, body) for i, body in enumerate(bodies)]
    return Batch(
        epoch="e1", priority=priority, first=first, last=first + len(bodies) - 1, records=records, replay=replay
    )


class Told(list[tuple[str, Mapping[str, object]]]):
    def __call__(self, what: str, **params: object) -> None:
        self.append((what, params))


def writer(
    dialect: Dialect = STANDARD, *, rules: tuple[Gb26875Point, ...] = (), objects_max: int = 0, told: Told | None = None
) -> Writer:
    places = Places(
        replace(CONFIG, gb26875_points=rules), known=KNOWN, residual_current_type=dialect.residual_current_type
    )
    return Writer(
        places, dialect, objects_max=objects_max, now=lambda: NOW, notice=told if told is not None else Told()
    )


def objects(plan: Plan, dialect: Dialect = STANDARD) -> list[tuple[int, InformationObject]]:
    found = []
    for unit in plan.units:
        adu = decode_adu(unit.adu, dialect, uplink=True)
        assert not adu.problems
        found += [(adu.type, item) for item in adu.objects]
    return found


def ranges(plan: Plan) -> list[tuple[int, int]]:
    return [(unit.first, unit.last) for unit in plan.units]


def statuses(plan: Plan) -> list[int]:
    return [item.status for _, item in objects(plan) if isinstance(item, ComponentStatus | SystemStatus | DeviceStatus)]


def test_a_fire_is_a_component_status_with_loop_point_time_and_words() -> None:
    ((kind, item),) = objects(writer().write(batch([event(Kind.FIRE)])))
    assert kind == 2
    assert isinstance(item, ComponentStatus)
    assert (item.system_type, item.system_address, item.component_type) == (1, 1, 0)
    assert item.address == b"\x01\x00\x1b\x00"
    assert item.status == 0b11
    assert read_text(item.description) == "一层走道"
    assert str(item.time) == "2025-11-25 00:00:00"


@pytest.mark.parametrize(
    ("kind", "point", "expected"),
    [
        (Kind.FIRE, "panel1/1-1", (2, 0b11)),
        (Kind.FIRE_MANUAL, "panel1/1-1", (2, 0b11)),
        (Kind.UNKNOWN, "panel1/1-1", (2, 0b11)),
        (Kind.UNKNOWN, "panel1/panel", (2, 0b11)),  # a fire without an address is a fire of the panel, never nothing
        (Kind.GAS, "panel1/1-1", (2, 0b11)),
        (Kind.ELECTRICAL, "meter1/residual_1_ma", (2, 0b11)),
        (Kind.PREALARM, "panel1/1-1", (2, 0b10001)),
        (Kind.SUPERVISORY, "panel1/1-1", (2, 0b10001)),
        (Kind.FAULT, "panel1/1-1", (2, 0b101)),
        (Kind.FAULT, "panel1/panel", (1, 0b101)),
        (Kind.DISABLED, "panel1/1-1", (2, 0b1001)),
        (Kind.MAINS_FAULT, "panel1/panel", (1, 1 << 8 | 1)),
        (Kind.BATTERY_FAULT, "panel1/panel", (1, 1 << 9 | 1)),
        (Kind.BATTERY_FAULT, "pump-room", (2, 1 << 8 | 1)),
        (Kind.START, "panel1/1-1", (2, 1 << 5 | 1)),
        (Kind.FEEDBACK, "panel1/1-1", (2, 1 << 6 | 1)),
        (Kind.DELAY, "panel1/1-1", (2, 1 << 7 | 1)),
        (Kind.BOOT, "panel1/panel", (1, 1)),
        (Kind.RESET, "panel1/panel", (4, 1)),
        (Kind.SILENCE, "panel1/panel", (4, 2)),
        (Kind.ACKNOWLEDGE, "panel1/1-1", (4, 1 << 5)),
        (Kind.TEST, "panel1/1-1", (4, 1 << 6)),
        (Kind.EVIDENCE, "panel1/1-1", None),
        (Kind.LINKAGE, "linkage/valve", None),
        (Kind.LINK_REQUEST, "panel1/1-1", None),
        (Kind.LINK, "panel1", (21, 1 << 6 | 1)),
        (Kind.LINK, "uplink/city", (21, 1 << 5 | 1)),
        (Kind.LINK, "link/4g", (21, 1 << 5 | 1)),
        (Kind.LINK, DELIVERY, (21, 1 << 5 | 1)),  # "the centre does not confirm" is no line to a panel
        (Kind.STORE, "journal/vital.db", (21, 0b101)),
        (Kind.WORKER, "worker/rtu1", (21, 0b101)),
        (Kind.COMMAND, "gateway", None),
        (Kind.CLOCK, "gateway", None),
    ],
)
def test_every_kind_has_its_unit_and_bits_or_none(kind: Kind, point: str, expected: tuple[int, int] | None) -> None:
    source = "gateway" if kind in (Kind.STORE, Kind.WORKER, Kind.COMMAND, Kind.CLOCK) else point.partition("/")[0]
    made = writer()
    plan = made.write(batch([event(kind, point, source=source)], KINDS[kind].priority))
    if expected is None:
        assert plan == Plan((), ((1, 1),))
        assert made.counters["without_form"] == 1
        return
    ((number, item),) = objects(plan)
    assert (number, getattr(item, "status", getattr(item, "flags", None))) == expected


def test_no_kind_is_left_undecided() -> None:
    """Every alarm has a unit: what the standard has no place for is written down here."""
    without = {Kind.EVIDENCE, Kind.LINKAGE, Kind.PATROL, Kind.LINK_REQUEST, Kind.COMMAND, Kind.CLOCK, Kind.DUTY_CHECK}
    for kind in Kind:
        sent = writer().write(batch([event(kind)], KINDS[kind].priority)).units
        assert bool(sent) == (kind not in without), kind


@pytest.mark.parametrize(("result", "sent"), [("answered", True), ("late", True), ("missed", False)])
def test_a_duty_check_that_was_answered_is_bit_5_of_type_24(result: str, sent: bool) -> None:
    fields = {"result": result, "operator": 3, "dest": "county"}
    plan = writer().write(
        batch([event(Kind.DUTY_CHECK, "gateway", False, source="gateway", fields=fields)], Priority.STATUS)
    )
    assert [(kind, item.flags, item.operator) for kind, item in objects(plan) if isinstance(item, DeviceOperation)] == (
        [(24, 1 << 5, 3)] if sent else []
    )


def test_the_answer_to_a_duty_check_goes_to_the_centre_that_asked() -> None:
    """Each check has its answer: a push of the button that answers county and city is two events, of which the county gets one."""
    places = Places(CONFIG, known=KNOWN)
    made = Writer(places, STANDARD, now=lambda: NOW, notice=Told(), centre="county")
    bodies = [
        event(
            Kind.DUTY_CHECK, "duty", False, source="gateway", fields={"result": "answered", "operator": n, "dest": dest}
        )
        for n, dest in ((1, "city"), (2, "county"))
    ]
    found = objects(made.write(batch(bodies, Priority.STATUS)))
    assert [item.operator for _, item in found if isinstance(item, DeviceOperation)] == [2]


def test_a_test_is_one_operation_and_its_end_is_none() -> None:
    for kind, point in ((24, "gateway"), (4, "panel1/1-027")):
        source = point.partition("/")[0]
        bodies = [event(Kind.TEST, point, active, source=source) for active in (True, False)]
        assert [number for number, _ in objects(writer().write(batch(bodies, Priority.STATUS)))] == [kind]


def test_a_centre_is_shown_only_what_its_streams_tell_it_the_end_of() -> None:
    """Else a fault that a snapshot showed stands on its screen until the next connection."""
    made = Writer(Places(CONFIG), STANDARD, now=lambda: NOW, notice=Told(), centre="county", takes=(Priority.ALARM,))
    rows = [{"id": "panel1/1-027", "active": "fire", "also": ["fault"], "source": "panel1", "fault": None, "name": ""}]
    alarms = [{"kind": "link", "point": "uplink/city", "source": "uplink/city", "state": "active", "name": ""}]
    snapshot = {"alarms": alarms, "points": rows, "points_loud": 1}
    shown = [decode_adu(told.adu) for told in made.present(snapshot)]
    assert [item.status for adu in shown if adu.type == 2 for item in adu.objects] == [0b11]  # type: ignore[union-attr]
    assert made.device().status == 0b11
    assert made.device_as_of(snapshot).status == 0b100011, "what it asks for it is told"


def test_a_snapshot_has_all_that_is_active_on_a_component() -> None:
    """A pump that was started and has answered still has both bits behind a new connection."""
    rows = [
        {"id": "panel1/1-027", "active": "start", "also": ["feedback"], "source": "panel1", "fault": None, "name": ""}
    ]
    shown = [decode_adu(told.adu) for told in writer().present({"alarms": [], "points": rows, "points_loud": 1})]
    assert [item.status for adu in shown if adu.type == 2 for item in adu.objects] == [0b1100001]  # type: ignore[union-attr]


def test_a_status_is_the_whole_picture_of_a_component() -> None:
    made = writer()
    assert statuses(made.write(batch([event(Kind.FAULT)], Priority.FAULT))) == [0b101]
    assert statuses(made.write(batch([event(Kind.FIRE)]))) == [0b111], "a fire does not end a fault"
    assert statuses(made.write(batch([event(Kind.FAULT, active=False)], Priority.FAULT, first=2))) == [0b11]
    assert statuses(made.write(batch([event(Kind.FIRE, active=False)], first=2))) == [1]


def test_a_system_status_keeps_the_fire_of_its_components() -> None:
    made = writer()
    made.write(batch([event(Kind.FIRE)]))
    assert statuses(made.write(batch([event(Kind.MAINS_FAULT, "panel1/panel")], Priority.FAULT))) == [1 << 8 | 0b11]
    assert statuses(made.write(batch([event(Kind.MAINS_FAULT, "panel1/panel", False)], Priority.FAULT, first=2))) == [
        0b11
    ]


def test_an_old_record_never_leaves_the_centre_with_a_picture_that_is_over() -> None:
    """n=3 overtook 1 and 2: after their replay the centre must still see the fire."""
    made = writer()
    assert statuses(made.write(batch([event(Kind.FIRE)], first=3))) == [0b11]
    replayed = made.write(batch([event(Kind.FIRE), event(Kind.FIRE, active=False)], replay=True))
    assert statuses(replayed) == [0b11, 1, 0b11]
    assert ranges(replayed)[-1] == (1, 0), "what puts the picture right settles nothing"


def test_after_a_snapshot_replay_tells_the_past_and_the_present_follows() -> None:
    made = writer()
    alarm = {"kind": "fire", "point": "panel1/1-002", "source": "panel1", "state": "active", "name": "库房"}
    over = {"kind": "fire", "point": "panel1/1-003", "source": "panel1", "state": "returned", "name": ""}
    shown = made.present({"alarms": [alarm, over], "points": [], "points_loud": 0})
    decoded = [decode_adu(told.adu, uplink=True) for told in shown]
    assert [adu.type for adu in decoded] == [1, 2]
    assert [item.status for item in decoded[0].objects if isinstance(item, SystemStatus)] == [0b11, 1, 1]
    assert [item.status for item in decoded[1].objects if isinstance(item, ComponentStatus)] == [0b11]
    # the fire of 1-027 began and ended during the outage; only its beginning is in this batch
    assert statuses(made.write(batch([event(Kind.FIRE)], replay=True))) == [0b11, 1]
    # what is still so needs no second word
    assert statuses(made.write(batch([event(Kind.FIRE, "panel1/1-002")], first=2, replay=True))) == [0b11]


def test_what_waited_until_it_was_over_is_put_right_behind_it() -> None:
    """A replayed fire, and a snapshot that shows it, wait for a centre that does not answer; its end, which is live, goes first."""
    made = writer()
    burning = {"kind": "fire", "point": "panel1/1-027", "source": "panel1", "state": "active", "name": ""}
    snapshot = made.present({"alarms": [burning], "points": [], "points_loud": 0})
    fire = made.write(batch([event(Kind.FIRE)], replay=True))
    assert statuses(fire) == [0b11], "it burns still"
    over = made.write(batch([event(Kind.FIRE, active=False)], first=2))
    assert made.taken(over.shown) == []
    for shown in (fire.shown, *(told.shown for told in snapshot)):
        (right,) = made.taken(shown)
        assert [item.status for item in decode_adu(right.adu, uplink=True).objects] == [1]  # type: ignore[union-attr]
        assert made.taken(right.shown) == []


def test_a_component_the_centre_took_for_burning_is_shown_at_the_next_connection_though_it_is_quiet() -> None:
    made = writer()
    made.taken(made.write(batch([event(Kind.FIRE)])).shown)
    made.write(batch([event(Kind.FIRE, active=False)], first=2))  # this one was lost with the connection
    nothing = {"alarms": [], "points": [], "points_loud": 0}
    (quiet,) = (told for told in made.present(nothing) if decode_adu(told.adu).type == 2)
    assert [item.status for item in decode_adu(quiet.adu).objects] == [1]  # type: ignore[union-attr]
    made.taken(quiet.shown)
    assert [decode_adu(told.adu).type for told in made.present(nothing)] == [1]


def test_a_fire_that_waited_in_memory_and_is_numbered_behind_its_end_does_not_burn_again() -> None:
    made = writer()
    began, ended = replace(NOW, mono_ns=10), replace(NOW, mono_ns=20)
    assert statuses(made.write(batch([event(Kind.FIRE, active=False, at=ended)]))) == [1]
    assert statuses(made.write(batch([event(Kind.FIRE, at=began)], first=2))) == [0b11, 1], "and the present follows"


def test_a_fire_of_an_earlier_boot_does_not_burn_again_after_a_snapshot() -> None:
    """Its file could not be read when the connection was made, so that its records are no replay."""
    made = writer()
    made.present(NOTHING)
    assert statuses(made.write(batch([event(Kind.FIRE, at=replace(NOW, boot_id="before"))]))) == [0b11, 1]


def test_without_a_snapshot_of_this_connection_a_replayed_fire_is_not_taken_back() -> None:
    """The core said once that all was quiet; then the link went, the fire came, and at the return the core said nothing."""
    made = writer()
    made.present(NOTHING)
    made.unsure()
    assert statuses(made.write(batch([event(Kind.FIRE)], replay=True))) == [0b11]
    assert statuses(made.write(batch([event(Kind.FIRE, active=False)], first=2, replay=True))) == [1]


def test_what_came_since_a_slow_core_was_asked_is_believed_before_its_answer() -> None:
    made = writer()
    made._now = lambda: replace(NOW, mono_ns=40 * 10**9)
    asked = encode_instant(replace(NOW, mono_ns=10 * 10**9))
    fire = event(Kind.FIRE, at=replace(NOW, mono_ns=12 * 10**9))
    made.taken(made.write(batch([fire])).shown)
    shown = [decode_adu(told.adu) for told in made.present({**NOTHING, "at": asked})]
    assert [item.status for adu in shown if adu.type == 2 for item in adu.objects] == [0b11]  # type: ignore[union-attr]


def test_a_snapshot_that_had_no_room_for_all_takes_nothing_back() -> None:
    made = writer()
    made.taken(made.write(batch([event(Kind.START)], Priority.STATUS)).shown)
    made._now = lambda: replace(NOW, mono_ns=10**12)  # a long time ago
    row = {"id": "panel1/1-001", "active": "disabled", "source": "panel1", "fault": None, "name": ""}
    shown = [decode_adu(told.adu) for told in made.present({"alarms": [], "points": [row], "points_loud": 257})]
    found = {item.address[2]: item.status for adu in shown for item in adu.objects if isinstance(item, ComponentStatus)}
    assert found == {1: 0b1001, 27: 0b100001}, "what was not in it is as it was"


def test_a_fire_that_ended_while_the_snapshot_was_on_its_way_does_not_burn_again() -> None:
    made = writer()
    alarm = {"kind": "fire", "point": "panel1/1-027", "source": "panel1", "state": "active", "name": ""}
    made.write(batch([event(Kind.FIRE)]))
    assert statuses(made.write(batch([event(Kind.FIRE, active=False)], first=2))) == [1]
    asked = encode_instant(NOW)
    shown = [decode_adu(told.adu) for told in made.present({**NOTHING, "at": asked, "alarms": [alarm]})]
    assert [item.status for adu in shown if adu.type == 2 for item in adu.objects] == [1]  # type: ignore[union-attr]


def test_fires_come_first_in_a_snapshot() -> None:
    rows = [
        {
            "id": f"panel1/1-{n:03d}",
            "active": "fire" if n == 40 else "fault",
            "source": "panel1",
            "fault": None,
            "name": "",
        }
        for n in range(1, 41)
    ]
    told = writer().present({"alarms": [], "points": rows, "points_loud": 40})
    shown = [decode_adu(one.adu) for one in told]
    components = [item for adu in shown for item in adu.objects if isinstance(item, ComponentStatus)]
    assert components[0].status == 0b11
    assert len(components) == 40


def test_neighbours_of_a_type_share_a_unit_as_far_as_the_centre_takes_it() -> None:
    fires = [event(Kind.FIRE, f"panel1/1-{n:03d}") for n in range(1, 26)]
    assert ranges(writer().write(batch(fires))) == [(1, 11), (12, 22), (23, 25)], "11 of 46 bytes in 512"
    assert ranges(writer(objects_max=1).write(batch(fires[:3]))) == [(1, 1), (2, 2), (3, 3)]
    assert ranges(writer(Dialect(adu_max=1024)).write(batch(fires))) == [(1, 22), (23, 25)]
    mixed = [fires[0], event(Kind.ACKNOWLEDGE), fires[1], fires[2]]
    assert ranges(writer().write(batch(mixed))) == [(1, 1), (2, 2), (3, 4)]


def test_records_with_nothing_to_send_are_settled_with_their_neighbours() -> None:
    nothing, gap = event(Kind.LINK_REQUEST), json.dumps({"gap": {"why": "budget"}}).encode()
    plan = writer().write(
        batch([nothing, event(Kind.FIRE), gap, b"not json", event(Kind.RESET, "panel1/panel"), nothing])
    )
    assert ranges(plan) == [(1, 2), (3, 6)]
    gaps_only = replace(batch([]), first=5, last=9, gaps=[(5, 9, "gone")])
    assert writer().write(gaps_only) == Plan((), ((5, 9),))


def test_a_unit_a_centre_declines_can_go_object_by_object_and_settles_the_same() -> None:
    nothing = event(Kind.LINK_REQUEST)
    fires = [event(Kind.FIRE, f"panel1/1-{n:03d}") for n in (1, 2)]
    (unit,) = writer().write(batch([nothing, *fires, nothing])).units
    parts = split(unit)
    assert [(part.first, part.last, part.record) for part in parts] == [(1, 2, 2), (3, 4, 3)]
    assert [len(decode_adu(part.adu).objects) for part in parts] == [1, 1]
    assert split(parts[0]) == []


def reading(**values: float | bool) -> bytes:
    at = {"boot": "b", "mono_ns": 1, "wall_ns": NOW.wall_ns, "clock": "synced"}
    return json.dumps({"at": at, "source": "meter1", "values": values}).encode()


def test_readings_are_analogue_values_in_the_steps_of_their_quantity() -> None:
    told = Told()
    made = writer(Dialect(residual_current_type=128), told=told)
    plan = made.write(
        batch([reading(voltage_v=229.74, residual_1_ma=31, pressure_mpa=0.45, energy_kwh=5)], Priority.TELEMETRY)
    )
    values = [item for _, item in objects(plan, made.dialect) if isinstance(item, AnalogueValue)]
    assert [(v.system_type, v.quantity, v.raw, v.address.hex()) for v in values] == [
        (1, 8, 2297, "07000100"),
        (1, 128, 31, "07000200"),
        (11, 5, 4500, "07000300"),
    ]
    assert told == []


def test_residual_current_has_no_type_of_the_standard_and_is_left_out_unless_agreed() -> None:
    assert writer().write(batch([reading(residual_1_ma=31)], Priority.TELEMETRY)) == Plan((), ((1, 1),))


def test_a_value_out_of_range_is_not_sent_not_clamped_and_told_once() -> None:
    told = Told()
    made = writer(told=told)
    for value in (4000, 4001):
        assert made.write(batch([reading(voltage_v=value)], Priority.TELEMETRY)).units == ()
    assert [(what, params["point"]) for what, params in told] == [("gb_out_of_range", "meter1/voltage_v")]
    made.write(batch([reading(voltage_v=230)], Priority.TELEMETRY))
    made.write(batch([reading(voltage_v=-1)], Priority.TELEMETRY))
    assert len(told) == 2, "it was well in between"


def test_a_record_that_needs_several_units_is_settled_by_the_last() -> None:
    rules = (Gb26875Point(points=("meter1/*",), analogue_type=8, scale=10.0),)
    many = reading(**{f"x{n}_v": 1.0 for n in range(70)})
    plan = writer(rules=rules).write(
        batch([event(Kind.LINK_REQUEST), many, reading(voltage_v=1.0)], Priority.TELEMETRY)
    )
    assert [(u.first, u.last, u.record, u.joined) for u in plan.units] == [
        (2, 1, 2, 0),
        (2, 1, 2, 0),
        (1, 2, 2, 2),
        (3, 3, 3, 0),
    ]
    assert [len(decode_adu(u.adu).objects) for u in plan.units] == [31, 31, 8, 1]


def test_recovery_by_user_type_says_what_is_over() -> None:
    dialect = Dialect(recovery="user-type")
    made = writer(dialect)
    made.write(batch([event(Kind.FIRE)]))
    ((kind, item),) = objects(made.write(batch([event(Kind.FIRE, active=False)], first=2)), dialect)
    assert kind == 135
    assert isinstance(item, ComponentStatus)
    assert item.status == 0b11


def test_points_the_site_keeps_to_itself_are_not_sent() -> None:
    rules = (Gb26875Point(points=("panel1/*",), send=False),)
    assert writer(rules=rules).write(batch([event(Kind.FIRE)])).units == ()


def test_own_faults_are_bits_of_the_device_and_leave_one_by_one() -> None:
    made = writer()
    store = event(Kind.STORE, "journal/vital.db", source="gateway")
    link = event(Kind.LINK, "panel1")
    assert statuses(made.write(batch([store, link], Priority.FAULT))) == [0b101, 0b1000101]
    back = event(Kind.STORE, "journal/vital.db", False, source="gateway")
    assert statuses(made.write(batch([back], Priority.FAULT, first=3))) == [0b1000001]
    assert made.device(core=False).status == 0b1000101, "without a core nobody watches"


def test_a_clock_that_was_never_set_sends_no_time() -> None:
    unset = Instant("boot", 1, 5_000_000_000, Clock.UNSET)
    body = encode_event(Event(id="e", kind=Kind.FIRE, point="panel1/1-1", active=True, at=unset, source="panel1"))
    ((_, item),) = objects_raw(writer().write(batch([body])))
    assert isinstance(item, ComponentStatus)
    assert item.time == bytes(6)


def objects_raw(plan: Plan) -> list[tuple[int, InformationObject]]:
    adu = decode_adu(plan.units[0].adu)
    return [(adu.type, item) for item in adu.objects]


def test_an_operation_names_its_operator() -> None:
    body = event(Kind.RESET, "panel1/panel", fields={"operator": 9})
    ((_, item),) = objects(writer().write(batch([body], Priority.STATUS)))
    assert item == FacilityOperation(1, 1, 1, 9, item.time)  # type: ignore[union-attr]


def test_units_know_their_size() -> None:
    plan = Plan((Unit(b"abc", 1, 1, 1), Unit(b"de", 2, 2, 2)))
    assert len(plan) == 5


def test_a_fire_that_cannot_be_written_as_it_should_goes_in_words() -> None:
    told = Told()
    rules = (
        Gb26875Point(points=("panel1/*",), component_address="1-70000"),
    )  # the configuration's check lets none through
    made = writer(rules=rules, told=told)
    ((kind, item),) = objects_raw(made.write(batch([event(Kind.FIRE)])))
    assert kind == 2
    assert isinstance(item, ComponentStatus)
    assert (item.status, item.address, read_text(item.description)) == (3, bytes(4), "panel1/1-027")
    assert [what for what, _ in told] == ["gb_unwritable"]
    assert made.write(batch([event(Kind.FAULT)], Priority.FAULT)).units == ()


def test_who_acknowledges_a_fault_of_the_gateway_operates_no_facility() -> None:
    assert (
        writer().write(batch([event(Kind.ACKNOWLEDGE, "uplink/city", source="gateway")], Priority.STATUS)).units == ()
    )
