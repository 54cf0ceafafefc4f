"""`edge-provision` as an installer runs it, and the sheets Excel makes."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.config.load import load
from provisioning import batch, identity
from provisioning.errors import ProvisionError

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is missing: apt-get install openssl"
)
HEAD = "站点编号,单位名称,县区,控制器型号,上联方式,备注\n"


def run(*args: str | Path, encoding: str = "utf-8", **env: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", "from provisioning.cli import main; main()", *map(str, args)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding, **env},
    )
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


def openssl(*args: str | Path) -> str:
    return subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, check=True).stdout


def certificate(directory: Path, name: str, key: Path, days: int) -> Path:
    out = directory / name
    openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=ZG-0001", "-days", str(days), "-out", out)
    return out


# --- identity


@needs_openssl
def test_a_new_identity_is_a_p256_key_only_its_owner_reads_and_a_request_with_the_id(tmp_path: Path) -> None:
    code, out, err = run("identity", "new", "--gateway", "ZG-360700-0123", "--out", tmp_path, "--json")
    assert (code, err) == (0, "")
    assert (tmp_path / "gateway.key").stat().st_mode & 0o777 == 0o600
    said = openssl("req", "-in", tmp_path / "gateway.csr", "-noout", "-verify", "-text", "-subject")
    assert "prime256v1" in said
    assert "CN = ZG-360700-0123" in said
    assert "DNS:ZG-360700-0123" in said
    assert len(json.loads(out)["public_sha256"]) == 64
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gateway.csr", "gateway.key"]


@needs_openssl
def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    for name in ("gateway.key", "gateway.csr", "gateway.crt"):
        directory = tmp_path / name
        directory.mkdir()
        (directory / name).write_text("mine")
        code, _, err = run("identity", "new", "--gateway", "ZG-0001", "--out", directory, "--lang", "zh")
        assert (code, (directory / name).read_text()) == (2, "mine")
        assert "已存在" in err
        assert [path.name for path in directory.iterdir()] == [name]


@pytest.mark.parametrize("gateway", ["abc", "赣州-0001", "ZG 0001", "ZG-0001/CN=x", "x" * 33, ""])
def test_an_id_that_cannot_be_one_is_a_usage_error(tmp_path: Path, gateway: str) -> None:
    code, _, err = run("identity", "new", "--gateway", gateway, "--out", tmp_path, "--lang", "en")
    assert code == 64
    assert "not right" in err


def test_a_missing_openssl_is_named_with_its_package(tmp_path: Path) -> None:
    code, _, err = run(
        "identity", "new", "--gateway", "ZG-0001", "--out", tmp_path / "d", "--lang", "en", PATH=str(tmp_path)
    )
    assert code == 2
    assert "apt-get install -y openssl" in err
    assert list((tmp_path / "d").iterdir()) == []


@needs_openssl
def test_show_tells_dates_and_fingerprints_and_that_files_belong_together(tmp_path: Path) -> None:
    identity.make("ZG-0001", tmp_path)
    certificate(tmp_path, "gateway.crt", tmp_path / "gateway.key", 400)
    code, out, _ = run("identity", "show", tmp_path, "--json")
    files = {one["kind"]: one for one in json.loads(out)["files"]}
    assert code == 0
    assert len({one["public_sha256"] for one in files.values()}) == 1
    assert files["certificate"]["subject"] == files["request"]["subject"] == "ZG-0001"
    assert files["request"]["names"] == ["ZG-0001"]
    left = datetime.fromisoformat(files["certificate"]["not_after"]) - datetime.now(UTC)
    assert timedelta(days=399) < left <= timedelta(days=400)
    code, out, _ = run("identity", "show", tmp_path, "--lang", "zh")
    assert code == 0
    assert files["certificate"]["sha256"] in out
    assert "证书" in out


@needs_openssl
def test_show_finds_what_does_not_belong_together_or_ends_soon_or_is_open(tmp_path: Path) -> None:
    identity.make("ZG-0001", tmp_path / "a")
    identity.make("ZG-0001", tmp_path / "b")
    certificate(tmp_path / "a", "gateway.crt", tmp_path / "b" / "gateway.key", 5)
    (tmp_path / "a" / "gateway.key").chmod(0o644)
    doubts = identity.doubts(identity.find(tmp_path / "a"), datetime.now(UTC))
    assert [code for code, _ in doubts.failures] == ["key_open", "mismatch"]
    assert [code for code, _ in doubts.warnings] == ["expires_soon"]
    assert run("identity", "show", tmp_path / "a")[0] == 2
    later = identity.doubts(identity.find(tmp_path / "a" / "gateway.crt"), datetime.now(UTC) + timedelta(days=9))
    assert [code for code, _ in later.failures] == ["expired"]


@needs_openssl
@pytest.mark.parametrize(
    "data", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", b"\xff" * 99]
)
def test_a_file_that_is_no_identity_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(ProvisionError) as told:
        identity.read(tmp_path / "f")
    assert told.value.code == "not_pem"


# --- site


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_new_site_is_commented_and_passes_the_check(tmp_path: Path, lang: str) -> None:
    name = '一厂 "东区" \\ 楼'
    code, _, _ = run(
        *(
            "site",
            "new",
            "--gateway",
            "ZG-0001",
            "--name",
            name,
            "--centre",
            "c.example.cn",
            "--out",
            tmp_path,
            "--lang",
            lang,
        )
    )
    loaded = load(tmp_path)
    assert code == 0
    assert [finding.code for finding in loaded.findings] == [
        "no_sources"
    ]  # true: the installer has yet to say what is there
    assert loaded.config is not None
    assert (loaded.config.gateway.id, loaded.config.gateway.name) == ("ZG-0001", name)
    assert loaded.config.uplinks[0].host == "c.example.cn"
    assert loaded.config.uplinks[0].ca_file == Path("/etc/edge-agent/tls/ca.crt")
    text = (tmp_path / "config.toml").read_text(encoding="utf-8")
    assert ("网关编号" in text) == (lang == "zh")
    assert "# [[panel]]" in text


def test_a_centre_on_this_machine_needs_no_tls(tmp_path: Path) -> None:
    code, _, _ = run("site", "new", "--gateway", "ZG-0001", "--name", "x", "--centre", "127.0.0.1", "--out", tmp_path)
    config = load(tmp_path).config
    assert code == 0
    assert config is not None
    assert (config.uplinks[0].ca_file, config.uplinks[0].port) == (None, 1883)


def test_a_site_is_never_overwritten_and_wrong_words_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("mine")
    base = ("site", "new", "--gateway", "ZG-0001", "--out", tmp_path)
    assert run(*base, "--name", "x", "--centre", "c")[0] == 2
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("config.toml", "mine")]
    assert run(*base, "--name", "a\nb", "--centre", "c")[0] == 64
    assert run(*base, "--name", "x", "--centre", "mqtts://c:8883")[0] == 64
    assert run(*base, "--name", "x")[0] == 64


# --- sheets


def sheet(directory: Path, text: str, encoding: str = "utf-8") -> Path:
    path = directory / "sheet.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_sound_sheet_is_read_in_any_encoding_excel_writes(tmp_path: Path, encoding: str, delimiter: str) -> None:
    text = (HEAD + "0001,一厂,兴国县,gst9000-printer,dhcp,\n0002,二厂,瑞金市,,4G,备注\n,,,,,\n").replace(",", delimiter)
    found = batch.check(sheet(tmp_path, text.replace("\n", "\r\n"), encoding))
    assert found.faults == []
    assert [row["unit_name"] for row in found.rows] == ["一厂", "二厂"]


def test_every_fault_of_a_sheet_is_told_in_one_pass_with_row_and_column(tmp_path: Path) -> None:
    text = HEAD + (
        "1.2E+15,一厂,兴国县,,,\n"
        "0361,二厂,兴国县,,,\n"
        "361,三厂,兴国线,,,\n"
        "0361,,火星县,gst 9000,光纤,x,多\n"
        '"03\n62",五厂,于都县,,,\n'
    )
    code, out, _ = run("batch", "check", sheet(tmp_path, text), "--json", "--lang", "en")
    got: dict[str, Any] = json.loads(out)
    assert (code, got["ok"], got["rows"]) == (2, False, 5)
    assert [(f["row"], f["column"], f["code"]) for f in got["faults"]] == [
        (2, "A", "scientific"),
        (4, "A", "lost_zeros"),
        (4, "C", "unknown_county"),
        (5, "", "too_many_cells"),
        (5, "A", "duplicate_code"),
        (5, "B", "missing_value"),
        (5, "C", "unknown_county"),
        (5, "D", "bad_code"),
        (5, "E", "unknown_uplink"),
        (6, "A", "bad_code"),
    ]
    code, out, _ = run("batch", "check", tmp_path / "sheet.csv", "--lang", "zh", encoding="gbk")
    assert code == 2
    assert "第 4 行 C 列 (county): 没有这个县区: 兴国线 (是 兴国县 吗?)" in out
    assert "0361" in out


def test_columns_may_stand_in_any_order_and_wrong_ones_are_named(tmp_path: Path) -> None:
    found = batch.check(sheet(tmp_path, "County,Site Code,楼层,county\n兴国县,0001,3,兴国县\n"))
    assert [(f.row, f.column, f.code) for f in found.faults] == [
        (1, "", "missing_column"),
        (1, "C", "unknown_column"),
        (1, "D", "duplicate_column"),
    ]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "sheet_empty"),
        (HEAD.encode(), "sheet_empty"),
        (b"PK\x03\x04\x00\x00xlsx", "sheet_not_text"),
        (b"a,b\n\xff\xff", "sheet_not_text"),
        (b"a,b\n" + b"x" * (batch.BYTES_MAX + 1), "sheet_too_large"),
        (b"a\n" + b"1\n" * (batch.ROWS_MAX + 1), "sheet_too_large"),
        (b'a,b\n"open', "sheet_broken"),
        (b"a,b\n" + b"x" * 200_000, "sheet_broken"),
    ],
)
def test_what_cannot_be_read_as_a_sheet_is_said_why(tmp_path: Path, data: bytes, code: str) -> None:
    (tmp_path / "s.csv").write_bytes(data)
    with pytest.raises(ProvisionError) as told:
        batch.check(tmp_path / "s.csv")
    assert told.value.code == code
    assert told.value.say("zh")


def test_a_missing_sheet_is_a_failure_not_a_crash(tmp_path: Path) -> None:
    code, _, err = run("batch", "check", tmp_path / "none.csv", "--lang", "en")
    assert code == 2
    assert "cannot be read" in err


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (HEAD + text).encode("utf-8", "replace")))
def test_no_bytes_crash_the_sheet_check(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s.csv").write_bytes(data)
    try:
        batch.check(tmp_path / "s.csv")
    except ProvisionError as told:
        assert told.say("en")


# --- the command


def test_help_and_usage_errors_speak_both_languages() -> None:
    for path in ((), ("identity",), ("identity", "new"), ("site", "new"), ("batch", "check"), ("node", "image")):
        helped = run(*path, "--help", "--lang", "zh")[1]
        assert "用法: edge-provision" in helped, path
        assert not re.search("Usage|Options|Commands|Show this|OPTIONS|COMMAND", helped), path
    assert "安装人员的工具" in run("--help", "--lang", "zh")[1]
    assert "installer's tool" in run("--lang", "en", "--help")[1]
    assert run("identity", "--lang", "zh")[0] == 64
    code, _, err = run("batch", "chek", "--lang", "zh")
    assert code == 64
    assert "没有命令 chek" in err
    assert "缺少 --out" in run("identity", "new", "--gateway", "ZG-0001", "--lang", "zh")[2]
    assert "没有选项 --ot" in run("identity", "new", "--ot", "x", "--lang", "zh")[2]
    assert "多余的参数: b" in run("batch", "check", "a", "b", "--lang", "zh")[2]
