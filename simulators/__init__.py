"""Panels, meters, a board and a centre, for demo, tests and training."""
