"""The panel driver over a real pty: every capture becomes an event, repeats do not, losses are told."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from drivers.codecs.fuan_fs5101w import answer as fuan_answer
from drivers.codecs.gst_layer_bus import encode_event
from drivers.codecs.jb3208_crt import confirm as jb3208_confirm
from drivers.codecs.siemens_ct11 import encode as ct11_block
from drivers.codecs.simplex_cpi import encode as cpi_message
from drivers.messages import LinkState, Observation, PanelEvent, Reading
from drivers.panel import PanelDriver
from drivers.profile import Profile, ProfileError, load_profiles
from simulators.panel import PanelSim
from simulators.panel_talk import TALKS as PROTOCOLS
from tests.waiting import PATIENCE_S, until

CAPTURES = Path(__file__).parents[1] / "captures"
PROFILES = load_profiles(())
COPIES_S = 1.0  # of gst-layer-bus: what comes again sooner is a copy
VECTORS: list[dict[str, Any]] = [
    vector
    for name in (*PROTOCOLS, "siemens-ct11", "siemens-fc18r-printer", "simplex-4100-cpi", "notifier-afp2800-printer")
    for vector in json.loads((CAPTURES / f"{name}.json").read_text("utf-8"))
    if vector["meaning"].get("event") and vector["meaning"]["event"] not in ("mains_fault", "battery_fault")
    if "records" not in vector["meaning"] and vector["meaning"].get("info_type") != "battery"  # told otherwise: below
]
SEVERAL = [v for v in json.loads((CAPTURES / "jb3208-crt.json").read_text("utf-8")) if "records" in v["meaning"]]
POINT = {"gst100-microprinter": "1-27"} | {
    name: f"1-{address}"  # the panel's number stands before it
    for name, address in {
        "aorina-oxx20": "7-84",
        "fuan-fs5101w": "1-1",
        "jb3208-crt": "3-30",
        "jbf-193k": "1-2",
    }.items()
}
ADDRESS = {
    "gst-layer-bus": "365089",
    "gst-crt500": "001004",
    "gst9000-printer": "4-4",
    "lida-ld128e": "20-208",
    "jbf-11s-old": "27-164",
    "aorina-oxx20": "7-84",
    "fuan-fs5101w": "1-1",
    "gst-utd-digit": "304-19",
    "gst100-microprinter": "1-027",
    "jb3208-crt": "3-30",
    "jbf-193k": "1-2",
}


class Seen:
    """A sink that keeps what it was told."""

    def __init__(self) -> None:
        self.all: list[Observation] = []
        self.times_s: list[float] = []  # of the loop, which does not count what a busy machine takes

    def __call__(self, observations: Sequence[Observation]) -> None:
        self.all += observations
        self.times_s += [asyncio.get_running_loop().time()] * len(observations)

    @property
    def events(self) -> list[PanelEvent]:
        return [one for one in self.all if isinstance(one, PanelEvent)]

    @property
    def links(self) -> list[tuple[bool, str]]:
        return [(one.up, one.reason) for one in self.all if isinstance(one, LinkState)]


def changed(name: str, **link: object) -> Profile:
    """The shipped profile with other [link] values."""
    profile = PROFILES.get(name)
    table = profile.data["link"]
    assert isinstance(table, dict)
    data = {**profile.data, "link": {**table, **link}}
    return Profile(profile.name, profile.kind, data, profile.path)


@contextlib.asynccontextmanager
async def site(
    tmp_path: Path,
    protocol: str,
    *,
    paced: bool = False,
    profile: Profile | None = None,
    silence_s: float | None = None,
) -> AsyncIterator[tuple[PanelSim, PanelDriver, Seen]]:
    seen = Seen()
    async with PanelSim(protocol, link=tmp_path / "port", paced=paced) as panel:
        driver = PanelDriver(
            id="panel1", profile=profile or PROFILES.get(protocol), port=str(tmp_path / "port"), silence_s=silence_s
        )
        task = asyncio.create_task(driver.run(seen))
        try:
            await until(lambda: bool(seen.links))
            yield panel, driver, seen
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.asyncio
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
async def test_a_capture_on_the_line_becomes_its_event(tmp_path: Path, vector: dict[str, Any]) -> None:
    meaning = vector["meaning"]
    silence_s = 0 if vector["protocol"] not in PROTOCOLS else PROFILES.get(vector["protocol"]).link.silence_s
    polled = PROFILES.get(vector["protocol"]).link.poll_s is not None
    fast = changed(vector["protocol"], silence_s=silence_s, **({"poll_s": 0.05} if polled else {}))
    async with site(tmp_path, vector["protocol"], profile=fast) as (panel, _, seen):
        data = vector["data"]
        await panel.say(bytes.fromhex(data) if vector["encoding"] == "hex" else data.encode(vector["encoding"]))
        await until(lambda: bool(seen.events))
        told = seen.events[0]
        manual = meaning.get("manual") or told.fields.get("manual")
        event = "fire_manual" if manual else meaning["event"]
        assert told.event == event
        read = {
            key: value for key, value in meaning.items() if key not in ("note", "kind", "frames", "distinct_events")
        }
        assert {key: told.fields.get(key) for key in read} == read
        assert told.raw
        assert len(seen.events) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_fire_at_line_pace_is_told_when_its_frame_is_complete(tmp_path: Path, protocol: str) -> None:
    async with site(tmp_path, protocol, paced=True) as (panel, _, seen):
        await panel.raise_event("fire", ADDRESS[protocol])
        written_s = asyncio.get_running_loop().time()
        await until(lambda: bool(seen.events))
        told_s = seen.times_s[seen.all.index(seen.events[0])]
        assert told_s - written_s < 0.05, "no pause is waited for: that would be 60 ms at least"
        assert (seen.events[0].point, seen.events[0].event) == (
            f"panel1/{POINT.get(protocol, ADDRESS[protocol])}",
            "fire",
        )


@pytest.mark.asyncio
@pytest.mark.parametrize("vector", SEVERAL, ids=lambda vector: vector["name"])
async def test_a_frame_of_several_records_is_an_event_for_each(tmp_path: Path, vector: dict[str, Any]) -> None:
    async with site(tmp_path, vector["protocol"]) as (panel, _, seen):
        await panel.say(bytes.fromhex(vector["data"]))
        records = vector["meaning"]["records"]
        await until(lambda: len(seen.events) >= len(records))
        assert [told.point for told in seen.events] == [
            f"panel1/{r['panel']}-{r['loop']}-{r['point']}" for r in records
        ]
        manual = [r["type"] == 5 and vector["meaning"]["event"] == "fire" for r in records]
        assert [told.event == "fire_manual" for told in seen.events] == manual


@pytest.mark.asyncio
async def test_what_an_electrical_fire_host_measures_is_a_reading_of_its_point(tmp_path: Path) -> None:
    live = [v for v in json.loads((CAPTURES / "fse-v3818.json").read_text("utf-8")) if "value" in v["meaning"]]
    second_channel = bytes.fromhex("66 F0 00 10 20 01 00 2A 00 FD")
    async with site(tmp_path, "fse-v3818", profile=changed("fse-v3818", silence_s=0)) as (panel, _, seen):
        for frame in (*(bytes.fromhex(vector["data"]) for vector in live), second_channel):
            await panel.say(frame)
        await until(lambda: len(readings(seen)) == 4)
    assert readings(seen) == {
        "panel1/panel/temperature_degc": 79,
        "panel1/0-1/temperature_degc": 19,
        "panel1/0-1/residual_current_ma": 21,
        "panel1/0-1/residual_current_ma_1": 42,
    }
    assert seen.events == []


def readings(seen: Seen) -> dict[str, float | bool]:
    return {one.point: one.value for one in seen.all if isinstance(one, Reading)}


@pytest.mark.asyncio
async def test_a_supply_that_is_back_is_told_as_that(tmp_path: Path) -> None:
    vectors = json.loads((CAPTURES / "fuan-fs5101w.json").read_text("utf-8"))
    raw = next(v["data"] for v in vectors if v["meaning"].get("info_type") == "battery")
    async with site(tmp_path, "fuan-fs5101w") as (panel, _, seen):
        await panel.say(bytes.fromhex(raw))
        await until(lambda: bool(seen.events))
        assert [(told.point, told.event) for told in seen.events] == [("panel1/panel", "battery_ok")]


ANSWERS = {
    "gst-utd-digit": b"\x0a",
    "jb3208-crt": jb3208_confirm(1),
    "fuan-fs5101w": fuan_answer(1, resend_all=True),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", ANSWERS)
async def test_a_panel_that_wants_an_answer_gets_it_and_none_beside_another_listener(
    tmp_path: Path, protocol: str
) -> None:
    async with site(tmp_path, protocol) as (panel, driver, _):
        await until(lambda: ANSWERS[protocol] in bytes(panel.heard))
        assert driver.counters()["answered"] >= 1
    async with site(tmp_path, protocol, profile=changed(protocol, answer=False)) as (panel, driver, seen):
        await panel.raise_event("fire", ADDRESS[protocol])
        await until(lambda: bool(seen.events))
        assert not panel.heard
        assert driver.counters()["tx_bytes"] == 0


@pytest.mark.asyncio
async def test_three_copies_on_the_bus_are_one_event_and_a_second_fire_comes_through(tmp_path: Path) -> None:
    async with site(tmp_path, "gst-layer-bus", paced=True) as (panel, driver, seen):
        await panel.raise_event("fire", "365089")
        await until(lambda: driver.counters()["repeat"] == 2)
        assert len(seen.events) == 1
        await asyncio.sleep(COPIES_S + 0.1)  # the pause itself, by the loop's clock: it may be longer, never shorter
        await panel.raise_event("fire", "365089")
        await until(lambda: driver.counters()["repeat"] == 4)
        assert [told.event for told in seen.events] == ["fire", "fire"]


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", ["gst-layer-bus", "gst9000-printer", "jbf-11s-old"])
async def test_bytes_in_five_millisecond_slices_make_the_same_event(tmp_path: Path, protocol: str) -> None:
    frame = {
        "gst-layer-bus": encode_event(0x15, "365089", 3, "5#楼"),
        "gst9000-printer": "08/12/02  17:24\n  004-004\n首次火警\n大堂\n感烟探测器\n".encode("gb18030"),
        "jbf-11s-old": bytes.fromhex("FFFFFF0A01016E001300001BA4141108170F151F000000000000000001D3"),
    }[protocol]
    profile = changed("jbf-11s-old", poll_s=60, silence_s=0) if protocol == "jbf-11s-old" else None
    async with site(tmp_path, protocol, profile=profile) as (panel, driver, seen):
        for at in range(0, len(frame), 3):
            await panel.inject(frame[at : at + 3])
            await asyncio.sleep(0.005)  # the slicing itself
        await until(lambda: bool(seen.events))
        assert seen.events[0].event == "fire"
        assert driver.counters()["refused"] == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_port_that_vanishes_is_told_and_its_return_too(tmp_path: Path, protocol: str) -> None:
    async with site(tmp_path, protocol) as (panel, driver, seen):
        await panel.hang_up()
        await until(lambda: seen.links[-1] == (False, "hang_up"))
        await panel.come_back()
        await until(lambda: seen.links[-1][0])
        assert [up for up, _ in seen.links] == [True, False, True]
        await panel.raise_event("fire", ADDRESS[protocol])
        await until(lambda: bool(seen.events))
        assert driver.counters()["reopened"] == 1


@pytest.mark.asyncio
async def test_a_port_that_was_never_there_is_told(tmp_path: Path) -> None:
    seen = Seen()
    driver = PanelDriver(id="panel1", profile=PROFILES.get("gst-layer-bus"), port=str(tmp_path / "none"))
    task = asyncio.create_task(driver.run(seen))
    await until(lambda: seen.links == [(False, "no_port")])
    beats = driver.progress()
    await until(lambda: driver.progress() > beats + 1)  # alive all the same
    assert seen.links == [(False, "no_port")], "told once"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", ["gst-layer-bus", "lida-ld128e", "jbf-11s-old", "gst-crt500"])
async def test_a_panel_that_falls_silent_is_told_and_again_when_it_speaks(tmp_path: Path, protocol: str) -> None:
    async with site(tmp_path, protocol, silence_s=4.0) as (panel, _, seen):
        assert seen.links == [(True, "answering")]
        panel.silent = True
        await until(lambda: seen.links[-1] == (False, "silent"))
        panel.silent = False
        await until(lambda: seen.links[-1] == (True, "answering"))


@pytest.mark.asyncio
async def test_a_printer_may_be_silent_for_ever(tmp_path: Path) -> None:
    async with site(tmp_path, "gst9000-printer") as (_, driver, seen):
        beats = driver.progress()
        await until(lambda: driver.progress() > beats + 2)
        assert seen.links == [(True, "opened")]


@pytest.mark.asyncio
async def test_garbage_is_counted_kept_and_told_and_hides_no_fire(tmp_path: Path) -> None:
    chance = random.Random(3)
    async with site(tmp_path, "gst-layer-bus", profile=changed("gst-layer-bus", garbage_burst=5)) as (
        panel,
        driver,
        seen,
    ):
        for _ in range(5):
            await panel.noise(20, chance)
            await panel.inject(bytes.fromhex("AA0400 00"))
        await until(lambda: seen.links[-1] == (False, "garbage"))
        await panel.raise_event("fire", "365089")
        await until(lambda: any(told.event == "fire" for told in seen.events))
        assert driver.counters()["refused"] >= 5
        kept = driver.refused()
        assert len(kept) >= 5
        assert all(one.raw and one.why for one in kept)


@pytest.mark.asyncio
async def test_refusals_are_kept_in_a_bounded_ring(tmp_path: Path) -> None:
    async with site(tmp_path, "lida-ld128e", profile=changed("lida-ld128e", poll_s=60, silence_s=0)) as (
        panel,
        driver,
        _,
    ):
        for _ in range(100):
            await panel.inject(b"\x60" * 40 + b"\x7f")
        await until(lambda: driver.counters()["noise_bytes"] >= 4000)
        assert len(driver.refused()) <= 64


@pytest.mark.asyncio
async def test_text_nobody_can_parse_is_a_fault_with_its_bytes(tmp_path: Path) -> None:
    async with site(tmp_path, "gst9000-printer") as (panel, driver, seen):
        text = "操作员登录\n\n".encode("gb18030")
        await panel.say(text)
        await until(lambda: bool(seen.events))
        told = seen.events[0]
        assert (told.point, told.event, told.fields["reason"]) == ("panel1/panel", "fault", "unparsed")
        assert told.raw == text
        assert driver.counters()["unparsed"] == 1


@pytest.mark.asyncio
async def test_text_that_speaks_of_fire_is_an_unknown_alarm_with_its_bytes(tmp_path: Path) -> None:
    async with site(tmp_path, "gst9000-printer") as (panel, _, seen):
        text = "##疑似火警##\n\n".encode("gb18030")
        await panel.say(text)
        await until(lambda: bool(seen.events))
        assert (seen.events[0].event, seen.events[0].raw) == ("unknown", text)


@pytest.mark.asyncio
async def test_a_mains_fault_is_told_only_if_it_stays(tmp_path: Path) -> None:
    profile = PROFILES.get("lida-ld128e")
    short = Profile(profile.name, "panel", {**profile.data, "hold_s": {"mains_fault": 0.6}}, profile.path)
    async with site(tmp_path, "lida-ld128e", profile=short) as (panel, _, seen):
        await panel.say(bytes.fromhex("12D081"))
        await panel.say(bytes.fromhex("120000"))  # back within the time
        await until(lambda: bool(seen.events))
        assert [told.event for told in seen.events] == ["mains_ok"]
        began_ns = round(asyncio.get_running_loop().time() * 1e9)
        await panel.say(bytes.fromhex("12DF03"))
        await until(lambda: seen.events[-1].event == "mains_fault")
        assert seen.events[-1].at_ns - began_ns >= 550_000_000
        assert seen.events[-1].point == "panel1/panel"


@pytest.mark.asyncio
async def test_a_fault_that_has_to_last_is_held_for_each_point_by_itself(tmp_path: Path) -> None:
    profile = PROFILES.get("gst-layer-bus")
    slow = Profile(profile.name, "panel", {**profile.data, "hold_s": {"fault": 0.2}}, profile.path)
    async with site(tmp_path, "gst-layer-bus", profile=slow) as (panel, _, seen):
        await panel.raise_event("fault", "100001")
        await panel.raise_event("fault", "100002")
        await until(lambda: len(seen.events) == 2)
        assert {told.point for told in seen.events} == {"panel1/100001", "panel1/100002"}


@pytest.mark.asyncio
async def test_a_frame_our_own_bug_trips_over_is_an_alarm_all_the_same_and_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = PanelDriver._point

    def odd(self: PanelDriver, event: str, fields: Mapping[str, object]) -> str:
        if fields.get("user_code") == "100002":
            raise KeyError("odd")
        return point(self, event, fields)

    monkeypatch.setattr(PanelDriver, "_point", odd)
    driver = PanelDriver(id="panel1", profile=PROFILES.get("gst-layer-bus"), port=str(tmp_path / "panel1"))
    seen = Seen()
    async with PanelSim("gst-layer-bus", link=tmp_path / "panel1", paced=False) as panel:
        task = asyncio.create_task(driver.run(seen))
        await until(lambda: bool(seen.links))
        await panel.inject(b"".join(encode_event(0x15, f"10000{n}", 3, "") for n in (1, 2, 3)))
        with pytest.raises(KeyError):  # run() ends, so that its supervisor reports it
            await asyncio.wait_for(task, PATIENCE_S)
    told = [(event.point, event.event) for event in seen.events]
    assert told == [("panel1/100001", "fire"), ("panel1/panel", "unknown"), ("panel1/100003", "fire")]


@pytest.mark.asyncio
async def test_a_card_that_says_only_fb_is_a_fault_until_it_speaks_again(tmp_path: Path) -> None:
    profile = changed("lida-ld128e", wedged_s=1, poll_s=0.05)
    async with site(tmp_path, "lida-ld128e", profile=profile) as (panel, _, seen):
        panel.silent = True

        async def given_up() -> bool:
            await panel.inject(b"\xfb")
            return (False, "no_answer") in seen.links

        await until(given_up)
        assert [(told.point, told.event) for told in seen.events] == [("panel1/card", "fault")]
        panel.silent = False
        await until(lambda: seen.links[-1] == (True, "answering"))
        assert (seen.events[-1].point, seen.events[-1].event) == ("panel1/card", "fault_restore")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("protocol", "allowed"),
    [
        ("gst-layer-bus", set()),
        ("gst9000-printer", set()),
        ("lida-ld128e", {0x20}),
        ("jbf-11s-old", set(bytes.fromhex("FFFFFF090000016E010A0083"))),
        ("gst-crt500", {0x01, 0x00, 0x0F, 0x1F}),
    ],
)
async def test_nothing_but_polls_is_ever_sent(tmp_path: Path, protocol: str, allowed: set[int]) -> None:
    async with site(tmp_path, protocol) as (panel, _, seen):
        for event in ("fire", "fault", "reset"):
            await panel.raise_event(event, ADDRESS[protocol])
        await panel.noise(40, random.Random(1))
        await until(lambda: any(told.event == "reset" for told in seen.events))
        assert set(panel.heard) == allowed


@pytest.mark.asyncio
async def test_a_crt500_frame_that_was_refused_is_not_taken_over_and_comes_again(tmp_path: Path) -> None:
    async with site(tmp_path, "gst-crt500") as (panel, driver, seen):
        good = bytes.fromhex("0DDD00100403 01 18BB")
        await panel.say(good[:-2] + b"\x19\xbb")
        await until(lambda: driver.counters()["refused"] >= 2)  # refused, not taken over, refused again as FD
        assert seen.events == []
        assert driver.refused()[1].raw[0] == 0xFD


UNKNOWN = {
    "siemens-ct11": (ct11_block("X1"), b"\x06"),
    "simplex-4100-cpi": (cpi_message(0x31, 0x1E, "W: NOBODY KNOWS\r\n"), b"\x06"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", UNKNOWN)
async def test_a_sound_message_nobody_understands_is_confirmed_or_the_next_would_wait_behind_it(
    tmp_path: Path, protocol: str
) -> None:
    message, answer = UNKNOWN[protocol]
    async with site(tmp_path, protocol, profile=changed(protocol, silence_s=0)) as (panel, driver, seen):
        await panel.say(message)
        await until(lambda: bytes(panel.heard) == answer)
        assert [told.event for told in seen.events] == ["fault"]
        await panel.say(
            message[:-1] + bytes((message[-1] ^ 1,)) if protocol == "simplex-4100-cpi" else b"\x01T1\x02X1\x03!"
        )
        await until(lambda: driver.counters()["refused"] >= 2)
        assert bytes(panel.heard) == answer, "what is damaged has to come again"


def test_a_profile_cannot_make_the_gateway_send_a_command() -> None:
    profile = PROFILES.get("jbf-11s-old")
    evil = {**profile.data, "meaning": {**profile.data["meaning"], "poll": "FF FF FF 0D 01 01 6E 01 01 00 00 7F"}}  # type: ignore[dict-item]
    with pytest.raises(ProfileError, match="bad_meaning"):
        PanelDriver(id="p", profile=Profile("x", "panel", evil, profile.path), port="/dev/null")


def test_a_listening_profile_cannot_be_made_to_poll() -> None:
    with pytest.raises(ProfileError, match="poll_s"):
        PanelDriver(id="p", profile=changed("gst-layer-bus", poll_s=1), port="/dev/null")


@pytest.mark.asyncio
async def test_a_bug_in_the_sink_ends_run_so_that_it_is_seen(tmp_path: Path) -> None:
    def broken(observations: Sequence[Observation]) -> None:
        raise RuntimeError("planted")

    async with PanelSim("gst-layer-bus", link=tmp_path / "port", paced=False):
        driver = PanelDriver(id="panel1", profile=PROFILES.get("gst-layer-bus"), port=str(tmp_path / "port"))
        with pytest.raises(RuntimeError, match="planted"):
            async with asyncio.timeout(PATIENCE_S):
                await driver.run(broken)
