"""What runs on the gateway: configuration, points, alarms, local API, uplink, diagnostics."""

__version__ = "0.1.0"
