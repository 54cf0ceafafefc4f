"""Pictures on their way into the journal: in parts small enough for one line of the local API and one message to a centre.

A part is a record of the stream `media`. The first tells all of the picture, the others only whose part they are. Bounded here,
in the core, and not where pictures are made: so many bytes a picture, so many a day.
"""

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from buffer.records import Priority
from buffer.waiting import Ticket
from edge_agent.config.model import Config
from edge_agent.local_api import ApiError
from edge_agent.model import Instant, encode_instant

log = logging.getLogger("edge.media")

PART_BYTES: Final = 24 * 1024  # 32 KiB in base64: half a line of the local API, a message of half a second at 1 Mbit/s
EVENTS_MAX: Final = 32
SHOTS: Final = ("alarm", "after", "before", "command")
COMMANDS_SHARE: Final = 0.5  # of a day's bytes: what centres ask for leaves the rest to alarms
_DAY_S: Final = 86_400.0
_TEXTS: Final = {"picture": 40, "sha256": 64, "type": 40, "before": 10}


class Append(Protocol):
    """`buffer.journal.Journal.append`."""

    def __call__(
        self, priority: Priority, body: bytes, state: None = None, on_durable: Callable[[Ticket], None] | None = None
    ) -> object:
        """Take a record in."""
        ...


