"""One camera over real sockets: ONVIF, Digest, what it kept; and every way to lie ends in a code, in bounded time and size."""

import asyncio
import base64
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import trustme

from edge_agent.cameras import camera as camera_module
from edge_agent.cameras.camera import Camera, read_credentials
from edge_agent.cameras.digest import Challenge, Credentials, authorization, challenges
from edge_agent.cameras.faults import CameraFault
from edge_agent.cameras.http import Asked, Where, fetch
from edge_agent.cameras.onvif import created_text, envelope, parse, password_digest, place
from edge_agent.config.model import Camera as Settings
from simulators import camera as simulated
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio

PASSWORD = "pass:wörd'<&"
S = 1_000_000_000


def settings(there: simulated.Camera, tmp_path: Path, password: str = PASSWORD, **more: Any) -> Settings:
    secret = tmp_path / "login.cred"
    secret.write_text(f"viewer:{password}\n", "utf-8")
    given: dict[str, Any] = {"method": "http", "path": simulated.PICTURE, **more}
    return Settings(
        id="hall", host="127.0.0.1", port=there.port, points=("panel1/*",), credentials_file=secret, **given
    )


def camera(there: simulated.Camera, tmp_path: Path, **more: Any) -> Camera:
    return Camera(settings(there, tmp_path, **more), max_bytes=512 * 1024, wall_ns=time.time_ns)


def simulate(*moods: str, **more: Any) -> simulated.Camera:
    assert set(moods) <= set(simulated.MOODS)
    return simulated.Camera(time.time_ns, moods=frozenset(moods), **more)


async def fault_of(work: Any) -> str:
    with pytest.raises(CameraFault) as caught:
        await work
    assert PASSWORD not in f"{caught.value}"
    return caught.value.code


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256"])
@pytest.mark.parametrize("qop", ["auth", "auth,auth-int", ""])
async def test_a_picture_behind_digest_is_had_with_a_nonce_used_once(tmp_path: Path, algorithm: str, qop: str) -> None:
    async with simulate(algorithm=algorithm, qop=qop) as there:
        one = camera(there, tmp_path)
        shots = [await one.snapshot() for _ in range(2)]
        assert [f"now {there.clock_ns}"[:8] in shot.jpeg.decode("latin-1") for shot in shots] == [True, True]
        assert all(shot.jpeg[-2:] == b"\xff\xd9" for shot in shots), "the padding behind it is cut off"
        assert there.refused == ["no digest"] * 2, "each begins anew: a nonce that was used is never used again"
        assert not any(PASSWORD in head or "Basic" in head for head in there.heads)


async def test_a_nonce_that_went_stale_is_answered_once_more_and_a_wrong_password_is_not_tried_again(
    tmp_path: Path,
) -> None:
    async with simulate("stale_nonce") as there:
        assert (await camera(there, tmp_path).snapshot()).jpeg
        assert there.refused == ["no digest", "stale"]
    async with simulate() as there:
        assert await fault_of(camera(there, tmp_path, password="wrong").snapshot()) == "auth"
        assert there.refused == ["no digest", "response"]


async def test_basic_is_answered_only_where_the_site_says_so(tmp_path: Path) -> None:
    async with simulate("basic_only") as there:
        assert await fault_of(camera(there, tmp_path).snapshot()) == "auth_basic"
        assert not any("Authorization" in head for head in there.heads)
        assert (await camera(there, tmp_path, basic=True).snapshot()).jpeg


async def test_onvif_gives_the_picture_with_a_token_made_by_the_cameras_clock(tmp_path: Path) -> None:
    async with simulate("wrong_host", clock_off_s=7200.0) as there:
        one = camera(there, tmp_path, method="onvif", path="", profile="P_sub")
        shot = await one.snapshot()
        assert shot.clock_off_ns is not None
        assert abs(shot.clock_off_ns / S - 7200) < 2.5, "two hours ahead, and yet its tokens were fresh"
        assert there.refused == ["no digest"]
        assert there.asked[-1] == ("GET", "/picture?of=P_sub&x=1"), "at the configured host, whatever address it names"
        assert [target for method, target in there.asked if method == "POST"] == [
            "/onvif/device_service", "/onvif/device_service", "/onvif/media_service", "/onvif/media_service"]  # fmt: skip
        assert not any(PASSWORD.encode() in body for body in there.bodies)
        asked = len(there.asked)
        await one.snapshot()
        assert len(there.asked) == asked + 2, "where the picture is was remembered"
        await one.snapshot(anew=True)
        assert len(there.asked) == asked + 8


