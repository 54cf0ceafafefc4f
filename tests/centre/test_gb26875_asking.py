"""The GB/T 26875.3 centre asks: every question and command of the standard, answered, sent again, denied or lost."""

import asyncio

import pytest

from drivers.codecs.gb26875 import (
    ANSWERS,
    CONTROLS,
    Command,
    Frame,
    Rejected,
    decode_adu,
    device_address,
    encode_adu,
)
from drivers.codecs.gb26875 import objects as kinds
from simulators.centre.gb26875 import Denied
from tests.centre.gb_bench import ANSWER, ASKED, CENTRE, DEVICE, NOON, answer_to, device, running, upload


@pytest.mark.asyncio
async def test_every_command_of_the_standard_is_sent_and_its_answer_matched() -> None:
    assert set(ASKED) == set(ANSWERS) | CONTROLS
    async with running() as centre, device(centre) as box:
        box.send(upload(0, 21, kinds.DeviceStatus(1, NOON)))
        await box.hear()
        for serial, (kind, item) in enumerate(ASKED.items()):
            asking = asyncio.create_task(centre.send(kind, item))
            question = await box.hear()
            assert isinstance(question, Frame)
            wanted = Command.CONTROL if kind in CONTROLS else Command.REQUEST
            assert (question.serial, question.command, question.source, question.target) == (
                serial,
                wanted,
                CENTRE,
                DEVICE,
            )
            assert decode_adu(question.adu, uplink=False).objects == (item,)
            box.send(answer_to(question))
            answered = await asking
            assert answered.objects == (() if kind in CONTROLS else (ANSWER[ANSWERS[kind]],))


@pytest.mark.asyncio
async def test_a_question_is_sent_again_under_its_number_until_it_is_answered() -> None:
    async with running(resend_s=0.05, resends=1000) as centre, device(centre) as box:
        box.send(upload(0, 0))
        await box.hear()
        asking = asyncio.create_task(centre.send(81, kinds.DeviceQuery()))
        first, second = await box.hear(), await box.hear()
        assert isinstance(first, Frame)
        assert isinstance(second, Frame)
        assert (first.serial, first.adu) == (second.serial, second.adu)
        box.send(answer_to(second))
        assert (await asking).type == 21
        centre.resends = 3
        with pytest.raises(TimeoutError):
            await centre.send(81, kinds.DeviceQuery())


@pytest.mark.asyncio
async def test_denials_answers_to_something_else_and_late_answers() -> None:
    async with running(resends=1) as centre, device(centre) as box:
        box.send(upload(0, 0))
        await box.hear()
        asking = asyncio.create_task(centre.send(85, kinds.DeviceQuery()))
        box.send(answer_to(await box.hear(), command=Command.DENY))
        box.send(answer_to(await box.hear(), command=Command.DENY))
        with pytest.raises(Denied):
            await asking
        asking = asyncio.create_task(centre.send(85, kinds.DeviceQuery()))
        question = await box.hear()
        assert isinstance(question, Frame)
        box.send(question.answer(Command.RESPONSE, bytes(6), encode_adu(28, [kinds.DeviceTime(NOON)])))
        box.send(answer_to(await box.hear()))
        assert (await asking).objects == (kinds.DeviceVersion(1, 1),)
        box.send(answer_to(question))
        box.send(upload(1, 0))
        await box.hear()
        assert centre.counters["unasked"] == 1


@pytest.mark.asyncio
async def test_an_answer_of_the_wrong_kind_is_none_and_a_device_that_leaves_ends_the_question() -> None:
    async with running(resends=1) as centre, device(centre) as box:
        box.send(upload(0, 0))
        await box.hear()
        asking = asyncio.create_task(centre.send(91, kinds.DutyInspection(10)))
        box.send(answer_to(await box.hear(), command=Command.RESPONSE))
        box.send(answer_to(await box.hear()))
        await asking
        asking = asyncio.create_task(centre.send(81, kinds.DeviceQuery()))
        box.send(answer_to(await box.hear(), command=Command.CONFIRM))
        box.send(answer_to(await box.hear()))
        assert (await asking).type == 21
        asking = asyncio.create_task(centre.send(81, kinds.DeviceQuery()))
        await box.hear()
        box.writer.transport.abort()
        with pytest.raises(ConnectionError):
            await asking


@pytest.mark.asyncio
async def test_a_command_can_be_repeated_and_any_bytes_be_sent_and_the_connection_reset() -> None:
    async with running() as centre:
        with pytest.raises(ConnectionError):
            await centre.send(81, kinds.DeviceQuery())
        async with device(centre) as box:
            box.send(upload(0, 0))
            await box.hear()
            assert centre.devices == [DEVICE]
            for _ in range(2):
                asking = asyncio.create_task(centre.send(89, kinds.DeviceQuery(), serial=4, device=DEVICE))
                question = await box.hear()
                assert isinstance(question, Frame)
                assert question.serial == 4
                box.send(answer_to(question))
                await asking
            centre.write(b"!!!" + upload(9, 0).encode())
            assert [type(await box.hear()) for _ in range(2)] == [Rejected, Frame]
            with pytest.raises(ConnectionError):
                centre.write(b"", device_address(1))
            centre.reset()
            with pytest.raises(ConnectionError):
                await box.hear()
        await centre.until(lambda: not centre.devices)
