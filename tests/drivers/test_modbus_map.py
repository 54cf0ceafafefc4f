"""Profiles of Modbus devices: what is asked, and what the answers mean."""

import struct
import tomllib
from pathlib import Path

import pytest

from drivers.messages import PanelEvent, PointFault, Reading
from drivers.modbus_map import DeviceMemory, ModbusProfile, compile_profile
from drivers.profile import check, load_profiles
from drivers.profile_toml import ProfileFault
from drivers.schedule import Rank

SHIPPED = [profile.name for profile in load_profiles([]).list() if profile.kind == "modbus"]


def _profile(name: str) -> ModbusProfile:
    return compile_profile(load_profiles([]).get(name).data, name=name)


def _events(seen: object) -> list[tuple[str, str]]:
    assert isinstance(seen, list)
    return [(event.point, event.event) for event in seen if isinstance(event, PanelEvent)]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_modbus_profile_is_sound(name: str) -> None:
    """Unproven ones say so; nothing else is found, and their examples and counter-examples have been run."""
    findings = [finding.code for finding in check(load_profiles([]).get(name)) if finding.severity != "info"]
    evidence = load_profiles([]).get(name).evidence
    assert findings == ([evidence] if evidence in ("unproven", "template") else [])


# -- what is asked -----------------------------------------------------------------------------------------------------
def test_a_block_is_asked_in_pieces_the_device_takes() -> None:
    questions = _profile("gst-modbus-card").questions
    assert [(q.start, q.count) for q in questions] == [(0, 100), (100, 100), (200, 45)]


def test_the_xy16_is_asked_for_single_registers_only() -> None:
    assert [(q.function, q.start, q.count) for q in _profile("afd-xy16").questions] == [(3, 0, 1), (3, 6, 1)]


def test_neighbouring_values_share_a_question_and_no_float_is_torn() -> None:
    data = _toml("[link]\nmax_regs = 5\n" + "".join(_value(f"v{n}", 2 * n, "f32") for n in range(5)))
    assert [(q.start, q.count) for q in compile_profile(data).questions] == [(0, 4), (4, 4), (8, 2)]


def test_fire_goes_every_200_ms_and_meters_every_10_s_unless_the_profile_says_otherwise() -> None:
    gst, meter = _profile("gst-modbus-card"), _profile("eastron-sdm630")
    assert (gst.rank, {q.period_s for q in gst.questions}) == (Rank.FIRE, {0.2})
    assert (meter.rank, {q.period_s for q in meter.questions}) == (Rank.METER, {10.0, 60.0})


# -- values ------------------------------------------------------------------------------------------------------------
def test_an_offset_is_added_after_the_scale_and_says_nothing_of_what_is_missing() -> None:
    table = '[[value]]\nname = "t_c"\naddress = 0\nscale = 0.01\noffset = -273.15\nmissing = [0xFFFF]\n'
    memory = compile_profile(_toml(table)).memory("d")
    [seen] = memory.feed(0, (31515,), 1)
    assert isinstance(seen, Reading) and seen.value == pytest.approx(42.0)
    [seen] = memory.feed(0, (0xFFFF,), 2)
    assert isinstance(seen, PointFault) and seen.reason == "absent"


def test_a_guard_a_block_reads_often_enough_is_not_asked_for_again() -> None:
    text = '[[block]]\nname = "b"\nstart = 5\ncount = 3\nperiod_ms = 2000\n[[value]]\nname = "v"\naddress = 9\nperiod_ms = {}\n'
    text += "guard = {{ address = 6, faults = {{ 1 = 'open' }} }}\n"
    asked = [[(q.start, q.count) for q in compile_profile(_toml(text.format(ms))).questions] for ms in (2000, 1000)]
    assert asked == [[(5, 3), (9, 1)], [(5, 3), (6, 1), (9, 1)]]


def test_a_switch_is_off_while_the_register_beside_it_says_so() -> None:
    table = _value("tripped", 1, "bool") + "true_at = [2]\nguard = { address = 0, mask = 0xFF, off = [0xF0] }\n"
    memory = compile_profile(_toml(table)).memory("d")
    seen = [memory.feed(0, (state, 2), at)[0] for at, state in enumerate((0x0F0F, 0x0FF0, 0x000F))]
    assert [one.value for one in seen if isinstance(one, Reading)] == [True, False, True]


