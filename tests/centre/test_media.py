"""Pictures in a centre's database, a file or a server: kept by their parts, refused where they are none."""

import json

from edge_agent.media import assemble
from simulators.camera import jpeg
from simulators.centre.check import read_batch
from simulators.centre.query import look
from simulators.centre.store import Database, open_store
from tests.cameras.test_delivery import records_of


def test_both_stores_of_a_centre_keep_pictures_and_refuse_what_is_none(db: Database) -> None:
    picture = jpeg(60_000, "x")
    records = [{"n": n, **json.loads(body)} for n, body in enumerate(records_of(picture, "p1"), 1)]
    bad = [{**records[0], "n": 10, "part": 4}, {**records[0], "n": 11, "data": 7}, {**records[0], "n": 12, "picture": ""},
           {"n": 13, "gap": {"why": "budget", "from": 1, "to": 2, "count": 2}}]  # fmt: skip
    message = {"v": 1, "gateway": "gw-1", "epoch": "e1", "stream": "media", "records": records + bad}
    store = open_store(db)
    store.take_batch(read_batch("gw-1", "media", json.dumps(message).encode()))
    answer = store.commit()["gw-1"]
    store.close()
    assert [refused["n"] for refused in answer.refused] == [10, 11, 12]
    with look(db) as ask:
        [row] = ask.pictures(gateway="gw-1")
        assert ask.pictures(gateway="other") == []
        assert (row["parts"], row["of"], row["source"], "data" in row) == (3, 3, "camera/hall", False)
        found = assemble(ask.parts("gw-1", "p1"))
        assert ask.events() == []
    assert found is not None
    assert found[1] == picture
