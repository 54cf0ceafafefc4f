"""The GB/T 26875.3 centre meets damage and does it: check errors are denied or ignored, each fault is what its name says."""

from typing import Any

import pytest

from drivers.codecs.gb26875 import (
    DIALECTS,
    Command,
    Frame,
    Rejected,
)
from simulators.centre.gb_faults import FAULTS, FaultMenu
from tests.centre.gb_bench import CENTRE, DEVICE, NOON_NS, confirm_of, device, fire, running, upload


@pytest.mark.asyncio
async def test_check_errors_are_denied_where_the_packet_can_be_trusted_and_nothing_is_stored() -> None:
    raw = upload(7, 2, fire()).encode()
    async with running() as centre, device(centre) as box:
        box.writer.write(raw[:-3] + bytes((raw[-3] ^ 1,)) + raw[-2:])
        assert confirm_of(await box.hear()) == (7, Command.DENY, CENTRE, DEVICE)
        reserved = Frame(serial=9, sent=bytes(6), source=DEVICE, target=CENTRE, command=7)
        box.send(reserved)
        assert confirm_of(await box.hear())[:2] == (9, Command.DENY)
        box.send(
            Frame(serial=10, sent=bytes(6), source=DEVICE, target=CENTRE, command=Command.REQUEST, adu=b"\x51\x01\x00")
        )
        assert confirm_of(await box.hear())[:2] == (10, Command.DENY)
        box.writer.write(b"noise" + raw[:-1] + b"!")  # no end mark: no number to trust, so no answer
        box.send(upload(8, 2, fire()))
        assert confirm_of(await box.hear())[:2] == (8, Command.CONFIRM)
        spoiled_deny = Frame(serial=3, sent=bytes(6), source=DEVICE, target=CENTRE, command=Command.DENY).encode()
        box.writer.write(spoiled_deny[:-3] + b"\0" + b"##" + upload(11, 2, fire(3)).encode())
        assert confirm_of(await box.hear())[:2] == (11, Command.CONFIRM)  # a deny is never answered, sound or not
        assert [one.serial for one in centre.received] == [8, 11]
        assert (centre.counters["rejected_checksum"], centre.counters["rejected_end"]) == (2, 1)


@pytest.mark.asyncio
async def test_the_keepalive_of_a_dialect_is_confirmed() -> None:
    async with running(dialect=DIALECTS["dahua-1.03"]) as centre, device(centre) as box:
        box.send(Frame(serial=9, sent=bytes(6), source=DEVICE, target=CENTRE, command=7))
        assert confirm_of(await box.hear())[:2] == (9, Command.CONFIRM)
        assert len(centre.received) == 1


HONEST = (5, Command.CONFIRM, CENTRE, DEVICE)


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_what_its_name_says_and_the_next_upload_is_served_honestly(fault: Any) -> None:
    menu = FaultMenu(slow_s=0.05, drip_s=0.001)
    menu.add(fault, times=1)
    async with running(faults=menu, wall_ns=lambda: NOON_NS) as centre, device(centre) as box:
        box.send(upload(1, 2, fire()))
        await centre.until(lambda: menu.struck[fault] == 1)
        right = (1, Command.CONFIRM, CENTRE, DEVICE)
        if fault == "reset":
            with pytest.raises(ConnectionError):
                await box.hear()
            assert len(centre.received) == 1
            return
        box.send(upload(5, 2, fire(2)))
        told: list[Any] = []
        while not told or told[-1] != HONEST:
            item = await box.hear()
            told.append(item.reason if isinstance(item, Rejected) else confirm_of(item))
        before = told[:-1]
        assert (
            before
            == {
                "no-confirm": [],
                "silent": [],
                "deny": [(1, Command.DENY, CENTRE, DEVICE)],
                "wrong-serial": [(2, Command.CONFIRM, CENTRE, DEVICE)],
                "stale-confirm": [(0, *right[1:]), right],
                "no-swap": [(1, Command.CONFIRM, DEVICE, CENTRE)],
                "wrong-checksum": ["checksum"],
                "half": ["length"],  # half of one and all of the next: what was read is no length
                "glued": [right, (0, Command.REQUEST, CENTRE, DEVICE)],
                "dripped": [right],
                "slow": [right],
                "noise": ["noise", right],
            }[fault]
        )
        assert len(centre.received) == (1 if fault in ("deny", "silent") else 2)


def test_a_fault_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such fault"):
        FaultMenu().add("explode")  # type: ignore[arg-type]


def test_faults_strike_where_and_as_often_as_they_are_told() -> None:
    menu = FaultMenu()
    menu.add("deny", times=2, types=frozenset({2}))
    assert [menu.strike(kind) for kind in (1, 2, 2, 2)] == [None, "deny", "deny", None]
    menu.add("slow", chance=0.0)
    menu.add("half")
    assert menu.strike(1) == "half"
    menu.clear()
    assert menu.strike(1) is None
