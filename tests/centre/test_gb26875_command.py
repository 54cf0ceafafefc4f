"""The GB/T 26875.3 centre over real sockets: `edge-centre gb26875`, its options, and what it tells people."""

import argparse
import asyncio
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from drivers.codecs.gb26875 import (
    Command,
    Frame,
    decode_adu,
)
from drivers.codecs.gb26875 import objects as kinds
from simulators.centre import cli, gb_cli
from simulators.process import Program
from tests.centre.gb_bench import (
    NOON,
    Device,
    answer_to,
    confirm_of,
    fire,
    upload,
)
from tests.postgres import Postgres
from tests.waiting import PATIENCE_S, until


@pytest.mark.asyncio
async def test_the_command_serves_shows_asks_and_errs_as_told(tmp_path: Path) -> None:
    options = ["--port=0", f"--db={tmp_path / 'centre.db'}", "--fault=deny=1", "--ask=81", "--ask=62:1,1,0A000200"]
    program = Program.python(
        "centre", "simulators.centre", "gb26875", "--lang", "en", *options, log=tmp_path / "centre.log"
    )
    await program.start()

    async def printed(pattern: str) -> str:
        async with asyncio.timeout(PATIENCE_S):
            while (found := re.search(pattern, program.log.read_text("utf-8"))) is None:
                assert program.running, program.tail()
                await asyncio.sleep(0.02)
        return found[found.lastindex or 0]

    try:
        port = int(await printed(r"ready: 127\.0\.0\.1:(\d+)"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        box = Device(reader, writer)
        box.send(upload(3, 2, fire()))
        told: list[Frame] = []
        while len(told) < 2:  # the deny, and the first question
            item = await box.hear()
            assert isinstance(item, Frame)
            told.append(item)
        assert {(one.serial, one.command) for one in told} == {(3, Command.DENY), (0, Command.REQUEST)}
        box.send(next(one for one in told if one.command == Command.REQUEST).answer(Command.DENY, bytes(6)))
        box.send(upload(3, 2, fire()))
        while not (Command.CONFIRM in {one.command for one in told} and any(one.adu[:1] == b"\x3e" for one in told)):
            item = await box.hear()
            assert isinstance(item, Frame)
            told.append(item)
            if item.command == Command.REQUEST:  # 81 is sent again as often as the standard has it
                box.send(answer_to(item) if item.adu[0] == 62 else item.answer(Command.DENY, bytes(6)))
        (question,) = (one for one in told if one.adu[:1] == b"\x3e")
        assert decode_adu(question.adu).objects == (kinds.ComponentQuery(1, 1, bytes.fromhex("0A000200")),)
        await printed("send data .*serial=3 from=889")
        await printed("smoke detector .* description=三楼")
        await printed("889 denied type 81")
        await printed("889 answered type 62:\n  facility component status")
        writer.transport.abort()
    finally:
        assert await program.stop() == 0


@pytest.mark.asyncio
async def test_the_command_tells_of_a_database_that_goes_and_comes_back(
    tmp_path: Path, server: Postgres, city: str
) -> None:
    options = ["--port=0", f"--db={city}", "--lang=zh"]
    program = Program.python("centre", "simulators.centre", "gb26875", *options, log=tmp_path / "centre.log")
    away, back = f"数据库 {city} 存不进记录: ", f"数据库 {city} 已恢复。"

    def told() -> list[str]:
        return [line for line in program.log.read_text("utf-8").splitlines() if line.startswith("数据库")]

    await program.start()
    try:
        ready = re.compile(r"已就绪: 127\.0\.0\.1:(\d+)")
        await until(lambda: ready.search(program.log.read_text("utf-8")))
        found = ready.search(program.log.read_text("utf-8"))
        assert found is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", int(found[1]))
        box = Device(reader, writer)
        box.send(upload(1, 2, fire()))
        assert confirm_of(await box.hear())[:2] == (1, Command.CONFIRM)
        await asyncio.to_thread(server.kill)
        box.send(upload(2, 2, fire(2)))
        await until(told, program.tail())
        await asyncio.to_thread(server.start)
        await until(lambda: len(told()) > 1, "though the device says nothing more")
        assert [line[: len(begin)] for line, begin in zip(told(), (away, back), strict=True)] == [away, back]
        box.send(upload(2, 2, fire(2)))
        assert confirm_of(await box.hear())[:2] == (2, Command.CONFIRM), "it was not confirmed before it was stored"
        writer.transport.abort()
    finally:
        assert await program.stop() == 0
        if not server.alive:
            await asyncio.to_thread(server.start)


@pytest.mark.parametrize(("lang", "words"), [("zh", "已被占用"), ("en", "in use")])
def test_a_port_that_another_program_has_is_said_in_the_readers_language(
    lang: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            cli.main(["gb26875", f"--port={port}", "--db=:memory:", "--lang", lang])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in said
    assert words in said
    assert "Errno" not in said


@pytest.mark.parametrize(
    ("written", "kind", "made"),
    [
        ("81", 81, kinds.DeviceQuery()),
        ("61:1,2", 61, kinds.SystemQuery(1, 2)),
        ("64:1,1,10,2026-11-25T12:00:00", 64, kinds.FacilityRecordQuery(1, 1, 10, NOON)),
        ("90:2026-11-25T12:00:00", 90, kinds.ClockSetting(NOON)),
        ("91:10", 91, kinds.DutyInspection(10)),
    ],
)
def test_a_question_on_the_command_line_is_the_object_it_names(written: str, kind: int, made: Any) -> None:
    assert gb_cli.question(written) == (kind, (made,))


@pytest.mark.parametrize("written", ["", "1", "99", "62:1,1", "62:1,1,0A", "91:soon", "90"])
def test_a_question_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        gb_cli.question(written)
