"""Tag readers on real ptys: a tag is told once, a bad read never; a reader that goes is told and comes back."""

import asyncio
import errno
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers import tag_reader
from drivers.codecs import pn532, rdm6300
from drivers.codecs.keyboard_wedge import EVENT, TYPED_MAX, Typing, type_text
from drivers.messages import LinkState, TagRead, TagTold
from drivers.tag_reader import AGREE_S, REST_S, Gate, KeyboardWedge, Pn532, Rdm6300, TagReader
from simulators.tag_reader import Pn532Reader, Rdm6300Reader, TypingReader
from tests.waiting import until

S = 1_000_000_000


class Told:
    """What a reader said."""

    def __init__(self) -> None:
        self.all: list[TagTold] = []

    @property
    def tags(self) -> list[str]:
        return [said.tag for said in self.all if isinstance(said, TagRead)]

    @property
    def links(self) -> list[tuple[bool, str]]:
        return [(said.up, said.reason) for said in self.all if isinstance(said, LinkState)]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        await until(condition, what)


@asynccontextmanager
async def running(reader: TagReader) -> AsyncIterator[Told]:
    told = Told()
    task = asyncio.create_task(reader.run(told.all.extend))
    try:
        yield told
    finally:
        task.cancel()
        [why] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(why, asyncio.CancelledError), why


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However the machine stalls, a tag that stays stays one tag."""
    monkeypatch.setattr(tag_reader, "REST_S", 600.0)
    monkeypatch.setattr(tag_reader, "AGREE_S", 600.0)


@pytest.mark.asyncio
@pytest.mark.usefixtures("patient")
async def test_an_rdm6300_tag_is_told_once_however_long_it_stays_and_a_bad_check_never(tmp_path: Path) -> None:
    wire = Rdm6300Reader(link=tmp_path / "reader")
    reader = Rdm6300(id="reader1", port=wire.plug())
    async with running(reader) as told:
        await told.until(lambda: told.links == [(True, "opened")], "the port is open")
        wire.send(b"\x02garbage\x03" + rdm6300.encode("0086F444")[:7])  # cut off in the middle
        await wire.hold("0086F444", 8, bad=2)
        await told.until(lambda: told.tags, "the tag")
        await wire.hold("0000D431", 1)
        await told.until(lambda: reader.counters()["reads"] >= 7, "the other tag was heard")
        assert told.tags == ["0086F444"], "one read alone is not believed"
        assert reader.counters()["refused"] == 2
        await wire.hold("0000D431", 2)
        await told.until(lambda: told.tags == ["0086F444", "0000D431"], "two equal reads are")
        wire.unplug()
        await told.until(lambda: told.links[-1][0] is False, "it is gone")
        wire.plug()
        await told.until(lambda: told.links[-1] == (True, "opened"), "it is back")
    wire.unplug()


@pytest.mark.asyncio
@pytest.mark.usefixtures("patient")
async def test_a_pn532_is_woken_and_asked_and_a_dead_one_is_told_and_woken_again(tmp_path: Path) -> None:
    wire = Pn532Reader(link=tmp_path / "reader")
    reader = Pn532(id="reader1", port=wire.plug())
    async with running(reader) as told:
        await told.until(lambda: told.links == [(True, "answering")], "it answers")
        assert wire.commands[0] == "SAMConfiguration"
        wire.send(b"\x00\x00\xff\x05\xfb\xd5\x4b\x01\x01\x04\x00\x00")  # an answer with a wrong check
        wire.hold("04A1B2C3D4E5F6")
        await told.until(lambda: told.tags == ["04A1B2C3D4E5F6"], "a tag of seven bytes")
        wire.hold("DEADBEEF")
        await told.until(lambda: told.tags[-1] == "DEADBEEF", "one of four")
        wire.hold("")
        wire.dead = True
        await told.until(lambda: told.links[-1] == (False, "no_answer"), "it died")
        wire.dead = False
        wire.power_cycle()
        await told.until(lambda: told.links[-1] == (True, "answering"), "and lives, woken again")
        assert set(wire.commands) == {"SAMConfiguration", "InListPassiveTarget"}, "nothing but reading"
        wire.unplug()
        await told.until(lambda: told.links[-1][0] is False, "gone")
        wire.power_cycle()
        wire.plug()
        await told.until(lambda: told.links[-1] == (True, "answering"), "back")
        assert reader.counters()["refused"] == 1
    wire.unplug()


@pytest.mark.asyncio
async def test_a_reader_that_types_is_read_and_missed_when_it_is_pulled_out(tmp_path: Path) -> None:
    wire = TypingReader(link=tmp_path / "reader")
    reader = KeyboardWedge(id="reader1", port=str(tmp_path / "reader"))
    async with running(reader) as told:
        await told.until(lambda: told.links == [(False, "no_port")], "not there yet")
        wire.plug()
        await told.until(lambda: told.links[-1] == (True, "opened"), "there")
        wire.hold("0008844356")
        await told.until(lambda: told.tags == ["0008844356"], "the tag")
        wire.unplug()
        await told.until(lambda: told.links[-1] == (False, "hang_up") or told.links[-1] == (False, "no_port"), "gone")
        wire.plug()
        await told.until(lambda: told.links[-1] == (True, "opened"), "back")
        wire.hold("12AB")
        await told.until(lambda: told.tags[-1] == "12AB", "and works")
    assert told.tags == ["0008844356", "12AB"], "each was said once"
    wire.unplug()


@pytest.mark.asyncio
async def test_a_reader_another_program_has_grabbed_is_told_and_had_once_it_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grabbed = True

    def ioctl(_fd: int, _request: int, _value: int) -> None:
        raise OSError(errno.EBUSY if grabbed else errno.ENOTTY, "")

    monkeypatch.setattr(tag_reader.fcntl, "ioctl", ioctl)
    wire = TypingReader(link=tmp_path / "reader")
    wire.plug()
    reader = KeyboardWedge(id="reader1", port=str(tmp_path / "reader"))
    async with running(reader) as told:
        await told.until(lambda: told.links == [(False, "no_port")], "what it types goes elsewhere")
        grabbed = False
        await told.until(lambda: told.links[-1] == (True, "opened"), "let go")
        wire.hold("134,62532")
        await told.until(lambda: told.tags == ["134,62532"], "the form printed beside the number")
    assert (told.links[:2], told.tags) == ([(False, "no_port"), (True, "opened")], ["134,62532"])
    wire.unplug()


def test_a_tag_counts_again_once_it_was_away_and_two_reads_far_apart_do_not_agree() -> None:
    gate = Gate(2)
    rest, agree = round(REST_S * S), round(AGREE_S * S)
    assert [gate.passes("A", at) for at in (0, agree + 1, agree + 2, agree + 3)] == [False, False, True, False]
    at = agree + 3
    for _ in range(100):  # it lies on the reader
        at += agree
        assert not gate.passes("A", at)
    assert [gate.passes("A", at + rest + 1), gate.passes("A", at + rest + 2)] == [False, True]


@pytest.mark.parametrize("seed", range(20))
def test_any_slicing_of_a_stream_gives_the_same_reads_and_holds_little(seed: int) -> None:
    chance = random.Random(seed)
    pieces = [
        rdm6300.encode("0086F444"),
        b"\x02" * chance.randrange(20),
        bytes.fromhex("0232303034444230303546" + "4303"),
        chance.randbytes(chance.randrange(40)),
        rdm6300.encode("0000D431"),
        rdm6300.encode("0000D431")[: chance.randrange(14)],
        rdm6300.encode("FFFFFFFF"),
        b"\x00" * 13,  # so that a start mark before it is settled
    ]
    chips = [pn532.ACK, pn532.frame(b"\x4b\x01\x01\x00\x04\x08\x04\xde\xad\xbe\xef", 0xD5), chance.randbytes(9),
             b"\x00\x00\xff\x05\xfb\xd5\x4b\x01\x01\x04\x00\x00", b"\xff" * 300, pn532.ACK]  # fmt: skip
    for take, stream, most in ((rdm6300.take_reads, b"".join(pieces), 13), (pn532.take_frames, b"".join(chips), 262)):
        whole = take(bytearray(stream))
        assert len(whole) >= 3
        buffer, found, at = bytearray(), [], 0
        while at < len(stream):
            size = chance.randrange(1, 8)
            buffer += stream[at : at + size]
            at += size
            found += take(buffer)
            assert len(buffer) <= most
        assert found == whole


def test_typing_is_bounded_and_a_key_no_tag_has_spoils_the_read() -> None:
    typing = Typing()
    stream = type_text("0012345678") + EVENT.pack(0, 0, 1, 57, 1) + type_text("AB12") + type_text("9" * (TYPED_MAX + 1))
    found = [text for at in range(0, len(stream), 7) for text in typing.feed(stream[at : at + 7])]
    assert found == ["0012345678", None, None]
    assert typing.feed(type_text("")) == []
    assert typing.feed(EVENT.pack(0, 0, 1, 69, 1) * 100_000 + type_text("77")) == [None]
