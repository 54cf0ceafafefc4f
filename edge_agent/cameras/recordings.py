"""Where a camera keeps what it saw, by ONVIF: the recording, and the address it is played back from (Profile G).

GetServices names the search and the replay service; FindRecordings, GetRecordingSearchResults and EndSearch say what there is;
GetReplayUri says where. The messages are those of ver10/search/wsdl and ver10/replay/wsdl. A camera without these services is none
of Profile G: `no_replay`, and whoever asked goes on without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from edge_agent.cameras.faults import CameraFault
from edge_agent.cameras.onvif import DEVICE, DEVICE_PATH, EPOCH, Onvif, named, place, text_of

SEARCH: Final = "http://www.onvif.org/ver10/search/wsdl"
REPLAY: Final = "http://www.onvif.org/ver10/replay/wsdl"
_SCHEMA: Final = "http://www.onvif.org/ver10/schema"
RECORDINGS_MAX: Final = 64
ASKS_MAX: Final = 8  # for the results of one search
BEHIND_NS: Final = (
    120 * 10**9
)  # so much later than it says a recording may go on: it is told when a piece of it is written


@dataclass(frozen=True, slots=True)
class Recording:
    """What a search found. Times by the camera's clock, ns since 1970 UTC; None where it does not say."""

    token: str
    earliest_ns: int | None
    latest_ns: int | None
    has_video: bool

    def covers(self, moment_ns: int) -> bool:
        """Whether the moment can be in it."""
        begun = self.earliest_ns is None or self.earliest_ns <= moment_ns
        return begun and (self.latest_ns is None or moment_ns <= self.latest_ns + BEHIND_NS)


@dataclass(frozen=True, slots=True)
class Kept:
    """Where it is played back from: at the configured host, at `port` if the camera names one."""

    path: str
    port: int | None
    clock_off_ns: int | None  # the camera's clock less ours, None if it does not say


async def find(onvif: Onvif, moment_ns: int, wanted: str = "") -> Kept:
    """The address of the recording that has our moment `moment_ns`; `wanted`: its token. Raise CameraFault."""
    clock_off_ns = await onvif.read_clock()
    services = await _services(onvif)
    if REPLAY not in services or (SEARCH not in services and not wanted):
        raise CameraFault("no_replay", "no search service" if REPLAY in services else "")
    token = wanted or choose(await _search(onvif, services[SEARCH]), moment_ns + (clock_off_ns or 0))
    setup = "<tt:Stream>RTP-Unicast</tt:Stream><tt:Transport><tt:Protocol>RTSP</tt:Protocol></tt:Transport>"
    said = await onvif.ask(
        services[REPLAY],
        f'<GetReplayUri xmlns="{REPLAY}" xmlns:tt="{_SCHEMA}"><StreamSetup>{setup}</StreamSetup>'
        f"<RecordingToken>{escape(token)}</RecordingToken></GetReplayUri>",
    )
    return Kept(*place(text_of(said, "Uri"), ("rtsp",)), clock_off_ns)


def choose(found: Sequence[Recording], moment_ns: int) -> str:
    """The token of the one recording with a picture of that moment. Of several none is guessed: it may be another camera's."""
    fit = [one.token for one in found if one.has_video and one.covers(moment_ns)]
    if len(fit) == 1:
        return fit[0]
    tokens = ", ".join(one.token for one in found)
    raise CameraFault("which_recording" if fit else "no_recording", ", ".join(fit) or tokens)


async def _services(onvif: Onvif) -> dict[str, str]:
    """Namespace of each service -> its path."""
    asked = f'<GetServices xmlns="{DEVICE}"><IncludeCapability>false</IncludeCapability></GetServices>'
    try:
        said = await onvif.ask(DEVICE_PATH, asked)
    except CameraFault as fault:
        if fault.code != "soap":
            raise
        raise CameraFault("no_replay", "no GetServices") from None  # older than Profile G
    wanted = {text_of(one, "Namespace"): text_of(one, "XAddr") for one in named(said, "Service")}
    return {space: place(address)[0] for space, address in wanted.items() if space in (SEARCH, REPLAY)}


async def _search(onvif: Onvif, path: str) -> list[Recording]:
    asked = f"<Scope/><MaxMatches>{RECORDINGS_MAX}</MaxMatches><KeepAliveTime>PT10S</KeepAliveTime>"
    said = await onvif.ask(path, f'<FindRecordings xmlns="{SEARCH}">{asked}</FindRecordings>')
    token = f"<SearchToken>{escape(text_of(said, 'SearchToken'))}</SearchToken>"
    found: list[Recording] = []
    for _ in range(ASKS_MAX):
        asked = f"{token}<MaxResults>{RECORDINGS_MAX}</MaxResults><WaitTime>PT1S</WaitTime>"
        said = await onvif.ask(path, f'<GetRecordingSearchResults xmlns="{SEARCH}">{asked}</GetRecordingSearchResults>')
        found += [_recording(one) for one in named(said, "RecordingInformation")]
        if text_of(said, "SearchState") == "Completed" or len(found) >= RECORDINGS_MAX:
            break
    else:
        raise CameraFault("no_recording", "the search does not end")
    if text_of(said, "SearchState") != "Completed":
        await onvif.ask(path, f'<EndSearch xmlns="{SEARCH}">{token}</EndSearch>')
    return found


def _recording(element: Element) -> Recording:
    kinds = [text_of(track, "TrackType") for track in named(element, "Track")]
    earliest_ns, latest_ns = (_time_ns(text_of(element, name)) for name in ("EarliestRecording", "LatestRecording"))
    return Recording(text_of(element, "RecordingToken"), earliest_ns, latest_ns, not kinds or "Video" in kinds)


def _time_ns(text: str) -> int | None:
    """An xsd:dateTime; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return (moment - EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        return None
