"""AT commands of cellular modems: lines, readings, and `edge-agent decode at`. Pure: no I/O, bounded, never raising on a peer."""
