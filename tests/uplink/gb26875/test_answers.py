"""What a question is answered, without a core and a wire: how much has room in a unit of this centre, and who hears of a no."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from drivers.codecs.gb26875 import Command, Dialect, Frame, decode_adu, encode_adu
from drivers.codecs.gb26875 import objects as of
from drivers.codecs.gb26875.objects import InformationObject
from edge_agent.commands import Answer, Status
from edge_agent.config.model import Gateway, Panel
from edge_agent.model import Instant
from edge_agent.uplink.gb26875.downlink import ROWS_A_TURN, Downlink, Reply
from edge_agent.uplink.gb26875.places import Places
from edge_agent.uplink.gb26875.plan import Writer
from tests.uplink.gb26875.test_plan import CONFIG, NOW

pytestmark = pytest.mark.asyncio

HOSPITAL = replace(
    CONFIG,
    gateway=Gateway(id="ZG-1234", name="赣州市人民医院住院部一号楼消防控制室" * 3),
    panels=tuple(Panel(id=f"panel{n}", profile="x", port="/dev/x", name="住院部主机" * 9) for n in (1, 2, 3)),
)


class Still:
    """A clock that stands."""

    def now(self) -> Instant:
        return NOW

    def at(self, mono_ns: int) -> Instant:
        return NOW


class Site:
    """What answers of a core and a journal an answer to the centre is made of; it is its own command desk."""

    def __init__(self, points: Sequence[Mapping[str, object]] = (), operations: int = 0) -> None:
        self.desk = self
        self.points, self.operations = list(points), operations
        self.refused: list[tuple[str, str, str]] = []

    async def ask(self, do: str, **params: object) -> object:
        return self.points if do == "points" else []

    async def history(self, query: Mapping[str, object]) -> dict[str, object]:
        """Newest first, as edge_agent.uplink.history.find gives it."""
        before = cast(Any, query.get("before") or {"status": ["e1", self.operations + 1]})["status"][1]
        first = max(1, before - int(str(query["limit"])))
        records = [
            {
                "kind": "silence",
                "point": "gateway",
                "source": "gateway",
                "active": True,
                "fields": {"operator": n % 256},
            }
            for n in range(before - 1, first - 1, -1)
        ]
        return {"records": records, "next": {"status": ["e1", first]} if first > 1 else None}

    async def run(self, command: object) -> Answer:
        return Answer(Status.DONE)

    async def refuse(self, code: str, *, command_id: str = "", name: str = "", detail: str = "") -> Answer:
        self.refused.append((code, name, detail))
        return Answer(Status.REFUSED)


def question(kind: int, *objects: InformationObject, command: int = Command.REQUEST) -> Frame:
    return Frame(
        serial=1, sent=bytes(6), source=bytes(6), target=bytes(6), command=command, adu=encode_adu(kind, objects)
    )


async def answered(
    dialect: Dialect, site: Site, asked: Frame, commands: Sequence[str] = ("read_state", "history")
) -> tuple[Reply, tuple[InformationObject, ...]]:
    writer = Writer(Places(HOSPITAL), dialect, now=lambda: NOW)
    downlink = Downlink(HOSPITAL, Still(), commands)
    reply = await downlink.answer(asked, downlink.name(), cast(Any, site), writer)
    assert len(reply.adu) <= dialect.adu_max
    return reply, decode_adu(reply.adu, dialect, uplink=True).objects if reply.adu else ()


@pytest.mark.parametrize("trailing", [False, True])
@pytest.mark.parametrize(("adu_max", "given"), [(64, 1), (512, 3), (1024, 3)])
async def test_systems_that_are_asked_for_together_are_told_together_as_far_as_a_unit_goes(
    adu_max: int, given: int, trailing: bool
) -> None:
    dialect = Dialect(adu_max=adu_max, trailing_time=trailing)
    asked = question(66, *(of.SystemQuery(1, n) for n in (1, 2, 3)))
    reply, objects = await answered(dialect, Site(), asked)
    assert reply.command == Command.RESPONSE
    assert [item.system_address for item in objects if isinstance(item, of.SystemConfiguration)] == [1, 2, 3][:given]


@pytest.mark.parametrize(("trailing", "given"), [(False, 13), (True, 11)])
async def test_components_are_told_as_many_as_fit_with_the_times_some_centres_want_behind_them(
    trailing: bool, given: int
) -> None:
    rows = [{"id": f"panel1/1-{n:03d}", "kind": "fire", "name": "病房"} for n in range(1, 21)]
    asked = question(67, *(of.ComponentQuery(1, 1, bytes((1, 0, n, 0))) for n in range(1, 21)))
    reply, objects = await answered(Dialect(trailing_time=trailing), Site(rows), asked)
    assert (reply.command, len(objects)) == (Command.RESPONSE, given)


@pytest.mark.parametrize("trailing", [False, True])
@pytest.mark.parametrize("adu_max", [64, 512])
async def test_the_gateway_says_what_it_is_in_as_many_words_as_there_is_room_for(adu_max: int, trailing: bool) -> None:
    dialect = Dialect(adu_max=adu_max, trailing_time=trailing)
    _, (about,) = await answered(dialect, Site(), question(86, of.DeviceQuery()))
    assert isinstance(about, of.DeviceConfiguration)
    assert about.text.decode("gb18030").startswith("ZG-1234 赣州市人民医院")


async def test_a_component_says_all_that_is_so_and_not_only_the_gravest() -> None:
    rows = [
        {"id": "panel1/1-001", "kind": "start", "active": "start", "also": ["feedback"]},
        {"id": "panel1/1-002", "kind": "fire", "active": "fire", "also": ["fault", "disabled"]},
    ]
    asked = question(62, *(of.ComponentQuery(1, 1, bytes((1, 0, n, 0))) for n in (1, 2)))
    _, objects = await answered(Dialect(), Site(rows), asked)
    assert [item.status for item in objects if isinstance(item, of.ComponentStatus)] == [0b1100001, 0b1111]


async def test_a_question_about_a_large_site_lets_an_alarm_pass_between_its_points() -> None:
    """Each place costs 0.1 ms, on a Pi more: 5 000 in one turn kept the uplink from sending for seconds."""
    rows = [{"id": f"panel1/1-{n:03d}", "kind": "fire", "name": "病房"} for n in range(1, 400)]
    asked = question(62, of.ComponentQuery(1, 1, bytes((1, 0, 7, 0))))
    answer = asyncio.create_task(answered(Dialect(), Site(rows), asked))
    turns = 0
    while not answer.done():
        await asyncio.sleep(0)
        turns += 1
    assert len(answer.result()[1]) == 1
    assert turns >= 399 // ROWS_A_TURN


async def test_of_many_operations_the_first_from_that_time_on_are_given() -> None:
    """A centre that goes through them page by page asks from the last one's time on."""
    asked = question(84, of.DeviceRecordQuery(5, bytes(6)))
    _, objects = await answered(Dialect(), Site(operations=450), asked)
    assert [item.operator for item in objects if isinstance(item, of.DeviceOperation)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("asked", "heard"),
    [
        (question(90, of.ClockSetting(bytes(6)), command=Command.CONTROL), ("malformed", "set_clock", "type 90")),
        (
            question(91, of.DutyInspection(5), command=Command.CONTROL)._replace(adu=bytes((91, 2, 5, 5))),
            ("malformed", "duty_check", "type 91"),
        ),
        (
            question(89, of.DeviceQuery(), command=Command.CONTROL)._replace(adu=bytes((89, 1))),
            ("malformed", "initialise", "type 89"),
        ),
        (question(200, of.Opaque(1, b"\0"), command=Command.CONTROL), ("unknown_command", "", "type 200")),
    ],
)  # fmt: skip
async def test_an_order_nobody_understands_is_denied_and_written_down(
    asked: Frame, heard: tuple[str, str, str]
) -> None:
    site = Site()
    reply, _ = await answered(Dialect(), site, asked)
    assert reply.command == Command.DENY
    assert site.refused == [heard]


async def test_a_question_nobody_understands_is_only_denied() -> None:
    site = Site()
    reply, _ = await answered(Dialect(), site, question(200, of.Opaque(1, b"\0")))
    assert reply.command == Command.DENY
    assert site.refused == []


@pytest.mark.parametrize(
    ("asked", "needs"),
    [
        (question(61, of.SystemQuery(1, 1)), "read_state"),
        (question(86, of.DeviceQuery()), "read_state"),
        (question(84, of.DeviceRecordQuery(5, bytes(6))), "history"),
        (question(64, of.FacilityRecordQuery(1, 1, 5, bytes(6))), "history"),
    ],
)
async def test_a_centre_that_may_not_read_is_denied_and_that_is_written_down(asked: Frame, needs: str) -> None:
    site = Site(operations=9)
    others = [name for name in ("read_state", "history", "duty_check") if name != needs]
    reply, _ = await answered(Dialect(), site, asked, others)
    assert reply.command == Command.DENY
    assert site.refused == [("not_authorised", needs, f"type {asked.adu[0]}")]
