"""Hosts, addresses and networks as they are written."""

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ipaddress

_LOOPBACK: Final = re.compile(r"localhost|::1|127(?:\.\d{1,3}){3}")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, so that nothing on the way can listen."""
    return _LOOPBACK.fullmatch(host.lower()) is not None


def address_of(text: str) -> "ipaddress.IPv4Address | ipaddress.IPv6Address | None":
    """The address `text` writes, None if it writes none."""
    import ipaddress  # only a configuration that listens needs it

    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def network_of(text: str) -> "ipaddress.IPv4Network | ipaddress.IPv6Network | None":
    """The network `text` writes, None if it writes none; an address is a network of one."""
    import ipaddress

    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
