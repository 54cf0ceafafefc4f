"""Whether what is written keeps the promise that a lost link is known within 90 s, NB-IoT 180 s."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from edge_agent.config.keys import shapes_of
from edge_agent.config.site import Item, Site
from edge_agent.config.uplinks import Gb26875, Link
from edge_agent.uplink import noticing

_GB: Final = {key: shape.default for key, shape in shapes_of(Gb26875).items()}
_LINK: Final = {key: shape.default for key, shape in shapes_of(Link).items()}


def check_noticing(site: Site) -> None:
    """The first key of each centre and link by which a lost link is known too late."""
    for uplink in site.items("uplink"):
        if uplink.values.get("protocol") == "gb26875":
            for dialect in uplink.children.get("uplink.gb26875", []):
                _gb(site, dialect)
        else:
            _late(site, uplink, "keepalive_s", noticing.mqtt_idle_s)
            _late(site, uplink, "unconfirmed_s", noticing.mqtt_unconfirmed_s)
    for link in site.items("link"):
        _standing_by(site, link)


def _gb(site: Site, dialect: Item) -> None:
    values: dict[str, Any] = {**_GB, **dialect.values}
    timeout_s, resends = values["timeout_s"], values["resends"]
    if not _late(site, dialect, "timeout_s", partial(noticing.gb_unconfirmed_s, resends=resends)):
        _late(site, dialect, "resends", lambda value: noticing.gb_unconfirmed_s(timeout_s, int(value)))
    if values["keepalive"] != "none":
        _late(site, dialect, "keepalive_s", partial(noticing.gb_idle_s, timeout_s=timeout_s))


def _standing_by(site: Site, link: Item) -> None:
    values: dict[str, Any] = {**_LINK, **link.values}
    narrow, misses = values["kind"] == "nbiot", values["misses"]
    bound_s, own_s = (noticing.NARROW_S, noticing.PROBE_NBIOT_S) if narrow else (noticing.WIDE_S, noticing.PROBE_WIDE_S)
    probe_s = values["probe_s"] or own_s
    if not _late(site, link, "probe_s", partial(noticing.standing_by_s, misses=misses, narrow=narrow), bound_s):
        _late(site, link, "misses", lambda value: noticing.standing_by_s(probe_s, int(value), narrow=narrow), bound_s)


def _late(
    site: Site, item: Item, key: str, known_s: Callable[[float], float], bound_s: float = noticing.WIDE_S
) -> bool:
    """Tell if a key that is written makes it too late. `known_s` grows with its value, and something smaller would do."""
    value = item.values.get(key)
    if value is None or (worst_s := known_s(value)) <= bound_s:
        return False
    enough = [whole for whole in range(1, math.ceil(value)) if known_s(whole) <= bound_s]
    if enough:
        told = {"value": f"{value:g}", "worst_s": math.ceil(worst_s), "bound_s": int(bound_s), "most": enough[-1]}
        site.warning("noticed_late", item, key, name=key, **told)
    return bool(enough)
