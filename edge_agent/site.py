"""From the configuration to the drivers of one site."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from drivers.contacts import ContactLine, Contacts
from drivers.gpio import Gpio, InputSpec
from drivers.profile import ProfileError, Profiles
from edge_agent.config.model import Bus, Config, Device, Mqtt, MqttDevice, Panel
from edge_agent.site_receivers import build_receiver
from edge_agent.wiring import Driver, OpenPort, Wiring

if TYPE_CHECKING:
    from drivers.tag_reader import TagReader

log = logging.getLogger("edge.site")

_P = TypeVar("_P")
_P_co = TypeVar("_P_co", covariant=True)
_D = TypeVar("_D", Device, MqttDevice)


class Compile(Protocol[_P_co]):
    """Makes something of the TOML of a profile, or raises."""

    def __call__(self, data: Mapping[str, object], *, name: str) -> _P_co:
        """Raise ProfileFault, saying what is wrong where."""
        ...


def build_wire_drivers(
    config: Config, profiles: Profiles, wiring: Wiring, open_port: OpenPort | None = None
) -> tuple[list[Driver], dict[str, ProfileError]]:
    """A driver for each panel, bus, broker and receiver, and why some sources have none: id -> what is wrong.

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
    for receiver in config.receivers:
        try:
            built.append(build_receiver(receiver, profiles, wiring, open_port))
        except Exception as fault:  # noqa: BLE001 - as above
            unbuilt[receiver.id] = _why(fault)
            unbuilt |= {device.id: unbuilt[receiver.id] for device in receiver.devices}
    for broker in config.mqtts:
        try:
            built.append(_build_mqtt(broker, config.gateway.id, profiles, wiring, unbuilt))
        except Exception as fault:  # noqa: BLE001 - as above
            unbuilt[broker.id] = _why(fault)
            unbuilt |= {device.id: unbuilt[broker.id] for device in broker.devices if device.id not in unbuilt}
    for source, why in unbuilt.items():
        log.error("source=%s cannot be watched: %s", source, ascii(why))
    return built, unbuilt


def _why(fault: Exception) -> ProfileError:
    from drivers.profile_toml import ProfileFault

    if isinstance(fault, ProfileError):
        return fault
    if isinstance(fault, ProfileFault):
        return ProfileError("bad_table", where=fault.where, value=fault.value, detail=fault.code)
    return ProfileError("unusable", detail=f"{type(fault).__name__}: {fault}")


def _build_panel(panel: Panel, profiles: Profiles, open_port: OpenPort | None) -> Driver:
    from drivers.panel import PanelDriver
    from drivers.serial_link import SerialLink

    return PanelDriver(
        id=panel.id,
        profile=profiles.for_site(panel.profile),
        port=panel.port,
        baud=panel.baud,
        framing=panel.framing,
        silence_s=panel.silence_s,
        open_port=open_port or SerialLink,
    )


def _build_bus(bus: Bus, profiles: Profiles, unbuilt: dict[str, ProfileError], open_port: OpenPort | None) -> Driver:
    from drivers.serial_link import SerialLink

    build = {"dlt645": _build_meters, "ks68": _build_breakers}.get(bus.protocol, _build_modbus)
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
        for device, profile in _compiled(bus.devices, profiles, unbuilt, compile_profile)
    ]
    return ModbusBus(id=bus.id, link=link, devices=devices)


def _build_meters(bus: Bus, profiles: Profiles, unbuilt: dict[str, ProfileError], open_port: OpenPort) -> Driver:
    from drivers.dlt645_bus import BusMeter, Dlt645Bus
    from drivers.dlt645_map import compile_profile
    from drivers.serial_bus import Line

    found = _compiled(bus.devices, profiles, unbuilt, compile_profile)
    baud, framing = (found[0][1].baud, found[0][1].framing) if found else (2400, "8E1")
    return Dlt645Bus(
        id=bus.id,
        line=Line(bus.port, bus.baud or baud, bus.framing or framing, bus.timeout_s, open_port),
        meters=[BusMeter(device.id, profile, device.meter, device.period_s) for device, profile in found],
    )


