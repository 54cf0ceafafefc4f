"""The ways panels and meters speak Modbus, each by a shipped profile and by registers written down by hand (pattern A, the GST
card, and C, the Notifier gateway, are in test_modbus_map.py)."""

import struct
import tomllib
from collections.abc import Sequence

import pytest

from drivers.messages import Observation, PanelEvent, PointFault, Reading
from drivers.modbus_map import ModbusProfile, compile_profile
from drivers.profile import load_profiles


def shipped(name: str) -> ModbusProfile:
    return compile_profile(load_profiles([]).get(name).data, name=name)


class Unit:
    """A device in a test: its registers by function and address, and what the gateway makes of each round of questions."""

    def __init__(self, profile: str | ModbusProfile) -> None:
        self.profile = shipped(profile) if isinstance(profile, str) else profile
        self.memory = self.profile.memory("d")
        self.words: dict[tuple[int, int], int] = {}
        self.now_ns = 0

    def put(self, function: int, **words: int) -> None:
        """put(3, a30=5): register 30 of function 3 is 5."""
        self.words |= {(function, int(name[1:])): word for name, word in words.items()}

    def ask(self, at: int) -> list[Observation]:
        """One question, by its place in the profile."""
        question = self.profile.questions[at]
        addresses = range(question.start, question.start + question.count)
        return self.memory.feed(at, tuple(self.words.get((question.function, a), 0) for a in addresses), self.now_ns)

    def round(self, *, seconds: float = 1) -> list[Observation]:
        """All questions once."""
        self.now_ns += round(seconds * 1e9)
        return [seen for at in range(len(self.profile.questions)) for seen in self.ask(at)]

    def events(self) -> list[tuple[str, str]]:
        return events(self.round())


def events(seen: Sequence[Observation]) -> list[tuple[str, str]]:
    return [(one.point.partition("/")[2], one.event) for one in seen if isinstance(one, PanelEvent)]


def values(seen: Sequence[Observation]) -> dict[str, object]:
    return {
        one.point.partition("/")[2]: one.value if isinstance(one, Reading) else one.reason
        for one in seen
        if isinstance(one, Reading | PointFault)
    }


RESET = ("", "reset")


def test_gst5000_finds_a_device_by_the_third_digit_and_the_last_three_of_its_user_code() -> None:
    card = Unit("gst5000-modbus-card")
    assert [(q.start, q.count) for q in card.profile.questions[:2]] == [(4997, 2), (0, 100)]
    card.events()
    card.put(3, a244=1, a2399=2, a4997=2)  # codes **1 005 and **9 240, mains
    assert card.events() == [("mains", "mains_fault"), ("1005", "fire"), ("9240", "fault")]


def test_jade_bird_any_value_but_0_is_an_alarm_of_kind_unknown_until_somebody_learnt_it() -> None:
    panel = Unit("jade-bird-modbus")
    assert panel.events() == [RESET]
    panel.put(3, a553=7)  # loop 2 * 256 + 41
    assert panel.events() == [("2-041", "unknown")]
    panel.put(3, a553=0)
    assert panel.events()[-1] == RESET


def test_t8b_has_eight_devices_in_a_register_highest_bits_first() -> None:
    panel = Unit("gst-t8b-modbus")
    panel.events()
    panel.put(3, a30=0b00_00_01_10_00_00_00_00, a31=0b11_00_00_00_00_00_00_01)
    assert panel.events() == [("1-001", "fire"), ("1-002", "fault"), ("1-007", "isolate"), ("1-014", "fire")]
    panel.put(3, a30=0b00_00_00_10_00_00_00_00, a31=0)
    assert panel.events() == [("1-001", "fire_restore"), ("1-007", "isolate_restore"), ("1-014", "fire_restore"), RESET]


def test_nk8237_a_zone_is_what_any_of_its_tables_says() -> None:
    gateway = Unit("siemens-nk8237")
    assert gateway.events() == [RESET]
    gateway.put(2, a21004=1)
    gateway.put(4, a1504=0x8000, a1000=0x8000)  # the same zone in its status word, and the panel as a whole
    assert gateway.events() == [("zone-005", "fire")]
    gateway.put(2, a21004=0)
    assert gateway.events() == []  # the status word still says it
    gateway.put(4, a1504=0x4080, a1000=0)
    assert gateway.events() == [("zone-005", "isolate"), ("zone-005", "prealarm"), ("zone-005", "fire_restore"), RESET]
    gateway.put(2, a10255=1, a11000=1, a24004=1)
    assert gateway.events() == [("channel-256", "fire"), ("channel-001", "fault")]  # zone 5 was isolated already
    gateway.put(4, a1504=0)
    assert gateway.events() == [("zone-005", "prealarm_restore")]  # the table of zones off still isolates it


