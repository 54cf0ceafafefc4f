"""Devices that speak by themselves: how they come in, from whom, and what they are called."""

import re
from typing import Final

from edge_agent.config.check.hosts import address_of, network_of
from edge_agent.config.check.repeats import first_at
from edge_agent.config.site import Item, Site

# Which ways in a receiver's protocol knows, and how its devices name themselves.
_WAYS: Final = {
    **dict.fromkeys(("gb26875", "elec-7b7b"), ("listen", "port")),
    **dict.fromkeys(("espa444", "contact-id", "frames"), ("port",)),
    **dict.fromkeys(("dc09", "ks68", "node"), ("listen",)),
    "nb": ("listen", "folder"),
}
_TRANSPORTS: Final = {
    **dict.fromkeys(("gb26875", "dc09"), ("tcp", "udp")),
    "nb": ("udp", "coap"),
    "node": ("udp",),
}
_WIRE_ADDRESSES: Final = {
    "gb26875": re.compile(r"[0-9]{1,15}"),
    "dc09": re.compile(r"[0-9A-F]{3,16}"),
    "nb": re.compile(r"[0-9A-Za-z_.:-]{1,32}"),
    "espa444": re.compile(""),  # one panel on a line
    "contact-id": re.compile(r"[0-9A-F]{4,10}"),
    "elec-7b7b": re.compile(r"[0-9A-Za-z]{1,14}"),
    "ks68": re.compile(r"[0-9]{12}"),
    "frames": re.compile(r"[0-9A-Za-z_.:-]{1,32}"),
}
_ALL_WAYS: Final = ("listen", "port", "folder")
_OF_NETWORK: Final = ("listen_port", "transport", "allow")
_OF_LINE: Final = ("baud", "framing")


def check_receivers(site: Site) -> None:
    """One way in each, that its protocol knows; no two at one place."""
    at: dict[tuple[object, ...], Item] = {}
    for receiver in site.items("receiver"):
        table, values = site.table(receiver), receiver.values
        protocol = str(values.get("protocol", ""))
        ways = [way for way in _ALL_WAYS if way in table]
        known = _WAYS.get(protocol, _ALL_WAYS)
        if len(ways) != 1 and not site.unreadable(receiver, *_ALL_WAYS):
            site.error("one_way_in", receiver, ways[1] if len(ways) > 1 else "", ways=", ".join(known))
        elif ways and ways[0] not in known:
            site.error("way_not_spoken", receiver, ways[0], protocol=protocol, ways=", ".join(known))
        if "listen" in table:
            _listening(site, receiver)
            spoken = _TRANSPORTS.get(protocol, ("tcp",))
            transport = values.get("transport") or spoken[0]
            if transport not in spoken:
                site.error("transport_not_spoken", receiver, "transport", protocol=protocol, known=", ".join(spoken))
            key = (values.get("listen"), values.get("listen_port"), transport == "tcp")
            if None not in key and key in at:
                stands = first_at(site, at[key].label, at[key].path)
                site.error("same_listen", receiver, "listen_port", value=values["listen_port"], **stands)
            at.setdefault(key, receiver)
        why = ways[0] if ways else "port"
        for name in (*(_OF_NETWORK if why != "listen" else ()), *(_OF_LINE if why != "port" else ())):
            if name in values:
                site.warning("not_used", receiver, name, name=name, why=why)
        if protocol == "frames" and "profile" not in table and not site.unreadable(receiver, "profile"):
            site.error("frames_need", receiver)
        elif "profile" in values and protocol not in ("frames", "espa444", ""):
            site.warning("not_used", receiver, "profile", name="profile", why="protocol")
        if "polls" in values and protocol != "espa444":
            site.warning("not_used", receiver, "polls", name="polls", why="protocol")
        elif "polls" in values and values["polls"] == values.get("station", "2"):
            site.error("polls_itself", receiver, "polls", value=values["polls"])
        _receiver_devices(site, receiver, _WIRE_ADDRESSES.get(protocol))


def _listening(site: Site, receiver: Item) -> None:
    """Where it listens, and to whom."""
    table, values = site.table(receiver), receiver.values
    for key in ("listen_port", "allow"):
        if key not in table and not site.unreadable(receiver, key):
            site.error("listen_needs", receiver, key, name=key)
    listen = values.get("listen")
    if listen is not None and (address := address_of(listen)) is None:
        site.error("bad_network", receiver, "listen", value=listen)
    elif listen is not None and address is not None and address.is_unspecified:
        site.warning("listens_everywhere", receiver, "listen", value=listen)
    for network in values.get("allow", ()):
        if network_of(network) is None:
            site.error("bad_network", receiver, "allow", value=network)


def _receiver_devices(site: Site, receiver: Item, form: re.Pattern[str] | None) -> None:
    """No two devices may name themselves alike, and only one that is alone need not be named."""
    devices = receiver.children.get("receiver.device", [])
    if not devices and not site.unreadable(receiver):
        site.warning("no_receiver_devices", receiver)
    first: dict[str, Item] = {}
    for device in devices:
        address = "" if "address" not in site.table(device) else device.values.get("address")
        if address is None:
            continue
        if address in first and address:
            stands = first_at(site, first[address].label, (*first[address].path, "address"))
            site.error("same_wire_address", device, "address", value=address, **stands)
        elif not address and len(devices) > 1:
            site.error("address_not_alone", device)
        elif address and form is not None and not form.fullmatch(address):
            site.error("wire_address", device, "address", value=address, protocol=receiver.values.get("protocol"))
        if "key_file" in device.values and receiver.values.get("protocol") not in ("dc09", "node"):
            site.warning("not_used", device, "key_file", name="key_file", why="protocol")
        if receiver.values.get("protocol") == "node":
            for needed in ("address", "key_file"):
                if needed not in site.table(device):
                    site.error("node_needs", device, "", name=needed)
        first.setdefault(address, device)
