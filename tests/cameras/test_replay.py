"""What a camera keeps, by ONVIF replay: one service says where, another plays it by the clock, a real ffmpeg sees it."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.cameras import camera as camera_module
from edge_agent.cameras import replay
from edge_agent.cameras import watch as watch_module
from edge_agent.cameras.camera import Camera, Shot
from edge_agent.cameras.digest import Credentials
from edge_agent.cameras.faults import CameraFault
from edge_agent.cameras.recordings import BEHIND_NS, Recording, choose
from edge_agent.cameras.replay import Source, Track, clock_text, pull, read_sdp
from edge_agent.cameras.rtp import H264, H265, Depacketizer, ntp_ns
from edge_agent.cameras.watch import Cause, Taken, Watch
from edge_agent.config.model import Camera as Settings
from edge_agent.config.model import Media
from edge_agent.model import Kind
from simulators import camera as onvif_camera
from simulators import recordings as kept
from simulators.rtsp_camera import MOODS, PICTURE_NS, REPLAY, RtspCamera
from tests.cameras.test_service import fire, media_of, pictures, watching, with_camera
from tests.core.house import site
from tests.waiting import PATIENCE_S, until

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
S = 1_000_000_000
BEGAN_NS = (
    1_795_651_200 * S
)  # 2026-11-26 00:00:00 UTC, by the camera's clock: a key frame, and one each second from then on
ALARM_NS = BEGAN_NS + 3600 * S
PASSWORD = "pass:wörd'<&"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_FFMPEG", FFMPEG)
    monkeypatch.setattr(camera_module, "REPLAY_S", PATIENCE_S)
    monkeypatch.setattr(camera_module, "HTTP_S", PATIENCE_S)
    monkeypatch.setattr(replay, "QUIET_S", PATIENCE_S)


def second(codec: str) -> bytes:
    """Five pictures, the first of them a key frame: grey, and each darker than the one before it."""
    shades = "lum='200-35*N':cb=128:cr=128"
    encoder = ["libx264", "-preset", "ultrafast"] if codec == "h264" else ["libx265", "-preset", "ultrafast", "-x265-params",
               "keyint=5:bframes=0:log-level=none:pools=1:frame-threads=1"]  # fmt: skip
    command = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", f"color=size=320x240:rate=5,geq={shades},noise=alls=40", "-t", "1",
               "-c:v", *encoder, "-g", "5", "-pix_fmt", "yuv420p", "-threads", "1", "-f", codec, "pipe:1"]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def seconds() -> dict[str, bytes]:
    return {"H264": second("h264"), "H265": second("hevc")}


def darkness(jpeg: bytes) -> int:
    """Which of the five a picture is: its mean brightness, by ffmpeg."""
    command = [
        FFMPEG,
        "-v",
        "error",
        "-f",
        "mjpeg",
        "-i",
        "pipe:0",
        "-vf",
        "scale=1:1",
        "-pix_fmt",
        "gray",
        "-f",
        "rawvideo",
        "pipe:1",
    ]
    grey = subprocess.run(command, input=jpeg, check=True, capture_output=True).stdout[0]
    return round((230 - grey) / 47)


@asynccontextmanager
async def house(
    seconds: dict[str, bytes],
    tmp_path: Path,
    *moods: str,
    codec: str = "H264",
    clock_off_s: float = 0.0,
    recordings: Sequence[kept.Recording] = (kept.Recording("R_1", BEGAN_NS - 3600 * S, ALARM_NS - 60 * S),),
    **more: Any,
) -> AsyncIterator[tuple[Camera, onvif_camera.Camera, RtspCamera]]:
    """A camera with both of its services; our clock says that the alarm is two seconds old."""
    now_ns = ALARM_NS + 2 * S - round(clock_off_s * S)
    assert set(moods) <= {*MOODS, *onvif_camera.MOODS}
    wire, soap = frozenset(moods) & set(MOODS), frozenset(moods) & set(onvif_camera.MOODS)
    (tmp_path / "login.cred").write_text(f"viewer:{PASSWORD}", "utf-8")
    async with (
        RtspCamera(b"", seconds[codec], codec=codec, kept_from_ns=BEGAN_NS, moods=wire) as player,
        onvif_camera.Camera(
            lambda: now_ns, clock_off_s=clock_off_s, moods=soap, recordings=recordings, replay_port=player.port
        ) as there,
    ):
        settings = Settings(id="hall", host="127.0.0.1", port=there.port, points=("*",), before_method="onvif",
                            credentials_file=tmp_path / "login.cred", **more)  # fmt: skip
        yield Camera(settings, max_bytes=512 * 1024, wall_ns=lambda: now_ns), there, player


async def fault_of(work: Any) -> CameraFault:
    with pytest.raises(CameraFault) as caught:
        await work
    assert "wörd" not in str(caught.value)
    return caught.value


def before(one: Camera, early_s: float = 5.0, off_s: float = 0.0) -> Any:
    """What it kept of `early_s` before the alarm."""
    alarm_ns = ALARM_NS - round(off_s * S)
    return one.before(alarm_ns - round(early_s * S), alarm_ns, None)


@pytest.mark.asyncio
@pytest.mark.parametrize("codec", ["H264", "H265"])
async def test_a_camera_of_profile_g_gives_the_picture_of_the_moment_by_its_own_clock(
    seconds: dict[str, bytes], tmp_path: Path, codec: str
) -> None:
    async with house(seconds, tmp_path, "asks", codec=codec, clock_off_s=7200.0) as (one, there, player):
        shot = await before(one, 5.0 - 0.5, 7200.0)
        assert player.played == ["clock=20261126T005955.500Z-20261126T010000.000Z"], (
            "two hours ahead, and asked for in its time"
        )
        assert shot.taken_wall_ns == ALARM_NS - 7200 * S - 5 * S + 600_000_000, "of what the camera says it is"
        assert 0 <= darkness(shot.jpeg) <= 3, "the fourth of its second, or one of the two before it"
        asked = [target for method, target in there.asked if method == "POST"]
        assert asked[:3] == ["/onvif/device_service", "/onvif/device_service", "/onvif/search_service"]
        assert there.refused == [], "each token was fresh by the camera's clock"
        assert player.refused == 1, "asked for the password once in the connection"
        assert ("DESCRIBE", f"rtsp://127.0.0.1:{player.port}/replay?of=R_1&x=1") in player.asked, (
            "at the configured host"
        )
        assert player.asked[-1][0] in ("PLAY", "TEARDOWN")
        searches = len(there.asked)
        await before(one, 2.5, 7200.0)
        assert len(there.asked) == searches, "where it is was remembered"
        await one.look_for_recording()
        assert len(there.asked) > searches


@pytest.mark.asyncio
async def test_the_frame_is_that_of_the_moment(
    seconds: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.cameras.rtsp.SPARE_FRAMES", 0)
    async with house(seconds, tmp_path) as (one, _, _):
        found = [darkness((await before(one, 5.0 - picture * 0.2)).jpeg) for picture in (0, 2, 4)]
    assert found == [0, 2, 4]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("mood", "code"),
    [
        ("no_profile_g", "no_replay"),
        ("no_get_services", "no_replay"),
        ("endless_search", "no_recording"),
        ("no_replay", "no_replay"),
        ("no_clock", "replay_no_clock"),
        ("elsewhere", "no_moment"),
        ("gap", "no_moment"),
        ("ends_early", "no_moment"),
        ("endless_unit", "no_moment"),
        ("garbage", "malformed"),
    ],
)
async def test_a_camera_that_has_none_or_lies_gets_a_code_in_bounded_size(
    seconds: dict[str, bytes], tmp_path: Path, mood: str, code: str
) -> None:
    async with house(seconds, tmp_path, mood) as (one, _, _):
        assert (await fault_of(before(one, 4.5))).code == code


@pytest.mark.asyncio
@pytest.mark.parametrize(("mood", "early_s"), [("hangs_up", 4.6), ("holds_open", 4.6), ("stale_nonce", 4.4)])
async def test_what_ends_without_a_word_or_asks_again_is_still_had(
    seconds: dict[str, bytes], tmp_path: Path, mood: str, early_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "QUIET_S", 1.0 if mood == "holds_open" else PATIENCE_S)
    async with house(seconds, tmp_path, mood) as (one, _, _):
        had_s = (ALARM_NS - (await before(one, 4.5)).taken_wall_ns) / S
    assert early_s <= had_s <= (5.0 if mood == "holds_open" else early_s), (
        "the last there was; a slow machine may see it end sooner"
    )


@pytest.mark.asyncio
async def test_a_silent_camera_is_left_in_time_and_a_wrong_password_is_told(
    seconds: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(seconds, tmp_path) as (one, _, player):
        player.password = "another"
        assert (await fault_of(before(one))).code == "auth"
        assert len(player.asked) == 2, "not tried again"
    monkeypatch.setattr(camera_module, "REPLAY_S", 1.0)
    async with house(seconds, tmp_path, "silent") as (one, _, _):
        assert (await fault_of(before(one))).code == "timeout"


@pytest.mark.asyncio
async def test_of_several_recordings_none_is_guessed(seconds: dict[str, bytes], tmp_path: Path) -> None:
    two = (
        kept.Recording("R_1", BEGAN_NS),
        kept.Recording("R_2", BEGAN_NS),
        kept.Recording("A", BEGAN_NS, None, ("Audio",)),
    )
    async with house(seconds, tmp_path, recordings=two) as (one, _, _):
        fault = await fault_of(before(one))
        assert (fault.code, fault.detail) == ("which_recording", "R_1, R_2")
    async with house(seconds, tmp_path, recordings=two, before_recording="R_2") as (one, there, player):
        assert (await before(one)).jpeg
        assert f"rtsp://127.0.0.1:{player.port}/replay?of=R_2&x=1" in {url for _, url in player.asked}
        assert "/onvif/search_service" not in {target for _, target in there.asked}


def test_a_recording_that_is_over_or_has_not_begun_has_no_such_moment() -> None:
    old, now = Recording("old", 0, 10 * S, True), Recording("now", 11 * S, 300 * S, True)
    assert choose([old, now], 200 * S) == "now"
    assert choose([now], 300 * S + BEHIND_NS) == "now", "a piece of it is told late"
    for moment_ns in (5 * S, 300 * S + BEHIND_NS + 1):
        with pytest.raises(CameraFault, match="no_recording: now"):
            choose([now], moment_ns)


def test_a_session_names_its_video_and_what_cannot_be_read_is_said() -> None:
    head = b"v=0\r\nm=audio 0 RTP/AVP 0\r\na=control:track2\r\nm=video 0 RTP/AVP 98\r\n"
    assert read_sdp(
        head + b"a=rtpmap:98 h265/90000\r\na=fmtp:98 sprop-vps=AAE=;sprop-sps=AgM=\r\na=control:rtsp://x/y\r\n"
    ) == Track(H265, "rtsp://x/y", b"\0\0\0\1\0\1\0\0\0\1\2\3")
    for body, code in ((b"", "no_stream"), (head, "codec"), (head + b"a=rtpmap:98 JPEG/90000\r\n", "codec")):
        with pytest.raises(CameraFault, match=code):
            read_sdp(body)


def test_ntp_time_is_read_in_both_of_its_eras() -> None:
    assert (
        clock_text(ntp_ns((2_208_988_800 + 1_795_651_200).to_bytes(4, "big") + b"\x80\0\0\0")) == "20261126T000000.500Z"
    )
    assert ntp_ns(bytes(8)) == ((1 << 32) - 2_208_988_800) * S, "2036-02-07"


def test_a_packet_of_somebody_elses_replay_is_read() -> None:
    """GStreamer 1.22.0: rtph264pay aggregate-mode=zero-latency ! rtponviftimestamp."""
    wire = Depacketizer(H264)
    said = "906045fe42f937509277b3f2abac0003edae8ec000000000a0000000"
    assert (
        wire.feed(
            bytes.fromhex(f"{said}7800020910001d6742c015d902847e5c05a8303035280000030008000003005478b17240000468cb8cb2")
        )
        == []
    )
    [picture] = wire.end()
    assert [unit[0] & 31 for unit in picture.units] == [9, 7, 8], "delimiter and parameters, in one packet"
    assert picture.at_ns == (0xEDAE8EC0 - 2_208_988_800) * S


def packet(sequence: int, payload: bytes, *, marker: bool = False, timestamp: int = 0) -> bytes:
    return (
        bytes((0x80, 96 | marker << 7)) + sequence.to_bytes(2, "big") + timestamp.to_bytes(4, "big") + b"ssrc" + payload
    )


def test_units_come_whole_together_and_in_pieces() -> None:
    wire = Depacketizer(H264)
    assert wire.feed(packet(0, b"\x18\0\2\x67A\0\2\x68B")) == [], "two in one"
    assert wire.feed(packet(1, b"\x7c\x85CC")) == []
    [picture] = wire.feed(packet(2, b"\x7c\x45DD", marker=True))
    assert (picture.units, picture.is_key, picture.at_ns) == ([b"\x67A", b"\x68B", b"\x65CCDD"], True, None)
    wire.feed(packet(3, b"\x7c\x81EE", timestamp=9))
    assert wire.feed(packet(5, b"\x7c\x41FF", marker=True, timestamp=9)) == [], "a piece of it was lost"
    [first] = [*wire.feed(packet(6, b"\x41G", timestamp=18)), *wire.feed(packet(7, b"\x41H", timestamp=27))]
    assert first.units == [b"\x41G"], "ended by the next one's time"
    assert wire.end()[0].units == [b"\x41H"]
    heavy = Depacketizer(H265)
    assert heavy.feed(packet(0, b"\x60\1\0\3\x40\1A\0\3\x42\1B")) == []
    heavy.feed(packet(1, b"\x62\1\x93CC"))
    [picture] = heavy.feed(packet(2, b"\x62\1\x53DD", marker=True))
    assert (picture.units, picture.is_key) == ([b"\x40\1A", b"\x42\1B", b"\x26\1CCDD"], True)


def test_parameters_that_are_not_even_ascii_are_left_out() -> None:
    body = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 sprop-parameter-sets=Z0I\u0391,aM48gA==\r\n"
    assert read_sdp(body.encode()).parameters == b"\0\0\0\1" + bytes.fromhex("68ce3c80")


@given(st.lists(st.binary(max_size=40), max_size=20), st.sampled_from([H264, H265]))
def test_no_packet_raises(packets: list[bytes], codec: str) -> None:
    wire, pictures = Depacketizer(codec), []
    for data in packets:
        pictures += wire.feed(data)
        pictures += wire.feed(b"\x90\xe0\0\1\0\0\0\1ssrc" + data)
    pictures += wire.end()
    taken = sum(len(unit) for picture in pictures for unit in picture.units)
    assert taken <= sum(12 + 2 * len(data) for data in packets), "nothing is made up"


@pytest.mark.asyncio
async def test_many_at_once_leave_no_connection_behind(seconds: dict[str, bytes], tmp_path: Path) -> None:
    async with RtspCamera(b"", seconds["H264"], kept_from_ns=BEGAN_NS) as player:
        source = Source("127.0.0.1", player.port, REPLAY, Credentials(player.user, player.password))
        clips = await asyncio.gather(*(pull(source, ALARM_NS - n * PICTURE_NS, ALARM_NS) for n in range(5)))
        assert [clip.pictures for clip in clips] == [1, 5, 4, 3, 2], "from its own key frame each"
        assert [clip.at_ns for clip in clips] == [ALARM_NS - n * PICTURE_NS for n in range(5)]
        async with asyncio.timeout(PATIENCE_S):
            while player._tasks:
                await asyncio.sleep(0.01)


class SlowRecorder(Camera):
    """Its recording is written a while after the moment: what was asked is in `asked`."""

    def __init__(self, misses: int) -> None:
        settings = Settings(id="hall", host="127.0.0.1", points=("*",), before_method="onvif", probe_s=3600.0)
        super().__init__(settings, max_bytes=1, wall_ns=lambda: 0)
        self.asked: list[str] = []
        self.watch: Watch
        self._misses = misses

    async def snapshot(self, *, anew: bool = False) -> Shot:
        self.asked.append("probe" if anew else "now")
        return Shot(b"", 0, None)

    async def look_for_recording(self) -> None: ...

    async def before(self, moment_ns: int, end_ns: int, clock_off_ns: int | None) -> Shot:
        self.asked.append(f"{(moment_ns - end_ns) / S:+}")
        if "second alarm" not in self.asked:
            self.asked.append("second alarm")
            self.watch.alarm(Cause("e2", "x", ALARM_NS + S))
        if self._misses and end_ns == ALARM_NS:
            self._misses -= 1
            raise CameraFault("no_moment")
        return Shot(b"", moment_ns, None)


@pytest.mark.asyncio
@pytest.mark.parametrize(("misses", "shots"), [(2, ["alarm", "before", "before"]), (3, ["alarm"])])
async def test_a_recorder_that_writes_late_is_asked_again_and_a_new_alarm_goes_between(
    misses: int, shots: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "KEPT_AFTER_S", 0.01)
    one, taken = SlowRecorder(misses), list[Taken]()

    async def take(picture: Taken) -> None:
        taken.append(picture)

    one.watch = watch = Watch(one, after_s=0.0, taken=take, state=lambda *_: None)
    watch.alarm(Cause("e1", "x", ALARM_NS))
    running = asyncio.create_task(watch.run())
    total = len(shots) + 3
    await until(
        lambda: len(taken) == total and watch.counts["failed"] == (misses == 3), "both alarms have what there is"
    )
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [picture.shot for picture in taken if picture.causes[0].event == "e1"] == shots
    asked = one.asked
    new = asked.index("second alarm")
    assert asked[new + 1] == "now", "in front of what is left of the first one's"
    assert [what for what in asked if what == "-5.0"] == ["-5.0"] * (min(misses + 1, 3) + 1), "of the second one's too"


@pytest.mark.asyncio
async def test_an_alarm_has_two_pictures_from_before_it_and_a_camera_that_lost_its_card_is_a_fault(
    seconds: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RETRY_S", "PROBE_AGAIN_S", "KEPT_AFTER_S"):
        monkeypatch.setattr(watch_module, name, 0.05)
    began_ns = time.time_ns() - 3600 * S
    recordings = (kept.Recording("R_1", began_ns),)
    async with (
        site() as place,
        RtspCamera(b"", seconds["H264"], kept_from_ns=began_ns) as player,
        onvif_camera.Camera(time.time_ns, recordings=recordings, replay_port=player.port) as there,
    ):
        told = {"method": "onvif", "path": "", "before_method": "onvif", "probe_s": 0.2}
        with_camera(place, there, media=Media(after_s=0.0), **told)
        async with place.running() as house, watching(place) as process:
            await house.until(lambda: house.source("camera/hall")["up"], "the camera answers")
            fire(house, "panel1/1-27")
            watch = process.watches["hall"]
            await house.until(lambda: watch.counts["pictures"] == 3 and not process._waiting, "three are kept")
            there.recordings = ()
            await house.until(lambda: "camera/hall/before" in house.alarms(Kind.FAULT), "its card is gone")
            assert house.source("camera/hall")["up"], "what it sees now, it gives"
            fire(house, "panel1/1-28")
            await house.until(lambda: watch.counts["pictures"] == 4 and not process._waiting, "the picture of now")
            there.recordings = recordings
            await house.until(
                lambda: all(a.point != "camera/hall/before" or not a.active for a in house.core.alarms.alarms()),
                "it has one again",
            )
        found = [about for about, _ in pictures(await asyncio.to_thread(media_of, place))]
        said = [(about["shot"], about["before"], about.get("before_why")) for about in found]
        assert said[:3] == [("alarm", "kept", None), ("before", "kept", None), ("before", "kept", None)]
        assert said[3:] == [("alarm", "not_kept", "no_recording")]
        [event] = [
            record for record in await place.records() if record["point"] == "panel1/1-27" and record["kind"] == "fire"
        ]
        early_s = [(event["at"]["wall_ns"] - int(str(about["taken_wall_ns"]))) / 1e9 for about in found[1:3]]
        assert abs(early_s[0] - early_s[1] - 2.5) < 0.3, "five seconds before it, and half of that"
