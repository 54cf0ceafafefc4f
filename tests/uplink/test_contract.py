"""The JSON that goes out and what is believed of what comes in."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer.records import Name, Priority
from edge_agent.model import Clock, Instant
from edge_agent.uplink.contract import Ack, Batch, correlation, decode_ack, encode_batch
from edge_agent.uplink.ledger import Ledger, Refused
from simulators.centre.check import read_batch
from tests.uplink.site import event_body

AT = Instant("boot", 5, 6, Clock.SYNCED)


def test_a_batch_is_what_the_contract_shows_and_what_the_centre_reads() -> None:
    batch = Batch(
        epoch="v-1",
        priority=Priority.ALARM,
        first=17,
        last=19,
        records=[(17, event_body(1)), (19, event_body(2))],
        gaps=[(18, 18, "refused")],
        replay=True,
        dup=True,
    )
    payload = encode_batch("gw-1", batch, AT)
    message = json.loads(payload)
    assert list(message) == [
        "v",
        "gateway",
        "epoch",
        "stream",
        "first",
        "last",
        "sent",
        "replay",
        "dup",
        "gaps",
        "records",
    ]
    assert message["sent"] == {"boot": "boot", "mono_ns": 5, "wall_ns": 6, "clock": "synced"}
    assert message["records"][0] == {"n": 17, **json.loads(event_body(1))}
    found = read_batch("gw-1", "alarm", payload)
    assert [n for n, _ in found.records] == [17, 19]
    assert (found.gaps, found.refused) == ([(18, 18, "refused")], [])
    assert correlation(batch) == "v-1/alarm/17-19"


def test_a_body_that_is_no_object_never_breaks_the_batch_it_travels_in() -> None:
    bodies = [b"", b"{}", b"{", b"\xff\x00", b"[1]", event_body(6)]
    for body in bodies:
        records = [(1, event_body(1)), (2, body), (3, event_body(3))]
        payload = encode_batch("gw-1", Batch(epoch="e", priority=Priority.ALARM, first=1, last=3, records=records), AT)
        assert [record["n"] for record in json.loads(payload)["records"]] == [1, 2, 3]


def test_halves_of_a_batch_cover_it_without_holes() -> None:
    records = [(n, b"{}") for n in (1, 2, 5, 9)]
    batch = Batch(
        epoch="e",
        priority=Priority.ALARM,
        first=1,
        last=10,
        records=records,
        gaps=[(3, 4, "gone"), (6, 8, "gone"), (10, 10, "gone")],
    )
    half = batch.half()
    covered = {n for n, _ in half.records} | {n for a, b, _ in half.gaps for n in range(a, b + 1)}
    assert covered == set(range(1, half.last + 1))
    assert half.last < 10
    with pytest.raises(ValueError, match="halved"):
        Batch(epoch="e", priority=Priority.ALARM, first=1, last=1, records=[(1, b"{}")]).half()


@pytest.mark.parametrize(
    "ack",
    [
        {"epoch": "e", "stream": "alarm", "through": -1},
        {"epoch": "e", "stream": "alarm", "through": True},
        {"epoch": "e", "stream": "alarm", "through": 1.5},
        {"epoch": "e", "stream": "alarm", "through": 2**60},
        {"epoch": "e", "stream": "alarm"},
        {"epoch": 1, "stream": "alarm", "through": 1},
        {"epoch": "e", "stream": "alarm", "through": 5, "missing": [[5, 6]]},
        {"epoch": "e", "stream": "alarm", "through": 5, "missing": [[8, 9], [6, 7]]},
        {"epoch": "e", "stream": "alarm", "through": 5, "missing": [[9, 8]]},
        {"epoch": "e", "stream": "alarm", "through": 5, "missing": {"a": 1}},
        {"epoch": "e", "stream": "alarm", "through": 5, "high": 4},
        {"epoch": "e", "stream": "alarm", "through": 5, "missing": [[7, 9]], "high": 8},
    ],
)
def test_an_ack_that_contradicts_itself_is_not_believed(ack: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_ack(json.dumps({"v": 1, "acks": [ack]}).encode())


def test_a_reason_that_no_file_could_hold_is_kept_in_ascii_and_stops_no_ledger(tmp_path: Path) -> None:
    said = decode_ack(
        b'{"v":1,"refused":[{"epoch":"e","stream":"alarm","n":1,"why":"\\ud800"}],"rejected":[{"batch":"b","why":"\\udfff"}]}'
    )
    ledger = Ledger.open(tmp_path / "delivery.db")
    ledger.refuse(Refused("county", Name("e", Priority.ALARM, 1), said.refused[0].why, b"", 1))
    assert ledger.flush()
    assert ledger.refused("county")[0].why == "\\ud800"
    assert said.rejected == (("b", "\\udfff"),)
    ledger.close()


def test_without_high_an_ack_reaches_to_its_last_missing_range() -> None:
    (found,) = decode_ack(b'{"v":1,"acks":[{"epoch":"e","stream":"fault","through":3,"missing":[[5,6]]}]}').acks
    assert (found.through, found.high, found.missing) == (3, 6, ((5, 6),))


KEYS = ["v", "acks", "epoch", "stream", "through", "missing", "high", "refused", "rejected", "n", "batch"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS), inner | st.just("alarm") | st.just(1), max_size=6)
    ),
    max_leaves=25,
)


@given(JSON | st.binary(max_size=60))
def test_nothing_a_centre_sends_raises_anything_but_value_error(said: object) -> None:
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    try:
        ack = decode_ack(payload)
    except ValueError:
        return
    assert isinstance(ack, Ack)
