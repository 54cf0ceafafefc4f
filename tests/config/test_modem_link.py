"""[link.modem]: what is refused, and the example of its page is sound."""

import re
from pathlib import Path

import pytest

from edge_agent.config.load import load

PAGE = Path(__file__).parents[2] / "docs/links/modem.md"
HEAD = '[gateway]\nid = "ZG-360700-0123"\n[[contact]]\nid = "c"\nline = 12\n'
BOARD = '[board]\ngpio = "gpiod"\noutputs = { buzzer = 17, modem_power = 24 }\n'


def codes(directory: Path, text: str) -> list[tuple[str, str]]:
    (directory / "config.toml").write_text(HEAD + text, "utf-8")
    return [(finding.code, finding.key) for finding in load(directory).findings]


def link(name: str, keys: str) -> str:
    return f'[[link]]\nid = "{name}"\nkind = "cellular"\n[link.modem]\n{keys}\n'


def test_the_example_of_the_page_is_sound(tmp_path: Path) -> None:
    [example] = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert codes(tmp_path, example) == [("no_packed_port", "link[nb].kind")]  # it has no [[uplink]]


@pytest.mark.parametrize(
    ("text", "code", "key"),
    [
        (link("a", ""), "port_or_device", "link[a].modem"),
        (link("a", 'port = "/dev/x"\ndevice = "any"'), "port_or_device", "link[a].modem.device"),
        (link("a", 'device = "any"\nfamily = "bc95"'), "not_used", "link[a].modem.family"),
        (link("a", 'port = "/dev/x"\nfamily = "bc59"'), "not_a_choice", "link[a].modem.family"),
        (link("a", 'port = "/dev/x"\napn = "a b"'), "bad_form", "link[a].modem.apn"),
        (link("a", 'port = "/dev/x"') + link("b", 'port = "/dev/x"'), "same_port", "link[b].modem.port"),
        (
            link("a", 'port = "/dev/x"\npower_pin = true') + link("b", 'port = "/dev/y"\npower_pin = true'),
            "one_modem_power",
            "link[b].modem.power_pin",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, code: str, key: str) -> None:
    assert (code, key) in codes(tmp_path, BOARD + text)


def test_a_power_pin_needs_its_line(tmp_path: Path) -> None:
    keys = 'port = "/dev/x"\npower_pin = true'
    assert ("no_modem_power", "link[a].modem.power_pin") in codes(
        tmp_path, BOARD.replace(", modem_power = 24", "") + link("a", keys)
    )
    assert codes(tmp_path, BOARD + link("a", keys)) == []


def test_the_pin_file_of_the_credentials_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tls_sim.pin").write_text("1234")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    text = BOARD + link("a", 'port = "/dev/x"\npin_file = "/etc/edge-agent/tls/sim.pin"')
    (tmp_path / "config.toml").write_text(HEAD + text, "utf-8")
    config = load(tmp_path).config
    assert config is not None
    assert config.links[0].modem is not None
    assert config.links[0].modem.pin_file == tmp_path / "tls_sim.pin"
