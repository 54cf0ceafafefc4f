"""Profiles: the shipped ones are sound, a site's own take their place, and every fault in one is found and named."""

import os
import re
import string
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.codecs.registry import CODECS
from drivers.profile import ProfileError, ProfileFinding, Profiles, check, load_file, load_profiles, try_capture
from edge_agent.cli_profile import say
from edge_agent.texts import text
from edge_agent.texts.profile import TEXTS

SHIPPED = load_profiles(())
BUS = (Path(SHIPPED.get("gst-layer-bus").path)).read_text("utf-8")


def site(tmp_path: Path, name: str, content: str | bytes) -> Profiles:
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / f"{name}.toml").write_bytes(raw)
    return load_profiles([tmp_path])


def codes(findings: list[ProfileFinding]) -> list[str]:
    for finding in findings:
        for lang in ("zh", "en"):
            assert text(f"profile.{finding.code}", lang, **finding.params)
    return [finding.code for finding in findings]


@pytest.mark.parametrize("name", [profile.name for profile in SHIPPED.list()])
def test_a_shipped_profile_has_nothing_to_find_but_how_little_it_stands_on_where_it_says_so(name: str) -> None:
    profile = SHIPPED.get(name)
    found = [profile.evidence] if profile.evidence in ("unproven", "template") else []
    assert codes([finding for finding in check(profile) if finding.severity != "info"]) == found


def test_events_and_switches_that_no_example_shows_are_named(tmp_path: Path) -> None:
    def names(content: str) -> list[str]:
        found = {finding.code: finding for finding in check(site(tmp_path, "mine", content).get("mine"))}
        assert "untested" not in found or found["untested"].severity == "info"
        return str(found["untested"].params["names"]).split(", ") if "untested" in found else []

    assert names(BUS) == []
    assert names(BUS.replace('22 = "feedback"', '22 = "feedback"\n23 = "start"')) == ["start"]
    breaker = SHIPPED.get("ks-breaker").path.read_text("utf-8")
    assert "leakage_trip" not in names(breaker)  # the captured trip shows it
    assert "overload_trip_a" in names(breaker)
    assert "leakage_ma" not in names(breaker)  # a number is told by the site's limits


@pytest.mark.parametrize(
    "caveat",
    [
        '[[caveat]]\nzh = "只有中文"',
        '[[caveat]]\nzh = "一"\nen = ""',
        '[[caveat]]\nzh = "一"\nen = "a"\nevidence = "rumour"',
        "[caveat]",
    ],
)
def test_a_caveat_without_words_or_with_an_evidence_nobody_knows_is_found(tmp_path: Path, caveat: str) -> None:
    content = re.sub(r"\[\[caveat\]\]\nzh.*\nen.*\nevidence.*\n", caveat + "\n", BUS)
    assert "bad_caveat" in codes(check(site(tmp_path, "mine", content).get("mine")))
    silent = re.sub(r"(\[\[caveat\]\]\nzh.*\nen.*\n)evidence.*\n", r"\1", BUS)
    assert codes(check(site(tmp_path, "mine", silent).get("mine"))) == ["caveat_evidence"]


def test_every_shipped_profile_is_readable_and_without_errors() -> None:
    profiles = load_profiles(())
    found = {profile.name: [f for f in check(profile) if f.severity == "error"] for profile in profiles.list()}
    assert {name: errors for name, errors in found.items() if errors} == {}
    assert profiles.broken == {}
    assert set(CODECS) <= {
        str(profile.data.get("codec")) for profile in profiles.list()
    }  # each has a model that uses it


def test_a_new_model_of_a_known_family_is_a_file_and_nothing_else(tmp_path: Path) -> None:
    profiles = site(tmp_path, "acme-bus", BUS.replace('15 = "fire"', '15 = "fire"\n16 = "supervisory"'))
    frame = bytes.fromhex("AA1636508903D2000100350023340554480031003618" + "67B8")
    shown = try_capture(profiles.get("acme-bus"), frame)
    assert (shown[0]["event"], shown[0]["user_code"]) == ("supervisory", "365089")
    assert profiles.get("acme-bus").site
    assert not profiles.get("acme-bus").overrides


