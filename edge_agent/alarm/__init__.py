"""The local alarm: what sounds and shines, and what ends it. Pure rules."""