def test_a_fire_of_the_panel_as_a_whole_is_told_only_where_no_zone_says_it() -> None:
    gateway = Unit("siemens-nk8237")
    gateway.events()
    gateway.put(4, a1000=0xA000)  # a zone nobody listed, and a fault
    gateway.put(2, a11000=1)
    assert [gateway.events() for _ in range(4)] == [[("channel-001", "fault")], [], [("panel", "fire")], []]
    gateway.put(4, a1504=0x8000)
    assert gateway.events() == [("zone-005", "fire")]
    gateway.put(4, a1504=0, a1000=0x2000)
    assert gateway.events() == [("panel", "fire_restore"), ("zone-005", "fire_restore"), RESET]
    gateway.put(4, a1000=0x8000)
    assert [gateway.events() for _ in range(3)] == [[], [], [("panel", "fire")]]  # each time anew


def test_nk8237_a_clock_that_stands_still_means_that_everything_said_is_old() -> None:
    gateway = Unit("siemens-nk8237")
    gateway.put(3, a1062=0x0102)
    assert values(gateway.round(seconds=5)) == {"clock_raw": 258}
    assert values(gateway.round(seconds=119)) == {"clock_raw": 258}
    assert values(gateway.round(seconds=2)) == {"clock_raw": "stale"}
    assert values(gateway.round(seconds=60)) == {}  # told once
    gateway.put(3, a1062=0x0103)
    assert values(gateway.round()) == {"clock_raw": 259}
    gateway.memory.unknown("timeout", gateway.now_ns)
    assert values(gateway.round(seconds=3600)) == {"clock_raw": 259}  # an hour later to the second, after a silence


def test_zp2_asks_the_status_word_before_the_zones() -> None:
    panel = Unit("zp2-modbus")
    assert [(q.start, q.count) for q in panel.profile.questions] == [(0, 1), (1, 50), (51, 49)]
    panel.events()
    panel.put(3, a0=1, a99=4)
    assert panel.events() == [("zone-99", "unknown")]
    panel.put(3, a99=0)
    assert [panel.events() for _ in range(4)] == [[("zone-99", "fire_restore")], [], [], [("panel", "unknown")]]


def test_clss_packs_points_as_notifier_does_and_troubles_as_bits() -> None:
    gateway = Unit("honeywell-clss")
    for address in range(1200):
        gateway.words[3, address] = 0x00FF
    gateway.put(3, a0=0x1400, a300=0x1400, a901=0x1400)
    assert gateway.events() == [RESET]
    gateway.put(3, a0=0x0C10, a300=0x3400, a901=0x0C71, a60001=0x8000, a20000=2)
    assert gateway.events() == [
        ("panel", "silence"), ("1D001", "fire"), ("1M001", "fault"), ("2M002", "start"), ("trouble-0032", "fault"),
    ]  # fmt: skip


def test_what_the_vocabulary_says_ends_is_told_as_over_when_the_bits_take_it_back() -> None:
    gateway = Unit("honeywell-clss")
    gateway.events()
    gateway.put(3, a0=0x0C11)
    assert gateway.events() == [("1D001", "burglar")]
    gateway.put(3, a0=0x0000)
    assert gateway.events() == [("1D001", "tamper_restore")]


def test_clss_analogue_first_answer_after_a_silence_is_no_value() -> None:
    gateway = Unit("honeywell-clss-analogue")
    [at] = [n for n, question in enumerate(gateway.profile.questions) if question.function == 4]
    assert gateway.profile.questions[at].count == 10  # more is refused
    assert gateway.ask(at) == []  # zeros: it has only begun to look
    gateway.put(4, a10000=1187)
    assert values(gateway.ask(at))["module_01_raw"] == 1187
    gateway.memory.unknown("timeout", 9)
    assert gateway.ask(at) == []
    assert values(gateway.ask(at))["module_01_raw"] == 1187


# -- a log of events beside the states -----------------------------------------------------------------------------------
class Faast(Unit):
    def __init__(self, name: str = "faast-xt-modbus", first: int = 1603) -> None:
        super().__init__(name)
        self.first, self.entries = first, [(1_700_000_000 + n, 3) for n in range(40)]
        self.write()

    def write(self) -> None:
        for n, (time, code) in enumerate(self.entries[-40:]):
            for offset, word in enumerate((time >> 16, time & 0xFFFF, code)):
                self.words[3, self.first + 3 * n + offset] = word

    def log(self, *codes: int) -> None:
        self.entries += [(self.entries[-1][0] + 10 + n, code) for n, code in enumerate(codes)]
        self.write()


