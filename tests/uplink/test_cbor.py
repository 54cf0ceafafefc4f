"""Batches in CBOR: nothing is lost or invented on the way, and a centre survives what is no batch."""

import json
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer.records import Priority
from edge_agent.model import encode_instant
from edge_agent.uplink import cbor
from edge_agent.uplink.contract import Batch, encode_batch
from simulators.centre.check import Rejected, read_batch
from tests.brokers import Broker
from tests.uplink.site import (
    CLOCK,
    GATEWAY,
    MemoryJournal,
    event_body,
    running_centre,
    running_uplink,
    site_config,
    stored,
    telemetry_body,
)
from tests.waiting import until

SENT = CLOCK.now()


def batch(*bodies: bytes, priority: Priority = Priority.ALARM, **more: object) -> Batch:
    records = list(enumerate(bodies, 1))
    return Batch(epoch="e1", priority=priority, first=1, last=max(1, len(records)), records=records, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "made",
    [
        batch(event_body(1), event_body(2), replay=True, dup=True),
        batch(telemetry_body(1), priority=Priority.TELEMETRY),
        batch(gaps=[(1, 1, "gone")]),
        batch(
            json.dumps({"id": "x", "kind": "fire", "raw": "0aff", "fields": {"id": 1, "n": [1.5, None, True]}}).encode()
        ),
        batch(json.dumps({"raw": "no hex", "gap": {"from": 1}, "新": "字"}).encode()),
        batch(b"not json"),
    ],
)
def test_a_batch_says_in_cbor_what_it_says_in_json(made: Batch) -> None:
    packed = cbor.encode_batch(GATEWAY, made, SENT)
    assert cbor.is_cbor(packed)
    assert cbor.decode(packed) == json.loads(encode_batch(GATEWAY, made, SENT))


def test_cbor_is_what_its_rfc_says_and_shorter() -> None:
    made = batch(*(event_body(n) for n in range(1, 50)))
    packed = cbor.encode_batch(GATEWAY, made, SENT)
    message = cbor2.loads(packed)
    assert message[cbor.KEYS["gateway"]] == GATEWAY
    assert message[cbor.KEYS["sent"]] == {cbor.KEYS[name]: value for name, value in encode_instant(SENT).items()}
    assert len(packed) < 0.7 * len(encode_batch(GATEWAY, made, SENT))


@given(st.binary(max_size=300))
def test_bytes_that_are_no_batch_are_rejected_and_nothing_else_happens(noise: bytes) -> None:
    for payload in (noise, b"\xa1" + noise, b"\xbf" + noise):
        try:
            found = read_batch("gw-test-1", "alarm", payload)
        except Rejected:
            continue
        assert (found.gateway, found.stream) == ("gw-test-1", "alarm")


@pytest.mark.parametrize(
    "value",
    [
        {99: 1},
        {0: float("nan")},
        {0: cbor2.CBORTag(99, 1)},
        {(1, 2): 3},
        {10: [{20: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}]},
    ],
)
def test_what_json_could_not_hold_is_refused(value: object) -> None:
    packed = cbor2.dumps(value)
    with pytest.raises(ValueError, match=r"key|finite|place|deep"):
        cbor.decode(packed)


@pytest.mark.asyncio
async def test_a_centre_takes_cbor_and_json_alike(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        journal = MemoryJournal()
        for n in range(1, 31):
            journal.append(Priority.ALARM, event_body(n))
            journal.append(Priority.TELEMETRY, telemetry_body(n))
        async with running_uplink(site_config(tmp_path, broker.port, encoding="cbor"), journal) as process:
            outbox = process.destinations[0].outbox
            await until(lambda: outbox.get("e1", Priority.TELEMETRY) and not outbox.pending(Priority.TELEMETRY))
            await until(lambda: not outbox.pending(Priority.ALARM))
        assert stored(db) == stored(db, "telemetry") == list(range(1, 31))
