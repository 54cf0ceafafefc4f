"""The reference centre: subscribes, stores exactly once, acknowledges, lists gaps."""
