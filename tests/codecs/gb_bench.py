"""What the tests of the GB/T 26875.3 codec share: the captures, and packets written and read in one line."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from drivers.codecs.gb26875 import (
    Frame,
    FrameReader,
    Rejected,
)
from drivers.codecs.gb26875.addresses import ANYONE
from drivers.codecs.gb26875.times import NO_CLOCK

CAPTURES = Path(__file__).parents[1] / "captures"
VECTORS: list[dict[str, Any]] = [
    vector for path in sorted(CAPTURES.glob("gb26875*.json")) for vector in json.loads(path.read_text("utf-8"))
]
SOUND = [vector for vector in VECTORS if vector["meaning"]["valid"] and vector["protocol"] != "gb26875.3-adu"]
INVALID = [vector for vector in VECTORS if not vector["meaning"]["valid"]]
UNITS = [vector for vector in VECTORS if vector["protocol"] == "gb26875.3-adu"]
FOREVER_NS = 1 << 62
FIRE = bytes.fromhex(SOUND[0]["hex"])
NOON = datetime(2026, 11, 25, 12, 0, 0)


def read(data: bytes, **settings: Any) -> list[Frame | Rejected]:
    reader = FrameReader(**settings)
    return reader.feed(data, 0) + reader.tick(FOREVER_NS)


def frame(**changed: Any) -> Frame:
    sound: dict[str, Any] = {"serial": 7, "sent": NO_CLOCK, "source": bytes(6), "target": ANYONE, "command": 2}
    return Frame(**(sound | changed))
