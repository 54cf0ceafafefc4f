"""What the loader makes of files as people write them: right ones, and every way to get them wrong."""

from pathlib import Path

import pytest

from edge_agent.config.findings import FINDINGS_MAX
from edge_agent.config.load import load
from edge_agent.config.model import Bus, Device, Limits
from edge_agent.config.reference import sample
from edge_agent.config.report import as_json, render
from tests.config.written import BUS, DEVICE, GATEWAY, GB, LINK, PANEL, SOUND, UPLINK, codes, config_of, one, write

# --- what is right


def test_a_sound_site_has_no_findings_and_every_value(tmp_path: Path) -> None:
    text = (
        SOUND + BUS + DEVICE + "period_s = 5\n[[point]]\nid = 'm1/u'\n[point.limits]\nalarm_high = 250\n"
        "[board]\ngpio = 'gpiod'\noutputs = {buzzer = 17}\n[[contact]]\nid = 'c'\nline = 4\n"
        "[[zone]]\nid='z'\npoints=['hall/*','c']\n[[uplink]]\nid='up'\nhost='127.0.0.1'\n"
    )
    loaded = load(write(tmp_path, text))
    config = config_of(loaded)
    assert loaded.findings == ()
    assert config.buses == (
        Bus(id="rtu1", port="/dev/ttyUSB1", devices=(Device(id="m1", profile="meter", period_s=5.0),)),
    )
    assert config.points[0].limits == Limits(alarm_high=250.0)
    assert (config.board.outputs, config.zones[0].points) == ({"buzzer": 17}, ("hall/*", "c"))
    assert (config.gateway.name, config.uplinks[0].port, config.journal.deadband) == ("", 8883, 0.05)


def test_files_of_conf_d_merge_tables_append_arrays_and_keep_origins(tmp_path: Path) -> None:
    second = '[gateway]\nname = "厂"\nid = "ZG-0002"\n' + PANEL.replace("hall", "b").replace("USB0", "USB9")
    first = "[journal]\nvital_mb = 64\n"
    loaded = load(write(tmp_path, SOUND, **{"20-b.toml": second, "10-a.toml": first}))
    config = config_of(loaded)
    assert [source.name for source in loaded.sources] == ["config.toml", "10-a.toml", "20-b.toml"]
    assert [panel.id for panel in config.panels] == ["hall", "b"]
    assert (config.gateway.id, config.gateway.name, config.journal.vital_mb) == ("ZG-0002", "厂", 64)
    places = {key: (origin.file.name, origin.line) for key, origin in loaded.origins.items()}
    assert places["gateway.id"] == ("20-b.toml", 3)
    assert places["panel[hall].port"] == ("config.toml", 6)
    assert places["panel[b].port"] == ("20-b.toml", 7)


def test_one_file_may_be_named_itself(tmp_path: Path) -> None:
    write(tmp_path, SOUND, **{"x.toml": "junk"})
    assert config_of(load(tmp_path / "config.toml")).gateway.id == "ZG-0001"


def test_windows_line_ends_and_inline_tables_are_sound(tmp_path: Path) -> None:
    text = 'bus = [\n  {id = "r",\tport = "/dev/x", device = [{id = "m", profile = "p"}]},\n]\n' + SOUND
    loaded = load(write(tmp_path, text.replace("\n", "\r\n")))
    assert config_of(loaded).buses[0].devices[0].id == "m"
    assert loaded.origins["panel[hall].port"].line == 9


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_sample_is_sound(tmp_path: Path, lang: str) -> None:
    assert load(write(tmp_path, sample(lang))).findings == ()