def test_a_meters_floats_become_readings_with_their_units() -> None:
    profile = _profile("eastron-sdm630")
    memory = profile.memory("meter1")
    words = struct.unpack(">18H", struct.pack(">9f", 230.5, 231.5, 229.0, 1.5, 2.5, 3.5, 100.0, 200.0, 300.0))
    seen = memory.feed(0, words, 5)
    assert Reading("meter1/voltage_l1_v", 230.5, 5) in seen
    assert Reading("meter1/power_l3_w", 300.0, 5) in seen
    assert len(seen) == 9
    units = {spec.id: spec.unit for spec in profile.specs("meter1")}
    assert (units["meter1/voltage_l1_v"], units["meter1/energy_total_kwh"]) == ("V", "kWh")


def test_nan_and_infinity_are_faults_told_once_and_never_a_reading() -> None:
    memory = _profile("eastron-sdm120").memory("m")
    bad = struct.unpack(">14H", struct.pack(">7f", float("nan"), 0, 0, float("inf"), 0, 0, 5.0))
    seen = memory.feed(0, bad, 1)
    assert PointFault("m/voltage_v", "absent", 1) in seen
    assert PointFault("m/current_a", "overrange", 1) in seen
    assert not [one for one in memory.feed(0, bad, 2) if isinstance(one, PointFault)]
    assert Reading("m/voltage_v", 0.0, 3) in memory.feed(0, (0,) * 14, 3)
    assert PointFault("m/voltage_v", "absent", 4) in memory.feed(0, bad, 4)


def test_residual_current_carries_its_limits_and_a_broken_sensor_is_a_fault() -> None:
    profile = _profile("acrel-aim-r100")
    spec = profile.specs("rcm")[0]
    assert (spec.id, spec.kind, spec.unit) == ("rcm/residual_1_ma", "electrical", "mA")
    assert spec.limits == {
        "prealarm_high": 210, "alarm_high": 300, "hysteresis": 60, "on_delay_s": 10, "off_delay_s": 60,
    }  # fmt: skip
    [currents] = [at for at, question in enumerate(profile.questions) if question.start == 0x4A]
    seen = profile.memory("rcm").feed(currents, (35, 0xE5E5, 0xFAFA, *[0] * 9), 1)
    assert seen[:3] == [
        Reading("rcm/residual_1_ma", 35.0, 1),
        PointFault("rcm/residual_2_ma", "short", 1),
        PointFault("rcm/residual_3_ma", "open", 1),
    ]


@pytest.mark.parametrize(
    ("kind", "order", "words", "value"),
    [
        ("s16", "ABCD", (0xFFFE,), -2),
        ("u32", "ABCD", (1, 2), 65538),
        ("u32", "CDAB", (2, 1), 65538),
        ("s32", "BADC", (0xFFFF, 0xFEFF), -2),
        ("u32", "DCBA", (0x0200, 0x0100), 65538),
        ("f32", "CDAB", (0, 0x42C8), 100.0),
        ("u64", "ABCD", (0, 0, 0, 7), 7),
        ("u16", "BADC", (0x0100,), 1),
    ],
)
def test_each_type_and_word_order_is_read(kind: str, order: str, words: tuple[int, ...], value: float) -> None:
    data = _toml(_value("v", 0, kind) + f'word_order = "{order}"\nscale = 0.5\n')
    assert compile_profile(data).memory("d").feed(0, words, 1) == [Reading("d/v", value * 0.5, 1)]


def test_the_arc_alarm_is_a_switch_of_kind_electrical() -> None:
    profile = _profile("afd-xy16")
    assert {spec.id: spec.kind for spec in profile.specs("x")} == {"x/arc_alarm": "electrical", "x/current_raw": ""}
    assert profile.memory("x").feed(0, (1,), 1) == [Reading("x/arc_alarm", True, 1)]


# -- last event: the GST card ------------------------------------------------------------------------------------------
class _Card:
    """A GST card in a test: registers, and what the gateway makes of each pass."""

    def __init__(self) -> None:
        self.profile = _profile("gst-modbus-card")
        self.memory: DeviceMemory = self.profile.memory("gst")
        self.words = [0] * 245

    def read(self, **changed: int) -> list[tuple[str, str]]:
        for name, word in changed.items():
            self.words[{"mains": 242, "battery": 243, "bus": 244}.get(name) or int(name[1:]) - 1] = word
        return [
            event
            for index, q in enumerate(self.profile.questions)
            for event in _events(self.memory.feed(index, tuple(self.words[q.start : q.start + q.count]), 1))
        ]


def test_a_fire_overwritten_by_action_stays_a_fire_until_the_whole_panel_is_zero() -> None:
    card = _Card()
    assert card.read() == [("gst", "reset")]  # the first whole read: nothing is active
    assert card.read(n5=1) == [("gst/005", "fire")]
    assert card.read() == []
    assert card.read(n5=3) == [("gst/005", "feedback")]
    assert card.read(n9=2) == [("gst/009", "fault")]
    assert card.read(n5=0) == [("gst/005", "feedback_restore")]  # another register still holds something
    assert card.read(n5=1) == [("gst/005", "fire")]
    assert card.read(n5=0, n9=0) == [("gst/009", "fault_restore"), ("gst", "reset")]


