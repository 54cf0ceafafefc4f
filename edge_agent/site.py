"""From the configuration to the drivers of one site."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from drivers.contacts import ContactLine, Contacts
from drivers.gpio import Gpio, InputSpec
from drivers.messages import PointSpec, Sink, WhenKept
from drivers.profile import PanelLink, ProfileError, Profiles
from edge_agent.config.model import Bus, Config, Device, Mqtt, MqttDevice, Panel, Receiver, ReceiverDevice
from edge_agent.model import Kind
from edge_agent.points.taps import TAP_HOLD_S, Naming, Tapped

if TYPE_CHECKING:
    from datetime import datetime

    from drivers.receivers.desk import Desk, Talk
    from drivers.receivers.net import Door
    from drivers.serial_link import SerialLink
    from drivers.tag_reader import TagReader

log = logging.getLogger("edge.site")

OpenPort = Callable[..., "SerialLink"]  # arguments as of SerialLink
_P = TypeVar("_P")
_P_co = TypeVar("_P_co", covariant=True)
_D = TypeVar("_D", Device, MqttDevice)


class Compile(Protocol[_P_co]):
    """Makes something of the TOML of a profile, or raises."""

    def __call__(self, data: Mapping[str, object], *, name: str) -> _P_co:
        """Raise ProfileFault, saying what is wrong where."""
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


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a receiver needs of the core: when something told is safe, UTC (None while the clock is not set), and what is active of
    a device: points and kinds.
    """

    when_kept: WhenKept
    utc: "Callable[[], datetime | None]"
    standing: "Callable[[str], Sequence[tuple[str, str]]]"


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
            built.append(_build_receiver(receiver, profiles, wiring, open_port))
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
    from drivers.modbus_tables import ProfileFault

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


# Of each protocol of a receiver: how long a device may be silent, how soon an equal message is a copy, and its serial line.
_RECEIVERS: Mapping[str, tuple[float, float, int, str]] = {
    "contact-id": (0.0, 30.0, 9600, "8N1"),
    "dc09": (360.0, 120.0, 0, ""),
    "elec-7b7b": (3600.0, 60.0, 9600, "8N1"),
    "espa444": (120.0, 15.0, 9600, "7E1"),
    "frames": (90_000.0, 0.0, 0, ""),
    "gb26875": (90.0, 60.0, 9600, "8N1"),
    "ks68": (120.0, 60.0, 0, ""),
    "nb": (259_200.0, 60.0, 0, ""),
    "node": (750.0, 604_800.0, 0, ""),  # a record is the same one however late it comes again
}
# Their peers wait for the answer to one message before they send the next.
_NAMING: Mapping[str, Naming] = {"gb26875": Naming.SYSTEM, "dc09": Naming.ZONES, "contact-id": Naming.ZONES}
_ONE_AT_A_TIME = frozenset({"contact-id", "dc09", "espa444", "nb"})


def _build_receiver(receiver: Receiver, profiles: Profiles, wiring: Wiring, open_port: OpenPort | None) -> Driver:
    from drivers.receivers.desk import COPIES_MAX, Desk, Listed
    from drivers.receivers.driver import ReceiverDriver

    silence_s, resend_s, _, _ = _RECEIVERS[receiver.protocol]
    devices = [
        Listed(id=one.id, address=one.address, silence_s=silence_s if one.silence_s is None else one.silence_s)
        for one in receiver.devices
    ]
    copies = 1 if receiver.protocol in _ONE_AT_A_TIME else COPIES_MAX
    desk = Desk(receiver.id, devices, wiring.when_kept, resend_s=resend_s, copies=copies)
    if receiver.protocol == "gb26875":
        return _build_gb26875(receiver, desk, wiring, open_port)
    make_talk = _talk(receiver, profiles, wiring)
    if receiver.folder is not None:
        from drivers.receivers.folder import FolderDoor

        return ReceiverDriver(desk, FolderDoor(receiver.folder, make_talk, desk, wiring.when_kept))
    link = profiles.for_site(receiver.profile).link if receiver.protocol == "frames" else None
    return ReceiverDriver(desk, _build_door(receiver, make_talk, desk, open_port, link))


