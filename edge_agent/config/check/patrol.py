"""Patrol rounds, their places and their tags."""

from edge_agent.config.check.repeats import first_at
from edge_agent.config.model import Patrol
from edge_agent.config.site import Item, Site, nearest
from edge_agent.patrol.schedule import MINUTE_NS, Daily
from edge_agent.patrol.tags import tag_of


def check_patrol(site: Site) -> None:
    """Every place has a tag of its own, every round is due at some time and leads through places that are there."""
    points = {item.id for item in site.items("patrol_point")}
    tags: dict[str, Item] = {}
    for item in site.items("patrol_point"):
        if not (tag := tag_of(item.values.get("tag", ""))):
            continue
        if tag in tags:
            stands = first_at(site, tags[tag].label, (*tags[tag].path, "tag"))
            site.error("same_tag", item, "tag", value=item.values["tag"], **stands)
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
