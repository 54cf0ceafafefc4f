"""Patrol: rounds a person makes on time, proven by tags held to readers."""