def test_credentials_handed_over_by_systemd_replace_the_files_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "credentials"
    given.mkdir()
    (given / "tls_k.key").write_text("x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    tls = "ca_file='tls/ca.crt'\ncert_file='/etc/z/tls/c.crt'\nkey_file='/etc/z/tls/k.key'\n"
    uplink = config_of(load(write(tmp_path, SOUND + "[[uplink]]\nid='u'\nhost='c.example'\n" + tls))).uplinks[0]
    assert uplink.key_file == given / "tls_k.key"
    assert uplink.cert_file == Path("/etc/z/tls/c.crt")
    assert uplink.ca_file == tmp_path / "tls/ca.crt"


# --- what is wrong: text, code, line, key

WRONG: list[tuple[str, str, int, str]] = [
    (GATEWAY + "[[panel]\n", "syntax_header", 3, ""),
    (SOUND + "[网关]\n", "syntax_header_ascii", 7, ""),
    (SOUND + "baud = \n", "syntax_no_value", 7, "baud"),
    (SOUND + "baud 9600\n", "syntax_no_equals", 7, ""),
    (SOUND + "baud: 9600\n", "syntax_colon", 7, "baud"),
    (SOUND + "= 9600\n", "syntax_no_key", 7, ""),
    (SOUND + "波特率 = 9600\n", "syntax_bare_key", 7, ""),
    (SOUND + "baud rate = 9600\n", "syntax_bad_key", 7, ""),
    (SOUND + "baud = 09600\n", "syntax_leading_zero", 7, "baud"),
    (SOUND + "silence_s = 60s\n", "syntax_unit", 7, "silence_s"),
    (SOUND + 'name = "C:\\楼"\n', "syntax_backslash", 7, "name"),
    (SOUND + 'name = "楼\n', "syntax_unclosed_quote", 7, "name"),
    (SOUND + "name = 办公楼\n", "syntax_needs_quotes", 7, "name"),
    (SOUND + 'name = "a" 楼\n', "syntax_after_value", 7, "name"),
    (SOUND + "baud = .\n", "syntax_needs_quotes", 7, "baud"),
    (SOUND + "[[zone]]\nid='z'\npoints = ['a'\n", "syntax_unclosed_bracket", 9, "points"),
    (SOUND + "[[uplink]]\nid='u'\nhost='::1'\nmandatory = True\n", "syntax_boolean_case", 10, "mandatory"),
    (SOUND + "baud ＝ 9600\n", "full_width", 7, "baud"),
    (SOUND + "name = “楼”\n", "full_width", 7, "name"),
    (SOUND + "name = ‘楼’\n", "full_width", 7, "name"),
    (SOUND + 'name = "楼”\n', "full_width", 7, "name"),
    (SOUND + "baud = ９６００\n", "full_width", 7, "baud"),
    (SOUND + "baud：9600\n", "full_width", 7, "baud"),
    (SOUND + "baud\u3000=\u30009600\n", "full_width", 7, "baud"),
    (SOUND + "［journal］\n", "full_width", 7, "[journal]"),
    (SOUND + "[[zone]]\nid='z'\npoints = ['hall/*'，'hall/2']\n", "full_width", 9, "points"),
    (SOUND + 'id = "again"\n', "duplicate_key", 7, "id"),
    (SOUND + "[gateway]\n", "duplicate_table", 7, "[gateway]"),
    (SOUND + "[panel]\n", "contradicts", 7, "[panel]"),
    (SOUND + "[journal]\nx = " + "[" * 3000 + "]" * 3000 + "\n", "too_deep", 8, "x"),
    ("schema = 2\n" + SOUND, "newer_schema", 1, "schema"),
    ("schema = 'x'\n" + SOUND, "bad_schema", 1, "schema"),
    (SOUND + "[[uplink]]\nid='u'\nhost='::1'\npassword='hunter2'\n", "secret", 10, "uplink[u].password"),
    (SOUND + "name = 'mqtt://me:hunter2@x'\n", "secret", 7, "panel[hall].name"),
    (SOUND + "name = '-----BEGIN PRIVATE KEY----- hunter2'\n", "secret", 7, "panel[hall].name"),
    (SOUND + "[[pannel]]\nid='x'\n", "unknown_table", 7, "pannel"),
    (SOUND.replace("[[panel]]", "[panel]"), "not_an_array", 3, "panel"),
    (SOUND + "[[journal]]\n", "not_a_table", 7, "journal"),
    ("gateway = 1\n" + PANEL, "not_a_table", 1, "gateway"),
    (PANEL, "missing_key", 0, "gateway"),
    (SOUND.replace('profile = "gst9000-printer"\n', ""), "missing_key", 3, "panel[hall]"),
    (SOUND.replace('id = "hall"\n', ""), "missing_key", 3, "panel[#1]"),
    (SOUND + "name = 7\n", "wrong_type", 7, "panel[hall].name"),
    (SOUND + "silence_s = true\n", "wrong_type", 7, "panel[hall].silence_s"),
    (SOUND + "baud = 9600.0\n", "wrong_type", 7, "panel[hall].baud"),
    (SOUND + 'silence_s = "60"\n', "quoted_number", 7, "panel[hall].silence_s"),
    (SOUND + "silence_s = 0\n", "out_of_range", 7, "panel[hall].silence_s"),
    (SOUND + "silence_s = nan\n", "out_of_range", 7, "panel[hall].silence_s"),
    (SOUND + f"silence_s = 1{'0' * 4000}\n", "out_of_range", 7, "panel[hall].silence_s"),
    (SOUND + "baud = 9601\n", "not_a_choice", 7, "panel[hall].baud"),
    (SOUND + "framing = '8X1'\n", "bad_form", 7, "panel[hall].framing"),
    (SOUND.replace("ZG-0001", "赣-1"), "bad_form", 2, "gateway.id"),
    (SOUND + 'name = "a\\nb"\n', "control_character", 7, "panel[hall].name"),
    (SOUND + "[board]\noutputs = {buzzr = 1}\n", "not_a_choice", 8, "board.outputs"),
    (SOUND + "[[zone]]\nid='z'\npoints=[]\n", "wrong_type", 9, "zone[z].points"),
    (SOUND + "[[zone]]\nid='z'\npoints=['hall/*',\n5]\n", "wrong_type", 10, "zone[z].points"),
    (SOUND + BUS.replace("rtu1", "hall") + DEVICE, "duplicate_id", 8, "bus[hall].id"),
    (SOUND + "[[uplink]]\nid='u'\nhost='::1'\ncommands=['silence', 'reset']\n", "not_a_choice", 10, "uplink[u].commands"),
    (SOUND + "[[uplink]]\nid='hall'\nhost='::1'\n", "duplicate_id", 8, "uplink[hall].id"),
    (SOUND + "[[point]]\nid='hall/1'\n" * 2, "duplicate_id", 10, "point[hall/1].id"),
    (SOUND + BUS + DEVICE + DEVICE.replace("m1", "m2"), "duplicate_address", 13, "bus[rtu1].device[m2]"),
    (SOUND + BUS.replace("USB1", "USB0") + DEVICE, "same_port", 9, "bus[rtu1].port"),
    (SOUND + "[board]\ngpio='gpiod'\noutputs={buzzer=1, fire_lamp=1}\n", "same_line", 9, "board.outputs.fire_lamp"),
    (
        SOUND + "[board]\ngpio='gpiod'\noutputs={buzzer=1}\n[[contact]]\nid='c'\nline=1\n",
        "same_line",
        12,
        "contact[c].line",
    ),
    (SOUND + "[[contact]]\nid='c'\nline=1\n", "no_gpio", 7, "contact[c]"),
    (SOUND + "[board]\ngpio='fake'\noutputs={buzzer=1}\n", "no_fake_socket", 8, "board.gpio"),
    (SOUND + BUS + 'host = "10.0.0.1"\n' + DEVICE, "port_and_host", 10, "bus[rtu1].host"),
    (SOUND + "[[bus]]\nid = 'b'\n" + DEVICE, "no_port_or_host", 7, "bus[b]"),
    (SOUND + "[[bus]]\nid = 'b'\nprotocol = 'ks68'\nhost = 'h'\n", "serial_only", 10, "bus[b].host"),
    (
        SOUND + "[[bus]]\nid = 'b'\nprotocol = 'ks68'\nport = '/dev/x'\n[[bus.device]]\nid = 'd'\nprofile = 'ks-breaker'\n",
        "breaker_no_address",
        11,
        "bus[b].device[d]",
    ),
    (SOUND + "[[point]]\nid='hall/1'\nlimits={alarm_low=5,alarm_high=4}\n", "order_of_limits", 9, "point[hall/1].limits.alarm_low"),
    (SOUND + "[[point]]\nid='hall/1'\n[point.limits]\nn=3\nm=2\n", "n_over_m", 10, "point[hall/1].limits.n"),
    (SOUND + "[[uplink]]\nid='u'\nhost='10.0.0.1'\n", "no_tls", 9, "uplink[u].host"),
    (SOUND + "[[uplink]]\nid='u'\nhost='127.0.0.1.evil.com'\n", "no_tls", 9, "uplink[u].host"),
    (SOUND + "[[uplink]]\nid='u'\nhost='a.b'\nca_file='c'\nkey_file='k'\n", "half_pair", 11, "uplink[u].key_file"),
    (SOUND + "[[uplink]]\nid='u'\nhost='mqtts://a.b'\nca_file='c'\n", "bad_form", 9, "uplink[u].host"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "line", "key"), WRONG, ids=[f"{w[1]}-{n}" for n, w in enumerate(WRONG)])
def test_a_mistake_is_told_with_its_place_in_both_languages(
    tmp_path: Path, text: str, code: str, line: int, key: str
) -> None:
    loaded = load(write(tmp_path, text))
    finding = one(loaded, code)
    assert (finding.severity, finding.line, finding.key) == ("error", line, key)
    assert loaded.config is None
    assert not any("hunter2" in render(f, "zh") + str(as_json(f, "en")) for f in loaded.findings)


DOUBTFUL: list[tuple[str, str, int, str]] = [
    (SOUND + "buad = 9600\n", "unknown_key", 7, "panel[hall].buad"),
    ("", "empty_file", 0, ""),
    (GATEWAY, "no_sources", 1, ""),
    (SOUND + "[board]\ngpio='gpiod'\n", "no_buzzer", 7, "board"),
    (SOUND + "[[point]]\nid='hal/1'\n", "unknown_point", 8, "point[hal/1].id"),
    (SOUND + "[[zone]]\nid='z'\npoints=['hall/*',\n'x*']\n", "unknown_point", 10, "zone[z].points"),
    (SOUND + BUS, "no_devices", 7, "bus[rtu1]"),
    (SOUND + "[[bus]]\nid='b'\nhost='h'\nbaud=9600\n" + DEVICE, "not_used", 10, "bus[b].baud"),
    (SOUND + "[[uplink]]\nid='u'\nhost='a.b'\nca_file='c'\n", "no_client_cert", 7, "uplink[u]"),
    (SOUND + UPLINK + "crl_file='/etc/edge-agent/tls/ca.crl'\n", "crl_place", 13, "uplink[u].crl_file"),
    (SOUND + "[[uplink]]\nid='u'\nhost='::1'\nrevoked=['5C:11']\n", "not_used", 10, "uplink[u].revoked"),
    (SOUND + UPLINK + "keepalive_s=45\n", "noticed_late", 13, "uplink[u].keepalive_s"),
    (SOUND + UPLINK + "unconfirmed_s=90\n", "noticed_late", 13, "uplink[u].unconfirmed_s"),
    (SOUND + GB + "keepalive_s=60\n", "noticed_late", 14, "uplink[u].gb26875.keepalive_s"),
    (SOUND + GB + "timeout_s=23\n", "noticed_late", 14, "uplink[u].gb26875.timeout_s"),
    (SOUND + GB + "resends=9\n", "noticed_late", 14, "uplink[u].gb26875.resends"),
    (SOUND + LINK + "probe_s=61\n", "noticed_late", 10, "link[l].probe_s"),
    (SOUND + LINK + "misses=4\n", "noticed_late", 10, "link[l].misses"),
    (SOUND + LINK + "probe_s=5\nmisses=20\n", "noticed_late", 11, "link[l].misses"),
    (SOUND + LINK.replace("wifi", "nbiot") + "probe_s=114\n", "noticed_late", 10, "link[l].probe_s"),
]


@pytest.mark.parametrize(("text", "code", "line", "key"), DOUBTFUL, ids=[f"{w[1]}-{n}" for n, w in enumerate(DOUBTFUL)])
def test_a_doubt_is_a_warning(tmp_path: Path, text: str, code: str, line: int, key: str) -> None:
    finding = one(load(write(tmp_path, text)), code)
    assert (finding.severity, finding.line, finding.key) == ("warning", line, key)


@pytest.mark.parametrize(
    "text",
    [
        UPLINK + "keepalive_s=44\nunconfirmed_s=89\n",
        GB + "keepalive_s=59\n" + LINK,
        GB + "timeout_s=5\nresends=10\nkeepalive_s=70\n",
        LINK + "probe_s=60\nmisses=3\n" + LINK.replace("wifi", "nbiot").replace("'l'", "'n'") + "probe_s=113\n",
    ],
)
def test_what_keeps_the_promise_of_90_s_and_180_s_is_no_doubt(tmp_path: Path, text: str) -> None:
    assert "noticed_late" not in codes(load(write(tmp_path, SOUND + text)))


def test_what_is_noticed_too_late_is_told_with_the_bound_and_what_would_do(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, SOUND + LINK + "probe_s=300\n"))
    assert "330 s" in render(one(loaded, "noticed_late"), "en")
    assert "60 or less" in render(one(loaded, "noticed_late"), "en")
    assert "90 秒" in render(one(loaded, "noticed_late"), "zh")


