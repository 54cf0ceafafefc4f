"""Bytes to meaning. No I/O, no clock, nothing raises on what the far end sends."""
