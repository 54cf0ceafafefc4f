"""The body of an event, which is written as text: it is the JSON of what stands in it, whatever a panel or a person wrote."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.model import Clock, Event, Instant, Kind, encode_event, encode_instant, event_id, instant_text

TEXTS = st.text(max_size=12) | st.sampled_from(['"', "\\", "\n", "火警", "\x00", "\u2028", "</script>"])
INSTANTS = st.builds(
    Instant,
    boot_id=TEXTS,
    mono_ns=st.integers(0, 2**63),
    wall_ns=st.integers(0, 2**63),
    clock=st.sampled_from(Clock),
    restamped=st.booleans(),
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
EVENTS = st.builds(
    Event,
    id=TEXTS,
    kind=st.sampled_from(Kind),
    point=TEXTS,
    active=st.booleans(),
    at=INSTANTS,
    grade=st.integers(0, 2),
    source=TEXTS,
    name=TEXTS,
    fields=st.dictionaries(TEXTS, VALUES | st.lists(VALUES, max_size=3), max_size=4),
    raw=st.binary(max_size=8),
)
AT = Instant("b", 1, 2, Clock.SYNCED)


def meant(event: Event) -> dict[str, Any]:
    """What stands in an event; what is empty is left out."""
    maybe = {
        "grade": event.grade,
        "source": event.source,
        "name": event.name,
        "fields": dict(event.fields),
        "raw": event.raw.hex(),
    }
    told = {"id": event.id, "kind": event.kind.value, "point": event.point, "active": event.active}
    return {**told, "at": encode_instant(event.at), **{key: value for key, value in maybe.items() if value}}


def says(event: Event) -> Any:
    return json.loads(encode_event(event))


@given(EVENTS)
def test_the_body_is_compact_json_of_the_event(event: Event) -> None:
    assert encode_event(event) == json.dumps(meant(event), ensure_ascii=False, separators=(",", ":")).encode()


@given(EVENTS, st.sampled_from(["id", "point", "source", "name"]))
def test_half_a_character_loses_no_alarm(event: Event, where: str) -> None:
    broken = Event(**{**{name: getattr(event, name) for name in Event.__slots__}, where: "楼\ud83d"})
    found = says(broken)
    assert found.pop("fields") == {"unencodable": ascii(dict(event.fields))[:2000]}
    assert found == {key: value for key, value in meant(broken).items() if key != "fields"}


@given(st.sampled_from([float("nan"), float("inf"), {1, 2}, b"bytes", object]))
def test_fields_that_json_cannot_hold_lose_no_alarm(value: object) -> None:
    event = Event(id="e-1", kind=Kind.FIRE, point="p", active=True, at=AT, fields={"value": value})
    assert says(event) == {**meant(event), "fields": {"unencodable": ascii({"value": value})}}
    assert event_id(encode_event(event)) == "e-1"


@given(INSTANTS)
@example(AT)
def test_an_instant_is_the_same_as_text(at: Instant) -> None:
    assert json.loads(instant_text(at)) == encode_instant(at)
