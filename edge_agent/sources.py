"""What a configuration names: all that can fall silent, what the site calls it, what it hangs on, which taps are one panel."""

from collections.abc import Mapping

from edge_agent.config.model import Config, Device, Panel, ReceiverDevice
from edge_agent.model import Kind
from edge_agent.points.taps import TAP_HOLD_S, Naming, Tapped

# How the peers of a protocol name the zones and points of a panel that is tapped elsewhere too.
_NAMING: Mapping[str, Naming] = {"gb26875": Naming.SYSTEM, "dc09": Naming.ZONES, "contact-id": Naming.ZONES}


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
