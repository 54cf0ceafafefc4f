"""The checker finds what it is there to find."""

from pathlib import Path

import psycopg
import pytest

from simulators.centre.check import read_batch
from simulators.centre.store import open_store
from tests.centre.conftest import city, server
from tests.city.checker import Verdict, compare
from tests.city.fleet import Load, expected
from tests.city.house import City

__all__ = ["city", "server"]

LOAD = Load(alarms=2, faults=1, status=1, telemetry=1, fresh=0)


@pytest.fixture
def stored(city: str) -> str:
    """A database that holds just what two gateways had."""
    store = open_store(city)
    for (gateway, epoch, stream, n), body in expected(range(2), LOAD):
        head = f'{{"v":1,"gateway":"{gateway}","epoch":"{epoch}","stream":"{stream}","records":[{{"n":{n},'
        store.take_batch(read_batch(gateway, stream, head.encode() + body[1:] + b"]}"))
    store.commit()
    store.close()
    return city


def judge(url: str, damage: str = "") -> Verdict:
    with psycopg.connect(url) as connection:
        if damage:
            connection.execute(damage.encode())
    return compare(expected(range(2), LOAD), url)


def test_what_is_whole_is_sound(stored: str) -> None:
    assert judge(stored).sound


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM records WHERE n = 2", "missing"),
        ("DELETE FROM records WHERE n = 1 AND body LIKE '%fire%'", "disagreeing"),
        ("UPDATE records SET body = replace(body, '1', '7') WHERE n = 2", "altered"),
        ("INSERT INTO records SELECT stream_id, n + 5, 0, false, body FROM records WHERE n = 2", "invented"),
        ("DELETE FROM events WHERE n = 2", "twice"),
        ("INSERT INTO counters VALUES (99, 'records', 1)", "twice"),
        ("UPDATE streams SET settled = '{[1,2),[3,4)}' WHERE stream = 'alarm'", "holes"),
        ("INSERT INTO gaps SELECT stream_id, 9, 9, 'gone', 0 FROM streams", "holes"),
    ],
)
def test_each_kind_of_damage_is_found(stored: str, damage: str, found: str) -> None:
    assert getattr(judge(stored, damage), found)


@pytest.mark.slow
def test_consumers_that_acknowledge_what_they_did_not_commit_are_found_out(tmp_path: Path) -> None:
    load = Load(alarms=20, faults=0, status=20, telemetry=0, fresh=5)
    with City(tmp_path, 2, module="tests.city.liar") as lying, lying.crowds(20, load) as crowds:
        lying.settle(crowds, within_s=60)
        assert compare(expected(range(20), load), lying.server.url).missing
