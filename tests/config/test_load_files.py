"""Files as they come: encodings, sizes, any bytes; and what is looked at on this machine."""

import os
import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.config.load import load
from edge_agent.config.loaded import Loaded
from edge_agent.config.reference import sample
from edge_agent.config.report import as_json, render
from tests.config.written import BUS, DEVICE, SOUND, codes, config_of, one, write
from tests.openssl_ca import WEEK, RealCa

# --- files as they come


def test_a_gbk_file_is_named_with_the_way_to_convert_it_and_still_checked(tmp_path: Path) -> None:
    text = (SOUND + 'name = "一号楼"\nbaud = 9601\n').encode("gb18030")
    loaded = load(write(tmp_path, text))
    finding = one(loaded, "gbk")
    assert (finding.severity, finding.line) == ("error", 7)
    assert "iconv -f GB18030 -t UTF-8" in render(finding, "zh")
    assert one(loaded, "not_a_choice").line == 8


def test_a_notepad_unicode_file_is_named_and_still_checked(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, (SOUND + "baud = 9601\n").encode("utf-16")))
    assert codes(loaded) == {"utf16", "not_a_choice"}


def test_a_byte_order_mark_is_skipped_with_a_warning(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, b"\xef\xbb\xbf" + SOUND.encode()))
    assert (codes(loaded), config_of(loaded).gateway.id) == ({"bom"}, "ZG-0001")


def test_bytes_that_are_no_text_are_named_by_their_place(tmp_path: Path) -> None:
    finding = one(load(write(tmp_path, SOUND.encode() + b"\xff\xff\xff")), "not_text")
    assert (finding.line, finding.params["byte"]) == (7, "0xFF")


def test_missing_large_and_odd_files_are_told_apart(tmp_path: Path) -> None:
    assert one(load(tmp_path / "none"), "missing_file").severity == "error"
    assert one(load(tmp_path), "missing_file").file == tmp_path / "config.toml"
    write(tmp_path, SOUND, **{"big.toml": "#" * (1024 * 1024 + 1), "panel.toml.txt": "x", "old.bak": "x", ".#a": "x"})
    os.mkfifo(tmp_path / "conf.d" / "fifo.toml")
    assert codes(load(tmp_path)) == {"file_too_large", "not_a_file", "ignored_file"}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").symlink_to("/proc/self/mem")  # EIO even for root
    assert one(load(tmp_path), "unreadable_file").severity == "error"


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"{n:03}.toml": "" for n in range(70)}
    assert "too_many_files" in codes(load(write(tmp_path, SOUND, **files)))


# --- this machine


def test_a_port_that_is_not_there_is_told_only_when_asked(tmp_path: Path) -> None:
    write(tmp_path, SOUND.replace("/dev/ttyUSB0", "/dev/no-such-tty"))
    assert load(tmp_path).findings == ()
    finding = one(load(tmp_path, check_ports=True), "no_such_port")
    assert (finding.line, finding.key) == (6, "panel[hall].port")


def test_two_names_of_one_port_are_one_port(tmp_path: Path) -> None:
    main, side = os.openpty()
    try:
        name = os.ttyname(side)
        (tmp_path / "link").symlink_to(name)
        text = SOUND.replace("/dev/ttyUSB0", name) + BUS.replace("/dev/ttyUSB1", f"{tmp_path}/link") + DEVICE
        write(tmp_path, text)
        assert load(tmp_path).findings == ()
        assert one(load(tmp_path, check_ports=True), "same_port").key == "bus[rtu1].port"
    finally:
        os.close(main)
        os.close(side)


def test_a_plain_file_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    write(tmp_path, SOUND.replace("/dev/ttyUSB0", str(tmp_path / "f")))
    assert codes(load(tmp_path, check_ports=True)) == {"not_a_port"}


