"""What no single value shows: names used twice, ports shared, a centre without TLS. Each check sees only sound values."""

import itertools
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_agent.config.model import Patrol
from edge_agent.config.site import Item, Site, nearest
from edge_agent.patrol.schedule import MINUTE_NS, Daily
from edge_agent.patrol.tags import tag_of

if TYPE_CHECKING:
    import ipaddress

_LOOPBACK: Final = re.compile(r"localhost|::1|127(?:\.\d{1,3}){3}")
_PORT_GLOBS: Final = ("zg/*", "serial/by-path/*", "serial/by-id/*", "ttyAMA*", "ttySC*", "ttyUSB*", "ttyACM*", "ttyS0")
_PORTS_NAMED: Final = 6
# of one point, as far as they are written
_ASCENDING: Final = (
    *("range_low", "alarm_low_low", "alarm_low", "prealarm_low"),
    *("prealarm_high", "alarm_high", "alarm_high_high", "range_high"),
)
_WATER_POINTS: Final = (
    *("pressure", "flow", "temperature", "tilt", "cap", "water", "level", "flushing"),
    *("pump", "pump_fault", "pump_auto", "pump_power"),
)
_MQTT_ONLY: Final = ("ack", "encoding", "keepalive_s", "unconfirmed_s", "window")
_PEM_BYTES_MAX: Final = 256 * 1024
_SOURCES: Final = (
    *("panel", "bus", "bus.device", "mqtt", "mqtt.device", "contact"),
    *("receiver", "receiver.device", "tag_reader", "camera", "uplink", "water"),
)
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
_DC09_KEY: Final = re.compile(
    rb"\s*(?:(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{48}|[0-9A-Fa-f]{64})|text:(?:[ -~]{16}|[ -~]{24}|[ -~]{32}))\s*"
)
_PACKED_KEY: Final = re.compile(rb"[0-9A-Fa-f]{64}\s*")
_LOGIN: Final = re.compile(rb"[^:\s]+:[^\r\n]")
_MARKS: Final = {"ca_file": b"BEGIN CERTIFICATE", "cert_file": b"BEGIN CERTIFICATE", "key_file": b"PRIVATE KEY-----"}


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, so that nothing on the way can listen."""
    return _LOOPBACK.fullmatch(host.lower()) is not None


def check_all(site: Site) -> None:
    """Every check that looks at the files alone."""
    _ids(site)
    _buses(site)
    _receivers(site)
    _brokers(site)
    _serial_ports(site)
    _board(site)
    _taps(site)
    _linkage(site)
    _points(site)
    _patrol(site)
    _cameras(site)
    _uplinks(site)
    _links(site)
    if not any(site.items(name) for name in ("panel", "bus", "contact", "mqtt", "receiver")):
        site.warning("no_sources", site.top)


def _repeats(site: Site, items: Iterable[Item], key: str, code: str) -> None:
    first: dict[object, Item] = {}
    for item in items:
        value = item.values.get(key)
        if value is None:
            continue
        if value in first:
            at = site.origin((*first[value].path, key))
            site.error(code, item, key, value=value, first=first[value].label, first_file=at.file, first_line=at.line)
        else:
            first[value] = item


def _ids(site: Site) -> None:
    # Sources share one space of names: the point "x/y" belongs to the source x, and a contact is a point.
    sources = [item for name in _SOURCES for item in site.items(name)]
    _repeats(site, sorted(sources, key=lambda item: _place(site, item)), "id", "duplicate_id")
    _repeats(site, site.items("point"), "id", "duplicate_id")
    _repeats(site, site.items("zone"), "id", "duplicate_id")
    for name in ("link", "patrol_point", "patrol"):
        _repeats(site, site.items(name), "id", "duplicate_id")


def _place(site: Site, item: Item) -> tuple[str, int]:
    at = site.origin(item.path)
    return ("" if at.file.name == "config.toml" else str(at.file), at.line)


def _buses(site: Site) -> None:
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
            at = site.origin((*first[address].path, key))
            site.error(
                "duplicate_address",
                device,
                key if key in device.values else "",
                value=address,
                first=first[address].label,
                first_file=at.file,
                first_line=at.line,
            )
        elif address == "" and len(devices) > 1:
            site.error("meter_not_alone", device)
        elif address is not None:
            first[address] = device


def _receivers(site: Site) -> None:
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
                first = site.origin(at[key].path)
                site.error(
                    "same_listen",
                    receiver,
                    "listen_port",
                    value=values["listen_port"],
                    first=at[key].label,
                    first_file=first.file,
                    first_line=first.line,
                )
            at.setdefault(key, receiver)
        why = ways[0] if ways else "port"
        for name in (*(_OF_NETWORK if why != "listen" else ()), *(_OF_LINE if why != "port" else ())):
            if name in values:
                site.warning("not_used", receiver, name, name=name, why=why)
        if protocol == "frames" and "profile" not in table and not site.unreadable(receiver, "profile"):
            site.error("frames_need", receiver)
        elif "profile" in values and protocol not in ("frames", "espa444", ""):
            site.warning("not_used", receiver, "profile", name="profile", why="protocol")
        _receiver_devices(site, receiver, _WIRE_ADDRESSES.get(protocol))


def _listening(site: Site, receiver: Item) -> None:
    """Where it listens, and to whom."""
    table, values = site.table(receiver), receiver.values
    for key in ("listen_port", "allow"):
        if key not in table and not site.unreadable(receiver, key):
            site.error("listen_needs", receiver, key, name=key)
    listen = values.get("listen")
    if listen is not None and (address := _ip(listen)) is None:
        site.error("bad_network", receiver, "listen", value=listen)
    elif listen is not None and address is not None and address.is_unspecified:
        site.warning("listens_everywhere", receiver, "listen", value=listen)
    for network in values.get("allow", ()):
        if _network(network) is None:
            site.error("bad_network", receiver, "allow", value=network)


def _ip(text: str) -> "ipaddress.IPv4Address | ipaddress.IPv6Address | None":
    import ipaddress  # only a configuration that listens needs it

    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> "ipaddress.IPv4Network | ipaddress.IPv6Network | None":
    import ipaddress

    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


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
            at = site.origin((*first[address].path, "address"))
            site.error(
                "same_wire_address",
                device,
                "address",
                value=address,
                first=first[address].label,
                first_file=at.file,
                first_line=at.line,
            )
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


def _brokers(site: Site) -> None:
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
                at = site.origin((*same.path, "topic"))
                told = {"value": key[1], "first": same.label, "first_file": at.file, "first_line": at.line}
                site.error("same_topic", device, "topic", **told)


def _serial_ports(site: Site) -> None:
    _repeats(site, _on_ports(site), "port", "same_port")


def _on_ports(site: Site) -> list[Item]:
    return [item for name in ("panel", "bus", "receiver", "tag_reader", "link.modem") for item in site.items(name)]


def _board(site: Site) -> None:
    boards = site.items("board")
    gpio = boards[0].values.get("gpio", "none" if "gpio" not in site.table(boards[0]) else "") if boards else "none"
    contacts = site.items("contact")
    used: dict[int, tuple[str, tuple[str | int, ...]]] = {}

    def use(item: Item, line: int, path: tuple[str | int, ...], label: str) -> None:
        if line in used:
            first, first_path = used[line]
            at = site.origin(first_path)
            site.findings.error(
                "same_line", site.origin(path), label, value=line, first=first, first_file=at.file, first_line=at.line
            )
        else:
            used[line] = (label, path)

    for board in boards:
        for key in ("outputs", "buttons"):
            for name, line in board.values.get(key, {}).items():
                use(board, line, (*board.path, key, name), f"board.{key}.{name}")
        if gpio == "fake" and "fake_socket" not in site.table(board):
            site.error("no_fake_socket", board, "gpio")
        if gpio == "none" and (board.values.get("outputs") or board.values.get("buttons")):
            site.error("no_gpio", board)
        if gpio not in {"none", ""} and "buzzer" not in board.values.get("outputs", {}):
            site.warning("no_buzzer", board, "outputs" if "outputs" in board.values else "")
    for output in site.items("linkage.output"):
        if "line" in output.values:
            use(output, output.values["line"], (*output.path, "line"), f"{output.label}.line")
        if gpio == "none" and not site.is_broken:
            site.error("no_gpio", output, "line")
    for contact in contacts:
        if "line" in contact.values:
            use(contact, contact.values["line"], (*contact.path, "line"), f"{contact.label}.line")
    if contacts and gpio == "none" and not site.is_broken:
        site.error("no_gpio", contacts[0])


def _linkage(site: Site) -> None:
    """What is turned on is there; what is there and not turned on never acts, which somebody may not have meant."""
    outputs = site.items("linkage.output")
    _repeats(site, outputs, "id", "duplicate_id")
    names = sorted(output.id for output in outputs if output.id)
    enabled = [name for item in site.items("linkage") for name in item.values.get("enable", ())]
    for item in site.items("linkage"):
        for name in item.values.get("enable", ()):
            if name not in names and not site.is_broken:
                site.error("no_such_output", item, "enable", value=name, nearest=nearest(name, names))
    for output in outputs:
        if output.id and output.id not in enabled:
            site.warning("output_not_enabled", output, "id", value=output.id)
        low, high = output.values.get("min_on_s", 30.0), output.values.get("max_on_s", 0.0)
        if 0 < high < low:
            site.error("order_of_limits", output, "max_on_s", low="min_on_s", high="max_on_s")
        if output.values.get("hold_s", 5.0) >= output.values.get("stale_s", 300.0):
            site.error("order_of_limits", output, "hold_s", low="hold_s", high="stale_s")


def _taps(site: Site) -> None:
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


def _points(site: Site) -> None:
    sources = {
        item.id
        for name in ("panel", "bus.device", "mqtt.device", "receiver", "receiver.device")
        for item in site.items(name)
    }
    contacts = {item.id for item in site.items("contact")}
    known = {name for name in sources | contacts if name}

    def exists(point: str) -> bool:
        head, slash, _ = point.removesuffix("*").partition("/")
        if slash:
            return head in sources
        if point.endswith("*"):
            return any(name.startswith(head) for name in known)
        return head in contacts

    for item in site.items("point"):
        if item.id and not exists(item.id) and not site.is_broken:
            near = nearest(item.id.partition("/")[0], sorted(known))
            site.warning("unknown_point", item, "id", value=item.id, nearest=near, known=", ".join(sorted(known)[:8]))
    for item in site.items("zone"):
        for index, point in enumerate(item.values.get("points", ())):
            if not exists(point) and not site.is_broken:
                near = nearest(point.partition("/")[0].rstrip("*"), sorted(known))
                at = site.origin((*item.path, "points", index))
                known_names = ", ".join(sorted(known)[:8])
                label = f"{item.label}.points"
                site.findings.warning("unknown_point", at, label, value=point, nearest=near, known=known_names)
    for water in site.items("water"):
        for key in _WATER_POINTS:
            point = water.values.get(key, "")
            if point and not exists(point) and not site.is_broken:
                near = nearest(point.partition("/")[0], sorted(known))
                known_names = ", ".join(sorted(known)[:8])
                site.warning("unknown_point", water, key, value=point, nearest=near, known=known_names)
    for output in site.items("linkage.output"):
        locks = [(key, output.values.get(key, ())) for key in ("only_if", "never_if")]
        for key, points in (*locks, ("override", [output.values.get("override", "")])):
            for point in points:
                if point and not exists(point) and not site.is_broken:
                    near = nearest(point.partition("/")[0], sorted(known))
                    known_names = ", ".join(sorted(known)[:8])
                    site.warning("unknown_point", output, key, value=point, nearest=near, known=known_names)
    panels = {item.id for item in site.items("panel")}
    for item in site.items("point"):
        for limits in item.children.get("point.limits", []):
            if item.id.partition("/")[0] in panels:  # a panel's point says words, not values
                site.warning("not_used", limits, "", name="[point.limits]", why="panel")
            for key in ("stuck_s", "missing_s"):
                if item.id in contacts and key in limits.values:
                    site.warning("not_used", limits, key, name=key, why="contact")
    for limits in site.items("point.limits"):
        values = limits.values
        written = [name for name in _ASCENDING if name in values]
        for low, high in itertools.combinations(written, 2):
            if values[low] >= values[high]:
                site.error("order_of_limits", limits, low, low=low, high=high)
        if values.get("n", 1) > values.get("m", 1) and not {"n", "m"} & (site.table(limits).keys() - values.keys()):
            site.error("n_over_m", limits, "n", n=values.get("n", 1), m=values.get("m", 1))


def _patrol(site: Site) -> None:
    points = {item.id for item in site.items("patrol_point")}
    tags: dict[str, Item] = {}
    for item in site.items("patrol_point"):
        if not (tag := tag_of(item.values.get("tag", ""))):
            continue
        if tag in tags:
            at = site.origin((*tags[tag].path, "tag"))
            first = {"first": tags[tag].label, "first_file": at.file, "first_line": at.line}
            site.error("same_tag", item, "tag", value=item.values["tag"], **first)
        tags.setdefault(tag, item)
    for item in site.items("patrol"):
        table, values = site.table(item), item.values
        if ("times" in table) == ("every_min" in table) and not site.unreadable(item, "times", "every_min"):
            site.error("times_or_every", item, "every_min" if "every_min" in table else "")
        for index, point in enumerate(values.get("points", ())):
            if point not in points and not site.is_broken:
                at = site.origin((*item.path, "points", index))
                near = nearest(point, sorted(points))
                site.findings.error("no_such_patrol_point", at, f"{item.label}.points", value=point, nearest=near)
        gap_min = values.get("every_min") or (Daily.of(values["times"]).gap_ns // MINUTE_NS if "times" in values else 0)
        if gap_min and values.get("grace_min", Patrol(id="", points=()).grace_min) >= gap_min:
            site.error("patrol_grace", item, "grace_min" if "grace_min" in values else "", gap=gap_min)
    if site.items("patrol") and not site.items("tag_reader") and not site.is_broken:
        site.warning("no_tag_reader", site.items("patrol")[0])


def _cameras(site: Site) -> None:
    cameras = site.items("camera")
    for camera in cameras:
        table, method = site.table(camera), camera.values.get("method", "onvif")
        if method != "onvif" and "path" not in table:
            site.error("camera_path", camera, "method", method=method)
        unused = {"onvif": ("path",), "http": ("profile",), "rtsp": ("profile", "tls", "basic")}[method]
        for key in unused:
            if camera.values.get(key):
                site.warning("not_used", camera, key, name=key, why="method")
        if camera.values.get("tls") and "ca_file" not in table:
            site.error("half_pair", camera, "tls", name="tls", other="ca_file")
        before = camera.values.get("before_path", "")
        if before and "{start}" not in before:
            site.error("camera_before", camera, "before_path")
        if "credentials_file" not in table:
            site.warning("camera_no_login", camera)
    takes = [uplink for uplink in site.items("uplink") if "media" in uplink.values.get("streams", ())]
    if cameras and not takes and not site.is_broken:
        site.warning("camera_no_centre", cameras[0])
    for uplink in takes:
        if uplink.values.get("protocol") == "gb26875":
            site.error("gb_no_media", uplink, "streams")


def _uplinks(site: Site) -> None:
    for uplink in site.items("uplink"):
        table = site.table(uplink)
        host = uplink.values.get("host")
        is_gb = uplink.values.get("protocol") == "gb26875"
        if host and not is_loopback(host) and "ca_file" not in table and not (is_gb and uplink.values.get("plain")):
            site.error("no_tls_gb" if is_gb else "no_tls", uplink, "host", value=host)
        _protocol(site, uplink, is_gb)
        if "streams" in uplink.values and "alarm" not in uplink.values["streams"]:
            site.warning("no_alarm_stream", uplink, "streams")
        for one, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
            if one in table and other not in table:
                site.error("half_pair", uplink, one, name=one, other=other)
            if one in table and "ca_file" not in table and host and is_loopback(host):
                site.warning("not_used", uplink, one, name=one, why="ca_file")
        if "ca_file" in table and "cert_file" not in table and "key_file" not in table and not is_gb:
            site.warning("no_client_cert", uplink)
    for rule in site.items("gb26875_point"):
        points = rule.values.get("points", ())
        if "component_address" in rule.values and (len(points) > 1 or any(point.endswith("*") for point in points)):
            site.error("gb_one_address", rule, "component_address", count=len(points))


def _protocol(site: Site, uplink: Item, is_gb: bool) -> None:
    """What only one of the two protocols knows."""
    for key in _MQTT_ONLY if is_gb else ("plain",):
        if uplink.values.get(key):
            site.warning("not_used", uplink, key, name=key, why="protocol")
    dialects = uplink.children.get("uplink.gb26875", [])
    if not is_gb:
        for dialect in dialects:
            site.warning("not_used", dialect, "", name="[uplink.gb26875]", why="protocol")
        return
    if not dialects and not site.unreadable(uplink):
        site.error("gb_no_table", uplink, "protocol")
    if "port" not in site.table(uplink):
        site.error("gb_no_port", uplink)
    for dialect in dialects:
        _dialect(site, dialect)
        if dialect.values.get("transport") == "udp":
            if "ca_file" in site.table(uplink):
                site.error("gb_udp_tls", dialect, "transport")
            if site.items("link"):
                site.error("gb_udp_links", dialect, "transport")


def _dialect(site: Site, dialect: Item) -> None:
    values = dialect.values
    style = values.get("address_style", "integer")
    for key in ("source", "target"):
        written = values.get(key)
        if written is not None and not _is_device_address(written, style):
            site.error("gb_address", dialect, key, value=written, style=style)
    types = values.get("recovery_types", (134, 135, 136))
    if len(types) != 3 or len(set(types)) != 3:
        site.error("gb_recovery_types", dialect, "recovery_types")
    if values.get("keepalive") == "none":
        site.warning("gb_no_keepalive", dialect, "keepalive")


def _is_device_address(written: str, style: str) -> bool:
    if style == "wire":
        return len(written) == 12
    return written.isdigit() and int(written) < 2**48


def _links(site: Site) -> None:
    takes_packed = False
    for uplink in site.items("uplink"):
        if uplink.values.get("packed_port"):
            takes_packed = True
            if "packed_key_file" not in site.table(uplink):
                site.error("half_pair", uplink, "packed_port", name="packed_port", other="packed_key_file")
        else:
            for key in ("packed_key_file", "packed_host"):
                if key in uplink.values and "packed_port" not in site.table(uplink):
                    site.warning("not_used", uplink, key, name=key, why="packed_port")
    _modems(site)
    for link in site.items("link"):
        if link.values.get("kind") == "nbiot" and not takes_packed and not site.is_broken:
            site.warning("no_packed_port", link, "kind")


def _modems(site: Site) -> None:
    outputs = [name for board in site.items("board") for name in board.values.get("outputs", {})]
    modems = site.items("link.modem")
    for modem in modems:
        table = site.table(modem)
        if ("port" in table) == ("device" in table) and not site.unreadable(modem, "port", "device"):
            site.error("port_or_device", modem, "device" if "device" in table else "")
        if modem.values.get("power_pin") and "modem_power" not in outputs and not site.is_broken:
            site.error("no_modem_power", modem, "power_pin")
        if "device" in table:
            for key in ("family", "baud"):
                if key in modem.values:
                    site.warning("not_used", modem, key, name=key, why="device")
    if len([modem for modem in modems if modem.values.get("power_pin")]) > 1:
        site.error("one_modem_power", modems[-1], "power_pin")


def check_profiles(site: Site, known: Collection[str], unsound: Callable[[str], str] = lambda name: "") -> None:
    """Every profile named must be one of `known`, and `unsound` must have nothing to say against it."""
    sections = ("panel", "bus.device", "mqtt.device", "receiver")
    for item in (item for name in sections for item in site.items(name)):
        profile = item.values.get("profile")
        if profile is not None and profile not in known:
            site.error("unknown_profile", item, "profile", value=profile, nearest=nearest(profile, sorted(known)))
        elif profile is not None and (why := unsound(profile)):
            site.error("unsound_profile", item, "profile", value=profile, why=why)


def check_serial_ports(site: Site, dev: Path = Path("/dev")) -> None:
    """Every serial port named must be on this machine now, and be no other one's second name."""
    first: dict[str, Item] = {}
    for item in _on_ports(site):
        port = item.values.get("port")
        if not port:
            continue
        try:
            real = os.path.realpath(port, strict=True)
            is_device = stat.S_ISCHR(os.stat(real).st_mode)  # noqa: PTH116 - realpath gave text
        except (OSError, ValueError):
            ports = likely_ports(port, dev)
            site.error("no_such_port", item, "port", value=port, ports=", ".join(ports))
            continue
        if not is_device:
            site.error("not_a_port", item, "port", value=port)
        elif real in first and first[real].values["port"] != port:
            at = site.origin((*first[real].path, "port"))
            label = first[real].label
            site.error("same_port", item, "port", value=real, first=label, first_file=at.file, first_line=at.line)
        else:
            first.setdefault(real, item)


