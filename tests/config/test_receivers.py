"""[[receiver]] in the configuration: what is taken, and what each mistake is called."""

from pathlib import Path

import pytest

from edge_agent.config.load import load
from edge_agent.config.model import Config

HEAD = '[gateway]\nid = "ZG-360700-0123"\n'
NET = '[[receiver]]\nid = "net1"\nprotocol = "gb26875"\nlisten = "127.0.0.1"\nlisten_port = 5201\nallow = ["127.0.0.0/8"]\n'
DEVICE = '[[receiver.device]]\nid = "utd"\naddress = "889"\n'
SERIAL = '[[receiver]]\nid = "net1"\nprotocol = "gb26875"\nport = "/dev/ttyAMA9"\n'
DC09 = NET.replace("gb26875", "dc09")


def codes(tmp_path: Path, text: str, **checks: bool) -> list[str]:
    (tmp_path / "config.toml").write_text(HEAD + text, "utf-8")
    return [finding.code for finding in load(tmp_path, **checks).findings]  # type: ignore[arg-type]


def test_a_receiver_and_its_devices(tmp_path: Path) -> None:
    assert codes(tmp_path, NET + DEVICE) == []
    config = load(tmp_path).config
    assert isinstance(config, Config)
    [receiver] = config.receivers
    assert (receiver.listen_port, receiver.allow, receiver.devices[0].address) == (5201, ("127.0.0.0/8",), "889")


MISTAKES = {
    "two ways in": (NET + 'port = "/dev/ttyS9"\n' + DEVICE, ["one_way_in"]),
    "no way in": ('[[receiver]]\nid = "net1"\nprotocol = "gb26875"\n' + DEVICE, ["one_way_in"]),
    "no port, nobody allowed": (
        '[[receiver]]\nid = "n"\nprotocol = "gb26875"\nlisten = "127.0.0.1"\n' + DEVICE,
        ["listen_needs", "listen_needs"],
    ),
    "an address that is none": (NET.replace("127.0.0.1", "999.1.1.1") + DEVICE, ["bad_network"]),
    "a network that is none": (NET.replace("0/8", "0/99") + DEVICE, ["bad_network"]),
    "a name for an address": (NET.replace("127.0.0.1", "eth0") + DEVICE, ["bad_form"]),
    "everywhere": (NET.replace("127.0.0.1", "0.0.0.0") + DEVICE, ["listens_everywhere"]),
    "twice the same port": (
        NET + DEVICE + NET.replace("net1", "net2") + DEVICE.replace("utd", "utd2"),
        ["same_listen"],
    ),
    "no device": (NET, ["no_receiver_devices"]),
    "two devices of one name": (NET + DEVICE + DEVICE.replace("utd", "utd2"), ["same_wire_address"]),
    "two devices, one without": (NET + DEVICE + '[[receiver.device]]\nid = "utd2"\n', ["address_not_alone"]),
    "an address of another protocol": (NET + DEVICE.replace("889", "AB1"), ["wire_address"]),
    "an account that is none": (DC09 + DEVICE.replace("889", "12"), ["wire_address"]),
    "NB reports over TCP": (
        NET.replace("gb26875", "nb") + 'transport = "tcp"\n' + DEVICE,
        ["transport_not_spoken"],
    ),
    "CoAP where none is spoken": (NET + 'transport = "coap"\n' + DEVICE, ["transport_not_spoken"]),
    "a folder of panels": (
        '[[receiver]]\nid = "n"\nprotocol = "gb26875"\nfolder = "/tmp"\n' + DEVICE,
        ["way_not_spoken"],
    ),
    "a pager port on the network": (
        NET.replace("gb26875", "espa444") + '[[receiver.device]]\nid = "p"\n',
        ["way_not_spoken"],
    ),
    "two panels on a pager port": (
        SERIAL.replace("gb26875", "espa444") + '[[receiver.device]]\nid = "p"\n[[receiver.device]]\nid = "q"\n',
        ["address_not_alone"] * 2,
    ),
    "a control station that polls itself": (
        SERIAL.replace("gb26875", "espa444") + 'polls = "2"\n[[receiver.device]]\nid = "p"\n',
        ["polls_itself"],
    ),
    "polls where none are spoken": (NET + 'polls = "2"\n' + DEVICE, ["not_used"]),
    "a profile where none reads": (NET + 'profile = "generic-printer"\n' + DEVICE, ["not_used"]),
    "frames nobody reads": (SERIAL.replace("gb26875", "frames") + DEVICE, ["frames_need"]),
    "DC-09 on a serial line": (SERIAL.replace("gb26875", "dc09") + DEVICE, ["way_not_spoken"]),
    "a key where none is spoken": (NET + DEVICE + 'key_file = "/k"\n', ["not_used"]),
    "a speed without a line": (NET + "baud = 9600\n" + DEVICE, ["not_used"]),
    "a port that panels use": (
        SERIAL + DEVICE + '[[panel]]\nid = "p"\nprofile = "lida-ld128e"\nport = "/dev/ttyAMA9"\n',
        ["same_port"],
    ),
    "an id used twice": (NET + DEVICE.replace('"utd"', '"net1"'), ["duplicate_id"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_has_its_own_words(name: str, tmp_path: Path) -> None:
    text, expected = MISTAKES[name]
    assert codes(tmp_path, text) == expected


def test_points_of_a_receivers_devices_may_be_named(tmp_path: Path) -> None:
    point = '[[point]]\nid = "utd/1-1-1-27"\nname = "三楼"\n[[zone]]\nid = "z"\npoints = ["utd/*"]\n'
    assert codes(tmp_path, NET + DEVICE + point) == []


def test_on_this_machine_the_address_must_be_ours_and_the_key_nobody_elses(tmp_path: Path) -> None:
    assert codes(tmp_path, NET + DEVICE, check_ports=True) == []
    assert codes(tmp_path, NET.replace("127.0.0.1", "192.0.2.1") + DEVICE, check_ports=True) == ["not_our_address"]
    keyed = DC09 + DEVICE + 'key_file = "key"\n'
    assert codes(tmp_path, keyed, check_tls=True) == ["tls_missing"]
    key = tmp_path / "key"
    key.write_text("not a key")
    key.chmod(0o640)
    assert codes(tmp_path, keyed, check_tls=True) == ["dc09_key_form"]
    key.write_text("00112233445566778899AABBCCDDEEFF\n")
    assert codes(tmp_path, keyed, check_tls=True) == []
    key.chmod(0o644)
    assert codes(tmp_path, keyed, check_tls=True) == ["tls_key_open"]
