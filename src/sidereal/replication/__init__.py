"""Floor 4: the coordinator, as a state machine."""
