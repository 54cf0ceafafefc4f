"""Outputs that follow alarms."""

from edge_agent.config.check.repeats import check_repeats
from edge_agent.config.site import Site, nearest


def check_linkage(site: Site) -> None:
    """What is turned on is there; what is there and not turned on never acts, which somebody may not have meant."""
    outputs = site.items("linkage.output")
    check_repeats(site, outputs, "id", "duplicate_id")
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
