"""What a point is called: defaults that tell points apart, the profile over them, the site over that."""

from dataclasses import replace
from pathlib import Path

import pytest

from drivers.profile import load_file
from edge_agent.config.model import Bus, Config, Contact, Device, Gateway, Panel, Point, Receiver, ReceiverDevice
from edge_agent.config.uplinks import Gb26875Point
from edge_agent.uplink.gb26875.places import Places
from edge_agent.uplink.gb26875.survey import places_of, rules_of

CONFIG = Config(
    gateway=Gateway(id="ZG-1234"),
    panels=(Panel(id="panel1", profile="x", port="/dev/x"), Panel(id="panel2", profile="x", port="/dev/z")),
    contacts=(Contact(id="hall", line=5, kind="fire_manual", name="大厅手报"),),
    points=(Point(id="panel1/1-003", name="配电房"),),
    receivers=(
        Receiver(id="net1", protocol="gb26875", devices=(ReceiverDevice(id="utd", address="889"),)),
        Receiver(id="net2", protocol="dc09", devices=(ReceiverDevice(id="dialler", address="1234"),)),
        Receiver(id="net3", protocol="nb", devices=(ReceiverDevice(id="smoke12", address="860000000000001"),)),
    ),
)


@pytest.mark.parametrize(
    ("point", "told", "expected"),
    [
        ("panel1/1-027", {"loop": 1, "point": 27}, (1, 1, 0, 1, 27)),
        ("panel1/1-027", {}, (1, 1, 0, 1, 27)),
        ("panel2/001027", {}, (1, 2, 0, 1, 27)),
        ("panel2/3-2-9", {"panel": 3, "loop": 2, "point": 9}, (1, 2, 0, 3 * 256 + 2, 9)),
        ("hall", {}, (1, 3, 23, 0, 5)),
        ("panel1/1-004", {"device_type_text": "点型感烟"}, (1, 1, 40, 1, 4)),
        ("panel1/odd name", {}, (1, 1, 0, 0, 0)),
        ("panel1/1-99999", {}, (1, 1, 0, 0, 0)),
        ("nobody/1-2", {}, (1, 0, 0, 1, 2)),
        ("utd/1-1-1-27", {"component_type": 40}, (1, 4, 40, 1, 27)),
        ("utd/11-3-1-27", {"component_type": 96}, (11, 4, 96, 2 * 256 + 1, 27)),
        ("utd/1-1-65563", {}, (1, 4, 0, 1, 27)),
        ("utd/1-1-01001B00", {}, (1, 4, 0, 0, 0)),
        ("utd/11-2", {}, (11, 4, 0, 0, 0)),
        ("utd/device", {}, (1, 4, 0, 0, 0)),
        ("dialler/1-015", {}, (1, 5, 0, 1, 15)),
        ("smoke12/device", {}, (1, 0, 0, 0, 0)),
    ],
)
def test_defaults_come_from_what_is_configured_and_said(
    point: str, told: dict[str, object], expected: tuple[int, ...]
) -> None:
    place = Places(CONFIG).of(point, told=told)
    assert (place.system_type, place.system_address, place.component_type, place.loop, place.point) == expected


def test_a_component_keeps_its_type_when_a_later_event_does_not_tell_it() -> None:
    places = Places(CONFIG)
    assert places.of("panel1/1-5", kind="fault").component_type == 0
    assert places.of("panel1/1-5", kind="fire_manual").component_type == 23
    assert places.of("panel1/1-5", kind="fault").component_type == 23


def test_a_relayed_component_keeps_the_type_its_device_gave_it() -> None:
    places = Places(CONFIG)
    assert places.of("utd/1-1-1-27", told={"component_type": 61}).component_type == 61
    assert places.of("utd/1-1-1-27", kind="fire").component_type == 61


def test_a_relayed_address_that_is_not_split_goes_as_its_four_bytes() -> None:
    raw = replace(CONFIG, receivers=(replace(CONFIG.receivers[0], component_address="raw"),))
    place = Places(raw).of("utd/1-1-01001700")
    assert (place.system, place.raw, place.addressed, place.is_panel) == ((1, 4), b"\x01\x00\x17\x00", True, False)


def test_names_of_the_site_go_over_what_the_panel_says() -> None:
    places = Places(CONFIG)
    assert places.of("panel1/1-003", name="PANEL TEXT").description == "配电房"
    assert places.of("panel1/1-004", name="走道").description == "走道"
    assert places.of("panel1/1-004").description == "panel1/1-004"


def test_the_more_exact_rule_wins_and_the_site_goes_over_the_profile() -> None:
    profile = {"panel1": [Gb26875Point(points=("*",), system_type=10, component_type=84)]}
    site = (
        Gb26875Point(points=("panel1/1-003",), component_address="7-8", description="库房"),
        Gb26875Point(points=("panel1/1-*",), component_type=40, system_address=99),
        Gb26875Point(points=("*",), system_address=50),
    )
    config = Config(gateway=CONFIG.gateway, panels=CONFIG.panels, gb26875_points=site)
    place = Places(config, profiles=profile).of("panel1/1-003")
    assert (place.system_type, place.system_address, place.component_type) == (10, 99, 40)
    assert (place.loop, place.point, place.description, place.defaults) == (7, 8, "库房", ())
    assert Places(config, profiles=profile).of("panel1/2-1").component_type == 84
    raw = Places(
        Config(gateway=CONFIG.gateway, gb26875_points=(Gb26875Point(points=("x",), component_address="0x01020304"),))
    )
    assert raw.of("x").raw == b"\1\2\3\4"


def test_meters_take_quantity_and_place_from_the_profile_and_the_bus() -> None:
    config = Config(
        gateway=CONFIG.gateway,
        buses=(
            Bus(id="b", port="/dev/x", devices=(Device(id="m", profile="eastron-sdm120", address=4, name="总表"),)),
        ),
    )
    places, bad = places_of(config)
    assert bad == []
    voltage, energy = places.of("m/voltage_v"), places.of("m/energy_import_kwh")
    assert (voltage.quantity, voltage.loop, voltage.point, voltage.description) == (8, 4, 1, "总表电压")
    assert energy.quantity is None


def test_a_profile_with_a_bad_table_says_which_key_and_keeps_the_others(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'kind = "panel"\n'
        '[[gb26875_point]]\npoints = ["1-*"]\ncomponent_type = 40\n'
        '[[gb26875_point]]\npoints = ["2-*"]\ncomponent_type = 4000\n'
        "[[gb26875_point]]\nsystem_type = 1\n"
        '[[gb26875_point]]\npoints = ["3-*"]\nwrong = 1\n'
    )
    rules, bad = rules_of(load_file(tmp_path / "mine.toml"))
    assert [rule.points for rule in rules] == [("1-*",)]
    assert [(fault.index, fault.key) for fault in bad] == [(2, "component_type"), (3, "points"), (4, "wrong")]
