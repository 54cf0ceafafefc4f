"""What a camera says its time is: read, or refused with a code."""

from xml.etree.ElementTree import fromstring

import pytest

from edge_agent.cameras.faults import CameraFault
from edge_agent.cameras.onvif import camera_time_ns

CLOCK = (
    "<a><UTCDateTime><Date><Year>2026</Year><Month>1</Month><Day>1</Day></Date>"
    "<Time><Hour>1</Hour><Minute>{}</Minute><Second>3</Second></Time></UTCDateTime></a>"
)


def test_a_clock_is_read() -> None:
    assert camera_time_ns(fromstring(CLOCK.format(2))) == 1_767_229_323 * 10**9


@pytest.mark.parametrize("minute", ["", "x", "60", "2" * 30, "-" + "2" * 30])
def test_a_number_no_clock_shows_is_refused(minute: str) -> None:
    with pytest.raises(CameraFault):
        camera_time_ns(fromstring(CLOCK.format(minute)))
