"""Everything that touches a wire to the south: pure codecs, drivers, profiles."""