def check_receiver_keys(site: Site) -> None:
    """Keys must be there, be keys, and be read by nobody else."""
    for device in site.items("receiver.device"):
        path = device.values.get("key_file")
        if path is None:
            continue
        try:
            mode = path.stat().st_mode
            data = b""
            if stat.S_ISREG(mode):
                with path.open("rb") as stream:
                    data = stream.read(_PEM_BYTES_MAX)
        except PermissionError:
            site.warning("tls_not_checked", device, "key_file", path=path)
            continue
        except (OSError, ValueError) as fault:
            why = getattr(fault, "strerror", None) or "invalid name"
            site.error("tls_missing", device, "key_file", path=path, why=why)
            continue
        if not _DC09_KEY.fullmatch(data):
            site.error("dc09_key_form", device, "key_file", path=path)
        elif mode & 0o027:
            site.error("tls_key_open", device, "key_file", path=path, mode=f"{stat.S_IMODE(mode):04o}")


def check_listening(site: Site) -> None:
    """Every address to listen at must be one of this machine now. Whether its port is free is the running agent's to know."""
    import socket

    for receiver in site.items("receiver"):
        listen = receiver.values.get("listen")
        address = _ip(listen) if listen else None
        if address is None:
            continue
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((str(address), 0))
        except OSError as fault:
            site.error("not_our_address", receiver, "listen", value=listen, why=fault.strerror or "")


