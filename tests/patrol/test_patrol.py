"""Tags and rounds in a whole core: real journal, real socket, real ptys, the real command line."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config.load import load
from edge_agent.config.model import Config, Gateway, Patrol, PatrolPoint, TagReader
from edge_agent.local_api import ApiError, LocalClient
from edge_agent.model import Clock, Event, Instant, Kind
from edge_agent.patrol.patrol import UNKNOWN_BURST, Patrols
from edge_agent.patrol.tags import UNKNOWN_MAX, Tags, tag_of
from edge_agent.points.state import Latches
from simulators.tag_reader import Rdm6300Reader
from tests.core.house import Site, site

ROOT = Path(__file__).parents[2]
S = 1_000_000_000
POINTS = (PatrolPoint(id="stair", name="三楼楼梯", tag="0008844356"), PatrolPoint(id="pump"))


def patrolled(place: Site) -> Site:
    return place.set(
        tag_readers=(TagReader(id="reader1", kind="rdm6300", port=str(place.directory / "reader")),),
        patrol_points=POINTS,
        patrols=(Patrol(id="night", points=("stair", "pump"), every_min=5, grace_min=1),),
    )


async def cli(place: Site, *words: str) -> tuple[int, str]:
    """Run the command line as people do."""
    socket = str(place.config.gateway.run_dir / "core.sock")
    command = [sys.executable, "-m", "edge_agent", "--lang", "en", "patrol", *words, "--socket", socket]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=ROOT, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.asyncio
async def test_a_tag_is_learned_on_site_read_kept_over_a_restart_and_forgotten() -> None:
    async with site() as place:
        wire = Rdm6300Reader(link=place.directory / "reader")
        wire.plug()
        async with patrolled(place).running() as house:
            await house.until(lambda: house.source("reader1")["up"], "the reader is there")
            learning = asyncio.create_task(cli(place, "learn", "pump", "--seconds", "60"))
            await house.until(lambda: house.core.patrols.learning, "the core learns")
            await wire.hold("0000D431")
            assert await learning == (
                0, "Hold the tag of pump to a reader within 60 s.\nThe tag of pump is 0000D431.\n")  # fmt: skip
            await wire.hold("0086F444")
            await wire.hold("00000BAD")
            await house.until(lambda: house.core.patrols.tags.unknown_reads, "a tag nobody knows")
            code, said = await cli(place, "status")
            assert code == 0, said
            assert all(word in said for word in ("0086F444", "0000D431 (learned)", "00000BAD", "read 1 times"))
        async with place.running() as house:
            assert house.core.patrols.tags.point_of("0000D431") == "pump"
            code, said = await cli(place, "learn", "stair", "--seconds", "1")
            assert (code, "in the configuration" in said) == (2, True), said
            house.core.patrols.learn("pump", 1, "test", house.core.now_ns())
            await house.until(
                lambda: (now := house.core.patrols.learning) and now.result == "timeout", "no tag was read"
            )
            assert await cli(place, "forget", "pump") == (0, "The tag of pump is forgotten.\n")
            assert not house.core.people.forget_tag("pump", "test"), "it had none any more"
        wire.unplug()
        told = [r for r in await place.records() if r["kind"] == "patrol"]
        assert [(r["point"], r["fields"]["result"]) for r in told] == [
            ("tag/pump", "learned"), ("tag/stair", "read"), ("tag/unknown", "unknown_tag"), ("tag/pump", "forgotten")]  # fmt: skip
        assert told[0]["fields"]["who"].startswith("cli:")
        assert (told[1]["name"], told[1]["source"]) == ("三楼楼梯", "reader1")


@pytest.mark.asyncio
async def test_a_reader_that_is_not_there_is_a_fault_and_no_reason_not_to_watch() -> None:
    async with site() as place, patrolled(place).running() as house:
        await house.until(lambda: house.source("reader1")["up"] is False, "it is missing")
        assert "reader1" in house.alarms(Kind.LINK)
        client = await LocalClient.connect(place.config.gateway.run_dir / "core.sock")
        with pytest.raises(ApiError, match="no_such_patrol_point"):
            await client.request("patrol_learn", point="moon")
        with pytest.raises(ApiError, match="bad_request"):
            await client.request("patrol_learn", point="pump", seconds=10**9)
        await client.close()


def patrols() -> Patrols:
    config = Config(gateway=Gateway(id="ZG-1"), patrol_points=POINTS)

    def new_event(kind: Kind, point: str, active: bool, at_ns: int, /, **more: Any) -> Event:
        return Event(id="e", kind=kind, point=point, active=active, at=Instant("b", at_ns, at_ns, Clock.SYNCED), **more)

    return Patrols(config, new_event=new_event)


def test_a_flood_of_unknown_tags_is_counted_shown_and_journalled_only_so_often() -> None:
    rules = patrols()
    events = [event for n in range(1000) for event in rules.read("reader1", f"{n:08X}", n)]
    assert len(events) == UNKNOWN_BURST
    assert len(rules.tags.unknown) == UNKNOWN_MAX
    assert rules.tags.unknown_reads == 1000
    [later] = rules.read("reader1", "CAFE0000", 120 * S)
    assert later.fields["unwritten"] == 1000 - UNKNOWN_BURST
    assert rules.read("reader1", "CAFE0000", 121 * S) == [], "the same one again is only counted"


def test_a_tag_that_hangs_elsewhere_is_not_learned_and_the_configuration_has_the_last_word() -> None:
    rules = patrols()
    rules.learn("pump", 60, "cli:root", 0)
    assert rules.read("reader1", "0086F444", S) == []
    assert rules.learning is not None
    assert (rules.learning.result, rules.learning.other) == ("in_use", "stair")
    rules.learn("pump", 60, "cli:root", 0)
    [event] = rules.read("reader1", "0000D431", S)
    assert event.fields == {"result": "learned", "reader": "reader1", "tag": "0000D431", "who": "cli:root"}
    state = {key: value for key, value in rules.dump().items() if value is not None}
    again = patrols()
    now = Instant("b", 0, 0, Clock.SYNCED)
    again.restore({**state, "pa:t:gone": b'{"tag":"01"}', "pa:t:pump2": b"["}, now)
    assert again.tags.point_of("0000D431") == "pump"
    assert again.dump() == {"pa:t:gone": None, "pa:t:pump2": None}


def test_the_number_printed_on_a_tag_is_the_one_its_chip_says() -> None:
    assert tag_of("0008844356") == "0086F444"
    assert (tag_of("134,62532"), tag_of("256,1"), tag_of("1,65536")) == ("86F444", "256,1", "1,65536")
    short = Tags([PatrolPoint(id="stair", tag="134,62532"), PatrolPoint(id="pump", tag="0000D431")], Latches())
    assert [short.point_of(tag) for tag in ("0086F444", "86F444", "00D431", "0086F445", "86F44400")] == [
        "stair", "stair", "pump", None, None]  # fmt: skip
    assert (tag_of("04a1b2c3d4e5f6"), tag_of("9999999999")) == ("04A1B2C3D4E5F6", "9999999999")


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ('[[patrol]]\nid = "p"\npoints = ["a"]\n', {"times_or_every", "no_tag_reader"}),
        ('[[patrol]]\nid = "p"\npoints = ["a"]\nevery_min = 60\ntimes = ["22:00"]\n', {"times_or_every", "no_tag_reader"}),
        ('[[patrol]]\nid = "p"\npoints = ["b"]\nevery_min = 60\n', {"no_such_patrol_point", "no_tag_reader"}),
        ('[[patrol]]\nid = "p"\npoints = ["a"]\nevery_min = 30\n', {"patrol_grace", "no_tag_reader"}),
        ('[[patrol]]\nid = "p"\npoints = ["a"]\ntimes = ["23:50", "00:10"]\n', {"patrol_grace", "no_tag_reader"}),
        ('[[patrol]]\nid = "p"\npoints = ["a"]\ntimes = ["24:00"]\n', {"bad_form", "no_tag_reader"}),
        ('[[patrol_point]]\nid = "c"\ntag = "0086f444"\n', {"same_tag"}),
        ('[[patrol_point]]\nid = "a"\n', {"duplicate_id"}),
    ],
)  # fmt: skip
def test_what_cannot_be_walked_is_said_before_it_is_missed(tmp_path: Path, text: str, codes: set[str]) -> None:
    head = '[gateway]\nid = "ZG-360700-0123"\n[[contact]]\nid = "x"\nline = 1\n[board]\ngpio = "gpiod"\n'
    head += 'outputs = { buzzer = 2 }\n[[patrol_point]]\nid = "a"\ntag = "0008844356"\n'
    (tmp_path / "config.toml").write_text(head + text, "utf-8")
    assert {finding.code for finding in load(tmp_path).findings} == codes


@pytest.mark.parametrize("page", ["patrol.md", "patrol.zh.md"])
def test_the_example_of_the_page_is_sound(tmp_path: Path, page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    example = text.split("```toml\n")[1].split("```")[0]
    head = '[gateway]\nid = "ZG-360700-0123"\n[board]\ngpio = "gpiod"\noutputs = { buzzer = 2 }\n[[contact]]\nid = "x"\nline = 1\n'
    (tmp_path / "config.toml").write_text(head + example, "utf-8")
    loaded = load(tmp_path)
    assert loaded.findings == ()
    assert loaded.config is not None
    assert len(loaded.config.patrols) == 2
    assert {reader.kind for reader in loaded.config.tag_readers} == {"rdm6300", "pn532", "keyboard"}