def _talk(receiver: Receiver, profiles: Profiles, wiring: Wiring) -> "Callable[[], Talk]":
    """What makes the protocol's side of one connection."""
    if receiver.protocol == "dc09":
        return _dc09_talk(receiver, wiring)
    if receiver.protocol in ("espa444", "frames"):
        return _profiled_talk(receiver, profiles)
    if receiver.protocol == "elec-7b7b":
        from drivers.receivers.elec_7b7b import Elec7b7bTalk

        return Elec7b7bTalk
    if receiver.protocol == "ks68":
        from drivers.ks_map import compile_profile
        from drivers.receivers.ks_breaker import KsTalk

        breaker = compile_profile(profiles.for_site("ks-breaker").data, name="ks-breaker")
        return lambda: KsTalk(breaker)
    if receiver.protocol == "contact-id":
        from drivers.receivers.contact_line import ContactLineTalk

        return ContactLineTalk
    if receiver.protocol == "nb":
        from drivers.receivers.nb import CoapTalk, LinesTalk, NbTalk

        return LinesTalk if receiver.folder else CoapTalk if receiver.transport == "coap" else NbTalk
    assert receiver.protocol == "node", "the configuration's check has seen to it"
    from drivers.receivers.node import NodeTalk

    keys = {one.address: _node_key(one) for one in receiver.devices}
    return lambda: NodeTalk(keys)


def _build_gb26875(receiver: Receiver, desk: "Desk", wiring: Wiring, open_port: OpenPort | None) -> Driver:
    from drivers.codecs.gb26875 import DIALECTS
    from drivers.panel_clock import About
    from drivers.receivers.driver import ReceiverDriver
    from drivers.receivers.gb26875 import GbTalk, States, dialect
    from drivers.receivers.gb26875_ask import Questions

    spoken, states = dialect(DIALECTS[receiver.dialect], receiver.component_address), States()
    questions = Questions(spoken)
    ids = {one.address: one.id for one in receiver.devices}

    def standing(who: str) -> list[tuple[str, str]]:
        device = ids.get(who, "")
        return [(point.removeprefix(f"{device}/"), kind) for point, kind in wiring.standing(device)]

    def make_talk() -> GbTalk:
        return GbTalk(spoken, states, wiring.utc, questions, standing)

    def about() -> list[About]:
        return [About(name, *states.about(address)) for address, name in ids.items()]

    return ReceiverDriver(desk, _build_door(receiver, make_talk, desk, open_port, None), about)


def _profiled_talk(receiver: Receiver, profiles: Profiles) -> "Callable[[], Talk]":
    from drivers.codecs.registry import build_codec
    from drivers.receivers.espa444 import EspaControl, EspaTalk
    from drivers.receivers.frames import FramesTalk

    profile = profiles.for_site(receiver.profile or "generic-printer")
    if receiver.protocol == "frames":
        return lambda: FramesTalk(build_codec(profile))
    if receiver.polls:
        return lambda: EspaControl(receiver.station, receiver.polls, build_codec(profile))
    return lambda: EspaTalk(receiver.station, build_codec(profile))


def _node_key(device: ReceiverDevice) -> bytes:
    assert device.key_file is not None  # the configuration's check has seen to it
    return bytes.fromhex(device.key_file.read_text("ascii").strip())


def _dc09_talk(receiver: Receiver, wiring: Wiring) -> "Callable[[], Talk]":
    import random

    from drivers.receivers.dc09 import Dc09Talk, read_key

    keys = {
        one.address: read_key(one.key_file.read_text("ascii")) if one.key_file is not None else None
        for one in receiver.devices
    }
    chance = random.SystemRandom()
    return lambda: Dc09Talk(keys, wiring.utc, chance)


