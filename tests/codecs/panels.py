"""Every panel codec with frames that are known to be good."""

import json
from pathlib import Path

from drivers.codecs.base import Codec, Frame, Refused
from drivers.codecs.gst_crt500 import encode_event as crt500_event
from drivers.codecs.gst_layer_bus import encode_event as bus_event
from drivers.codecs.gst_utd_digit import encode_event as utd_event
from drivers.codecs.jbf_11s_old import encode_event as jbf_event
from drivers.codecs.registry import build_codec
from drivers.profile import load_profiles

CAPTURES = Path(__file__).parents[1] / "captures"
PROFILES = load_profiles(())
MS = 10**6
PANELS = [profile.name for profile in PROFILES.list() if profile.kind == "panel"]


def examples(name: str, event: str = "") -> list[bytes]:
    """The examples of a profile, all or those of an event."""
    tables = PROFILES.get(name).data["example"]
    assert isinstance(tables, list)
    return [bytes.fromhex(one["hex"]) for one in tables if not event or one["expect"].get("event") == event]


def captured(name: str) -> list[bytes]:
    file = CAPTURES / f"{name}.json"
    vectors = json.loads(file.read_text("utf-8")) if file.is_file() else []
    return [
        bytes.fromhex(v["data"]) if v["encoding"] == "hex" else v["data"].encode(v["encoding"])
        for v in vectors
        if not v["meaning"].get("reject") and v["meaning"].get("direction") not in ("host_to_panel", "host_to_card")
    ]


FRAMES = {name: captured(name) + examples(name) for name in PANELS}
FIRES = {name: (examples(name, "fire") or examples(name, "electrical_alarm") or FRAMES[name])[0] for name in PANELS}
FIRES |= {
    "gst-layer-bus": bus_event(0x15, "365089", 3, "5#楼"),
    "gst-crt500": crt500_event(0x0D, "001004", 3, 1),
    "jbf-11s-old": jbf_event(0x0A, 27, 164),
    "gst-utd-digit": utd_event(0x0001, 304, 19),
}


def codec(name: str) -> Codec:
    return build_codec(PROFILES.get(name))


def settle(one: Codec, pieces: list[bytes]) -> list[Frame | Refused]:
    found = [item for piece in pieces for item in one.feed(piece, 5)]
    return found + one.tick(10**12)


def events(found: list[Frame | Refused]) -> list[str]:
    return [item.event for item in found if isinstance(item, Frame) and item.event is not None]
