"""What a configuration from afar must be to be taken: signed, for this gateway, newer, made for what is in force, sound, and
nothing that is people's on site to change.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config.load import load
from edge_agent.last_good import in_force, name_of
from edge_agent.sent_check import Refused, judge, only_on_site
from edge_agent.sent_config import Desk, Letter
from tests.config.sent import Signer, short_run, site_text

GATEWAY = "ZG-SENT-0001"


class Bench:
    """A site on disk, and what a centre may send it."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.site = directory, directory / "etc"
        (directory / "data").mkdir()
        self.site.mkdir()
        self.signer = Signer(directory)
        self.text = site_text(directory, self.signer.public, run=short_run(directory))
        (self.site / "config.toml").write_text(self.text, "utf-8")
        self.check = in_force(self.site).check

    def sign(self, text: str, **more: Any) -> Mapping[str, Any]:
        given = {"serial": 1, "replaces": self.check, **more}
        return self.signer.sign(given.pop("gateway", GATEWAY), text, **given)

    def ask(self, params: Mapping[str, Any], **more: object) -> dict[str, object]:
        return {
            "site": str(self.site),
            "gateway": GATEWAY,
            "destination": "county",
            "key_file": str(self.signer.public),
            **params,
            **more,
        }

    def refusal(self, params: Mapping[str, Any], **more: object) -> Refused:
        with pytest.raises(Refused) as caught:
            judge(self.ask(params, **more))
        assert caught.value.code.isascii()
        return caught.value


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_may_be_sent_is_taken_with_its_serial(bench: Bench) -> None:
    text = bench.text.replace("厂房", "一号厂房") + '[[zone]]\nid = "hall"\npoints = ["pump-room"]\n'
    assert judge(bench.ask(bench.sign(text, serial=7))) == {"serial": 7}


def test_a_signature_that_is_not_the_key_holders_over_these_very_bytes_is_refused(bench: Bench) -> None:
    params = bench.sign(bench.text)
    assert bench.refusal({**params, "signed": params["signed"].replace("pump", "pimp")}).code == "signature"
    assert bench.refusal({**params, "signed": params["signed"] + " "}).code == "signature"
    assert bench.refusal({**params, "signature": "AAAA"}).code == "signature"
    assert bench.refusal({**params, "signature": "not base64!"}).code == "signature"
    stranger = Signer(bench.directory, "stranger")
    assert bench.refusal({**params, "signature": stranger.mark(params["signed"])}).code == "signature"
    assert bench.refusal(params, key_file=str(bench.directory / "nowhere.pub")).code == "signature"


@pytest.mark.parametrize(
    "signed",
    [
        "[]",
        "{}",
        "true",
        "[" * 5000,
        '{"gateway":"ZG-SENT-0001","serial":1,"replaces":"x"}',
        '{"gateway":1,"serial":1,"replaces":"","config":""}',
    ],
)  # fmt: skip
def test_an_envelope_that_is_none_is_refused_though_it_is_signed(bench: Bench, signed: str) -> None:
    assert bench.refusal({"signed": signed, "signature": bench.signer.mark(signed)}).code == "malformed"


def test_another_gateways_an_older_one_and_one_made_for_something_else_are_refused(bench: Bench) -> None:
    assert bench.refusal(bench.sign(bench.text, gateway="ZG-SENT-0002")).code == "other_gateway"
    differs = bench.refusal(bench.sign(bench.text, replaces="0" * 16))
    assert (differs.code, differs.detail) == ("base_differs", {"config": bench.check})
    for serial in (0, -1, True, 2**60):
        assert bench.refusal(bench.sign(bench.text, serial=serial)).code == "malformed"
    assert bench.refusal(bench.sign(bench.text, extra=1)).code == "malformed"
    desk = Desk(bench.directory / "data", name_of(bench.site), load(bench.site).contents)
    taken = bench.sign(bench.text, serial=5)
    desk.take(Letter("county", 5, "c1", **taken, taken_wall_ns=1))
    now = in_force(bench.site).check
    assert bench.refusal(bench.sign(bench.text, serial=5, replaces=now)).code == "serial_used"
    assert judge(bench.ask(bench.sign(bench.text, serial=6, replaces=now)))["serial"] == 6


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("[[zone]\n", ""),
        ("[nonsense]\nx = 1\n", ""),
        ('[[zone]]\nid = "hall"\npoints = ["pump-room"]\nunacknowledged_s = -1.0\n', "zone"),
        ('[[panel]]\nid = "p"\nprofile = "no-such-profile"\nport = "/dev/ttyX"\n', "panel"),
    ],
)
def test_one_that_is_not_sound_as_a_whole_is_refused_with_the_line(bench: Bench, more: str, key: str) -> None:
    refused = bench.refusal(bench.sign(bench.text + more))
    assert refused.code == "invalid"
    assert isinstance(refused.detail["line"], int)
    assert refused.detail["line"] > bench.text.count("\n")
    assert key in str(refused.detail["key"])