def test_the_first_read_tells_what_is_active_now() -> None:
    card = _Card()
    assert card.read(n1=1, n2=2, n3=8, n242=7) == [("gst/001", "fire"), ("gst/002", "fault"), ("gst/242", "isolate")]


def test_mains_and_battery_do_not_hold_back_a_reset() -> None:
    card = _Card()
    card.read(n7=1)
    assert card.read(mains=2) == [("gst/mains", "mains_fault")]
    assert card.read(n7=0) == [("gst", "reset")]
    assert card.read(mains=9, battery=2) == [("gst/mains", "mains_ok"), ("gst/battery", "battery_fault")]


def test_ended_states_are_told_by_the_cards_own_words() -> None:
    card = _Card()
    card.read()
    assert card.read(n1=5, n2=7) == [("gst/001", "start"), ("gst/002", "isolate")]
    assert card.read(n1=6, n2=8) == [("gst/001", "stop"), ("gst/002", "isolate_restore")]


def test_a_code_nobody_defined_is_a_fault_and_shows_its_bytes() -> None:
    card = _Card()
    card.read()
    (event,) = card.memory.feed(0, (4, *[0] * 99), 9)
    assert isinstance(event, PanelEvent)
    assert (event.point, event.event, event.raw) == ("gst/001", "fault", b"\x00\x04")
    assert event.fields == {"n": 1, "code": 4, "undefined": True}


# -- state: the Notifier gateway ---------------------------------------------------------------------------------------
ABSENT, NORMAL = 0x00FF, 0x1400


class _Gateway(_Card):
    def __init__(self) -> None:
        self.profile = _profile("notifier-modbus-gw")
        self.memory = self.profile.memory("ntf")
        self.words = [ABSENT] * 159
        self.words[:10] = [NORMAL] * 10


def test_flags_become_events_when_they_change_and_absent_points_say_nothing() -> None:
    gateway = _Gateway()
    assert gateway.read() == [("ntf", "reset")]
    assert gateway.read(n3=0x0C10) == [("ntf/1-003", "fire")]
    assert gateway.read(n3=0x0D10) == []  # acknowledged: nothing new
    assert gateway.read(n4=NORMAL | 1 << 13, n5=NORMAL | 1 << 14, n6=1 << 9 | 1 << 12) == [
        ("ntf/1-004", "fault"), ("ntf/1-005", "prealarm"), ("ntf/1-006", "isolate"),
    ]  # fmt: skip
    assert gateway.read(n4=NORMAL, n5=NORMAL, n6=NORMAL) == [
        ("ntf/1-004", "fault_restore"), ("ntf/1-005", "prealarm_restore"), ("ntf/1-006", "isolate_restore"),
    ]  # fmt: skip
    assert gateway.read(n3=NORMAL) == [("ntf/1-003", "fire_restore"), ("ntf", "reset")]


@pytest.mark.parametrize(
    ("low", "event"),
    [(0x14, "gas_alarm"), (0x40, "supervisory"), (0x71, "start"), (0x00, "unknown"), (0x99, "unknown")],
)
def test_the_lower_byte_says_what_active_means_and_an_unknown_one_is_an_alarm(low: int, event: str) -> None:
    gateway = _Gateway()
    gateway.read()
    assert gateway.read(n1=0x0C00 | low) == [("ntf/1-001", event)]


def test_a_point_that_vanishes_from_the_panel_is_a_fault_and_its_fire_is_not_over() -> None:
    gateway = _Gateway()
    gateway.read()
    gateway.read(n1=0x0C10)
    assert gateway.read(n1=ABSENT) == [("ntf/1-001", "fault")]
    assert gateway.read(n1=0x0C10) == [("ntf/1-001", "fault_restore")]