async def test_a_camera_that_tells_no_utc_is_asked_by_our_clock(tmp_path: Path) -> None:
    async with simulate("no_utc") as there:
        shot = await camera(there, tmp_path, method="onvif", path="").snapshot()
        assert (shot.clock_off_ns, there.refused) == (None, ["no digest"])


async def test_onvif_says_what_is_wrong(tmp_path: Path) -> None:
    async with simulate() as there:
        assert await fault_of(camera(there, tmp_path, method="onvif", password="wrong").snapshot()) == "auth"
        assert there.refused == ["password"]
        assert await fault_of(camera(there, tmp_path, method="onvif", profile="P_9").snapshot()) == "no_profile"
    for mood, code in (("xml_bomb", "malformed"), ("xml_deep", "malformed"), ("no_profiles", "no_profile")):
        async with simulate(mood) as there:
            assert await fault_of(camera(there, tmp_path, method="onvif").snapshot()) == code, mood


@pytest.mark.parametrize(
    ("mood", "code"),
    [
        ("endless_body", "too_large"),
        ("endless_chunks", "too_large"),
        ("endless_head", "malformed"),
        ("lying_length", "too_large"),
        ("short_body", "cut_off"),
        ("gzip_bomb", "encoding"),
        ("redirect_loop", "redirect"),
        ("redirect_away", "redirect"),
        ("not_a_picture", "not_a_picture"),
        ("hang_up", "cut_off"),
        ("status_500", "status"),
        ("bad_chunk", "malformed"),
    ],
)
async def test_a_camera_that_lies_costs_little_and_gets_a_code(
    tmp_path: Path, mood: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "HTTP_S", PATIENCE_S)  # memory is traced, byte by byte
    async with simulate(mood) as there:
        tracemalloc.start()
        try:
            assert await fault_of(camera(there, tmp_path).snapshot()) == code
            assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024 or mood == "gzip_bomb"
        finally:
            tracemalloc.stop()


async def test_a_camera_that_says_nothing_or_a_byte_at_a_time_is_left_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "HTTP_S", 0.5)
    for mood in ("silent", "drip"):
        async with simulate(mood) as there:
            assert await fault_of(camera(there, tmp_path).snapshot()) == "timeout"
    there = simulate()
    async with there:
        pass
    assert await fault_of(camera(there, tmp_path).snapshot()) == "refused"


async def test_a_picture_over_the_limit_is_refused_and_one_camera_is_asked_one_thing_at_a_time(tmp_path: Path) -> None:
    async with simulate(size=600_000) as there:
        assert await fault_of(camera(there, tmp_path).snapshot()) == "too_large"
    async with simulate() as there:
        one = camera(there, tmp_path)
        await asyncio.gather(*(one.snapshot() for _ in range(4)))
        assert there.busiest == 1


async def test_what_the_camera_kept_is_asked_for_by_its_own_clock(tmp_path: Path) -> None:
    async with simulate() as there:
        kept = {"before_method": "http", "before_path": "/kept?start={start}&end={end}"}
        one = camera(there, tmp_path, **kept)
        moment_ns = 1_795_651_200 * S  # 2026-11-26 00:00:00 UTC
        shot = await one.before(moment_ns, moment_ns + 5 * S, 60 * S)
        assert b"kept 20261126T000100Z" in shot.jpeg
        china = camera(there, tmp_path, **kept, before_clock="china", before_format="%Y_%m_%d_%H_%M_%S")
        assert b"kept 2026_11_26_08_00_00" in (await china.before(moment_ns, moment_ns, None)).jpeg
        assert there.asked[-1][1] == "/kept?start=2026_11_26_08_00_00&end=2026_11_26_08_00_00"
    async with simulate(keeps=False) as there:
        one = camera(there, tmp_path, **kept)
        assert await fault_of(one.before(moment_ns, moment_ns, None)) == "status"


async def test_a_camera_that_wants_the_password_in_its_path_gets_it_from_the_file(tmp_path: Path) -> None:
    async with simulate() as there:
        assert (await camera(there, tmp_path, path="/picture?u={user}&p={password}").snapshot()).jpeg
        assert there.asked[-1][1] == "/picture?u=viewer&p=pass%3Aw%C3%B6rd%27%3C%26"


