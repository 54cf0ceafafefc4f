"""From a [[receiver]] of the configuration to its driver: the door that listens, and who talks behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from drivers.profile import PanelLink, Profiles
from edge_agent.config.model import Receiver, ReceiverDevice
from edge_agent.wiring import Driver, OpenPort, Wiring

if TYPE_CHECKING:
    from drivers.receivers.desk import Desk, Talk
    from drivers.receivers.net import Door

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
_ONE_AT_A_TIME = frozenset({"contact-id", "dc09", "espa444", "nb"})


def build_receiver(receiver: Receiver, profiles: Profiles, wiring: Wiring, open_port: OpenPort | None) -> Driver:
    """The driver of one [[receiver]]. Raise if it cannot be built."""
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


def _talk(receiver: Receiver, profiles: Profiles, wiring: Wiring) -> Callable[[], Talk]:
    """What makes the protocol's side of one connection."""
    if receiver.protocol == "dc09":
        return _dc09_talk(receiver, wiring)
    if receiver.protocol in ("espa444", "frames"):
        return _profiled_talk(receiver, profiles)
    if receiver.protocol == "elec-7b7b":
        from drivers.receivers.elec_7b7b import Elec7b7bTalk

        return Elec7b7bTalk
    if receiver.protocol == "ks68":
        return _ks_talk(receiver, profiles, wiring)
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


def _build_gb26875(receiver: Receiver, desk: Desk, wiring: Wiring, open_port: OpenPort | None) -> Driver:
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


def _ks_talk(receiver: Receiver, profiles: Profiles, wiring: Wiring) -> Callable[[], Talk]:
    from drivers.ks_map import compile_profile
    from drivers.receivers.ks_breaker import Breaths, KsTalk

    power = f"{receiver.id}/power/"

    def standing() -> list[str]:
        return [point.removeprefix(power) for point, _ in wiring.standing(receiver.id) if point.startswith(power)]

    breaker = compile_profile(profiles.for_site("ks-breaker").data, name="ks-breaker")
    breaths = Breaths([one.address for one in receiver.devices], standing)
    return lambda: KsTalk(breaker, breaths)


def _profiled_talk(receiver: Receiver, profiles: Profiles) -> Callable[[], Talk]:
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


def _dc09_talk(receiver: Receiver, wiring: Wiring) -> Callable[[], Talk]:
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
    make_talk: Callable[[], Talk],
    desk: Desk,
    open_port: OpenPort | None,
    line: PanelLink | None,
) -> Door:
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
