"""Pictures on their way to a centre: real journal, real mosquitto, either store; after everything else, over no metered path."""

import asyncio
import hashlib
import json
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from buffer.records import Priority
from edge_agent.clock import SystemClock
from edge_agent.config.load import load
from edge_agent.config.uplinks import Link
from edge_agent.media import PART_BYTES, assemble, parts_of
from edge_agent.uplink.choice import Rule
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.outbox import FLOOR_EVERY
from edge_agent.uplink.policy import PolicyLink, Way
from edge_agent.uplink.traffic import Traffic
from simulators.camera import jpeg
from tests.brokers import Broker
from tests.centre.test_service import edge_centre
from tests.uplink.site import (
    GATEWAY,
    MemoryJournal,
    event_body,
    fill_journal,
    running_centre,
    running_uplink,
    site_config,
    stored,
)
from tests.uplink.test_outbox import NOTHING, outbox, send
from tests.uplink.test_policy import NOBODY, Road
from tests.waiting import until

STREAMS = ("alarm", "fault", "status", "telemetry", "media")


def records_of(picture: bytes, name: str) -> list[bytes]:
    """Journal bodies of a picture, as the core makes them."""
    at = {"boot": "b", "mono_ns": 1, "wall_ns": 2, "clock": "synced"}
    about = {
        **{"bytes": len(picture), "sha256": hashlib.sha256(picture).hexdigest(), "type": "image/jpeg", "shot": "alarm"},
        **{
            "events": ["e1"],
            "points": ["panel1/1-1"],
            "more": 0,
            "before": "not_kept",
            "taken_wall_ns": 1_800_000_000 * 10**9,
        },
    }
    told = []
    for part, of, data in parts_of(picture):
        body = {"picture": name, "part": part, "of": of, "at": at, "source": "camera/hall", "data": data}
        told.append(json.dumps(body | (about if part == 1 else {})).encode())
    return told


@pytest.mark.asyncio
@pytest.mark.parametrize("encoding", ["json", "cbor"])
async def test_a_picture_arrives_whole_at_a_centre_that_wants_it(tmp_path: Path, encoding: str) -> None:
    picture = jpeg(200_000, "the hall")
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as there:
        config = site_config(tmp_path / "site", broker.port, streams=STREAMS, encoding=encoding)
        bodies = records_of(picture, "p1") + records_of(jpeg(30_000, "other"), "p2")[:1]
        fill_journal(config.gateway.data_dir, Priority.MEDIA, bodies)
        async with running_uplink(config) as uplink:
            box = uplink.destinations[0].outbox
            await until(lambda: box.streams() and box.pending(Priority.MEDIA) == 0, "all is confirmed")
        out = tmp_path / "out"
        done = await asyncio.to_thread(edge_centre, "media", "--db", str(there), "--out", str(out), "--json")
    rows = json.loads(done.stdout)
    assert [(row["picture"], row["whole"], row["parts"], row["of"]) for row in rows] == [
        ("p1", True, 9, 9),
        ("p2", False, 1, 2),
    ]
    assert done.returncode == 1, "one of them is not whole"
    assert (out / f"{GATEWAY}-camera_hall-p1.jpg").read_bytes() == picture
    assert len(list(out.iterdir())) == 1


@pytest.mark.asyncio
async def test_an_alarm_overtakes_a_backlog_of_pictures_and_a_centre_that_wants_none_gets_none(tmp_path: Path) -> None:
    journal = MemoryJournal()
    for body in records_of(jpeg(2_000_000, "many"), "p1"):
        journal.append(Priority.MEDIA, body)
    with Broker(tmp_path) as broker:
        with running_centre(tmp_path / "centre", broker):
            pass  # the broker keeps what comes for it from now on
        config = site_config(tmp_path, broker.port, streams=STREAMS, unconfirmed_s=600.0)
        async with running_uplink(config, journal) as uplink:
            box = uplink.destinations[0].outbox
            await until(lambda: box.in_flight, "pictures are on the wire, and nobody answers")
            for n in range(1, 11):
                journal.append(Priority.ALARM, event_body(n))
                uplink.destinations[0].alarm(journal.epoch, n, event_body(n))
            await until(
                lambda: any(f.batch.priority is Priority.ALARM for s in box.streams() for f in s.flights), "sent"
            )
            with running_centre(tmp_path / "centre", broker) as there:
                await until(lambda: box.pending(Priority.MEDIA) == 0, "the pictures are there")
                await until(lambda: stored(there, "alarm") == list(range(1, 11)), "and the alarms")
        received = {stream: times(there, stream) for stream in ("alarm", "media")}
        assert max(received["alarm"]) < max(received["media"])
    with Broker(tmp_path / "b2") as broker, running_centre(tmp_path / "centre2", broker) as there:
        config = site_config(tmp_path / "site2", broker.port)
        async with running_uplink(config, journal):
            await until(lambda: stored(there, "alarm") == list(range(1, 11)))
            assert stored(there, "media") == []


def times(there: Path, stream: str) -> list[int]:
    from simulators.centre import query

    with query.opened(there) as database:
        rows: Iterable[tuple[int]] = database.execute(
            "SELECT received_ns FROM records JOIN streams USING (stream_id) WHERE stream = ?", (stream,)
        ).fetchall()
    return [ns for (ns,) in rows]


def test_pictures_go_after_everything_and_never_take_the_floor_of_readings() -> None:
    box = outbox({Priority.MEDIA: 50, Priority.TELEMETRY: 1000, Priority.ALARM: 1000})
    picked = []
    for _ in range(3 * FLOOR_EVERY):
        want = box.pick(10**6, 10**9, NOTHING)
        assert want is not None
        picked.append(want.stream.priority)
        send(box, want, 1)
    assert picked.count(Priority.TELEMETRY) == 3
    assert Priority.MEDIA not in picked
    only = outbox({Priority.MEDIA: 3})
    assert all(only.pick(64, 10**6, NOTHING) is not None for _ in range(2 * FLOOR_EVERY))