async def test_https_is_verified(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    for known, code in ((authority, ""), (stranger, "tls")):
        known.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
        async with simulate(context=context) as there:
            one = camera(there, tmp_path, tls=True, ca_file=tmp_path / "ca.crt")
            if code:
                assert await fault_of(one.snapshot()) == code
            else:
                assert (await one.snapshot()).jpeg


def login(tmp_path: Path, text: str) -> Credentials | None:
    (tmp_path / "x").write_text(text, "utf-8")
    return read_credentials(tmp_path / "x")


async def test_credentials_are_one_line_and_never_shown(tmp_path: Path) -> None:
    who = login(tmp_path, "viewer:a:b\n\n")
    assert who == Credentials("viewer", "a:b")
    assert "a:b" not in repr(who)
    assert read_credentials(None) is None
    for bad in ("", "viewer", ":x", "a\x07:b"):
        with pytest.raises(CameraFault, match="credentials"):
            login(tmp_path, bad)
    with pytest.raises(CameraFault, match="credentials"):
        read_credentials(tmp_path / "none")


# --- pure parts


async def test_digest_answers_as_rfc_7616_and_2069_print_them() -> None:
    who = Credentials("Mufasa", "Circle of Life")
    header = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    md5 = header.replace("SHA-256", "MD5")
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    found = challenges([md5, header])
    assert [one.algorithm for one in found] == ["SHA-256", "MD5"], "the stronger one first"
    answers = [authorization(one, who, "GET", "/dir/index.html", cnonce=cnonce) for one in found]
    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in answers[0]
    assert 'response="8ca523f5e9506fed4657c9700eebdbec"' in answers[1]
    old = challenges(['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'])
    said = authorization(old[0], Credentials("Mufasa", "CircleOfLife"), "GET", "/dir/index.html", cnonce="x")
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in said


async def test_challenges_nobody_can_answer_are_left_out() -> None:
    for header in (
        "",
        "Negotiate abc",
        "Digest",
        'Digest nonce="x", algorithm=MD4',
        'Digest nonce="x", qop="auth-int"',
    ):
        assert challenges([header]) == [], header
    both = challenges(['Basic realm="a", Digest realm="b", nonce="c,d=\\"e\\"", stale=TRUE'])
    assert both == [Challenge("digest", "b", 'c,d="e"', stale=True), Challenge("basic", "a")]


async def test_a_username_token_is_what_the_profile_says() -> None:
    nonce = base64.b64decode(
        "LKqI6G/AikKCQrN0zqZFlg=="
    )  # the example of ONVIF's Application Programmer's Guide, 6.1.1.3
    assert password_digest(nonce, "2010-09-16T07:50:45Z", "userpassword") == "tuOSpGlFlIXsozq4HFNeeGeFLEI="
    assert created_text(1_795_651_200 * S + 7_000_000) == "2026-11-26T00:00:00.007Z"
    assert created_text(4_102_444_800 * S).startswith("2100-01-01")
    sent = envelope("<x/>", Credentials("a<b", "p"), created="now", nonce=b"n")
    assert b"a&lt;b" in sent


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "malformed"),
        (b"<a/>", "malformed"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a><Body>&x;</Body></a>', "malformed"),
        ("<?xml version='1.0' encoding='utf-16'?><!DOCTYPE x><a><Body/></a>".encode("utf-16-le"), "malformed"),
        (b"<a>" * 100 + b"</a>" * 100, "malformed"),
        (b"<a>" + b"<b/>" * 20_000 + b"<Body/></a>", "malformed"),
        (b"<a><Body>&undefined;</Body></a>", "malformed"),
        (b"<a><Body><Fault>ActionNotSupported</Fault></Body></a>", "soap"),
        (b"<a><Body><Fault>ter:NotAuthorized</Fault></Body></a>", "auth"),
        (b"<a><Body>" + bytes(300_000), "malformed"),
    ],
)
async def test_xml_that_makes_no_sense_or_too_much_is_refused(answer: bytes, code: str) -> None:
    with pytest.raises(CameraFault) as caught:
        parse(answer)
    assert caught.value.code == code


async def test_an_address_a_camera_gives_is_a_path_and_perhaps_a_port() -> None:
    assert place("http://10.0.0.1:8080/onvif/x?a=1&b=2") == ("/onvif/x?a=1&b=2", 8080)
    assert place("https://cam/") == ("/", None)
    for bad in ("", "file:///etc/passwd", "http://x:99999/", "gopher://x/", "http://x"):
        with pytest.raises(CameraFault):
            place(bad)


async def test_a_path_with_a_line_end_in_it_reaches_no_wire() -> None:
    with pytest.raises(CameraFault, match="malformed"):
        await fetch(Where("127.0.0.1", 9), Asked("GET", "/a\r\nX: y"), None, max_bytes=1)
