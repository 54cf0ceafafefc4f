"""How long a lost link may go unnoticed: the worst case of each way to notice, from the very numbers the code waits by. Pure.

The promise (docs/links.md): a lost link is known within 90 s, NB-IoT 180 s. Defaults keep it; `config check` tells who does not.
"""

from typing import Final

from edge_agent.uplink.choice import RETRY_S

WIDE_S: Final = 90.0
NARROW_S: Final = 180.0
TICK_S: Final = 1.0  # how often each of them looks
PROBE_WIDE_S: Final = 60.0  # between two probes, where the configuration says nothing
PROBE_NBIOT_S: Final = 100.0
PROBE_TCP_S: Final = 7.5  # how long one may take: a first SYN and three more (after 1, 3 and 7 s)
PROBE_GB_S: Final = 7.5  # a frame, and once more if nobody confirmed it
PROBE_PACKED_S: Final = 20.0
ELSEWHERE_S: Final = 40.0  # within which a county goes over to its other paths: 250 connects a second of 10 000
ATTEMPTS_S: Final = 20.0  # an attempt over each of two paths
KEEPALIVE_MISSES: Final = 3  # of GB/T 26875.3


def mqtt_idle_s(keepalive_s: float) -> float:
    """Nothing to send: a ping after the keep-alive's time, and as long again for its answer."""
    return 2 * (keepalive_s + TICK_S)


def mqtt_unconfirmed_s(unconfirmed_s: float) -> float:
    """Something sent and unconfirmed."""
    return unconfirmed_s + TICK_S


def elsewhere_s(unconfirmed_s: float) -> float:
    """How long a session whose batches were unconfirmed may wait before the next, so that the loss of all paths is known in time.

    Ten thousand gateways whose connections a firewall forgot send together, and notice together; what is idle is noticed by
    pings, each at a time of its own.
    """
    return max(0.0, min(ELSEWHERE_S, WIDE_S - mqtt_unconfirmed_s(unconfirmed_s) - ATTEMPTS_S - TICK_S))


def gb_idle_s(keepalive_s: float, timeout_s: float) -> float:
    """Nothing to send: a keep-alive, and again until the last one has timed out."""
    return keepalive_s + TICK_S + KEEPALIVE_MISSES * timeout_s


def gb_unconfirmed_s(timeout_s: float, resends: int) -> float:
    """A frame and what is sent again of it."""
    return timeout_s * (1 + resends)


def standing_by_s(probe_s: float, misses: int, *, narrow: bool) -> float:
    """A path that carries no session: probes until so many in a row were missed."""
    lasts_s = TICK_S + (PROBE_PACKED_S if narrow else max(PROBE_TCP_S, PROBE_GB_S))
    return probe_s + lasts_s + (misses - 1) * (RETRY_S + lasts_s)