@pytest.mark.asyncio
@pytest.mark.parametrize("metered", [False, True])
async def test_pictures_wait_for_a_path_that_is_not_paid_by_the_byte(tmp_path: Path, metered: bool) -> None:
    eth, cell = Road("eth", "ethernet"), Road("4g", "cellular")
    ledger = Ledger.open(tmp_path / "delivery.db")
    links = [Link(id="eth"), Link(id="4g", kind="cellular")]
    traffic = Traffic(links, ledger, SystemClock(), lambda link, percent: None)
    ways = [Way(Rule(id=road.id, probe_s=9, misses=2, hold_s=9), road, road, road.probe) for road in (eth, cell)]
    policy = PolicyLink(ways, rng=random.Random(1), traffic=traffic, media_metered=metered)
    assert Priority.MEDIA not in (await policy.open(NOBODY)).withheld
    eth.refuses = "no_route"
    assert ((await policy.open(NOBODY)).withheld == {Priority.MEDIA}) is not metered
    ledger.close()


def test_a_picture_is_whole_only_with_all_its_parts_and_its_sum() -> None:
    picture = jpeg(PART_BYTES * 3, "x")
    parts = [json.loads(body) for body in records_of(picture, "p")]
    found = assemble(parts[::-1] + parts)
    assert found is not None
    assert found[1] == picture, "in any order, and twice"
    assert assemble(parts[1:]) is None
    assert assemble(parts[:-1]) is None
    assert assemble([{**parts[0], "sha256": "0" * 64}, *parts[1:]]) is None
    assert assemble([{**parts[0], "of": 10**9}, *parts[1:]]) is None
    assert assemble([parts[0], {**parts[1], "data": "%"}, *parts[2:]]) is None


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("", {"camera_no_centre"}),
        ('method = "http"\n', {"camera_path", "camera_no_centre"}),
        ('path = "/x"\n', {"not_used", "camera_no_centre"}),
        ("tls = true\n", {"half_pair", "camera_no_centre"}),
        ('before_path = "/kept"\n', {"camera_before", "camera_no_centre"}),
        ('before_method = "onvif"\n', {"camera_no_centre"}),
        ('before_method = "onvif"\nbefore_path = "/kept"\n', {"not_used", "camera_no_centre"}),
        ('before_recording = "R_1"\n', {"not_used", "camera_no_centre"}),
        ('method = "http"\npath = "/snap.cgi?usr=admin&pwd=12345"\n', {"secret", "camera_no_centre"}),
        ('method = "rtsp"\npath = "/user={user}&password={password}&channel=1"\n', {"camera_no_centre"}),
        ('path = "http://u:p@cam/x"\n', {"secret", "camera_no_centre"}),
        ('[[uplink]]\nid = "c"\nhost = "127.0.0.1"\nstreams = ["alarm", "media"]\n', set()),
    ],
)
def test_what_gives_no_picture_is_said_before_an_alarm(tmp_path: Path, text: str, codes: set[str]) -> None:
    head = '[gateway]\nid = "ZG-360700-0123"\n[board]\ngpio = "gpiod"\noutputs = { buzzer = 2 }\n[[contact]]\nid = "x"\nline = 1\n'
    one = '[[camera]]\nid = "hall"\nhost = "192.168.1.64"\npoints = ["x"]\ncredentials_file = "/etc/x.cred"\n'
    (tmp_path / "config.toml").write_text(head + one + text, "utf-8")
    assert {finding.code for finding in load(tmp_path).findings} == codes


@pytest.mark.parametrize("page", ["cameras.md", "cameras.zh.md"])
def test_the_example_of_the_page_is_sound(tmp_path: Path, page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text("utf-8")
    example = text.split("```toml\n")[1].split("```")[0]
    head = '[gateway]\nid = "ZG-360700-0123"\n[board]\ngpio = "gpiod"\noutputs = { buzzer = 2 }\n[[contact]]\nid = "x"\nline = 1\n'
    head += '[[uplink]]\nid = "c"\nhost = "127.0.0.1"\nstreams = ["alarm", "fault", "status", "telemetry", "media"]\n'
    (tmp_path / "config.toml").write_text(head + example, "utf-8")
    loaded = load(tmp_path)
    assert loaded.findings == ()
    assert loaded.config is not None
    assert [camera.method for camera in loaded.config.cameras] == ["onvif", "http", "rtsp"]


def test_credentials_are_looked_at_before_they_are_needed(tmp_path: Path) -> None:
    head = '[gateway]\nid = "ZG-360700-0123"\n[board]\ngpio = "gpiod"\noutputs = { buzzer = 2 }\n[[contact]]\nid = "x"\nline = 1\n'
    head += '[[camera]]\nid = "hall"\nhost = "192.168.1.64"\npoints = ["x"]\ncredentials_file = "login.cred"\n'
    (tmp_path / "config.toml").write_text(head, "utf-8")
    secret = tmp_path / "login.cred"
    cases = [(None, 0, "tls_missing"), ("viewer", 0o600, "credentials_form")]
    cases += [("viewer:x", 0o644, "tls_key_open"), ("viewer:x", 0o600, "")]
    for body, mode, code in cases:
        if body is not None:
            secret.write_text(body, "utf-8")
            secret.chmod(mode)
        found = {finding.code for finding in load(tmp_path, check_tls=True).findings} - {"camera_no_centre"}
        assert found == ({code} if code else set())