def test_a_warning_does_not_stop_the_agent(tmp_path: Path) -> None:
    assert config_of(load(write(tmp_path, SOUND + "buad = 9600\n"))).panels[0].baud is None


@pytest.mark.parametrize(
    ("text", "near"),
    [
        (SOUND + "buad = 9600\n", "baud"),
        (SOUND + "Silence-S = 9\n", "silence_s"),
        (SOUND + "[[pannel]]\n", "panel"),
        (SOUND + "baud = 9601\n", "9600"),
        (SOUND + "framing = '８Ｎ１'\n", "8N1"),
        (SOUND + "[board]\ngpio = 'gpoid'\n", "gpiod"),
        (SOUND + "[board]\noutputs = {buzer = 1}\n", "buzzer"),
    ],
)
def test_the_nearest_right_word_is_named(tmp_path: Path, text: str, near: str) -> None:
    loaded = load(write(tmp_path, text))
    assert [str(f.params["nearest"]) for f in loaded.findings if "nearest" in f.params] == [near]
    assert any(near in render(f, "zh") for f in loaded.findings)


def test_an_unknown_profile_is_an_error_naming_the_nearest(tmp_path: Path) -> None:
    finding = one(load(write(tmp_path, SOUND), profiles=lambda: ["gst9000-printr", "x"]), "unknown_profile")
    assert (finding.params["nearest"], finding.line) == ("gst9000-printr", 5)


