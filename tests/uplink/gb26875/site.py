"""A gateway with a GB/T 26875.3 centre beside others, for tests: real sockets, short waits."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from drivers.codecs.gb26875 import STANDARD, Dialect, device_address
from drivers.codecs.gb26875.objects import ComponentStatus, InformationObject
from edge_agent.config.model import Config, Gateway, Panel
from edge_agent.config.uplinks import Gb26875, Uplink
from edge_agent.model import Event, Instant, Kind, encode_event
from simulators.centre.gb26875 import GbCentre
from tests.uplink.site import CLOCK, GATEWAY

TIMEOUT_S = 0.4


def gb_uplink(port: int, **more: object) -> Uplink:
    """The county of the tests; `more` are keys of Gb26875."""
    agreed: dict[str, object] = {
        "source": "889",
        "target": "88888",
        "timeout_s": TIMEOUT_S,
        "keepalive": "none",
        **more,
    }
    return Uplink(id="county", host="127.0.0.1", port=port, protocol="gb26875", gb26875=Gb26875(**agreed))  # type: ignore[arg-type]


def gb_config(directory: Path, *uplinks: Uplink) -> Config:
    """One panel, these centres."""
    (directory / "run").mkdir(parents=True, exist_ok=True)
    return Config(
        gateway=Gateway(id=GATEWAY, data_dir=directory / "data", run_dir=directory / "run"),
        panels=(Panel(id="panel1", profile="lida-ld128e", port="/dev/null"),),
        uplinks=uplinks,
    )


@contextlib.asynccontextmanager
async def gb_centre(dialect: Dialect = STANDARD, *, resend_s: float = 2.0, **more: object) -> AsyncIterator[GbCentre]:
    """The reference centre, listening."""
    centre = GbCentre(dialect=dialect, resend_s=resend_s, **more)  # type: ignore[arg-type]
    await centre.start()
    try:
        yield centre
    finally:
        await centre.stop()


SOURCE = device_address(889)


def point(n: int) -> str:
    """A point of its own for each n."""
    return f"panel1/{n // 250 + 1}-{n % 250:03d}"


def body(n: int, kind: Kind = Kind.FIRE, *, active: bool = True, at: str = "", **more: object) -> bytes:
    """The journal body of the n-th made-up event."""
    wall_ns = 1_800_000_000_000_000_000 + n * 1_000_000_000
    instant = Instant(CLOCK.boot_id, n * 1000, wall_ns, CLOCK.now().clock)
    told: dict[str, object] = {"source": "panel1", "name": f"点{n}", **more}
    return encode_event(
        Event(id=f"{CLOCK.boot_id}-{kind}-{n}", kind=kind, point=at or point(n), active=active, at=instant, **told)  # type: ignore[arg-type]
    )


def units(centre: GbCentre, kind: int) -> list[InformationObject]:
    """Objects of a type that the centre took, in the order they came."""
    return [item for one in centre.received if one.unit.type == kind for item in one.unit.objects]


def fires(centre: GbCentre) -> list[int]:
    """The n of every component status with the fire bit, in order; see `point`."""
    found = []
    for item in units(centre, 2):
        assert isinstance(item, ComponentStatus)
        if item.status & 0b10:
            loop, number = (int.from_bytes(item.address[i : i + 2], "little") for i in (0, 2))
            found.append((loop - 1) * 250 + number)
    return found