def test_certificates_and_keys_are_looked_at_only_when_asked(tmp_path: Path) -> None:
    for name, mark in (("ca", "CERTIFICATE"), ("crt", "CERTIFICATE"), ("key", "EC PRIVATE KEY")):
        (tmp_path / name).write_text(f"-----BEGIN {mark}-----\n")
        (tmp_path / name).chmod(0o600)
    text = SOUND + "[[uplink]]\nid='u'\nhost='a.b'\nca_file='ca'\ncert_file='crt'\nkey_file='key'\n"
    write(tmp_path, text)
    assert load(tmp_path, check_tls=True).findings == ()
    (tmp_path / "key").chmod(0o644)
    assert "chmod 0600" in render(one(load(tmp_path, check_tls=True), "tls_key_open"), "en")
    (tmp_path / "ca").write_text("key and certificate swapped")
    (tmp_path / "crt").unlink()
    assert codes(load(tmp_path, check_tls=True)) == {"tls_not_pem", "tls_missing", "tls_key_open"}
    assert load(tmp_path).findings == ()


def test_a_revocation_list_must_be_one_be_current_and_be_of_the_centres_ca(tmp_path: Path) -> None:
    ours, other = RealCa(tmp_path / "ours"), RealCa(tmp_path / "other")
    crl = tmp_path / "ca.crl"
    write(tmp_path, f"{SOUND}[[uplink]]\nid='u'\nhost='a.b'\nca_file='{ours.ca_file}'\ncrl_file='{crl}'\n")

    def found() -> set[str]:
        return codes(load(tmp_path, check_tls=True)) - {"no_client_cert"}

    assert found() == {"tls_missing"}
    ours.write_crl(crl)
    assert found() == set()
    other.write_crl(crl)
    assert found() == {"crl_wrong_ca"}
    ours.write_crl(crl, since=-2 * WEEK, until=-WEEK)
    assert found() == {"crl_expired"}
    ours.write_crl(crl, since=WEEK, until=2 * WEEK)
    assert found() == {"crl_future"}
    crl.write_bytes(ours.ca_file.read_bytes())
    assert found() == {"crl_damaged"}
    assert codes(load(tmp_path)) == {"no_client_cert"}, "only when asked"


# --- whatever the bytes


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_no_bytes_crash_it(tmp_path: Path, data: bytes) -> None:
    check_told(load(write(tmp_path, data)))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_mutation_of_a_sound_file_crashes_it_or_passes_unseen_as_another_type(
    tmp_path: Path, data: st.DataObject
) -> None:
    text = sample("zh").encode()
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 40))
        new = data.draw(
            st.sampled_from(
                [
                    *[
                        b"",
                        b'"',
                        b"'",
                        b"[",
                        b"]",
                        b"=",
                        b"\n",
                        b"\xff",
                        b"{",
                        b"}",
                        b"#",
                        b'"""',
                        b"\\",
                        b"nan",
                        b"0",
                        b",",
                    ],
                    *[
                        "“".encode(),
                        "：".encode(),
                        "中".encode("gbk"),
                        b"[[panel]]\n",
                        b"[bus]\n",
                        b"[panel.x]\n",
                        b"a.b",
                    ],
                ]
            )
        )
        text = text[:at] + new + text[at + cut :]
    check_told(load(write(tmp_path, text), profiles=lambda: ["gst9000-printer"], check_ports=True, check_tls=True))


def check_told(loaded: Loaded) -> None:
    errors = 0
    for finding in loaded.findings:
        errors += finding.severity == "error"
        for lang in ("zh", "en"):
            assert all(line.isprintable() for line in render(finding, lang).split("\n"))
            assert as_json(finding, lang)["code"] == finding.code
    assert (loaded.config is None) == (errors > 0)


def test_loading_imports_nothing_heavy() -> None:
    script = (
        "import sys, edge_agent.config.load; "
        "print([m for m in ('difflib','asyncio','click','rich','inspect','socket','sqlite3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip().replace("'inspect', ", "").replace("'inspect'", "") == "[]"  # dataclasses brings inspect