# --- every fault at once


def test_every_fault_of_every_file_is_told_in_one_pass(tmp_path: Path) -> None:
    main = (
        '\ufeff[gateway]\nid ＝ “Z”\nlanguage = "cn"\n[[panel]]\nid = "a"\nprofile = "p"\nport = "/dev/x"\n'
        'silence_s = "60"\nname = "楼\nbuad = 1\n'
    )
    second = "[[panel]]\nid = 'a'\nport = '/dev/x'\nprofile='q'\n[journal\nvital_mb = 1\n"
    loaded = load(write(tmp_path, main, **{"a.toml": second, "b.toml": "[journal]\nbulk_mb = 1\n"}))
    assert codes(loaded) == {
        *("bom", "full_width", "bad_form", "not_a_choice", "quoted_number", "syntax_unclosed_quote", "unknown_key"),
        *("duplicate_id", "same_port", "syntax_header", "out_of_range"),
    }
    twice = one(loaded, "duplicate_id")
    assert (Path(str(twice.params["first_file"])).name, twice.params["first_line"]) == ("config.toml", 5)
    assert (twice.file.name, twice.line) == ("a.toml", 2)


def test_what_could_not_be_read_is_not_also_called_missing(tmp_path: Path) -> None:
    assert codes(load(write(tmp_path, SOUND.replace('port = "/dev/ttyUSB0"', "port = /dev/ttyUSB0")))) == {
        "syntax_needs_quotes"
    }


def test_full_width_punctuation_inside_quotes_is_text(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, SOUND + 'name = "“福星”宾馆：１号楼，＝［］"\n'))
    assert loaded.findings == ()
    assert config_of(loaded).panels[0].name == "“福星”宾馆：１号楼，＝［］"


def test_a_flood_of_faults_is_bounded_and_counted(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, SOUND + "x y\n" * 5000))
    assert len(loaded.findings) == FINDINGS_MAX + 1
    assert loaded.findings[-1].params["count"] == 5000 - FINDINGS_MAX
