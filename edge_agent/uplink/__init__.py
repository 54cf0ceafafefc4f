"""Delivers the journal to the centres, in a process of its own."""
