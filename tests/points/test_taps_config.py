"""Taps as the site names them, and as the page shows them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_agent.config.load import load
from edge_agent.model import Kind
from edge_agent.points.taps import Tapped
from tests.points.conftest import make_table
from tests.points.taps_site import Site

PANEL = '[[panel]]\nid = "{id}"\nprofile = "gst-layer-bus"\nport = "/dev/zg/{id}"\n'
BOARD = '[board]\ngpio = "gpiod"\noutputs = { buzzer = 17 }\n[[contact]]\nid = "relay1"\nline = 12\n'


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (PANEL.format(id="a") + PANEL.format(id="b") + 'tap_of = "a"\n' + BOARD + 'tap_of = "a"\n', []),
        (PANEL.format(id="a") + 'tap_of = "a"\n', ["tap_of_tap"]),
        (
            PANEL.format(id="a") + PANEL.format(id="b") + 'tap_of = "a"\n' + PANEL.format(id="c") + 'tap_of = "b"\n',
            ["tap_of_tap"],
        ),
        (PANEL.format(id="a") + 'tap_of = "aa"\n', ["no_such_panel"]),
        (PANEL.format(id="a") + PANEL.format(id="b") + 'tap_of = "a"\ntap_hold_s = 9.0\n', ["not_used"]),
        (PANEL.format(id="a") + BOARD + 'tap_of = "b"\n', ["no_such_panel"]),
    ],
)
def test_a_tap_is_of_a_panel_that_is_there(tmp_path: Path, text: str, codes: list[str]) -> None:
    (tmp_path / "config.toml").write_text('[gateway]\nid = "ZG-1234"\n' + text, "utf-8")
    assert [finding.code for finding in load(tmp_path).findings] == codes


def test_the_site_names_its_taps(tmp_path: Path) -> None:
    from edge_agent.sources import tapped_panels

    text = PANEL.format(id="a") + "tap_hold_s = 20.0\n" + PANEL.format(id="b") + 'tap_of = "a"\n' + PANEL.format(id="c")
    (tmp_path / "config.toml").write_text('[gateway]\nid = "ZG-1234"\n' + text + BOARD + 'tap_of = "a"\n', "utf-8")
    config = load(tmp_path).config
    assert config is not None
    expected: Mapping[str, Kind] = {"relay1": Kind.FIRE}
    assert tapped_panels(config) == [Tapped(ports=("a", "b"), contacts=expected, hold_s=20.0)]


def test_a_card_on_a_bus_and_a_printer_are_taps_of_one_panel_too(tmp_path: Path) -> None:
    from edge_agent.sources import tapped_panels

    bus = '[[bus]]\nid = "rtu1"\nport = "/dev/zg/c"\n[[bus.device]]\nid = "card1"\nprofile = "gst-modbus-card"\n'
    text = (
        PANEL.format(id="a") + bus + 'tap_of = "a"\n' + PANEL.format(id="b") + bus.replace("1", "2").replace("/c", "/d")
    )
    text = text.replace('port = "/dev/zg/b"', 'port = "/dev/zg/b"\ntap_of = "card2"')
    (tmp_path / "config.toml").write_text('[gateway]\nid = "ZG-1234"\n' + text, "utf-8")
    loaded = load(tmp_path)
    assert loaded.findings == () and loaded.config is not None
    assert tapped_panels(loaded.config) == [Tapped(ports=("card2", "b")), Tapped(ports=("a", "card1"))]
    site = Site(make_table(tapped=tapped_panels(loaded.config)))
    site.say(0, "card1/1-027")
    site.say(1, "a/1-27")
    assert site.fires == ["a/1-027"]


@pytest.mark.parametrize("page", ["taps.md", "taps.zh.md"])
def test_the_examples_of_the_page_are_sound(tmp_path: Path, page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text("utf-8")
    examples = [block.split("```")[0] for block in text.split("```toml\n")[1:]]
    head = '[gateway]\nid = "ZG-360700-0123"\n[board]\ngpio = "gpiod"\noutputs = { buzzer = 2 }\n'
    (tmp_path / "config.toml").write_text(head + "\n".join(examples), "utf-8")
    loaded = load(tmp_path)
    assert loaded.findings == ()
    assert loaded.config is not None
    assert [tap.tap_of for receiver in loaded.config.receivers for tap in receiver.devices] == ["panel1"]