def _build_door(
    receiver: Receiver,
    make_talk: "Callable[[], Talk]",
    desk: "Desk",
    open_port: OpenPort | None,
    line: PanelLink | None,
) -> "Door":
    from drivers.receivers.line import LineDoor
    from drivers.receivers.net import TcpDoor, UdpDoor, Where
    from drivers.serial_link import SerialLink

    if receiver.port:
        _, _, baud, framing = _RECEIVERS[receiver.protocol]
        baud, framing = (line.baud, line.framing) if line is not None else (baud, framing)
        make = open_port or SerialLink
        link = make(receiver.port, baud=receiver.baud or baud, framing=receiver.framing or framing)
        return LineDoor(link, make_talk, desk)
    import ipaddress  # only who listens needs it

    allow = tuple(ipaddress.ip_network(network, strict=False) for network in receiver.allow)
    where = Where(host=receiver.listen, port=receiver.listen_port or 0, allow=allow)
    transport = receiver.transport or ("udp" if receiver.protocol in ("nb", "node") else "tcp")
    return (TcpDoor if transport == "tcp" else UdpDoor)(where, make_talk, desk)


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


def names_of(config: Config) -> dict[str, str]:
    """What the site calls its sources and points: id -> name, over what profiles and panels say."""
    names = {panel.id: panel.name for panel in config.panels}
    names |= {receiver.id: receiver.name for receiver in config.receivers}
    names |= {device.id: device.name for line in config.lines for device in line.devices}
    names |= {contact.id: contact.name for contact in config.contacts}
    names |= {reader.id: reader.name for reader in config.tag_readers}
    names |= {camera_source(camera.id): camera.name for camera in config.cameras}
    names |= {water.id: water.name for water in config.waters} | {point.id: point.name for point in config.points}
    return {source: name for source, name in names.items() if name}


def parents_of(config: Config) -> dict[str, str]:
    """The bus, broker or receiver of each device: while that is silent, so is the device."""
    return {device.id: line.id for line in config.lines for device in line.devices}


def sources_of(config: Config) -> dict[str, str]:
    """Everything that can fall silent: id -> panel | bus | mqtt | receiver | device | contacts | buttons | tag_reader |
    cameras | camera | uplink | link.
    """
    sources = {panel.id: "panel" for panel in config.panels}
    for line in config.lines:
        sources[line.id] = type(line).__name__.lower()
        sources |= {device.id: "device" for device in line.devices}
    if config.contacts:
        sources["contacts"] = "contacts"
    if config.board.buttons:
        sources["buttons"] = "buttons"
    sources |= {reader.id: "tag_reader" for reader in config.tag_readers}
    if config.cameras:
        sources["cameras"] = "cameras"
        sources |= {camera_source(camera.id): "camera" for camera in config.cameras}
    if config.uplinks:
        sources["uplink"] = "uplink"
        sources |= {uplink_source(uplink.id): "uplink" for uplink in config.uplinks}
        sources |= {link_source(link.id): "link" for link in config.links}
    return sources


def tapped_panels(config: Config) -> list[Tapped]:
    """The panels that are listened to in more than one place."""
    kinds = {point.id: point.kind for point in config.points if point.kind}
    speakers: list[Panel | Device | ReceiverDevice] = [*config.panels]
    speakers += [device for bus in config.buses for device in bus.devices]
    speakers += [device for receiver in config.receivers for device in receiver.devices]
    taps = {tap.id: tap.tap_of for tap in speakers if tap.tap_of}
    relays = {contact.id: contact for contact in config.contacts if contact.tap_of}
    holds = {panel.id: panel.tap_hold_s for panel in config.panels}
    naming = {
        device.id: how
        for receiver in config.receivers
        if (how := _NAMING.get(receiver.protocol)) is not None
        for device in receiver.devices
    }
    return [
        Tapped(
            ports=(of, *(tap for tap, panel in taps.items() if panel == of)),
            contacts={name: Kind(kinds.get(name, c.kind)) for name, c in relays.items() if c.tap_of == of},
            naming=naming,
            hold_s=holds.get(of, TAP_HOLD_S),
        )
        for of in dict.fromkeys((*taps.values(), *(contact.tap_of for contact in relays.values())))
    ]


def uplink_source(destination: str) -> str:
    """The source that stands for the link to one centre."""
    return f"uplink/{destination}"


def camera_source(camera: str) -> str:
    """The source that stands for one camera."""
    return f"camera/{camera}"


def link_source(link: str) -> str:
    """The source that stands for one way out of this box."""
    return f"link/{link}"