def test_faast_history_is_not_news_and_the_alarm_level_is_the_low_byte() -> None:
    unit = Faast()
    unit.entries[5] = (1_700_000_005, 15)  # a fire of last week
    unit.write()
    unit.put(3, a12=0xFF00)
    assert unit.events() == [RESET]
    unit.put(3, a12=0xFF08, a7=0x0048)
    assert unit.events() == [("detector", "fire"), ("detector", "fault")]
    unit.put(3, a12=0, a7=0)
    assert unit.events() == [("detector", "fault_restore"), ("detector", "fire_restore"), RESET]


def test_faast_an_alarm_that_came_and_went_between_two_reads_is_told_out_of_the_log() -> None:
    unit = Faast()
    unit.events()
    unit.log(12, 15, 3)
    unit.round()  # the states are read, then the log: what it says waits until the states were read again
    told = [one for one in unit.round() if isinstance(one, PanelEvent)]
    assert events(told) == [
        ("detector", "prealarm"), ("detector", "prealarm_restore"), ("detector", "fire"), ("detector", "fire_restore"),
    ]  # fmt: skip
    assert (told[2].fields["code"], told[2].fields["from"]) == (15, "log")
    assert unit.events() == []


def test_faast_an_alarm_the_registers_show_is_not_told_a_second_time_by_the_log() -> None:
    unit = Faast()
    unit.events()
    unit.log(15)
    unit.ask(1)  # the log is read before the states have it
    unit.put(3, a12=8)
    assert unit.events() == [("detector", "fire")]
    assert unit.events() == []


def test_faast_log_is_told_even_if_the_states_are_not_answered_any_more() -> None:
    unit = Faast()
    unit.events()
    unit.log(16)
    assert events(unit.ask(1)) == []
    assert events(unit.ask(1)) == [("detector", "fire"), ("detector", "fire_restore")]


def test_faast_a_code_nobody_defined_is_a_fault_that_shows_it_and_a_lost_stretch_is_marked() -> None:
    unit = Faast("faast-modbus", first=88)
    unit.events()
    unit.log(*[77] * 40)
    unit.round()
    told = [one for one in unit.round() if isinstance(one, PanelEvent)]
    assert {one.event for one in told} == {"fault", "fault_restore"}
    assert told[0].fields["code"] == 77
    assert told[0].fields["undefined"] is told[0].fields["gap"] is True


def test_a_log_alone_is_told_as_it_stands() -> None:
    profile = compile_profile(
        tomllib.loads(
            '[[block]]\nname = "b"\ncount = 8\n[[log]]\nfrom = "b"\ncount = 2\nid = "{loop}-{point:03d}"\n'
            'entry = "loop:u16 point:u16 time:u16 code:u16"\nevents = {1 = "fire", 2 = "fire_restore"}\n'
        )
    )
    memory = profile.memory("p")
    assert memory.feed(0, (0,) * 8, 1) == []
    assert events(memory.feed(0, (3, 17, 5, 1, 3, 17, 9, 2), 2)) == [("3-017", "fire"), ("3-017", "fire_restore")]


# -- what a reset leaves ---------------------------------------------------------------------------------------------------
def test_a_reset_says_what_it_left_as_it_was() -> None:
    panel = Unit("gst-t8b-modbus")
    panel.put(3, a30=0b00_00_00_10_00_00_00_00)  # device 2 is broken from the start
    first = [one for one in panel.round() if isinstance(one, PanelEvent)]
    assert [(one.event, one.fields.get("still")) for one in first] == [
        ("fault", None), ("reset", (("d/1-002", "fault"),)),
    ]  # fmt: skip


