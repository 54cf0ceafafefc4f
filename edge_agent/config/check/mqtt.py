"""The box's own broker and its detectors."""

from edge_agent.config.check.hosts import is_loopback
from edge_agent.config.check.repeats import first_at
from edge_agent.config.site import Item, Site


def check_brokers(site: Site) -> None:
    """The broker is on this machine, and no two detectors have one topic."""
    for broker in site.items("mqtt"):
        table, host = site.table(broker), broker.values.get("host")
        if host is not None and not is_loopback(host):
            site.error("broker_not_here", broker, "host", value=host)
        for one, other in (("username", "password_file"), ("password_file", "username")):
            if one in table and other not in table:
                site.error("half_pair", broker, one, name=one, other=other)
        devices = broker.children.get("mqtt.device", [])
        if not devices and not site.unreadable(broker):
            site.warning("no_detectors", broker)
        first: dict[object, Item] = {}
        for device in devices:
            key = device.values.get("profile"), device.values.get("topic")
            if None in key:
                continue
            if (same := first.setdefault(key, device)) is not device:
                stands = first_at(site, same.label, (*same.path, "topic"))
                site.error("same_topic", device, "topic", value=key[1], **stands)
