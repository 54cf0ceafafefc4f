"""The uplink to a GB/T 26875.3-2011 centre: what becomes of a record (`forms`, `places`, `plan`), and the wire (`session`)."""