def likely_ports(wanted: str, dev: Path = Path("/dev")) -> list[str]:
    """Serial ports that exist here, those that look like `wanted` first."""
    import difflib  # only a faulty configuration needs it

    present = [str(path) for pattern in _PORT_GLOBS for path in sorted(dev.glob(pattern))]
    close = difflib.get_close_matches(wanted, present, n=_PORTS_NAMED, cutoff=0.5)
    return [*close, *(port for port in present if port not in close)][:_PORTS_NAMED]


def check_tls_files(site: Site) -> None:
    """Certificates, keys and passwords must be there and be what their name says; nobody else may read a secret."""
    for uplink in [*site.items("uplink"), *site.items("camera"), *site.items("mqtt")]:
        for key in (*_MARKS, "packed_key_file", "credentials_file", "password_file"):
            path, mark = uplink.values.get(key), _MARKS.get(key, b"")
            if path is None:
                continue
            try:
                mode = path.stat().st_mode
                data = b""
                if stat.S_ISREG(mode):  # opening a FIFO would wait for ever
                    with path.open("rb") as stream:
                        data = stream.read(_PEM_BYTES_MAX)
            except PermissionError:
                site.warning("tls_not_checked", uplink, key, path=path)  # root's own, handed over by systemd
                continue
            except (OSError, ValueError) as fault:
                why = getattr(fault, "strerror", None) or "invalid name"
                site.error("tls_missing", uplink, key, path=path, why=why)
                continue
            if mark not in data:
                site.error("tls_not_pem", uplink, key, path=path, mark=mark.decode())
            elif key == "credentials_file" and not _LOGIN.match(data):
                site.error("credentials_form", uplink, key, path=path)
            elif key == "packed_key_file" and not _PACKED_KEY.fullmatch(data):
                site.error("packed_key_form", uplink, key, path=path)
            elif key not in ("ca_file", "cert_file") and mode & 0o027:
                site.error("tls_key_open", uplink, key, path=path, mode=f"{stat.S_IMODE(mode):04o}")
