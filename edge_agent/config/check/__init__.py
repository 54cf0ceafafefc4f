"""What no single value shows: names used twice, ports shared, a centre without TLS. Each check sees only sound values.

Each file of this package has the checks of one subject; `machine` alone looks beyond the files, at this machine.
"""

from edge_agent.config.check import (
    board,
    cameras,
    linkage,
    mqtt,
    noticing,
    patrol,
    points,
    receivers,
    repeats,
    uplinks,
    wired,
)
from edge_agent.config.site import Site


def check_all(site: Site) -> None:
    """Every check that looks at the files alone."""
    repeats.check_ids(site)
    wired.check_buses(site)
    receivers.check_receivers(site)
    mqtt.check_brokers(site)
    repeats.check_serial_ports(site)
    board.check_board(site)
    wired.check_taps(site)
    linkage.check_linkage(site)
    points.check_points(site)
    patrol.check_patrol(site)
    cameras.check_cameras(site)
    uplinks.check_uplinks(site)
    uplinks.check_links(site)
    noticing.check_noticing(site)
    if not any(site.items(name) for name in ("panel", "bus", "contact", "mqtt", "receiver")):
        site.warning("no_sources", site.top)
