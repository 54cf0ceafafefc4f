"""The one table of the configuration: every key with its range, unit, form, example and words in both languages.

Types, defaults and what is required come from the dataclasses in `edge_agent.config.model` and `uplinks`. This table drives
the checks (`load`), the words of a finding (`report`), the commented sample and the reference page (`reference`). A key added
to them without a line here, or a line without a key, fails a test. Each file of this package has the tables of one subject.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

from edge_agent.config.keys import Section, Shape, shapes_of
from edge_agent.config.schema import (
    box,
    cameras,
    gb26875,
    linkage,
    links,
    mqtt,
    patrol,
    points,
    receivers,
    uplinks,
    water,
    wired,
)

SCHEMA_VERSION: Final = 1  # of the files; a file that needs a newer agent says so with `schema = 2`

TOP: Final = box.TOP
SECTIONS: Final[tuple[Section, ...]] = (  # in the order of the sample and of the reference page
    box.GATEWAY,
    box.BOARD,
    box.JOURNAL,
    wired.PANEL,
    wired.BUS,
    wired.BUS_DEVICE,
    receivers.RECEIVER,
    receivers.RECEIVER_DEVICE,
    mqtt.MQTT,
    mqtt.MQTT_DEVICE,
    wired.CONTACT,
    points.POINT,
    points.POINT_LIMITS,
    points.ZONE,
    water.WATER,
    patrol.TAG_READER,
    patrol.PATROL_POINT,
    patrol.PATROL,
    cameras.CAMERA,
    cameras.MEDIA,
    linkage.LINKAGE,
    linkage.LINKAGE_OUTPUT,
    links.LINK,
    links.LINK_MODEM,
    uplinks.UPLINK,
    gb26875.UPLINK_GB26875,
    gb26875.GB26875_POINT,
)
BY_NAME: Final[Mapping[str, Section]] = {section.name: section for section in (TOP, *SECTIONS)}


@cache
def children(name: str) -> tuple[Section, ...]:
    """The sections that stand in section `name`."""
    return tuple(section for section in SECTIONS if section.parent == name)


@cache
def shapes(name: str) -> Mapping[str, Shape]:
    """What the dataclass of section `name` says of each of its keys."""
    return shapes_of(BY_NAME[name].cls)
