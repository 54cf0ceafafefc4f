"""A county loses its centre: 10 000 gateways, the real back-off and choice of paths, a virtual clock.

    python -m benchmarks.herd [--gateways 10000] [--rate 200] [--seeds 5]

The broker takes `rate` connections a second (a burst of one second's worth) and refuses the rest at once, which is the hardest
case for those who come again. Every gateway has two paths. All must be back within 120 s of the centre's return, and no
second may see more than twice `rate` connects. The naive policies beside it must fail the same check: the detector works.
"""

import argparse
import heapq
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.uplink.backoff import SETTLED_S, Backoff
from edge_agent.uplink.choice import Choice, Rule
from edge_agent.uplink.noticing import ELSEWHERE_S

BACK_WITHIN_S = 120.0
PEAK_FACTOR = 2.0
GIVE_UP_S = 300.0

Wait = Callable[[random.Random, int], float]  # chance, failures so far


@dataclass(frozen=True, slots=True)
class Outage:
    """How long the centre is gone, whether its host still refuses, and what share of the gateways hold an alarm meanwhile."""

    name: str
    seconds: float
    alarms: float = 0.0
    booted: bool = False  # the county's power came back: nobody had a connection
    silent: bool = False  # nobody hung up: the path is taken to be dead, and the other one works


OUTAGES = (
    Outage("broker restarted", 0.0),
    Outage("power back in the whole county", 0.0, booted=True),
    Outage("30 s, alarms at 2 %", 30.0, 0.02),
    Outage("75 s", 75.0),
    Outage("120 s", 120.0),
    Outage("120 s, alarms everywhere", 120.0, 1.0),
    Outage("10 min, alarms at 10 %", 600.0, 0.1),
    Outage("a firewall forgot all connections", 0.0, 0.01, silent=True),
)

NAIVE: dict[str, Wait] = {
    "fixed 5 s": lambda chance, failures: 5.0,
    "exponential to 60 s, no jitter": lambda chance, failures: min(60.0, 2.0 ** min(failures, 10)),
    "exponential to 60 s, 25 % jitter": lambda chance, failures: (
        min(60.0, 2.0 ** min(failures, 10)) * chance.uniform(0.75, 1.25)
    ),
    "full jitter, an alarm 8 s for ever": lambda chance, failures: chance.uniform(
        0.5, min(8.0, 2.0 ** min(failures, 10))
    ),
}


@dataclass(slots=True)
class Result:
    """Of one run."""

    back_s: float  # after the return, when the last one was served
    peak_per_s: int  # connects in the worst second since then
    attempts: float  # a gateway, in all

    def holds(self, rate: float) -> bool:
        return self.back_s <= BACK_WITHIN_S and self.peak_per_s <= PEAK_FACTOR * rate


class Gateway:
    """What edge_agent.uplink.destination and .policy do with a lost session, without their sockets."""

    def __init__(self, outage: Outage, chance: random.Random) -> None:
        self.alarm = chance.random() < outage.alarms
        self._backoff = Backoff(random.Random(chance.getrandbits(64)))
        self._choice = Choice([Rule(id="eth"), Rule(id="4g")], random.Random(chance.getrandbits(64)))
        if outage.booted:
            self._backoff.spread()
        else:
            self._choice.opened("eth", -1000.0)
            self._choice.ended("eth", 0.0, silent=outage.silent)
            self._backoff.lasted(SETTLED_S)
        self._aside_s: float | None = None
        if outage.silent and self._choice.elsewhere("eth", 0.0):
            self._aside_s = 0.0 if self.alarm else chance.uniform(0.0, ELSEWHERE_S)

    def wait_s(self) -> float:
        aside_s, self._aside_s = self._aside_s, None
        if aside_s is not None:
            return aside_s
        return self._backoff.next_s(alarm=self.alarm)

    def attempt(self, now_s: float) -> None:
        """Refused: the policy tries no second path in the same attempt."""
        self._choice.missed(self._choice.candidates(now_s)[0], now_s)


def simulate(outage: Outage, seed: int, *, gateways: int, rate: float, naive: Wait | None = None) -> Result:
    """One county, one outage, one seed."""
    chance = random.Random(seed)
    county = [Gateway(outage, chance) for _ in range(gateways)]
    failures = [0] * gateways

    def wait_s(i: int) -> float:
        failures[i] += 1
        return naive(chance, failures[i] - 1) if naive is not None else county[i].wait_s()

    due = [(chance.random() * 0.5 + wait_s(i), i) for i in range(gateways)]  # all notice within half a second
    heapq.heapify(due)
    tokens, last_s, back_s, attempts = rate, outage.seconds, 0.0, 0
    seen = Counter[int]()
    while due:
        now_s, i = heapq.heappop(due)
        attempts += 1
        if now_s >= outage.seconds:
            seen[int(now_s - outage.seconds)] += 1
            tokens, last_s = min(rate, tokens + (now_s - last_s) * rate), now_s
            if tokens >= 1.0:
                tokens -= 1.0
                back_s = now_s - outage.seconds
                continue
        if now_s > outage.seconds + GIVE_UP_S:
            return Result(GIVE_UP_S, max(seen.values()), attempts / gateways)
        county[i].attempt(now_s)
        heapq.heappush(due, (now_s + wait_s(i), i))
    return Result(round(back_s, 1), max(seen.values()), round(attempts / gateways, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateways", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=200.0, help="connections a second the broker takes")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    size = {"gateways": options.gateways, "rate": options.rate}
    found: dict[str, object] = {**size, "seeds": options.seeds}
    worst_back, worst_peak, holds = 0.0, 0, True
    for outage in OUTAGES:
        runs = [simulate(outage, seed, **size) for seed in range(options.seeds)]
        holds = holds and all(run.holds(options.rate) for run in runs)
        back_s, peak = max(run.back_s for run in runs), max(run.peak_per_s for run in runs)
        worst_back, worst_peak = max(worst_back, back_s), max(worst_peak, peak)
        found[outage.name] = {"back_s": back_s, "peak_per_s": peak, "attempts": max(run.attempts for run in runs)}
    caught = {}
    for name, wait in NAIVE.items():
        runs = [simulate(outage, 0, naive=wait, **size) for outage in OUTAGES[:1] + OUTAGES[4:5]]
        caught[name] = {
            "back_s": max(run.back_s for run in runs),
            "peak_per_s": max(run.peak_per_s for run in runs),
            "fails": not all(run.holds(options.rate) for run in runs),
        }
    found |= {
        "worst": {"back_s": worst_back, "peak_factor": round(worst_peak / options.rate, 2)},
        "holds": holds,
        "naive": caught,
        "naive_all_fail": all(bool(one["fails"]) for one in caught.values()),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
