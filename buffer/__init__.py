"""The journal: durable records, recovery, retention. Knows bytes and priorities, nothing of fire."""