def test_a_sites_file_takes_the_place_of_a_shipped_one_and_is_marked(tmp_path: Path) -> None:
    profile = site(tmp_path, "gst-layer-bus", BUS.replace("silence_s = 30.0", "silence_s = 12.0")).get("gst-layer-bus")
    assert (profile.site, profile.overrides, profile.link.silence_s) == (True, True, 12.0)
    assert [finding.severity for finding in check(profile)] == ["info"]


def test_only_the_files_asked_for_are_read(tmp_path: Path) -> None:
    profiles = site(tmp_path, "broken", "this is no TOML")
    assert profiles.get("gst-layer-bus").name == "gst-layer-bus"
    assert "broken" in profiles.names()
    assert "broken" not in [profile.name for profile in profiles.list()]
    assert profiles.broken["broken"].code == "bad_toml"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("x = ", "bad_toml"),
        ('kind = "toaster"', "bad_kind"),
        ("", "bad_kind"),
        ("# 海湾".encode("gb18030"), "not_utf8"),
        (b"#" * (256 * 1024 + 1), "too_large"),
    ],
)
def test_a_file_that_is_no_profile_is_refused_with_words(tmp_path: Path, content: str | bytes, code: str) -> None:
    with pytest.raises(ProfileError) as error:
        site(tmp_path, "bad", content).get("bad")
    assert error.value.code == code
    for lang in ("zh", "en"):
        assert not say(code, error.value.params, lang).startswith(code), "in words"


def test_an_unknown_profile_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(ProfileError) as error:
        SHIPPED.get("../../etc/passwd")
    assert error.value.code == "unknown_profile"
    assert "gst-crt500" in str(error.value.params["known"])


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("baud = 2400", "baud = 2", "bad_link"),
        ("baud = 2400", 'baud = "2400"', "bad_link"),
        ('framing = "8N1"', 'framing = "8N9"', "bad_link"),
        ('framing = "8N1"', 'framing = "8N1"\nspeed = 3', "unknown_key"),
        ("silence_s = 30.0", "", "missing_link"),
        ('codec = "gst-layer-bus"', 'codec = "gst"', "unknown_codec"),
        ('15 = "fire"', '15 = "fir"', "unknown_event"),
        ('15 = "fire"', '15 = "fault"', "no_fire"),
        ('15 = "fire"', 'XY = "fire"', "bad_meaning"),
        ('evidence = "captured"', 'evidence = "rumour"', "bad_evidence"),
        ('evidence = "captured"', 'evidence = "unproven"', "unproven"),
        ('en = "GST"', "", "missing_words"),
        ("schema = 1", "schema = 1\nbaud = 3", "unknown_key"),
        ('location_text = "5#楼西"', 'location_text = "5#楼东"', "example_differs"),
        ('hex = "AA 04 55 55 55 55 02"', 'hex = "AA 04 55 55 55 55 07"', "example_refused"),
        ('hex = "AA 04 55 55 55 55 03"', 'hex = "AA 04 55 55 55 55 02"', "counter_example_raised"),
        ('hex = "AA 04 55 55 55 55 03"', 'hex = "AA 0"', "bad_hex"),
        ('source = "site', 'source = ["x"] #"', "missing_source"),
        ('zh = "海湾"', "zh = 5", "missing_words"),
        ("[device_types]", "[hold_s]\nfire = 5\n[device_types]", "bad_meaning"),
    ],
)
def test_a_fault_in_a_profile_is_found(tmp_path: Path, old: str, new: str, code: str) -> None:
    assert old in BUS
    assert code in codes(check(site(tmp_path, "mine", BUS.replace(old, new, 1)).get("mine")))


