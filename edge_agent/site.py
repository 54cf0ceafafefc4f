"""From the configuration to the drivers of one site."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from drivers.contacts import ContactLine, Contacts
from drivers.gpio import Gpio, InputSpec
from drivers.messages import PointSpec, Sink
from drivers.profile import Profiles
from edge_agent.config.model import Bus, Config


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


def build_wire_drivers(config: Config, profiles: Profiles) -> list[Driver]:
    """A driver for each panel and bus. Raise drivers.profile.ProfileError for a profile that is missing or unsound."""
    built: list[Driver] = []
    if config.panels:
        from drivers.panel import PanelDriver

        for panel in config.panels:
            profile = profiles.get(panel.profile)
            built.append(
                PanelDriver(
                    id=panel.id,
                    profile=profile,
                    port=panel.port,
                    baud=panel.baud,
                    framing=panel.framing,
                    silence_s=panel.silence_s,
                )
            )
    built += [_build_bus(bus, profiles) for bus in config.buses]
    return built


def _build_bus(bus: Bus, profiles: Profiles) -> Driver:
    from drivers.modbus_bus import BusDevice, ModbusBus
    from drivers.modbus_map import compile_profile
    from drivers.modbus_rtu import RtuLink
    from drivers.modbus_tcp import TcpLink

    link: RtuLink | TcpLink
    if bus.port:
        link = RtuLink(bus.port, bus.baud, bus.framing, bus.timeout_s, bus.gap_s)
    else:
        link = TcpLink(bus.host, bus.tcp_port, bus.timeout_s)
    compiled = {name: compile_profile(profiles.get(name).data, name=name) for name in {d.profile for d in bus.devices}}
    devices = [
        BusDevice(id=device.id, profile=compiled[device.profile], address=device.address, period_s=device.period_s)
        for device in bus.devices
    ]
    return ModbusBus(id=bus.id, link=link, devices=devices)


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
    """Everything that can fall silent: id -> panel | bus | device | contacts | buttons | uplink."""
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
    return sources


def uplink_source(destination: str) -> str:
    """The source that stands for the link to one centre."""
    return f"uplink/{destination}"
