"""What the evidence consists of: each step a command, the counts it is run with in full, the shortest first."""

from collections.abc import Mapping
from dataclasses import dataclass, field

BESIDE = ("-n", "{jobs}", "--dist", "worksteal")  # what may run beside each other


@dataclass(frozen=True, slots=True)
class Step:
    """`words` follow `python -m`. `counts`: EDGE_… variables; one that the caller has set already stays as it is."""

    name: str
    minutes: float  # about, in full, on two cores with nothing else to do
    what: str
    words: tuple[str, ...]
    counts: Mapping[str, str] = field(default_factory=dict)

    def command(self, directory: str, environ: Mapping[str, str]) -> list[str]:
        """The words as they are run: `{out}` is the directory of this step's results, `{EDGE_X}` a count."""
        known = {"out": directory, "jobs": environ.get("EDGE_TEST_JOBS", "2"), **self.chosen(environ)}
        return [word.format_map(known) for word in self.words]

    def chosen(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The counts of this run."""
        return {name: environ.get(name, count) for name, count in self.counts.items()}


STEPS = (
    Step(
        "configuration",
        1,
        "a damaged config.toml: the last good one stands in",
        ("pytest", *BESIDE, "tests/config/test_last_good.py"),
        {"EDGE_CONFIG_DAMAGE": "2000"},
    ),
    Step(
        "noise",
        2,
        "noise on the line through every panel codec",
        ("pytest", *BESIDE, "tests/codecs/test_noise.py"),
        {"EDGE_NOISE": "1000000"},
    ),
    Step(
        "small-machine",
        2,
        "a ninth of a CPU, 160 MB, 64 descriptors; by itself: the time to the buzzer is judged",
        ("pytest", "tests/proof/test_small_machine.py"),
        {"EDGE_SMALL_FIRES": "100", "EDGE_PLANTED": "1"},
    ),
    Step(
        "planted",
        3,
        "bugs planted in each row and in the simulated agent; thirty simulated days; fires through a backlog",
        (
            "pytest",
            *BESIDE,
            "tests/evidence",
            "tests/sim/test_planted.py",
            "tests/sim/test_month.py",
            "tests/sim/test_backlog.py",
        ),
        {"EDGE_BACKLOG": "100000", "EDGE_PLANTED": "1"},
    ),
    Step(
        "proof",
        4,
        "kills, disks, damaged files, cables, brokers, under the real programs",
        ("pytest", *BESIDE, "tests/proof", "--ignore=tests/proof/test_small_machine.py"),
        {"EDGE_KILLS": "50", "EDGE_UNPLUGS": "50"},
    ),
    Step(
        "simulation",
        5,
        "whole sites on simulated time, seven days a seed",
        ("tests.sim", "--seeds", "1-{EDGE_SEEDS}", "--json", "{out}/simulation.json"),
        {"EDGE_SEEDS": "200"},
    ),
    Step(
        "offline",
        6,
        "three days without a centre at ten times the rate",
        ("pytest", *BESIDE, "tests/buffer/test_offline.py"),
        {"EDGE_OFFLINE_SEEDS": "20"},
    ),
    Step(
        "devices",
        7,
        "detector nodes, receivers, buses and lines, taps, contacts, cameras, units of systemd",
        (
            "pytest",
            *BESIDE,
            "tests/node",
            "tests/receivers",
            "tests/drivers",
            "tests/systemd",
            "tests/core/test_taps.py",
            "tests/points",
            "tests/cameras",
        ),
        {"EDGE_NODE_KILLS": "60", "EDGE_BOUNCES": "1000"},
    ),
    Step(
        "centres",
        8,
        "centres, several at once, links, modems, commands, sent configurations, clocks",
        (
            "pytest",
            *BESIDE,
            "tests/uplink",
            "tests/commands",
            "tests/alarm",
            "tests/time",
            "tests/modem",
            "tests/config",
            "tests/test_crl.py",
        ),
    ),
    Step(
        "corruptions",
        10,
        "rotten files: bits, erase blocks, cuts",
        ("pytest", *BESIDE, "tests/power/test_corruptions.py"),
        {"EDGE_CORRUPTIONS": "500"},
    ),
    Step(
        "city",
        12,
        "a thousand gateways through kills of broker, consumers and database",
        ("pytest", "tests/city"),
        {"EDGE_CITY_GATEWAYS": "1000", "EDGE_CITY_KILLS": "30"},
    ),
    Step(
        "block-cuts",
        15,
        "power cuts under the kernel's ext4, and of the recovery",
        ("pytest", *BESIDE, "tests/power/test_block_cuts.py"),
        {"EDGE_BLOCK_CUTS": "1000", "EDGE_NESTED_CUTS": "200"},
    ),
    Step(
        "io-errors",
        20,
        "the n-th operation of the card fails, for every n; syncs that stall",
        ("pytest", *BESIDE, "tests/power/test_io_errors.py"),
        {"EDGE_IO_STRIDE": "1", "EDGE_STALLS": "20", "EDGE_PLANTED": "1"},
    ),
    Step(
        "fuzz",
        22,
        "damaged GB/T 26875.3 packets",
        ("pytest", "tests/codecs/test_gb26875_fuzz.py"),
        {"EDGE_FUZZ": "10000000"},
    ),
    Step(
        "guest",
        30,
        "a real kernel in qemu: contacts, a USB adapter, a kernel that dies; instructions of an alarm",
        ("pytest", "tests/guest", "--ignore=tests/guest/test_update.py"),
        {
            "EDGE_INSTRUCTIONS": "1",
            "EDGE_BOARD_ROUNDS": "1",
            "EDGE_GUESTS": "1",
            "EDGE_GUEST_KILLS": "20",
            "EDGE_GUEST_CUTS": "5",
        },
    ),
    Step(
        "update",
        30,
        "the gateway's own update: cuts, kills, refusals",
        ("pytest", *BESIDE, "tests/update"),
        {"EDGE_UPDATE_CUTS": "2000", "EDGE_UPDATE_STARTS": "5", "EDGE_UPDATE_KILLS": "5"},
    ),
    Step(
        "doors",
        30,
        "any bytes into every door, blindly and by coverage",
        ("pytest", *BESIDE, "tests/fuzz"),
        {"EDGE_FUZZ_EXAMPLES": "2000", "EDGE_FUZZ_GUIDED_S": "20"},
    ),
    Step(
        "small-links",
        30,
        "bad links, with core, uplink and broker on the small machine",
        ("pytest", *BESIDE, "tests/net"),
        {"EDGE_SMALL_MACHINE": "1", "EDGE_NET_ALARMS": "20", "EDGE_NET_FAULTS": "all", "EDGE_NET_ROUNDS": "1"},
    ),
    Step(
        "file-cuts",
        40,
        "power cuts of the running agent at file level",
        ("pytest", *BESIDE, "tests/power/test_file_cuts.py", "tests/power/test_model.py"),
        {"EDGE_FILE_CUTS": "20000", "EDGE_CUT_STARTS": "15"},
    ),
    Step(
        "links",
        60,
        "bad links between network namespaces",
        ("pytest", *BESIDE, "tests/net"),
        {"EDGE_NET_ALARMS": "200", "EDGE_NET_FAULTS": "all", "EDGE_NET_ROUNDS": "10"},
    ),
    Step(
        "guest-update",
        70,
        "the gateway's own update under a real systemd: power cuts at its stages, new versions that are no good",
        ("pytest", "tests/guest/test_update.py"),
        {"EDGE_GUESTS": "1", "EDGE_GUEST_BOOTS": "20", "EDGE_PLANTED": "1"},
    ),
    Step(
        "figures",
        75,
        "every figure with a bound, a day's wear with what happens once an hour in it",
        ("benchmarks.run", "--out", "{out}/figures.json"),
        {"EDGE_WEAR_S": "4000"},
    ),
)
