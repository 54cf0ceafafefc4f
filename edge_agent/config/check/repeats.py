"""What may stand only once: ids, and serial ports."""

from collections.abc import Iterable
from typing import Final

from edge_agent.config.site import Item, Site
from edge_agent.config.toml_lines import Path

_SOURCES: Final = (
    *("panel", "bus", "bus.device", "mqtt", "mqtt.device", "contact"),
    *("receiver", "receiver.device", "tag_reader", "camera", "uplink", "water"),
)


def first_at(site: Site, label: str, path: Path) -> dict[str, object]:
    """Parameters of a finding that say where the first of two stands: `label` is what people call it."""
    at = site.origin(path)
    return {"first": label, "first_file": at.file, "first_line": at.line}


def check_repeats(site: Site, items: Iterable[Item], key: str, code: str) -> None:
    """No two of `items` may have the same value of `key`."""
    first: dict[object, Item] = {}
    for item in items:
        value = item.values.get(key)
        if value is None:
            continue
        if value in first:
            same = first[value]
            site.error(code, item, key, value=value, **first_at(site, same.label, (*same.path, key)))
        else:
            first[value] = item


def check_ids(site: Site) -> None:
    """Sources share one space of names: the point "x/y" belongs to the source x, and a contact is a point."""
    sources = [item for name in _SOURCES for item in site.items(name)]
    check_repeats(site, sorted(sources, key=lambda item: _place(site, item)), "id", "duplicate_id")
    for name in ("point", "zone", "link", "patrol_point", "patrol"):
        check_repeats(site, site.items(name), "id", "duplicate_id")


def check_serial_ports(site: Site) -> None:
    """No serial port may have two users."""
    check_repeats(site, on_ports(site), "port", "same_port")


def on_ports(site: Site) -> list[Item]:
    """Everything that has a serial port to itself."""
    return [item for name in ("panel", "bus", "receiver", "tag_reader", "link.modem") for item in site.items(name)]


def _place(site: Site, item: Item) -> tuple[str, int]:
    at = site.origin(item.path)
    return ("" if at.file.name == "config.toml" else str(at.file), at.line)
