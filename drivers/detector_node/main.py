"""Started by MicroPython at power-up: picks the slot, hands over. Frozen into the image, so no update can break it.

A program that fails, however early, is a start that came to nothing: the board starts anew, and update.choose goes back in the end.
"""

import asyncio
import json
import sys

ROOT = ""  # of the node's own flash


def start(root: str, board=None) -> None:
    """Run the program of the slot that is to be run, until it fails."""
    from detector_node import update  # the frozen copy

    slot = update.choose(root)
    for name in [name for name in sys.modules if name.startswith("detector_node")]:
        del sys.modules[name]
    if slot:
        sys.path.insert(0, root + "/" + slot)
    with open(root + "/node.json") as file:
        settings = json.load(file)
    from detector_node.node import Node
    from detector_node.update import Slots

    if board is None:
        from detector_node.board import Board

        board = Board(settings)
    slots = None
    try:
        slots = Slots(root, int(settings["update_key"], 16), settings["model"])
    except (KeyError, TypeError, ValueError):
        pass  # no key, or none that can be read: a node that takes no updates detects all the same
    asyncio.run(Node(settings, board, slots).run())


def _guarded() -> None:
    """On a board: the watchdog runs before any program that an update brought, and what fails starts anew."""
    import machine

    try:
        with open(ROOT + "/node.json") as file:
            limit_ms = json.load(file)["pins"].get("watchdog_ms")
        if limit_ms:
            machine.WDT(timeout=limit_ms)
        start(ROOT)
    except Exception as fault:  # noqa: BLE001 - what failed is not ours
        sys.print_exception(fault)  # type: ignore[attr-defined]  # MicroPython has it
    machine.reset()


if __name__ == "__main__":
    _guarded()
