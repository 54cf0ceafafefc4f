"""Configuration: TOML in, checked dataclasses out, every fault at once."""
