"""python -m tests.sim SEED [--days N]: one seed, with its account."""

import argparse
import sys

from tests.sim.sim import Sim, quiet
from tests.sim.story import story


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("seed", type=int)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--uncut", action="store_true")
    parser.add_argument("--trace", type=int, default=40)
    options = parser.parse_args()
    quiet()
    sim = Sim(options.seed, skips=not options.uncut)
    try:
        found = sim.run(options.days, story)
    except KeyboardInterrupt:
        print("\n".join(list(sim.observer.trace)[-options.trace :]))
        print(sim.seed, sim.kind, sim.second, "stopped at", sim.world.now_s, "turns", sim.world.turns, sim.awake_s + sim.world.now_s, sim.restless(), sim.at_rest(), sim.observer.counts, sim.faults)
        return 130
    print("\n".join(found.trace[-options.trace :]))
    print(found.seed, found.violation, f"days {found.days:.2f} awake {found.awake_s:.0f}s turns {found.turns} cpu {found.cpu_s:.2f}", found.incidents, found.counts, found.faults, found.digest[:12])
    return int(found.violation is not None)


sys.exit(main())
