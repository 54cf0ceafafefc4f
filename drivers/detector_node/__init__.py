"""Firmware of our own detector node, in the part of Python that MicroPython has. docs/drivers/edge-node.md."""
