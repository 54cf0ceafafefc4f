"""What the files name and this machine must have: profiles, serial ports, addresses, certificates, keys and passwords.

The agent starts without these checks: a missing adapter is a fault to tell, not a reason to be silent.
"""

import os
import re
import stat
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from edge_agent.config.check.hosts import address_of
from edge_agent.config.check.repeats import first_at, on_ports
from edge_agent.config.site import Item, Site, nearest

_PORT_GLOBS: Final = ("zg/*", "serial/by-path/*", "serial/by-id/*", "ttyAMA*", "ttySC*", "ttyUSB*", "ttyACM*", "ttyS0")
_PORTS_NAMED: Final = 6
_FILE_BYTES_MAX: Final = 256 * 1024
_OPEN_TO_OTHERS: Final = 0o027  # the group may read, nobody else may do anything
_DC09_KEY: Final = re.compile(
    rb"\s*(?:(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{48}|[0-9A-Fa-f]{64})|text:(?:[ -~]{16}|[ -~]{24}|[ -~]{32}))\s*"
)
_PACKED_KEY: Final = re.compile(rb"[0-9A-Fa-f]{64}\s*")
_LOGIN: Final = re.compile(rb"[^:\s]+:[^\r\n]")
_MARKS: Final = {
    "ca_file": b"BEGIN CERTIFICATE",
    "cert_file": b"BEGIN CERTIFICATE",
    "config_key_file": b"BEGIN PUBLIC KEY",
    "key_file": b"PRIVATE KEY-----",
}


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
    for item in on_ports(site):
        port = item.values.get("port")
        if not port:
            continue
        try:
            real = os.path.realpath(port, strict=True)
            is_device = stat.S_ISCHR(os.stat(real).st_mode)  # noqa: PTH116 - realpath gave text
        except (OSError, ValueError):
            ports = _likely_ports(port, dev)
            site.error("no_such_port", item, "port", value=port, ports=", ".join(ports))
            continue
        if not is_device:
            site.error("not_a_port", item, "port", value=port)
        elif real in first and first[real].values["port"] != port:
            stands = first_at(site, first[real].label, (*first[real].path, "port"))
            site.error("same_port", item, "port", value=real, **stands)
        else:
            first.setdefault(real, item)


def check_listening(site: Site) -> None:
    """Every address to listen at must be one of this machine now. Whether its port is free is the running agent's to know."""
    import socket

    for receiver in site.items("receiver"):
        listen = receiver.values.get("listen")
        address = address_of(listen) if listen else None
        if address is None:
            continue
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((str(address), 0))
        except OSError as fault:
            site.error("not_our_address", receiver, "listen", value=listen, why=fault.strerror or "")


def check_tls_files(site: Site) -> None:
    """Certificates, keys and passwords must be there and be what their name says; nobody else may read a secret."""
    for item in [*site.items("uplink"), *site.items("camera"), *site.items("mqtt")]:
        for key in (*_MARKS, "packed_key_file", "credentials_file", "password_file"):
            if (read := read_named(site, item, key)) is None:
                continue
            path, mark = item.values[key], _MARKS.get(key, b"")
            data, mode = read
            if mark not in data:
                site.error("tls_not_pem", item, key, path=path, mark=mark.decode())
            elif key == "credentials_file" and not _LOGIN.match(data):
                site.error("credentials_form", item, key, path=path)
            elif key == "packed_key_file" and not _PACKED_KEY.fullmatch(data):
                site.error("packed_key_form", item, key, path=path)
            elif key not in ("ca_file", "cert_file", "config_key_file"):
                _check_mode(site, item, key, mode)


def check_receiver_keys(site: Site) -> None:
    """Keys must be there, be keys, and be read by nobody else."""
    for device in site.items("receiver.device"):
        if (read := read_named(site, device, "key_file")) is None:
            continue
        data, mode = read
        if not _DC09_KEY.fullmatch(data):
            site.error("dc09_key_form", device, "key_file", path=device.values["key_file"])
        else:
            _check_mode(site, device, "key_file", mode)


def read_named(site: Site, item: Item, key: str, bytes_max: int = _FILE_BYTES_MAX) -> tuple[bytes, int] | None:
    """What the file that `key` names holds, and its mode; None if none is named, or after telling why it cannot be read."""
    path = item.values.get(key)
    if path is None:
        return None
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a FIFO would wait for ever
            return b"", mode
        with path.open("rb") as stream:
            return stream.read(bytes_max), mode
    except PermissionError:
        site.warning("tls_not_checked", item, key, path=path)  # root's own, handed over by systemd
    except (OSError, ValueError) as fault:
        site.error("tls_missing", item, key, path=path, why=getattr(fault, "strerror", None) or "invalid name")
    return None


def _check_mode(site: Site, item: Item, key: str, mode: int) -> None:
    if mode & _OPEN_TO_OTHERS:
        site.error("tls_key_open", item, key, path=item.values[key], mode=f"{stat.S_IMODE(mode):04o}")


def _likely_ports(wanted: str, dev: Path) -> list[str]:
    """Serial ports that exist here, those that look like `wanted` first."""
    import difflib  # only a faulty configuration needs it

    present = [str(path) for pattern in _PORT_GLOBS for path in sorted(dev.glob(pattern))]
    close = difflib.get_close_matches(wanted, present, n=_PORTS_NAMED, cutoff=0.5)
    return [*close, *(port for port in present if port not in close)][:_PORTS_NAMED]
