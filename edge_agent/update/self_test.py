"""Run by the updater with the interpreter of the slot that is to run next: can this program work here at all?

    slots/b/bin/python -m edge_agent.update.self_test

Everything the services import is imported, every profile read, a journal made, written, closed and read again. Prints
{version, journal_schema}, which the program before this one reads: its form stays.
"""

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Final

PARTS: Final = (
    *("edge_agent.core", "edge_agent.uplink.main", "edge_agent.uplink.mqtt", "edge_agent.uplink.gb26875.link"),
    *(
        "edge_agent.cli",
        "edge_agent.cli_run",
        "edge_agent.last_good",
        "edge_agent.sent_check",
        "edge_agent.update.updater",
    ),
)
BODY: Final = b'{"kind":"test"}'


def main() -> int:
    """0: it can."""
    from buffer.dbfile import SCHEMA
    from buffer.journal import Journal, JournalSettings
    from buffer.reader import JournalReader
    from buffer.records import Priority
    from drivers.profile import load_profiles
    from edge_agent import __version__

    for part in PARTS:
        importlib.import_module(part)
    profiles = load_profiles(())
    for name in profiles.names():
        profiles.get(name)
    with tempfile.TemporaryDirectory(prefix="zg-self-test-") as directory:
        faults: list[object] = []
        journal = Journal.open(Path(directory), JournalSettings(), faults.append)
        ticket = journal.append(Priority.ALARM, BODY)
        journal.close()
        with JournalReader.open(Path(directory)) as reader:
            kept = [record.body for record in reader.records((Priority.ALARM,))]
    if kept != [BODY] or ticket.error or faults:
        print(f"journal: {kept} {ticket.error} {faults}", file=sys.stderr)
        return 1
    print(json.dumps({"version": __version__, "journal_schema": SCHEMA}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