@pytest.mark.parametrize(
    "name", ["dlt645-2007-three-phase", "ks-breaker", "abb-b23", "zigbee2mqtt-gas", "gst-layer-bus"]
)
def test_an_example_that_expects_nothing_shows_nothing(name: str) -> None:
    shipped = SHIPPED.get(name)
    first, *rest = shipped.data["example"]  # type: ignore[misc]
    blind = {key: value for key, value in first.items() if key != "expect"}
    found = check(replace(shipped, data={**shipped.data, "example": [blind, *rest]}))
    assert ("bad_hex", {"where": "example 1"}) in [(one.code, one.params) for one in found]


def test_all_faults_are_found_at_once(tmp_path: Path) -> None:
    content = (
        BUS.replace('15 = "fire"', '15 = "fir"').replace("schema = 1", "schema = 1\nx = 1").replace('en = "GST"', "")
    )
    found = codes(check(site(tmp_path, "mine", content).get("mine")))
    assert {"unknown_event", "unknown_key", "missing_words", "example_differs"} <= set(found)


def test_what_cannot_be_a_profile_is_told_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000, "utf-8")
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    (tmp_path / "gb.toml").write_bytes(BUS.encode("gb18030"))
    (tmp_path / "text.toml").write_text('schema = "1"\nkind = "panel"\n', "utf-8")
    found = load_profiles([tmp_path])
    told = {}
    for name in ("fifo", "zero", "deep", "loop", "gb", "text"):
        with pytest.raises(ProfileError) as refused:
            found.get(name)
        told[name] = refused.value.code
        assert not say(refused.value.code, refused.value.params, "zh").startswith(refused.value.code), "in words"
    assert told == {
        "fifo": "not_a_file",
        "zero": "not_a_file",
        "deep": "bad_toml",
        "loop": "unreadable",
        "gb": "not_utf8",
        "text": "bad_schema",
    }
    for name, content in (("bom", b"\xef\xbb\xbf" + BUS.encode()), ("crlf", BUS.replace("\n", "\r\n").encode())):
        assert codes(check(site(tmp_path, name, content).get(name))) == []


def test_tables_of_text_are_bounded_and_their_encoding_can_read_any_byte(tmp_path: Path) -> None:
    printer = SHIPPED.get("edwards-io1000").path.read_text("utf-8")
    pattern = "[[meaning.pattern]]\nregex = '(?P<event>x)'\n"
    words = "".join(f'w{n} = "fault"\n' for n in range(1001))
    for name, content, detail in (
        ("patterns", printer.replace("[[meaning.pattern]]", pattern * 60 + "[[meaning.pattern]]", 1), "too_many"),
        ("words", printer.replace("\n[meaning.words]\n", f"\n[meaning.words]\n{words}"), "too_many"),
        ("encoding", printer.replace('encoding = "utf-8"', 'encoding = "idna"'), "unknown_encoding"),
        (
            "bound",
            printer.replace("(?P<event>[^|\\n]{1,40})", "(?P<event>(?:.{0,50}){0,50})", 1),
            "regex_too_many_ways",
        ),
    ):
        [wrong] = [
            finding for finding in check(site(tmp_path, name, content).get(name)) if finding.code == "bad_meaning"
        ]
        assert wrong.params["detail"] == detail
        for lang in ("zh", "en"):
            assert text(f"profile.fault_{detail}", lang)


def test_a_file_anywhere_can_be_checked(tmp_path: Path) -> None:
    path = tmp_path / "draft.toml"
    path.write_text(BUS, "utf-8")
    assert codes(check(load_file(path))) == []
    with pytest.raises(ProfileError, match="unreadable"):
        load_file(tmp_path / "none.toml")


def test_both_languages_ask_for_the_same_values() -> None:
    def values(words: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(words) if name}

    assert {name for name, (zh, en) in TEXTS.items() if values(zh) != values(en)} == set()
