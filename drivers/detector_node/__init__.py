"""Firmware of our own detector node, in the part of Python that MicroPython has. docs/drivers/edge-node.md."""

VERSION = 1  # rises with each release: a node takes no update that is not above it