# -- electricity -------------------------------------------------------------------------------------------------------------
def test_an_open_sensor_beats_the_number_beside_it_and_the_units_own_alarm_is_a_fact_of_its_own() -> None:
    unit = Unit("acrel-aim-r100")
    # loops 1-4 below the meter type and four idle bits, 5-12 in the next register, both from the high bits down
    unit.put(3, a11=0b0001_0000_01_11_00_00, a12=0b00_00_00_10_10_00_00_00, a74=35, a75=412, a81=20, a82=7)
    seen = values(unit.round())
    assert (seen["residual_1_ma"], seen["residual_2_ma"], seen["residual_3_ma"]) == ("short", 412, 0)
    assert (seen["residual_8_ma"], seen["residual_9_ma"]) == ("open", "open")
    assert [n for n in range(1, 13) if seen[f"over_limit_{n}"]] == [2]
    unit.put(3, a11=0x1000, a12=0)
    seen = values(unit.round())
    assert [seen[f"residual_{n}_ma"] for n in (1, 7, 8)] == [35, 0, 20]  # the meter type is no loop's state
    unit.put(3, a11=0x1003, a12=3)
    assert [n for n in range(1, 13) if values(unit.round())[f"over_limit_{n}"]] == [4, 12]


def test_vigirex_does_not_trust_a_current_without_a_toroid() -> None:
    relay = Unit("schneider-vigirex")
    relay.put(3, a400=320, a201=1, a207=1)  # 00CF: 1 while a toroid is connected
    told = {"residual_ma": 320, "alarm": True, "prealarm": False, "toroid_fault": False}
    assert told.items() <= values(relay.round()).items()
    relay.put(3, a207=0)
    assert {"residual_ma": "open", "toroid_fault": True}.items() <= values(relay.round()).items()


def test_masterpact_a_trip_has_a_cause_until_the_breaker_is_closed_again() -> None:
    breaker = Unit("schneider-masterpact-vigi")
    breaker.put(3, a660=1, a1015=412, a1021=64)
    told = values(breaker.round())
    assert told["closed"] is True and not any(told[name] for name in told if name.endswith("trip") or name == "tripped")
    breaker.put(3, a649=1 << 4, a660=4)
    told = values(breaker.round())
    assert [name for name in told if told[name] is True] == ["leakage_trip", "tripped"]
    breaker.put(3, a649=1 << 15, a1021=0x8000)
    told = values(breaker.round(seconds=10))
    assert (told["leakage_trip"], told["tripped"], told["leakage_ma"]) == ("invalid", True, "absent")


@pytest.mark.parametrize("name", ["schneider-masterpact-mtz", "schneider-compact-nsx"])
def test_a_bit_its_interface_does_not_vouch_for_is_no_state_of_the_breaker(name: str) -> None:
    breaker = Unit(name)
    breaker.put(3, a31999=0b101, a32000=0b100)  # 0x7CFF vouches for the bits of 0x7D00
    told = values(breaker.round())
    assert (told["closed"], told["tripped"]) == (False, True)
    breaker.put(3, a31999=0b001)
    told = values(breaker.round())
    assert (told["closed"], told["tripped"]) == (False, "invalid")


def test_mtz_tells_what_it_tripped_by_out_of_two_registers() -> None:
    breaker = Unit("schneider-masterpact-mtz")
    breaker.put(3, a31999=7, a32000=4)
    found: list[str] = []
    for address in (0x7E73, 0x7E74):
        for bit in range(16):
            breaker.put(3, a32371=0, a32372=0)
            breaker.words[3, address] = 1 << bit
            told = values(breaker.round())
            found += [name for name in told if name.endswith("_trip") and told[name]]
    assert len(found) == len(set(found)) == 15
    assert found[3:5] == ["ground_fault_trip", "leakage_trip"] and found[-1] == "overvoltage_trip"


def test_lx47le_what_it_tripped_by_last_is_no_trip_while_it_is_closed() -> None:
    breaker = Unit("lingxun-lx47le")
    trips = {
        1: "overcurrent_trip", 2: "leakage_trip", 3: "overtemperature_trip", 4: "overload_trip", 5: "overvoltage_trip",
        6: "undervoltage_trip", 8: "module_trip", 9: "power_lost",
    }  # fmt: skip
    for cause in range(16):
        told = []
        for state in (0x0F0F, 0x0FF0, 0xF00F, 0xF0F0):  # locked or not is in the high byte
            breaker.put(4, a0=state, a23=cause)
            seen = values(breaker.round())
            told.append([name for name in (*trips.values(), "closed") if seen[name]])
        tripped = [trips[cause]] if cause in trips else []
        assert told == [tripped, ["closed"], tripped, ["closed"]]


def test_asj_does_not_trust_a_current_whose_transformer_is_off() -> None:
    relay = Unit("acrel-asj")
    relay.put(3, a0=3, a27=4)
    assert {"residual_ma": "open", "transformer_open": True, "alarm": False}.items() <= values(relay.round()).items()


