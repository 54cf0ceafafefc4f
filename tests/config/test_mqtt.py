"""What `config check` says of a broker and its detectors."""

from pathlib import Path

import pytest

from edge_agent.config.load import load

HEAD = '[gateway]\nid = "ZG-360700-0123"\n[[mqtt]]\nid = "mqtt1"\n'
DEVICE = '[[mqtt.device]]\nid = "s1"\nprofile = "zigbee2mqtt-smoke"\ntopic = "hall"\n'


def codes(directory: Path, text: str, *, check_tls: bool = False) -> list[str]:
    (directory / "config.toml").write_text(text)
    return [finding.code for finding in load(directory, check_tls=check_tls).findings]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (HEAD + DEVICE, []),
        (HEAD + 'host = "localhost"\n' + DEVICE, []),
        (HEAD + 'host = "192.168.1.5"\n' + DEVICE, ["broker_not_here"]),
        (HEAD + 'username = "edge-agent"\n' + DEVICE, ["half_pair"]),
        (HEAD, ["no_detectors"]),
        (HEAD + DEVICE + DEVICE.replace('"s1"', '"s2"'), ["same_topic"]),
        (HEAD + DEVICE + DEVICE.replace('"s1"', '"mqtt1"').replace("hall", "attic"), ["duplicate_id"]),
        (HEAD + DEVICE.replace("hall", "a/+/b"), ["bad_form"]),
        (HEAD + DEVICE.replace("hall", "floor 3/Smoke RIGHT"), []),
    ],
)
def test_each_mistake_has_its_own_word(tmp_path: Path, text: str, found: list[str]) -> None:
    assert codes(tmp_path, text) == found


def test_a_password_must_be_there_and_nobody_elses(tmp_path: Path) -> None:
    text = HEAD + 'username = "edge-agent"\npassword_file = "password"\n' + DEVICE
    assert codes(tmp_path, text, check_tls=True) == ["tls_missing"]
    (tmp_path / "password").write_text("x")
    (tmp_path / "password").chmod(0o644)
    assert codes(tmp_path, text, check_tls=True) == ["tls_key_open"]
    (tmp_path / "password").chmod(0o640)
    assert codes(tmp_path, text, check_tls=True) == []


def test_a_node_needs_its_name_and_its_key(tmp_path: Path) -> None:
    receiver = (
        '[gateway]\nid = "ZG-360700-0123"\n[[receiver]]\nid = "nodes"\nprotocol = "node"\nlisten = "127.0.0.1"\n'
        'listen_port = 5205\nallow = ["127.0.0.1"]\n[[receiver.device]]\nid = "n1"\n'
    )
    for given in ("", 'address = "node1"\n', 'key_file = "k"\n'):
        assert codes(tmp_path, receiver + given) == ["node_needs"], given
    assert codes(tmp_path, receiver + 'address = "node1"\nkey_file = "k"\n') == []
