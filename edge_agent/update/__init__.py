"""The gateway's own update: two slots, a signed bundle, a trial that ends in staying or in going back. docs/decisions/0030."""