def test_a_grundfos_controller_that_is_silent_raises_no_alarm_of_its_pumps() -> None:
    booster = Unit("grundfos-hydro-mpc")
    booster.words = {(3, address): 0xFFFF for address in range(200, 320)}
    assert set(values(booster.round()).values()) == {"absent"}


def test_qdy30a_other_decimals_are_no_level_and_another_unit_is_a_fault() -> None:
    probe = Unit("qdy30a-level")
    probe.put(3, a2=17, a3=1, a4=0x10000 - 12)
    assert values(probe.round()) == {"level_m": pytest.approx(-0.012), "unit_changed": False}
    probe.put(3, a2=16, a3=2)
    assert values(probe.round()) == {"level_m": "invalid", "unit_changed": True}


def test_cable_temperatures_are_tenths_and_signed_and_a_missing_probe_is_a_fault() -> None:
    unit = Unit("elec-monitor-generic")
    unit.put(3, a0=52, a1=0xFFCE, a2=705, a3=0x7FFF, a5=0b00_00_00_11_00_00)
    seen = values(unit.round())
    assert seen["temperature_1_c"] == pytest.approx(-5.0)
    assert (seen["temperature_2_c"], seen["temperature_3_c"]) == (pytest.approx(70.5), "absent")
    assert (seen["temperature_2_alarm"], seen["residual_alarm"]) == (True, False)
    limits = {spec.id: spec.limits for spec in unit.profile.specs("d")}["d/temperature_1_c"]
    assert (limits["prealarm_high"], limits["alarm_high"]) == (55, 70)


METERS = {
    "chint-dtsu666": (3, "f", {0x2006: 2301, 0x200C: 4250, 0x2012: 28500, 0x101E: 1234.5}),
    "schneider-iem3000": (3, "f", {0x0BD3: 230.1, 0x0BB7: 4.25, 0x0BF3: 2.85}),
    "eastron-sdm72": (4, "f", {0x0000: 230.1, 0x0006: 4.25, 0x0034: 2850, 0x0048: 1234.5}),
    "abb-b23": (3, "I", {0x5B00: 2301, 0x5B0C: 425, 0x5B14: 285000}),
}


@pytest.mark.parametrize("name", METERS)
def test_meters_scale_to_volts_amperes_and_watts(name: str) -> None:
    meter = Unit(name)
    function, kind, put = METERS[name]
    for address, number in put.items():
        for offset, word in enumerate(struct.unpack(">HH", struct.pack(f">{kind}", number))):
            meter.words[function, address + offset] = word
    seen = values(meter.round())
    assert seen["voltage_a_v"] == pytest.approx(230.1)
    assert seen["current_a_a"] == pytest.approx(4.25)
    assert seen["power_w"] == pytest.approx(2850)
    assert seen.get("energy_import_kwh", 0) in (0, pytest.approx(1234.5))


def test_abb_and_adw300_count_energy_in_integers_and_say_what_is_not_measured() -> None:
    abb, acrel = Unit("abb-b23"), Unit("acrel-adw300")
    abb.put(3, a20482=1, a20483=0x86A0, a23298=0xFFFF, a23299=0xFFFF, a23354=0xFC18)
    seen = values(abb.round())
    assert (seen["energy_import_kwh"], seen["voltage_b_v"]) == (pytest.approx(1000), "absent")
    assert seen["power_factor"] == pytest.approx(-1)
    acrel.put(3, a20=2301, a26=425, a36=0xFFFF, a37=0xFF38, a62=1, a63=0x86A0)
    seen = values(acrel.round())
    assert (seen["voltage_1_v"], seen["current_1_a"]) == (pytest.approx(230.1), pytest.approx(4.25))
    assert (seen["power_w"], seen["energy_import_kwh"]) == (-200, pytest.approx(1000))


def test_a_pump_room_tells_pressures_in_mpa_and_what_its_pumps_do() -> None:
    room = Unit("pump-room-plc")
    room.put(3, a0=420, a1=0xFFFF, a2=320, a3=0x0241)
    seen = values(room.round())
    assert (seen["hydrant_pressure_mpa"], seen["sprinkler_pressure_mpa"]) == (pytest.approx(0.42), "absent")
    assert [name for name, value in seen.items() if value is True] == ["pump_1_running", "pump_3_fault", "mains_lost"]
    kinds = {spec.id.partition("/")[2]: spec.kind for spec in room.profile.specs("d")}
    assert (kinds["hydrant_pressure_mpa"], kinds["mains_lost"]) == ("supervisory", "mains_fault")
