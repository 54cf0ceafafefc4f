"""The order of exchanges, their serial numbers and resends. Pure."""

from edge_agent.uplink.gb26875.exchange import SERIALS, Exchange, Exchanges, Seen, Serials


def exchange(rank: float = 0.0, transmissions: int = 4, *, state: bool = False) -> Exchange:
    return Exchange(
        rank=rank,
        command=2,
        make=lambda: b"",
        confirmed=lambda: None,
        denied=lambda: None,
        transmissions=transmissions,
        state=state,
    )


def begun(exchanges: Exchanges) -> Exchange:
    found = exchanges.next()
    assert found is not None
    return found


def test_the_worthier_goes_first_and_equals_in_the_order_they_came() -> None:
    box = Exchanges(Serials(), 10)
    added = [exchange(rank) for rank in (2, 1, 1, 0)]
    for one in added:
        box.add(one)
    assert [begun(box) for _ in added] == [added[3], added[1], added[2], added[0]]
    assert [one.serial for one in (added[3], added[1], added[2], added[0])] == [0, 1, 2, 3]


def test_no_more_than_the_window_wait_at_once() -> None:
    box = Exchanges(Serials(), 2)
    for _ in range(3):
        box.add(exchange())
    first, second = begun(box), begun(box)
    assert box.next() is None
    assert first.serial is not None
    assert box.confirm(first.serial) is first
    assert begun(box) is not second


def test_a_resend_keeps_its_number_gives_way_and_ends_after_the_last() -> None:
    box = Exchanges(Serials(), 1)
    slow = exchange(5, transmissions=3)
    box.add(slow)
    assert begun(box) is slow
    fire = exchange(-2)
    box.add(fire)
    assert box.timed_out(slow)
    assert begun(box) is fire
    assert fire.serial is not None
    box.confirm(fire.serial)
    assert begun(box) is slow
    assert (slow.serial, slow.sent) == (0, 2)
    assert box.deny(0) == (slow, False)
    assert begun(box) is slow
    assert not box.timed_out(slow)
    assert box.confirm(0) is None, "late: it is over"


def test_a_confirm_counts_while_the_resend_gives_way() -> None:
    box = Exchanges(Serials(), 1)
    slow, fire = exchange(5), exchange(-2)
    box.add(slow)
    begun(box)
    box.add(fire)
    box.timed_out(slow)
    begun(box)
    assert box.confirm(0) is slow
    assert box.confirm(1) is fire
    assert box.next() is None
    assert len(box) == 0


def test_wrong_and_foreign_numbers_are_nobodys() -> None:
    box = Exchanges(Serials(), 1)
    box.add(exchange())
    begun(box)
    assert box.confirm(1) is None
    assert box.deny(7) == (None, False)


def test_a_number_is_not_given_twice_while_its_exchange_is_open() -> None:
    box = Exchanges(Serials(), 2)
    stays = exchange()
    box.add(stays)
    begun(box)
    for count in range(SERIALS + 5):
        box.add(exchange())
        other = begun(box)
        assert other.serial not in (None, 0), count
        box.confirm(other.serial)  # type: ignore[arg-type]
    assert box.confirm(0) is stays


def test_a_newer_present_takes_the_place_of_one_that_has_not_gone_yet() -> None:
    box = Exchanges(Serials(), 1)
    gone, waits, record = exchange(state=True), exchange(state=True), exchange(1)
    for one in (gone, waits, record):
        box.add(one)
    begun(box)
    box.drop_state()
    assert box.confirm(0) is gone
    assert begun(box) is record


def test_requests_are_known_for_a_while_and_not_for_ever() -> None:
    seen = Seen()
    key = (1, b"centre", 4, b"\x58")
    first = seen.find(key, 0.0, lambda: "one")
    assert (first.id, first.answer, first.busy) == ("one", b"", False)
    assert seen.find(key, 30.0, lambda: "two") is first
    assert seen.find(key, 100.0, lambda: "two").id == "two", "by then it is another question under the same number"
    for serial in range(200):
        seen.find((serial, b"", 4, b""), 200.0, lambda: "x")
    assert len(seen.kept) == Seen.KEPT_MAX
