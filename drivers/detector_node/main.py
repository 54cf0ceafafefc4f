"""Started by MicroPython at power-up: picks the slot, hands over. Frozen into the image, so no update can break it."""

import asyncio
import sys

ROOT = ""  # of the node's own flash


def start(root: str, board=None) -> None:
    """Run the program of the slot that is to be run."""
    from detector_node import update  # the frozen copy

    slot = update.choose(root)
    for name in [name for name in sys.modules if name.startswith("detector_node")]:
        del sys.modules[name]
    sys.path.insert(0, root + "/" + slot)  # an empty slot leaves the frozen program
    from detector_node.node import Node, load

    settings = load(root + "/node.json")
    if board is None:
        from detector_node.board import Board

        board = Board(settings)
    slots = None
    if settings.get("update_key"):
        from detector_node.update import Slots

        slots = Slots(root, int(settings["update_key"], 16))
    asyncio.run(Node(settings, board, slots).run())


if __name__ == "__main__":
    start(ROOT)
