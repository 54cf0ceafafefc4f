"""The table of all faults, from what the proofs noted: fault x count x lost x doubled x delay."""

from collections.abc import Iterator, Mapping
from typing import Any

COUNTED = (
    "count",
    "kills",
    "states",
    "alarms",
    "rounds",
    "fires",
    "runs",
    "seeds",
    "gateways",
    "new_fires",
    "inputs",
    "frames",
)
OTHERS = (
    "altered",
    "said_twice",
    "invented",
    "holes",
    "disordered",
    "unsound",
    "claimed_falsely",
    "extra",
    "missing",
    "broken",
)


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """Lines: the step, the fault, how often, and what came of it."""
    yield f"{'fault':34} {'count':>16} {'lost':>6} {'doubled':>8}  delay p50 / max"
    for step, account in found.items():
        for name, note in noted(account["notes"]):
            if "lost" in note:
                yield f"{name:34} {count(note):>16} {note['lost']:6} {note.get('doubled', '-'):>8}  {delay(note)}{wrong(note)}"
            elif name == "figures":
                yield from (f"{step}: {row['what']}: {row['value']:g}, MISSES {row['bound']}" for row in missed(note))


def noted(notes: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each note by its name; one that has rows of its own in it is followed by these."""
    for name, note in notes.items():
        if isinstance(note, dict):
            yield name, note
            yield from note.get("rows", {}).items()


def count(note: Mapping[str, Any]) -> str:
    """How often, in the proof's own unit."""
    for key in COUNTED:
        if isinstance(note.get(key), int):
            return f"{note[key]} {key}" if key != "count" else str(note[key])
    return "-"


def delay(note: Mapping[str, Any]) -> str:
    """`delay_s`: {p50, max, of, clock}; "-" where nothing is awaited."""
    found = note.get("delay_s")
    if not found or "p50" not in found:
        return "-"
    clock = "" if found.get("clock", "real") == "real" else f", {found['clock']} time"
    return f"{found['p50']:g} / {found['max']:g} s  {found.get('of', '')}{clock}"


def wrong(note: Mapping[str, Any]) -> str:
    """Whatever else is not 0."""
    found = {key: note[key] for key in OTHERS if note.get(key)}
    return f"  {found}" if found else ""


def missed(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Bounds that do not hold."""
    return [row for row in figures.get("bounds", ()) if not row["holds"]]
