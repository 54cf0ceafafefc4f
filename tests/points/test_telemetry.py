"""When readings are kept: together, so that the card is written once."""

from edge_agent.points.telemetry import Telemetry
from tests.points.conftest import instant

S = 1_000_000_000


def test_sources_first_heard_at_different_moments_are_kept_at_one_moment() -> None:
    telemetry = Telemetry(instant)
    early, late = (telemetry.join(source, "x", telemetry_s=60.0, deadband=1.0) for source in ("a", "b"))
    early.feed(1.0, 1 * S)
    assert len(list(telemetry.take(1 * S))) == 1
    late.feed(1.0, 25 * S)
    assert len(list(telemetry.take(25 * S))) == 1
    for reading in (early, late):
        reading.feed(1.0, 59 * S)
    assert list(telemetry.take(59 * S)) == []
    assert len(list(telemetry.take(60 * S))) == 2
