"""What an ONVIF camera says of its recordings (Profile G): services, a search that takes its time, the address of the replay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol
from xml.etree import ElementTree

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WSDL: Final = "http://www.onvif.org/ver10/{}/wsdl"
_XMLNS: Final = (
    f'xmlns:tse="{_WSDL.format("search")}" xmlns:trp="{_WSDL.format("replay")}" xmlns:tds="{_WSDL.format("device")}"'
)
SEARCH: Final = "/onvif/search_service"
REPLAY: Final = "/onvif/replay_service"


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording. Times by the camera's clock, ns since 1970 UTC; None: it does not say."""

    token: str
    earliest_ns: int | None = None
    latest_ns: int | None = None
    tracks: Sequence[str] = ("Video", "Metadata")


class Keeper(Protocol):
    """What of a camera this speaks of."""

    recordings: Sequence[Recording]
    replay_port: int
    moods: frozenset[str]
    searches: dict[str, int]


def profile_g(camera: Keeper, base: str, asked: ElementTree.Element) -> Mapping[tuple[str, str], str]:
    """Address and action -> answer. A search has nothing at first, half of it at the second time, all of it at the third."""
    said = {element.tag.rpartition("}")[2]: element.text or "" for element in asked.iter()}
    token = said.get("SearchToken", "")
    services = {"device": f"{base}/onvif/device_service", "media": f"{base}/onvif/media_service"}
    if "no_profile_g" not in camera.moods:
        services |= {"search": base + SEARCH, "replay": base + REPLAY}
    answers = {
        ("/onvif/device_service", "GetServices"): f"<tds:GetServicesResponse {_XMLNS}>"
        + "".join(
            f"<tds:Service><tds:Namespace>{_WSDL.format(name)}</tds:Namespace><tds:XAddr>{address}</tds:XAddr>"
            "<tds:Version><tt:Major>2</tt:Major><tt:Minor>60</tt:Minor></tds:Version></tds:Service>"
            for name, address in services.items()
        )
        + "</tds:GetServicesResponse>",
        (
            SEARCH,
            "FindRecordings",
        ): f"<tse:FindRecordingsResponse {_XMLNS}><tse:SearchToken>S_{len(camera.searches)}</tse:SearchToken>"
        "</tse:FindRecordingsResponse>",
        (
            SEARCH,
            "EndSearch",
        ): f"<tse:EndSearchResponse {_XMLNS}><tse:Endpoint>2026-11-26T00:00:00Z</tse:Endpoint></tse:EndSearchResponse>",
        (
            REPLAY,
            "GetReplayUri",
        ): f"<trp:GetReplayUriResponse {_XMLNS}><trp:Uri>rtsp://10.9.8.7:{camera.replay_port}/replay?of="
        f"{said.get('RecordingToken', '')}&amp;x=1</trp:Uri></trp:GetReplayUriResponse>",
    }
    last = asked.find(".//{*}Body/*")
    action = "" if last is None else last.tag.rpartition("}")[2]
    if action == "FindRecordings":
        camera.searches[f"S_{len(camera.searches)}"] = 0
    elif action == "GetRecordingSearchResults" and token in camera.searches:
        answers[SEARCH, action] = _results(camera, token)
    elif action == "EndSearch":
        camera.searches.pop(token, None)
    return answers


def _results(camera: Keeper, token: str) -> str:
    turn = camera.searches[token]
    camera.searches[token] += 1
    half = len(camera.recordings) // 2
    found = ((), camera.recordings[:half], camera.recordings[half:])[min(turn, 2)]
    if "endless_search" in camera.moods:
        found = ()
    state = "Completed" if turn >= 2 and "endless_search" not in camera.moods else "Searching"
    return (
        f"<tse:GetRecordingSearchResultsResponse {_XMLNS}><tse:ResultList><tt:SearchState>{state}</tt:SearchState>"
        + "".join(map(_information, found))
        + "</tse:ResultList></tse:GetRecordingSearchResultsResponse>"
    )


def _information(one: Recording) -> str:
    times = "".join(
        f"<tt:{name}>{(_EPOCH + timedelta(microseconds=wall_ns // 1000)).isoformat()}</tt:{name}>"
        for name, wall_ns in (("EarliestRecording", one.earliest_ns), ("LatestRecording", one.latest_ns))
        if wall_ns is not None
    )
    tracks = "".join(
        f"<tt:Track><tt:TrackToken>T_{n}</tt:TrackToken><tt:TrackType>{kind}</tt:TrackType><tt:Description/></tt:Track>"
        for n, kind in enumerate(one.tracks)
    )
    return (
        f"<tt:RecordingInformation><tt:RecordingToken>{one.token}</tt:RecordingToken><tt:Source><tt:SourceId>V_0</tt:SourceId>"
        f"<tt:Name>hall</tt:Name></tt:Source>{times}<tt:Content/>{tracks}<tt:RecordingStatus>Recording</tt:RecordingStatus>"
        "</tt:RecordingInformation>"
    )
