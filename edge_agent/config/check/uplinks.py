"""Centres, what only one of their protocols knows, and the links to them."""

from typing import Final

from edge_agent.config.check.hosts import is_loopback
from edge_agent.config.site import Item, Site

_MQTT_ONLY: Final = ("ack", "encoding", "keepalive_s", "unconfirmed_s", "window")


def check_uplinks(site: Site) -> None:
    """No centre elsewhere without TLS, and nothing written that its protocol does not use."""
    for uplink in site.items("uplink"):
        table = site.table(uplink)
        host = uplink.values.get("host")
        is_gb = uplink.values.get("protocol") == "gb26875"
        if host and not is_loopback(host) and "ca_file" not in table and not (is_gb and uplink.values.get("plain")):
            site.error("no_tls_gb" if is_gb else "no_tls", uplink, "host", value=host)
        _protocol(site, uplink, is_gb)
        if "apply_config" in uplink.values.get("commands", ()) and "config_key_file" not in table:
            site.error("no_config_key", uplink, "commands")
        if (key := uplink.values.get("config_key_file")) is not None and key.parent.name == "tls":
            site.error("config_key_place", uplink, "config_key_file", path=key)
        if "streams" in uplink.values and "alarm" not in uplink.values["streams"]:
            site.warning("no_alarm_stream", uplink, "streams")
        asks = uplink.values.get("commands", ("duty_check",) if is_gb else ())
        if "streams" in uplink.values and "status" not in uplink.values["streams"] and "duty_check" in asks:
            site.warning("duty_no_status", uplink, "streams")
        for one, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
            if one in table and other not in table:
                site.error("half_pair", uplink, one, name=one, other=other)
            if one in table and "ca_file" not in table and host and is_loopback(host):
                site.warning("not_used", uplink, one, name=one, why="ca_file")
        for key in ("crl_file", "revoked"):
            if key in uplink.values and "ca_file" not in table:
                site.warning("not_used", uplink, key, name=key, why="ca_file")
        if (crl := uplink.values.get("crl_file")) is not None and crl.parent.name == "tls":
            site.warning("crl_place", uplink, "crl_file", path=crl)
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
        if dialect.values.get("transport") == "udp" and "ca_file" in site.table(uplink):
            site.error("gb_udp_tls", dialect, "transport")


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


def check_links(site: Site) -> None:
    """Packed frames have a key, and every modem one way to it."""
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
