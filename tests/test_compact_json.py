"""The encoder of short texts makes what `json` makes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.compact_json import compact_encoder
from edge_agent.model import Kind

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(Kind),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_it_makes_what_json_makes(value: object) -> None:
    assert compact_encoder()(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_what_json_cannot_hold_is_refused_and_the_next_text_is_made_all_the_same() -> None:
    encode = compact_encoder(allow_nan=False)
    ring: list[Any] = []
    ring.append(ring)
    for value, fault in (
        (b"bytes", TypeError),
        ({"at": {1, 2}}, TypeError),
        (float("nan"), ValueError),
        (ring, RecursionError),
    ):
        with pytest.raises(fault):
            encode([{"before": 1}, value])
    assert encode([{"before": 1}, "火警"]) == '[{"before":1},"火警"]'
