"""Polled lines and the devices on them; two ways to one panel."""

from collections.abc import Sequence

from edge_agent.config.check.repeats import first_at
from edge_agent.config.site import Item, Site, nearest


def check_buses(site: Site) -> None:
    """One way to each line, every device with an address of its own, and nothing written that is not used."""
    for bus in site.items("bus"):
        table = site.table(bus)
        if "port" in table and "host" in table:
            site.error("port_and_host", bus, "host")
        elif "port" not in table and "host" not in table and not site.unreadable(bus, "port", "host"):
            site.error("no_port_or_host", bus)
        meters = bus.values.get("protocol") in ("dlt645", "ks68")
        if meters and "host" in table:
            site.error("serial_only", bus, "host", protocol=bus.values["protocol"])
        unused = ("baud", "framing", "gap_s") if "host" in table else ("tcp_port", *(("gap_s",) if meters else ()))
        for key in unused:
            if key in bus.values:
                why = "host" if "host" in table else "port" if key == "tcp_port" else "protocol"
                site.warning("not_used", bus, key, name=key, why=why)
        devices = bus.children.get("bus.device", [])
        if not devices and not site.unreadable(bus):
            site.warning("no_devices", bus)
        _addresses(site, devices, "meter" if meters else "address", "" if meters else 1)
        for device in devices:
            if bus.values.get("protocol") == "ks68" and "meter" not in site.table(device):
                site.error("breaker_no_address", device)
            if (other := "address" if meters else "meter") in device.values:
                site.warning("not_used", device, other, name=other, why="protocol")


def _addresses(site: Site, devices: Sequence[Item], key: str, default: object) -> None:
    """No two devices of a line may share an address, and only a meter that is alone may be asked for its own."""
    first: dict[object, Item] = {}
    for device in devices:
        address = default if key not in site.table(device) else device.values.get(key)
        if address in first:
            stands = first_at(site, first[address].label, (*first[address].path, key))
            site.error("duplicate_address", device, key if key in device.values else "", value=address, **stands)
        elif address == "" and len(devices) > 1:
            site.error("meter_not_alone", device)
        elif address is not None:
            first[address] = device


def check_taps(site: Site) -> None:
    """A tap is of a panel that is there, is not itself, and is no tap."""
    speakers = [item for name in ("panel", "bus.device", "receiver.device") for item in site.items(name)]
    panels = {item.id: item for item in speakers}
    for item in (*speakers, *site.items("contact")):
        of = item.values.get("tap_of")
        if not of:
            continue
        panel = panels.get(of)
        if of == item.id or (panel is not None and panel.values.get("tap_of")):
            site.error("tap_of_tap", item, "tap_of", value=of)
        elif panel is None and not site.is_broken:
            site.error("no_such_panel", item, "tap_of", value=of, nearest=nearest(of, sorted(panels)))
        if "tap_hold_s" in item.values:
            site.warning("not_used", item, "tap_hold_s", name="tap_hold_s", why="tap_of")
