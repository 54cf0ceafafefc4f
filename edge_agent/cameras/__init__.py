"""Pictures of an alarm: a process of its own beside the core, so that no camera is ever in the way of an alarm (decision 0018)."""
