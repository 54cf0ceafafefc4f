"""A centre that speaks GB/T 26875.3-2011: the reference centre with its fault menu, and what it must have heard.

The protocol names no records, so its centre is asked for content: each promised event is there as the data unit, the address and
the second it must have, nothing burns there that never burnt, and at rest the picture of every component is true.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from drivers.codecs.gb26875 import join_component
from drivers.codecs.gb26875.objects import ComponentQuery, ComponentStatus, DeviceQuery, InformationObject, SystemQuery
from edge_agent.config.model import Config
from edge_agent.config.uplinks import Gb26875, Uplink
from edge_agent.core import Core
from edge_agent.uplink.gb26875.forms import Form, Happened, form_of
from edge_agent.uplink.gb26875.link import dialect_of
from edge_agent.uplink.gb26875.moments import time_of
from edge_agent.uplink.gb26875.survey import places_of
from simulators.centre.gb26875 import Denied, GbCentre
from simulators.centre.gb_faults import FaultMenu
from simulators.centre.gb_keeper import Job, Keeper
from tests.sim.gb_picture import FIRE, Picture, standing
from tests.sim.loop import World
from tests.sim.network import SimSocket, SockTransport

PORT = 5200
Address = tuple[int, int, bytes]  # system type and address, component

Key = tuple[int, Address | None, datetime | None]  # type of unit, component, second


AGREED = Gb26875(source="36070", target="88888")


def gb_uplink(host: str) -> Uplink:
    streams = ("alarm", "fault", "status")
    return Uplink(id="gb", host=host, port=PORT, protocol="gb26875", streams=streams, gb26875=AGREED)


class InlineKeeper(Keeper):
    """Stores at once: a thread would have a clock of its own."""

    def add(self, item: Job) -> None:
        """Take, commit and tell."""
        super().add(item)
        self.turn(0)

    def on_loop(self, call: Callable[[], None]) -> None:
        """We are on it."""
        call()


class GbCounty:
    """The centre, and what it was told, by content."""

    def __init__(self, world: World, rng: random.Random, wall_ns: Callable[[], int], config: Config) -> None:
        self.world = world
        self.menu = FaultMenu(rng=rng)
        self._dialect = dialect_of(AGREED)
        self.centre = GbCentre(
            db=Path(":memory:"), faults=self.menu, wall_ns=wall_ns, dialect=self._dialect, keep=InlineKeeper
        )
        self.heard: dict[Key, float] = {}  # when it was first seen there: looked at once a second
        self.picture = Picture()
        self.burnt: set[Address] = set()  # components it was ever told to burn
        self.stays: list[int] = []  # contacts, by number, that stay as they are until the picture has been looked at
        self._places, _ = places_of(config)
        self._contacts = [contact.id for contact in config.contacts]
        self._taken = 0

    def accept(self, far: SimSocket) -> None:
        """Somebody has connected."""
        loop = self.world.home
        reader = asyncio.StreamReader(limit=1 << 16, loop=loop)
        SockTransport(far, asyncio.StreamReaderProtocol(reader, self.centre.serve, loop=loop))

    # -- what it heard -----------------------------------------------------------------------------------------------
    def take(self) -> None:
        """Look through what has come."""
        count = self.centre.counters["uploads"]
        fresh = self.centre.received[len(self.centre.received) - (count - self._taken) :] if count > self._taken else []
        self._taken = count
        for upload in fresh:
            self.picture.told(upload.unit.objects)
            for item in upload.unit.objects:
                at = getattr(item, "time", None)
                at = at if isinstance(at, datetime) else None
                address: Address | None = None
                if isinstance(item, ComponentStatus):
                    address = item.system_type, item.system_address, bytes(item.address)
                    if item.status & FIRE:
                        self.burnt.add(address)
                for key in ((upload.unit.type, address, at), (upload.unit.type, address, None)):
                    self.heard.setdefault(key, self.world.now_s)

    # -- what it must have heard ---------------------------------------------------------------------------------------
    def address_of(self, point: str, kind: str = "fire", told: dict[str, Any] | None = None) -> Address:
        place = self._places.of(point, kind=kind, told=told or {})
        component = place.raw or join_component(place.loop, place.point, self._dialect.component_address)
        return place.system_type, place.system_address, bytes(component)

    def key_of(self, body: dict[str, Any]) -> Key | None:
        """What of a record must stand at the centre; None if the standard has no place for it. A label that may have been put right
        since is not held against it.
        """
        told = body.get("fields") or {}
        event = Happened(
            body["kind"], body["point"], body.get("source") or "", body["active"], str(told.get("result", ""))
        )
        place = self._places.of(event.point, kind=event.kind, told=told)
        form = form_of(event, has_address=not place.is_panel)
        if form is Form.NONE or (not event.own and not place.send):
            return None
        if form is Form.FACILITY_OPERATION and not place.is_of_facility:
            return None
        address = self.address_of(event.point, event.kind, told) if form is Form.COMPONENT else None
        at = time_of(body["at"]) if body["at"]["clock"] == "synced" else None
        return form.value, address, at if isinstance(at, datetime) else None

    def place(self, point: str, kind: str) -> tuple[Address, bool]:
        """The component a point is there, and whether that is a panel as a whole."""
        return self.address_of(point, kind), self._places.of(point, kind=kind).is_panel

    def wrong(self, core: Core) -> tuple[str, str]:
        """Where its picture and what stands on the gateway differ: the invariant and what it is, "" for nothing."""
        self.take()
        return self.picture.wrong(standing(core), self.place)

    async def ask(self, kind: int) -> bool:
        """Read the state of the systems (61), the contacts (62) or the device (81); return whether it was answered."""
        systems = [SystemQuery(*self._places.of_system(source).system) for source in self._places.systems]
        contacts = [ComponentQuery(*self.address_of(contact)) for contact in self._contacts]
        asked: dict[int, list[InformationObject]] = {61: [*systems], 62: [*contacts], 81: [DeviceQuery()]}
        try:
            answer = await self.centre.send(kind, *asked[kind])
        except (ConnectionError, TimeoutError, Denied):
            return False
        self.take()  # what was told before it
        self.picture.told(answer.objects)
        return True
