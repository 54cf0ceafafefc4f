"""All ways out of this box: made from the configuration, shared by the destinations, counted, and told to the core."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Final, NoReturn, Protocol

from buffer.records import Priority
from edge_agent.clock import TimeSource
from edge_agent.config.model import Config
from edge_agent.config.uplinks import Link as LinkTable
from edge_agent.config.uplinks import Uplink
from edge_agent.model import Clock
from edge_agent.uplink.core_link import CoreLink
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.link import Link, LinkError
from edge_agent.uplink.modem.build import ModemPath, modem_path
from edge_agent.uplink.noticing import PROBE_GB_S, PROBE_PACKED_S
from edge_agent.uplink.packed import read_key
from edge_agent.uplink.packed_link import PackedLink, PackedSettings
from edge_agent.uplink.path import Dial, Path, RoutedPath
from edge_agent.uplink.policy import (
    PolicyLink,
    Probe,
    Way,
    preference,
    probe_tcp,
    rule_of,
)
from edge_agent.uplink.traffic import Traffic

log = logging.getLogger("edge.paths")

TELL_EVERY_S: Final = 10.0

MakePath = Callable[[LinkTable | None], Path]  # None: the kernel's own route
MakeModem = Callable[..., ModemPath]
Worker = tuple[str, Callable[[], Awaitable[None]], Callable[[], int]]


class WideLink(Link, Protocol):
    """A link that carries records in full, over any path."""

    def over(self, dial: Dial) -> "WideLink":
        """The same link by another path: what it remembers of the centre is one memory."""
        ...


class Paths:
    """One for the process. Without [[link]] there is one path, the kernel's route, and nobody watches it."""

    def __init__(
        self,
        config: Config,
        clock: TimeSource,
        ledger: Ledger,
        core: CoreLink,
        rng: random.Random,
        *,
        make_path: MakePath = RoutedPath,
        make_modem: MakeModem = modem_path,
    ) -> None:
        self._config, self._core, self._rng, self._make_path = config, core, rng, make_path
        self._links = sorted(config.links, key=preference)
        self._modems = {
            link.id: make_modem(
                link,
                data_dir=config.gateway.data_dir,
                ask=core.ask,
                report=self._modem_says,
                wall_ns=partial(_believed_ns, clock),
            )
            for link in self._links
            if link.modem is not None
        }
        self._paths: dict[str, Path] = {link.id: self._modems.get(link.id) or make_path(link) for link in self._links}
        self._traffic = Traffic(self._links, ledger, clock, self._warn)
        self._policies: dict[str, PolicyLink] = {}
        self._says: dict[str, dict[str, bool]] = {link.id: {} for link in self._links}  # by destination
        self._uses: dict[str, str | None] = {}  # destination -> link
        self._turns = 0

    def link(self, uplink: Uplink, make: Callable[[Dial], WideLink]) -> Link:
        """The link of a destination; `make` gives the one that runs over a wide path."""
        if not self._links:
            return make(_dial(self._make_path(None), uplink))
        ways: list[Way] = []
        wide: WideLink | None = None
        for table in self._links:
            if (path := self._paths[table.id]).packed:
                ways += self._packed_way(uplink, table)
                continue
            dial = _dial(path, uplink)
            wide = wide.over(dial) if wide is not None else make(dial)
            ways.append(Way(rule_of(table), path, wide, _probe(path, uplink, wide)))
        if not ways:
            return _NoWay()
        policy = self._policies[uplink.id] = PolicyLink(
            ways,
            rng=random.Random(self._rng.getrandbits(64)),
            traffic=self._traffic,
            tell=partial(self._heard, uplink.id),
            moved=partial(self._moved, uplink.id),
            media_metered=self._config.media.metered,
        )
        return policy

    def count(self, destination: str, size: int) -> None:
        """So many bytes of an update came from a destination: they are of the share of states."""
        if (link := self._uses.get(destination)) is not None:
            self._traffic.count(link, Priority.STATUS.stream, size)

    def brief_is_all(self, uplink: Uplink) -> bool:
        """Whether no path of this destination carries records in full."""
        return bool(self._links) and bool(uplink.packed_port) and all(p.packed for p in self._paths.values())

    def workers(self) -> Iterator[Worker]:
        """What has to run beside the destinations: name, work, progress."""
        for name, modem in self._modems.items():
            yield f"modem:{name}", modem.run, modem.progress
        for destination, policy in self._policies.items():
            yield f"paths:{destination}", policy.run, policy.progress
        if self._links:
            yield "links", self._tell_for_ever, lambda: self._turns

    def close(self) -> None:
        """Keep the counts."""
        self._traffic.keep()

    def _packed_way(self, uplink: Uplink, table: LinkTable) -> Iterator[Way]:
        path, rule = self._paths[table.id], rule_of(table)
        if not uplink.packed_port or uplink.packed_key_file is None:
            return
        try:
            key = read_key(uplink.packed_key_file.read_text("ascii"))
        except (OSError, ValueError) as fault:
            log.error("dest=%s packed key: %s", uplink.id, fault if isinstance(fault, ValueError) else fault.strerror)
            self._core.fault(uplink.id, "key_file", file=uplink.packed_key_file.name)
            return
        settings = PackedSettings(
            gateway=self._config.gateway.id,
            host=uplink.packed_host or uplink.host,
            port=uplink.packed_port,
            key=key,
            probe_s=rule.probe_s,
            misses=rule.misses,
        )
        packed = PackedLink(settings, path.udp, random.Random(self._rng.getrandbits(64)))
        yield Way(rule, path, packed, partial(packed.probe, PROBE_PACKED_S))

    # --- what people see ---------------------------------------------------------------------------------------------------------

    def _heard(self, destination: str, link: str, up: bool) -> None:
        self._says[link][destination] = up
        log.log(logging.INFO if up else logging.WARNING, "link=%s dest=%s up=%s", link, destination, up)
        self._tell(link)

    def _moved(self, destination: str, link: str | None) -> None:
        before, self._uses[destination] = self._uses.get(destination), link
        for name in {before, link} - {None}:
            if name is not None:
                self._tell(name)

    def _tell(self, link: str) -> None:
        """A link is up while any centre answers over it: one that does not may itself be down."""
        said = self._says[link]
        up = any(said.values()) if said else None
        reason = "answered" if up else "starting" if up is None else "unanswered"
        detail: dict[str, object] = {}
        if (modem := self._modems.get(link)) is not None:
            seen = detail["modem"] = modem.snapshot()
            reason = reason if up or seen["up"] else str(seen["reason"])  # why, not only that nobody answered
        used_by = sorted(dest for dest, name in self._uses.items() if name == link)
        table = next(table for table in self._links if table.id == link)
        month, used = self._traffic.used(link)
        detail |= {"used_by": used_by, "month": month, "bytes": used, "monthly_mb": table.monthly_mb}
        self._core.link_state(link, up, reason, **detail)

    async def _tell_for_ever(self) -> None:
        """Counts change without anybody's doing: they are told now and then, and kept."""
        told: dict[str, object] = {}
        while True:
            self._turns += 1
            for table in self._links:
                modem = self._modems.get(table.id)
                counted = self._traffic.used(table.id), modem.snapshot() if modem is not None else None
                if told.get(table.id) != counted:
                    told[table.id] = counted
                    self._tell(table.id)
            self._traffic.keep_now_and_then()
            await asyncio.sleep(TELL_EVERY_S)

    def _modem_says(self, link: str, reason: str, active: bool, fields: Mapping[str, object]) -> None:
        """A step of its ladder, or a reason a person has to mend."""
        if active:
            self._core.fault("", reason, link=link, **fields)
        self._tell(link)

    def _warn(self, link: str, percent: int) -> None:
        log.warning("link=%s budget used percent=%d", link, percent)
        self._core.fault("", f"budget_{percent}", link=link)


def _believed_ns(clock: TimeSource) -> int | None:
    now = clock.now()
    return None if now.clock is Clock.UNSET else now.wall_ns


def _dial(path: Path, uplink: Uplink) -> Dial:
    return path.udp if uplink.gb26875 is not None and uplink.gb26875.transport == "udp" else path.tcp


def _probe(path: Path, uplink: Uplink, link: WideLink) -> Probe:
    """How it is found out whether the centre answers over a path that carries no session."""
    if uplink.gb26875 is None or uplink.gb26875.transport != "udp":
        return partial(probe_tcp, path, uplink.host, uplink.port)
    from edge_agent.uplink.gb26875.link import GbLink

    assert isinstance(link, GbLink), "the only one that speaks in datagrams"
    return partial(link.probe, PROBE_GB_S)


class _NoWay:
    """None of the links carries what this destination takes."""

    async def open(self, receiver: object) -> NoReturn:
        """Raise LinkError."""
        raise LinkError("no_link")
