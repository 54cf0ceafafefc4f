"""A GB/T 26875.3 centre in the configuration: what is said of a wrong one, and that nothing leaves unencrypted by oversight."""

from pathlib import Path

import pytest

from edge_agent.config.load import load
from edge_agent.config.report import render

HEAD = (
    '[gateway]\nid = "ZG-1234"\n[board]\ngpio = "gpiod"\noutputs = { buzzer = 1 }\n[[contact]]\nid = "hall"\nline = 5\n'
)
COUNTY = HEAD + '[[uplink]]\nid = "county"\nprotocol = "gb26875"\n'
SOUND = COUNTY + 'host = "127.0.0.1"\nport = 5201\n[uplink.gb26875]\nsource = "889"\n'


def found(directory: Path, text: str) -> list[tuple[str, str, str]]:
    (directory / "config.toml").write_text(text, encoding="utf-8")
    loaded = load(directory)
    for finding in loaded.findings:
        assert all(render(finding, lang) for lang in ("zh", "en"))
    return [(finding.severity, finding.code, finding.key) for finding in loaded.findings]


def test_a_sound_gb_centre_has_nothing_said_against_it(tmp_path: Path) -> None:
    assert found(tmp_path, SOUND) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (COUNTY + 'host = "10.1.2.3"\nport = 1\n[uplink.gb26875]\nsource = "1"\n', ("error", "no_tls_gb", "uplink[county].host")),
        (COUNTY + 'host = "127.0.0.1"\nport = 1\n', ("error", "gb_no_table", "uplink[county].protocol")),
        (COUNTY + 'host = "127.0.0.1"\n[uplink.gb26875]\nsource = "1"\n', ("error", "gb_no_port", "uplink[county]")),
        (SOUND.replace("889", "281474976710656"), ("error", "gb_address", "uplink[county].gb26875.source")),
        (SOUND + 'address_style = "wire"\n', ("error", "gb_address", "uplink[county].gb26875.source")),
        (SOUND + "recovery_types = [134, 134, 136]\n", ("error", "gb_recovery_types", "uplink[county].gb26875.recovery_types")),
        (SOUND + "recovery_types = [1, 2, 3]\n", ("error", "out_of_range", "uplink[county].gb26875.recovery_types")),
        (SOUND + 'recovery_types = ["a"]\n', ("error", "wrong_type", "uplink[county].gb26875.recovery_types")),
        (SOUND + 'keepalive = "none"\n', ("warning", "gb_no_keepalive", "uplink[county].gb26875.keepalive")),
        (SOUND.replace("port", "window = 4\nport"), ("warning", "not_used", "uplink[county].window")),
        (SOUND.replace('protocol = "gb26875"\n', ""), ("warning", "not_used", "uplink[county].gb26875")),
        (SOUND.replace("port", 'streams = ["fault"]\nport'), ("warning", "no_alarm_stream", "uplink[county].streams")),
        (SOUND.replace("port", 'streams = ["alarm"]\nport'), ("warning", "duty_no_status", "uplink[county].streams")),
        (SOUND.replace("port", 'streams = ["alarms"]\nport'), ("error", "bad_form", "uplink[county].streams")),
        (
            SOUND + '[[gb26875_point]]\npoints = ["hall"]\ncomponent_address = "1-65536"\n',
            ("error", "bad_form", "gb26875_point[#1].component_address"),
        ),
        (
            SOUND + '[[gb26875_point]]\npoints = ["hall", "x*"]\ncomponent_address = "1-2"\n',
            ("error", "gb_one_address", "gb26875_point[#1].component_address"),
        ),
    ],
)  # fmt: skip
def test_each_mistake_is_named_at_its_key(tmp_path: Path, text: str, expected: tuple[str, str, str]) -> None:
    assert expected in found(tmp_path, text)


def test_a_duty_check_needs_the_stream_its_answer_goes_by(tmp_path: Path) -> None:
    alarms = SOUND.replace("port", 'streams = ["alarm"]\ncommands = ["history"]\nport')
    assert found(tmp_path, alarms) == []
    market = HEAD + '[[uplink]]\nid = "market"\nhost = "127.0.0.1"\nstreams = ["alarm"]\n'
    assert found(tmp_path, market) == [], "nobody said that this one checks who is on duty"
    assert ("warning", "duty_no_status", "uplink[market].streams") in found(
        tmp_path, market + 'commands = ["duty_check"]\n'
    )


def test_a_centre_elsewhere_needs_tls_or_the_word_plain(tmp_path: Path) -> None:
    elsewhere = SOUND.replace("127.0.0.1", "10.1.2.3")
    assert found(tmp_path, elsewhere.replace("port", "plain = true\nport")) == []
    assert found(tmp_path, elsewhere.replace("port", 'ca_file = "/etc/ca.pem"\nport')) == []
    mqtt = HEAD + '[[uplink]]\nid = "city"\nhost = "10.1.2.3"\nplain = true\n'
    assert ("error", "no_tls", "uplink[city].host") in found(tmp_path, mqtt)  # MQTT has TLS: plain is no excuse there