def _build_breakers(bus: Bus, profiles: Profiles, unbuilt: dict[str, ProfileError], open_port: OpenPort) -> Driver:
    from drivers.ks_bus import BusBreaker, KsBus
    from drivers.ks_map import compile_profile
    from drivers.serial_bus import Line

    found = _compiled(bus.devices, profiles, unbuilt, compile_profile)
    baud, framing = (found[0][1].baud, found[0][1].framing) if found else (9600, "8N1")
    return KsBus(
        id=bus.id,
        line=Line(bus.port, bus.baud or baud, bus.framing or framing, bus.timeout_s, open_port),
        breakers=[BusBreaker(device.id, profile, device.meter, device.period_s) for device, profile in found],
    )


def _build_mqtt(
    broker: Mqtt, gateway: str, profiles: Profiles, wiring: Wiring, unbuilt: dict[str, ProfileError]
) -> Driver:
    from drivers.mqtt_devices import MqttDevice
    from drivers.mqtt_driver import BrokerLink, MqttDriver
    from drivers.mqtt_profile import compile_profile
    from drivers.node_updates import NodeUpdates

    found = _compiled(broker.devices, profiles, unbuilt, compile_profile)
    link = BrokerLink(
        host=broker.host,
        port=broker.port,
        client_id=f"{gateway}-{broker.id}",
        username=broker.username,
        password_file=broker.password_file,
    )
    return MqttDriver(
        id=broker.id,
        link=link,
        devices=[MqttDevice(device.id, profile, device.topic, device.silence_s) for device, profile in found],
        watched=[compile_profile(profiles.for_site(name).data, name=name) for name in broker.discover],
        when_kept=wiring.when_kept,
        updates=NodeUpdates({device.id: device.topic for device, profile in found if profile.node})
        if broker.node_updates
        else None,
    )


def _compiled(
    devices: Sequence[_D], profiles: Profiles, unbuilt: dict[str, ProfileError], compile_profile: Compile[_P]
) -> list[tuple[_D, _P]]:
    """The devices of a line whose profiles make sense; why the others do not goes into `unbuilt`. Raise if none does."""
    compiled: dict[str, _P] = {}
    found = []
    for device in devices:
        try:
            if device.profile not in compiled:
                compiled[device.profile] = compile_profile(profiles.for_site(device.profile).data, name=device.profile)
        except Exception as fault:  # noqa: BLE001 - told as a fault of the source
            unbuilt[device.id] = _why(fault)
            continue
        found.append((device, compiled[device.profile]))
    if devices and not found:
        raise unbuilt[devices[0].id]
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


def build_tag_readers(config: Config, open_port: OpenPort | None = None) -> list["TagReader"]:
    """The readers of patrol tags."""
    if not config.tag_readers:
        return []
    from drivers.serial_link import SerialLink
    from drivers.tag_reader import KeyboardWedge, Pn532, Rdm6300

    readers: list[TagReader] = []
    for reader in config.tag_readers:
        if reader.kind == "keyboard":
            readers.append(KeyboardWedge(id=reader.id, port=reader.port))
        else:
            make = Pn532 if reader.kind == "pn532" else Rdm6300
            readers.append(make(id=reader.id, port=reader.port, open_port=open_port or SerialLink))
    return readers


def build_buttons(config: Config, gpio: Gpio) -> Contacts | None:
    """The box's own buttons, as contacts named button/ack and button/silence."""
    lines = [ContactLine(id=f"button/{name}", line=line) for name, line in config.board.buttons.items()]
    return Contacts(gpio, lines, id="buttons") if lines else None


def board_inputs(config: Config) -> dict[int, InputSpec]:
    """Lines to be requested as inputs: contacts and buttons close to ground against a pull-up."""
    lines = [contact.line for contact in config.contacts] + list(config.board.buttons.values())
    return {line: InputSpec() for line in lines}
