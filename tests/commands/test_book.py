"""Names, parameters and the book of answers: pure."""

import pytest

from edge_agent.commands import (
    ANSWER_BYTES_MAX,
    ANSWERS_KEPT,
    RULES,
    Answer,
    Book,
    Meter,
    Refusal,
    Status,
    check_params,
)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("duty_check", {}),
        ("duty_check", {"minutes": 0}),
        ("duty_check", {"minutes": 256}),
        ("duty_check", {"minutes": True}),
        ("duty_check", {"minutes": "5"}),
        ("duty_check", {"minutes": 5, "password": "hunter2"}),
        ("duty_check", [5]),
        ("set_clock", {"wall_ns": -1}),
        ("set_clock", {"wall_ns": 2**63}),
        ("history", {"kinds": []}),
        ("history", {"kinds": ["fire", "secret"]}),
        ("history", {"limit": 201}),
        ("history", {"before": {"alarm": ["e", "x"]}}),
        ("history", {"before": {"alarm": "e"}}),
        ("resend", {"epoch": "e", "stream": "media", "first": 1, "last": 2}),
        ("test_buzzer", {"seconds": 11}),
        ("acknowledge", {"alarm": ""}),
    ],
)
def test_parameters_that_do_not_fit_are_refused(name: str, params: object) -> None:
    with pytest.raises(Refusal, match="malformed"):
        check_params(name, params)


def test_parameters_that_fit_come_through_as_they_are() -> None:
    query = {"limit": 5, "streams": ["alarm"], "kinds": ["fire"], "since_wall_ns": 1, "before": {"alarm": ["e1", 7]}}
    assert check_params("history", query) == query
    assert check_params("read_state", {}) == {}


def test_nothing_that_could_be_asked_is_a_panels() -> None:
    assert not [name for name in RULES if "panel" in name or "reset" in name or "disable" in name]


def test_a_repeat_gets_the_first_answer_and_another_request_of_the_same_id_is_refused() -> None:
    book = Book()
    book.put("county", "c1", "duty_check", {"minutes": 5}, Answer(Status.DONE, {"minutes": 5}))
    assert book.find("county", "c1", "duty_check", {"minutes": 5}) == Answer(
        Status.DONE, {"minutes": 5}, "", repeat=True
    )
    assert book.find("city", "c1", "duty_check", {"minutes": 5}) is None
    with pytest.raises(Refusal, match="id_reused"):
        book.find("county", "c1", "duty_check", {"minutes": 6})


def test_the_book_comes_back_from_its_state_oldest_first_and_stays_bounded() -> None:
    book, state = Book(), dict[str, bytes]()
    for n in range(ANSWERS_KEPT + 10):
        book.put("county", f"c{n}", "silence", {}, Answer(Status.DONE, {"silenced": n}))
        for key, value in book.dump().items():
            if value is None:
                del state[key]
            else:
                state[key] = value
    assert len(state) == ANSWERS_KEPT
    twin = Book()
    twin.restore({**state, "c:county:bad": b"{}", "c:county:worse": b"\xff", "aa:fire:x": b"{}"})
    assert twin.find("county", "c9", "silence", {}) is None
    assert twin.find("county", "c10", "silence", {}) == Answer(Status.DONE, {"silenced": 10}, "", repeat=True)
    twin.put("county", "new", "silence", {}, Answer(Status.DONE))
    assert twin.dump()["c:county:c10"] is None


def test_an_answer_too_long_to_keep_is_kept_in_short() -> None:
    book = Book()
    book.put("county", "c1", "silence", {}, Answer(Status.DONE, {"words": "x" * ANSWER_BYTES_MAX}))
    assert len(book.dump()["c:county:c1"] or b"") < 200
    kept = book.find("county", "c1", "silence", {})
    assert kept is not None
    assert kept.result == {"truncated": True}


def test_a_meter_lets_a_burst_pass_and_then_one_a_period() -> None:
    meter = Meter(3, 5.0)
    assert [meter.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [meter.take(s) for s in (104.9, 105.0, 105.1, 1000.0)] == [False, True, False, True]
