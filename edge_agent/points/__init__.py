"""From readings to events: debounce, thresholds, latching, supervision. Pure rules."""