LOCAL = [
    ('line = 12', 'line = 13', "contacts[pump-room].line"),
    ('id = "pump-room"', 'id = "other"', "contacts[pump-room]"),
    ('outputs = { buzzer = 17 }', 'outputs = { buzzer = 18 }', "board"),
    ('"read_state", "apply_config"', '"read_state", "apply_config", "silence"', "uplinks[county].commands"),
    ('commands = [', 'mandatory = false\ncommands = [', "uplinks[county].mandatory"),
    ('commands = [', 'streams = ["fault"]\ncommands = [', "uplinks[county].streams"),
    ('id = "county"', 'id = "other"', "uplinks[county]"),
    ('[board]', '[journal]\nvital_mb = 16\n[board]', "journal"),
    ('/data"', '/data2"', "gateway.data_dir"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "key"), LOCAL, ids=[key for _, _, key in LOCAL])
def test_what_only_a_person_on_site_may_change_is_refused_by_name(bench: Bench, old: str, new: str, key: str) -> None:
    refused = bench.refusal(bench.sign(bench.text.replace(old, new, 1)))
    assert refused.code == "only_on_site", refused.detail
    assert key in refused.detail["keys"]  # type: ignore[operator]


def test_the_wires_of_every_kind_of_line_are_the_sites_own_and_devices_may_be_added(tmp_path: Path) -> None:
    def config(text: str) -> Any:
        (tmp_path / "config.toml").write_text('[gateway]\nid = "ZG-SENT-0001"\n' + text, "utf-8")
        loaded = load(tmp_path / "config.toml")
        assert loaded.config is not None, loaded.findings
        return loaded.config

    panel = '[[panel]]\nid = "p1"\nprofile = "lida-ld128e"\nport = "/dev/ttyA"\n'
    bus = '[[bus]]\nid = "rtu1"\nport = "/dev/ttyB"\n[[bus.device]]\nid = "m1"\nprofile = "x"\naddress = 1\n'
    second = '[[bus.device]]\nid = "m2"\nprofile = "x"\naddress = 2\n'
    uplink = '[[uplink]]\nid = "other"\nhost = "127.0.0.1"\n'
    old = config(panel + bus + uplink)
    assert (
        list(only_on_site(old, config(panel.replace("id =", 'name = "东"\nid =') + bus + second + uplink), "x")) == []
    )
    for text, key in (
        (panel.replace("ttyA", "ttyC") + bus + uplink, "panels[p1].port"),
        (panel.replace("ld128e\"", "ld128e\"\nsilence_s = 604800.0") + bus + uplink, "panels[p1].silence_s"),
        (panel + bus.replace("address = 1", "address = 9") + uplink, "buses[rtu1].devices[m1].address"),
        (panel + bus.replace('"m1"', '"m9"') + uplink, "buses[rtu1].devices[m1]"),
        (panel + uplink, "buses[rtu1]"),
        (panel + bus + uplink.replace("host", "port = 1\nhost"), "uplinks[other]"),
        (panel + bus + uplink + uplink.replace("other", "new"), "uplinks[new].commands"),
        (panel + bus + uplink + "[journal]\nvital_mb = 16\n", "journal"),
    ):  # fmt: skip
        assert key in list(only_on_site(old, config(text), "x")), key


def test_the_judge_is_a_program_of_its_own_that_answers_in_json(bench: Bench) -> None:
    for params, code in ((bench.sign(bench.text), None), (bench.sign(bench.text, replaces="x"), "base_differs")):
        said = subprocess.run(
            [sys.executable, "-m", "edge_agent.sent_check"],
            input=json.dumps(bench.ask(params)).encode(),
            capture_output=True,
            check=True,
        )
        assert json.loads(said.stdout).get("code") == code
