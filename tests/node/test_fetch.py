"""Fetching an update part by part: the node's side and the gateway's, against each other and against what a network does."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from drivers.codecs import node_update
from drivers.codecs.node_update import PART_BYTES, NodeUpdate
from drivers.detector_node.fetch import ASKS_MAX, PART_MS, REST_MS, Fetch
from drivers.detector_node.update import Slots
from drivers.node_updates import Ended, NodeUpdates, Say
from tests.node.maker import MODEL, Maker, maker

FILES = {"node.py": random.Random(2).randbytes(7000), "link.py": b"x"}
WANT = "zg119/node/node1/want"


def fetch_at(root: Path) -> Fetch:
    return Fetch(Slots(str(root), maker().modulus, MODEL))


def made(version: int = 2) -> NodeUpdate:
    return node_update.read(maker().image(FILES, version=version))


def said(payload: bytes | None) -> dict[str, Any]:
    assert payload is not None
    assert len(payload) <= node_update.WORD_BYTES_MAX
    word: dict[str, Any] = json.loads(payload)
    return word


def test_a_node_and_a_gateway_bring_it_across_whatever_is_lost_doubled_or_late(tmp_path: Path) -> None:
    chance, gateway, update = random.Random(119), NodeUpdates({"n1": "node1"}), made()
    offer = gateway.offer("n1", update)
    assert (offer.topic, offer.payload, offer.retain) == ("zg119/node/node1/offer", update.head, True)
    node, now_ms, late = fetch_at(tmp_path), 0, []
    node.offered(offer.payload)
    for _ in range(2000):
        now_ms += 1000
        if chance.random() < 0.05:  # a sleep, a kill, a connection that ended
            node = fetch_at(tmp_path)
            node.offered(offer.payload)
        word = node.ask(now_ms)
        if word is None:
            if (tmp_path / "update.zgu").exists():
                break
            continue
        answer = gateway.hear(WANT, word)
        assert isinstance(answer, Say)
        late.append(answer.payload)
        for payload in chance.sample(late, min(len(late), 3)):
            if chance.random() < 0.7:
                node.part(payload)
    assert (tmp_path / "update.zgu").read_bytes() == update.head + update.data
    assert gateway.offers["n1"].state == "starting"


def test_what_was_not_asked_for_goes_nowhere(tmp_path: Path) -> None:
    update, other, node = made(), made(3), fetch_at(tmp_path)
    node.part(update.part(0))
    assert not list(tmp_path.iterdir())
    node.offered(update.head)
    assert said(node.ask(0))["begin"] == 0
    for bad in (b"", update.part(0)[:8], update.part(2048), other.part(0), update.part(0) + b"x", update.part(0)[:5]):
        node.part(bad)
    assert (tmp_path / "update.part").read_bytes() == update.head
    node.part(update.part(0))
    assert said(node.ask(1))["begin"] == PART_BYTES
    node.part(update.part(0))
    assert said(node.ask(PART_MS + 1))["begin"] == PART_BYTES, "a copy is nothing new"


def test_a_gateway_that_is_silent_is_asked_less_and_less_and_does_not_keep_a_node_awake(tmp_path: Path) -> None:
    node = fetch_at(tmp_path)
    assert not node.busy()
    node.offered(made().head)
    assert node.busy()
    asked = [now_ms for now_ms in range(0, 2 * REST_MS, 1000) if node.ask(now_ms) is not None]
    first = asked[:ASKS_MAX]
    assert first == list(range(0, ASKS_MAX * PART_MS, PART_MS))
    assert asked[ASKS_MAX] - first[-1] >= REST_MS
    node = fetch_at(tmp_path)
    node.offered(made().head)
    for now_ms in range(0, (ASKS_MAX + 1) * PART_MS, 1000):
        node.ask(now_ms)
    assert not node.busy(), "it may sleep"
    node.part(made().part(0))
    assert node.busy(), "somebody answers"


def test_another_offer_begins_anew_and_none_clears_up(tmp_path: Path) -> None:
    node = fetch_at(tmp_path)
    node.offered(made().head)
    node.ask(0)
    node.part(made().part(0))
    node.offered(made(3).head)
    assert said(node.ask(1)) == {"of": made(3).tag.hex(), "begin": 0, "version": 1}
    node.offered(b"")
    assert (node.ask(2), node.busy(), list(tmp_path.iterdir())) == (None, False, [])


def test_a_part_file_that_is_too_long_or_not_its_own_is_begun_anew(tmp_path: Path) -> None:
    update = made()
    for content in (update.head + update.data + b"x", made(3).head, b"", update.head[:-1]):
        (tmp_path / "update.part").write_bytes(content)
        node = fetch_at(tmp_path)
        node.offered(update.head)
        assert said(node.ask(0))["begin"] == 0
    (tmp_path / "update.part").write_bytes(update.head + update.data)
    node = fetch_at(tmp_path)
    node.offered(update.head)
    assert node.ask(0) is None
    assert (tmp_path / "update.zgu").exists(), "it was cut just before the end"


@pytest.mark.parametrize(
    ("why", "head"),
    [
        ("form", b"x"), ("form", b"\xff" * 3000), ("signature", Maker().image(FILES)[:900]),
        ("version", maker().head({"model": MODEL, "version": 1, "files": [["a", 1, "0" * 64]]})),
    ],
)  # fmt: skip
def test_an_offer_that_is_refused_is_told_once_and_costs_no_flash(tmp_path: Path, why: str, head: bytes) -> None:
    node = fetch_at(tmp_path)
    node.offered(head)
    assert said(node.ask(0))["refused"] == why
    assert (node.ask(1), node.busy()) == (None, False)
    assert not list(tmp_path.iterdir())


def test_flash_that_is_full_is_told_and_what_was_begun_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = fetch_at(tmp_path)
    node.offered(made().head)
    node.ask(0)

    def full(*args: object) -> None:
        raise OSError(28, "full")

    monkeypatch.setitem(Fetch.part.__globals__, "open", full)
    node.part(made().part(0))
    assert said(node.ask(1))["refused"] == "flash"
    assert not (tmp_path / "update.part").exists()


# --- the gateway's side -------------------------------------------------------------------------------------------------------


def word(update: NodeUpdate, **more: object) -> bytes:
    return json.dumps({"of": update.tag.hex(), "version": 1, **more}).encode()


def test_a_gateway_answers_only_what_it_offers_and_knows_when_it_is_over() -> None:
    gateway, update = NodeUpdates({"n1": "node1"}), made()
    assert gateway.is_word(WANT)
    assert not gateway.is_word("zg119/node/node2/want")
    assert gateway.hear(WANT, word(update, begin=0)) is None, (
        "it does not know yet what it offered before it was restarted"
    )
    gateway.ready = True
    assert gateway.hear(WANT, word(update, begin=0)) == Say("zg119/node/node1/offer", b"", retain=True)
    gateway.offer("n1", update)
    assert gateway.standing() == [Say("zg119/node/node1/offer", update.head, retain=True)]
    for begin in (-5, len(update.data), 2**40):
        assert gateway.hear(WANT, word(update, begin=begin)) is None
    last = gateway.hear(WANT, word(update, begin=len(update.data) - 1))
    assert last == Say("zg119/node/node1/part", update.part(len(update.data) - 1))
    ended = gateway.hear(WANT, word(update, version=2, refused="version"))
    assert isinstance(ended, Ended)
    assert (ended.offer.state, ended.offer.why) == ("done", "")
    assert gateway.standing() == [Say("zg119/node/node1/offer", b"", retain=True)]
    assert gateway.hear(WANT, word(update, begin=0)) == gateway.retained("n1"), "told again that it is over"


def test_a_refusal_ends_an_offer_and_the_next_one_is_a_new_one() -> None:
    gateway = NodeUpdates({"n1": "node1"})
    gateway.offer("n1", made())
    ended = gateway.hear(WANT, word(made(), refused="model"))
    assert isinstance(ended, Ended)
    assert (ended.offer.state, ended.offer.why, ended.offer.version) == ("refused", "model", 1)
    gateway.offer("n1", made(3))
    assert gateway.offers["n1"].state == "offered"
    assert gateway.withdraw("n1").payload == b""
    assert gateway.standing() == []
