"""From the configuration to the drivers of one site."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from drivers.contacts import ContactLine, Contacts
from drivers.gpio import Gpio, InputSpec
from drivers.messages import PointSpec, Sink
from drivers.profile import ProfileError, Profiles
from edge_agent.config.model import Bus, Config, Device, Panel

if TYPE_CHECKING:
    from drivers.serial_link import SerialLink

log = logging.getLogger("edge.site")

OpenPort = Callable[..., "SerialLink"]  # arguments as of SerialLink
_P = TypeVar("_P")
_P_co = TypeVar("_P_co", covariant=True)


class Compile(Protocol[_P_co]):
    """Makes something of the TOML of a profile, or raises."""

    def __call__(self, data: Mapping[str, object], *, name: str) -> _P_co:
        """Raise ProfileFault or MapFault, saying what is wrong where."""
        ...


class Driver(Protocol):
    """One port or bus and what is on it (docs/architecture.md)."""

    id: str

    async def run(self, sink: Sink) -> None:
        """Never returns; a vanished port is handled inside and told as LinkState."""
        ...

    def progress(self) -> int:
        """Grows while the worker lives, port or no port."""
        ...

    def counters(self) -> Mapping[str, int]:
        """Counts since the start."""
        ...

    def specs(self) -> Sequence[PointSpec]:
        """Points known before they speak."""
        ...


def build_wire_drivers(
    config: Config, profiles: Profiles, open_port: OpenPort | None = None
) -> tuple[list[Driver], dict[str, ProfileError]]:
    """A driver for each panel and bus, and why some sources (panels, buses, devices) have none: id -> what is wrong.

    `open_port` makes the serial ports; None: SerialLink itself.

    One profile that cannot be used must not silence the panels beside it.
    """
    built: list[Driver] = []
    unbuilt: dict[str, ProfileError] = {}
    for panel in config.panels:
        try:
            built.append(_build_panel(panel, profiles, open_port))
        except Exception as fault:  # noqa: BLE001 - told as a fault of the source
            unbuilt[panel.id] = _why(fault)
    for bus in config.buses:
        try:
            built.append(_build_bus(bus, profiles, unbuilt, open_port))
        except Exception as fault:  # noqa: BLE001 - as above
            unbuilt[bus.id] = _why(fault)
            unbuilt |= {device.id: unbuilt[bus.id] for device in bus.devices if device.id not in unbuilt}
    for source, why in unbuilt.items():
        log.error("source=%s cannot be watched: %s", source, ascii(why))
    return built, unbuilt


def _why(fault: Exception) -> ProfileError:
    from drivers.dlt645_map import MapFault
    from drivers.modbus_tables import ProfileFault

    if isinstance(fault, ProfileError):
        return fault
    if isinstance(fault, ProfileFault | MapFault):
        return ProfileError("bad_table", where=fault.where, value=fault.value, detail=fault.code)
    return ProfileError("unusable", detail=f"{type(fault).__name__}: {fault}")


def _build_panel(panel: Panel, profiles: Profiles, open_port: OpenPort | None) -> Driver:
    from drivers.panel import PanelDriver
    from drivers.serial_link import SerialLink

    return PanelDriver(
        id=panel.id,
        profile=profiles.get(panel.profile),
        port=panel.port,
        baud=panel.baud,
        framing=panel.framing,
        silence_s=panel.silence_s,
        open_port=open_port or SerialLink,
    )


def _build_bus(bus: Bus, profiles: Profiles, unbuilt: dict[str, ProfileError], open_port: OpenPort | None) -> Driver:
    from drivers.serial_link import SerialLink

    build = _build_meters if bus.protocol == "dlt645" else _build_modbus
    return build(bus, profiles, unbuilt, open_port or SerialLink)


def _build_modbus(bus: Bus, profiles: Profiles, unbuilt: dict[str, ProfileError], open_port: OpenPort) -> Driver:
    from drivers.modbus_bus import BusDevice, ModbusBus
    from drivers.modbus_map import compile_profile
    from drivers.modbus_rtu import RtuLink
    from drivers.modbus_tcp import TcpLink

    link: RtuLink | TcpLink
    if bus.port:
        link = RtuLink(bus.port, bus.baud or 9600, bus.framing or "8N1", bus.timeout_s, bus.gap_s, open_port)
    else:
        link = TcpLink(bus.host, bus.tcp_port, bus.timeout_s)
    devices = [
        BusDevice(id=device.id, profile=profile, address=device.address, period_s=device.period_s)
        for device, profile in _compiled(bus, profiles, unbuilt, compile_profile)
    ]
    return ModbusBus(id=bus.id, link=link, devices=devices)


def _build_meters(bus: Bus, profiles: Profiles, unbuilt: dict[str, ProfileError], open_port: OpenPort) -> Driver:
    from drivers.dlt645_bus import BusMeter, Dlt645Bus, MeterLine
    from drivers.dlt645_map import compile_profile

    found = _compiled(bus, profiles, unbuilt, compile_profile)
    baud, framing = (found[0][1].baud, found[0][1].framing) if found else (2400, "8E1")
    return Dlt645Bus(
        id=bus.id,
        line=MeterLine(bus.port, bus.baud or baud, bus.framing or framing, bus.timeout_s, open_port),
        meters=[BusMeter(device.id, profile, device.meter, device.period_s) for device, profile in found],
    )


def _compiled(
    bus: Bus, profiles: Profiles, unbuilt: dict[str, ProfileError], compile_profile: Compile[_P]
) -> list[tuple[Device, _P]]:
    """The devices of a line whose profiles make sense; why the others do not goes into `unbuilt`. Raise if none does."""
    compiled: dict[str, _P] = {}
    found = []
    for device in bus.devices:
        try:
            if device.profile not in compiled:
                compiled[device.profile] = compile_profile(profiles.get(device.profile).data, name=device.profile)
        except Exception as fault:  # noqa: BLE001 - told as a fault of the source
            unbuilt[device.id] = _why(fault)
            continue
        found.append((device, compiled[device.profile]))
    if bus.devices and not found:
        raise unbuilt[bus.devices[0].id]
    return found


def build_contacts(config: Config, gpio: Gpio) -> Contacts | None:
    """The site's dry contacts, if it has any."""
    lines = [
        ContactLine(
            id=contact.id,
            line=contact.line,
            normally=contact.normally,
            kind=contact.kind,
            name=contact.name,
            on_delay_s=contact.on_delay_s,
            off_delay_s=contact.off_delay_s,
        )
        for contact in config.contacts
    ]
    return Contacts(gpio, lines) if lines else None