# -- what a wrong profile says -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "nothing_to_read"),
        ("[link]\nmax_regs = 126\n", "bad_number"),
        ('[link]\npriority = "high"\n', "unknown_priority"),
        ("[link]\nperid_ms = 5\n", "unknown_key"),
        ("[writes]\nallow = true\n", "writes_not_supported"),
        ('[[block]]\nname = "a"\ncount = 5\n[[block]]\nname = "a"\ncount = 5\n', "duplicate_block"),
        ('[[value]]\nname = "v"\naddress = 0\ntype = "float"\n', "unknown_type"),
        ('[[value]]\nname = "v"\ntype = "u16"\n', "bad_number"),
        ('[[value]]\nname = "v"\naddress = 1\nlimits = {alarm = 5}\n', "unknown_limit"),
        ('[[value]]\nname = "v"\naddress = 1\nfrom = "b"\n', "unknown_block"),
        ('[[value]]\nname = "v"\naddress = 1\n[[value]]\nname = "v"\naddress = 2\n', "duplicate_value"),
        ('[[block]]\nname = "b"\ncount = 5\n[[value]]\nname = "v"\naddress = 5\nfrom = "b"\n', "not_in_block"),
        ('[[block]]\nname = "b"\ncount = 5\n[[point]]\nfrom = "b"\nn = [1, 6]\nenum = {1 = "fire"}\n', "not_in_block"),
        (
            '[[block]]\nname = "b"\ncount = 5\n[[point]]\nfrom = "b"\nn = [1, 5]\nenum = {1 = "brand"}\n',
            "unknown_event",
        ),
        ('[[block]]\nname = "b"\ncount = 5\n[[point]]\nfrom = "b"\nn = [1, 5]\n', "enum_or_flags"),
        ('[[block]]\nname = "b"\ncount = 5\n[[point]]\nfrom = "b"\nn = [5, 1]\nenum = {1 = "fire"}\n', "bad_range"),
        (
            '[[block]]\nname = "b"\ncount = 5\n[[point]]\nfrom = "b"\nn = [1, 5]\nenum = {1 = "fire"}\n'
            "address = \"__import__('os')\"\n",
            "bad_formula",
        ),
        (
            '[[block]]\nname = "b"\ncount = 5\n[[point]]\nfrom = "b"\nn = [1, 99999]\nenum = {1 = "fire"}\n',
            "too_many_points",
        ),
        (
            '[[block]]\nname = "b"\ncount = 5\n[[point]]\nfrom = "b"\nn = [1, 5]\nid = "x"\nenum = {1 = "fire"}\n',
            "duplicate_point",
        ),
        (
            '[[block]]\nname = "b"\ncount = 5\n[[point]]\nfrom = "b"\nn = [1, 5]\nid = "{n:999999999d}"\nenum = {1 = "fire"}\n',
            "bad_id",
        ),
        (
            '[[block]]\nname = "b"\ncount = 5\n[[point]]\nfrom = "b"\nn = [1, 5]\nenum = {0 = "none"}\nundefined = "none"\n',
            "unknown_event",
        ),
        (
            '[meaning]\nmode = "last_event"\n[[block]]\nname = "b"\ncount = 5\n[[point]]\nfrom = "b"\nid = "p"\naddress = 0\n'
            'summary = true\nenum = {1 = "fire"}\n',
            "summary_of_last_event",
        ),
        ('[[value]]\nname = "v"\naddress = 1\ntype = "f32"\nmask = 3\n', "field_of_wide_value"),
        ('[[value]]\nname = "v"\naddress = 1\ntrue_at = [1]\n', "field_of_wide_value"),
        ('[[value]]\nname = "v{n}"\nn = [1, 2]\naddress = 1\nguard = {address = 2}\n', "no_faults"),
        ('[[value]]\nname = "v"\naddress = 1\nguard = {address = 2, off = [0]}\n', "off_of_a_number"),
        ('[[value]]\nname = "v"\naddress = 1\ntype = "bool"\nguard = {address = 2, off = 0}\n', "bad_number"),
        ('[[value]]\nname = "v"\naddress = 1\ntype = "bool"\nguard = {address = 99, off = [0]}\n', "guard_read_apart"),
        ('[[block]]\nname = "b"\ncount = 200\n[[log]]\nfrom = "b"\ncount = 40\n', "log_in_pieces"),
        ('[[block]]\nname = "b"\ncount = 90\n[[log]]\nfrom = "b"\ncount = 40\n', "not_in_block"),
        ('[[block]]\nname = "b"\ncount = 9\n[[log]]\nfrom = "b"\ncount = 3\nentry = "time:u32"\n', "bad_entry"),
    ],
)
def test_a_profile_that_means_nothing_says_what_and_where(text: str, code: str) -> None:
    with pytest.raises(ProfileFault) as fault:
        compile_profile(_toml(text))
    assert fault.value.code == code


def _toml(text: str) -> dict[str, object]:
    return tomllib.loads(text)


def _value(name: str, address: int, kind: str) -> str:
    return f'[[value]]\nname = "{name}"\naddress = {address}\ntype = "{kind}"\n'


def test_profiles_are_found_where_they_are_shipped() -> None:
    assert all(Path(load_profiles([]).get(name).path).is_file() for name in SHIPPED)