def parts_of(jpeg: bytes) -> Iterator[tuple[int, int, str]]:
    """Number, how many, base64 of each part; one at least."""
    of = max(1, -(-len(jpeg) // PART_BYTES))
    for part in range(of):
        yield part + 1, of, base64.b64encode(jpeg[part * PART_BYTES : (part + 1) * PART_BYTES]).decode()


class MediaDesk:
    """Where the camera process brings its pictures."""

    def __init__(self, config: Config, append: Append, *, now: Callable[[], Instant]) -> None:
        self._append, self._now = append, now
        self._loop = asyncio.get_running_loop()
        self._names = {camera.id: camera.name for camera in config.cameras}
        self._gb28181 = {camera.id: camera.gb28181 for camera in config.cameras if camera.gb28181}
        self._picture_max = config.media.picture_kb * 1024
        self._day_max = float(config.media.day_mb * 1024 * 1024)
        self._left, self._left_s = self._day_max, self._loop.time()
        self._kept_for_alarms = self._day_max * (1.0 - COMMANDS_SHARE)
        self._open: dict[str, tuple[str, int, int]] = {}  # camera -> picture, the part that is next, how many
        self.counts = dict.fromkeys(("pictures", "parts", "bytes", "over_day", "too_large", "not_kept"), 0)

    def take(self, request: Mapping[str, object]) -> "asyncio.Future[object]":
        """One part. The future is done once it is durable, or is certain not to be. Raise ApiError, ValueError."""
        camera, part, of = str(request["camera"]), _whole(request, "part"), _whole(request, "of")
        if camera not in self._names:
            raise ApiError("no_such_camera", camera=camera[:40])
        data = request["data"]
        if not isinstance(data, str) or len(data) > PART_BYTES * 4 // 3 + 4:
            raise ApiError("too_large")
        size = len(binascii.a2b_base64(data, strict_mode=True))
        picture = str(request["picture"])[:40]
        if part == 1:
            head = self._head(request)
            self._spend(head["bytes"], of, for_command=head["shot"] == "command")
            head |= {"gb28181": self._gb28181[camera]} if camera in self._gb28181 else {}
        elif self._open.get(camera) != (picture, part, of):
            raise ApiError("media_order")  # the core is new: from the beginning, please
        else:
            head = {}
        self._open[camera] = (picture, part + 1, of)
        if part == of:
            del self._open[camera]
        self.counts["parts"] += 1
        self.counts["bytes"] += size
        self.counts["pictures"] += part == of
        body = {
            "picture": picture,
            "part": part,
            "of": of,
            "at": encode_instant(self._now()),
            "source": f"camera/{camera}",
        }
        if self._names[camera]:
            body["name"] = self._names[camera]
        opening = json.dumps({**body, **head}, ensure_ascii=False, separators=(",", ":")).encode()
        return self._keep(b'%b,"data":"%b"}' % (opening[:-1], data.encode()))  # base64 needs no escaping

    def has_room_for_commands(self, pictures: int) -> bool:
        """Whether so many, each the largest there may be, would still be taken for a centre that asks."""
        self._refill()
        return self._left - pictures * self._picture_max >= self._kept_for_alarms

    def _head(self, request: Mapping[str, object]) -> dict[str, object]:
        head: dict[str, object] = {key: str(request[key])[:most] for key, most in _TEXTS.items() if key != "picture"}
        if request["shot"] not in SHOTS:
            raise ApiError("bad_request", detail="shot")
        head |= {"shot": request["shot"], "bytes": _whole(request, "bytes"), "more": _whole(request, "more")}
        head["taken_wall_ns"] = _whole(request, "taken_wall_ns")
        if request.get("before_why"):
            head["before_why"] = str(request["before_why"])[:40]
        if request.get("clock_off_ms") is not None:
            head["clock_off_ms"] = _whole(request, "clock_off_ms")
        for key in ("events", "points"):
            listed = request[key]
            if not isinstance(listed, list):
                raise ApiError("bad_request", detail=key)
            head[key] = [str(one)[:100] for one in listed[:EVENTS_MAX]]
        if request["shot"] == "command":
            asked = request["commands"]
            if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
                raise ApiError("bad_request", detail="commands")
            keys = ("dest", "command")
            head["commands"] = [{key: str(one[key])[:64] for key in keys} for one in asked[:EVENTS_MAX]]
        return head

    def _spend(self, size: object, of: int, *, for_command: bool) -> None:
        assert isinstance(size, int)
        if size > self._picture_max or of != max(1, -(-size // PART_BYTES)):
            self.counts["too_large"] += 1
            raise ApiError("too_large")
        self._refill()
        if size > self._left - (self._kept_for_alarms if for_command else 0.0):
            self.counts["over_day"] += 1
            raise ApiError("media_day")
        self._left -= size

    def _refill(self) -> None:
        now_s = self._loop.time()
        self._left = min(self._day_max, self._left + (now_s - self._left_s) / _DAY_S * self._day_max)
        self._left_s = now_s

    def _keep(self, body: bytes) -> "asyncio.Future[object]":
        settled: asyncio.Future[object] = self._loop.create_future()

        def tell(error: str | None) -> None:
            self.counts["not_kept"] += error is not None
            if not settled.done():
                settled.set_result({"error": error} if error else {})

        def durable(ticket: Ticket) -> None:  # in the writer's thread
            self._loop.call_soon_threadsafe(tell, ticket.error)

        self._append(Priority.MEDIA, body, None, durable)
        return settled


def _whole(request: Mapping[str, object], key: str) -> int:
    value = request[key]
    if type(value) is not int or not -(2**63) < value < 2**63:
        raise ApiError("bad_request", detail=key)
    return value


def assemble(parts: Sequence[Mapping[str, object]]) -> tuple[Mapping[str, object], bytes] | None:
    """The picture of the records of one picture, with the fields of its first part; None while any is missing or damaged."""
    import hashlib

    by_number = {part.get("part"): part for part in parts}
    first = by_number.get(1)
    if first is None or not isinstance(of := first.get("of"), int) or any(n not in by_number for n in range(1, of + 1)):
        return None
    try:
        jpeg = b"".join(base64.b64decode(str(by_number[n]["data"]), validate=True) for n in range(1, of + 1))
    except (KeyError, binascii.Error):
        return None
    if hashlib.sha256(jpeg).hexdigest() != first.get("sha256"):
        return None
    return {key: value for key, value in first.items() if key != "data"}, jpeg