def build_buttons(config: Config, gpio: Gpio) -> Contacts | None:
    """The box's own buttons, as contacts named button/ack and button/silence."""
    lines = [ContactLine(id=f"button/{name}", line=line) for name, line in config.board.buttons.items()]
    return Contacts(gpio, lines, id="buttons") if lines else None


def board_inputs(config: Config) -> dict[int, InputSpec]:
    """Lines to be requested as inputs: contacts and buttons close to ground against a pull-up."""
    lines = [contact.line for contact in config.contacts] + list(config.board.buttons.values())
    return {line: InputSpec() for line in lines}


def names_of(config: Config) -> dict[str, str]:
    """What the site calls its sources and points: id -> name, over what profiles and panels say."""
    devices = [device for bus in config.buses for device in bus.devices]
    names = {panel.id: panel.name for panel in config.panels} | {device.id: device.name for device in devices}
    names |= {contact.id: contact.name for contact in config.contacts} | {p.id: p.name for p in config.points}
    return {source: name for source, name in names.items() if name}


def sources_of(config: Config) -> dict[str, str]:
    """Everything that can fall silent: id -> panel | bus | device | contacts | buttons | uplink | link."""
    sources = {panel.id: "panel" for panel in config.panels}
    for bus in config.buses:
        sources[bus.id] = "bus"
        sources |= {device.id: "device" for device in bus.devices}
    if config.contacts:
        sources["contacts"] = "contacts"
    if config.board.buttons:
        sources["buttons"] = "buttons"
    if config.uplinks:
        sources["uplink"] = "uplink"
        sources |= {uplink_source(uplink.id): "uplink" for uplink in config.uplinks}
        sources |= {link_source(link.id): "link" for link in config.links}
    return sources


def uplink_source(destination: str) -> str:
    """The source that stands for the link to one centre."""
    return f"uplink/{destination}"


def link_source(link: str) -> str:
    """The source that stands for one way out of this box."""
    return f"link/{link}"
