"""Floor 4: the shard's side of the protocol, as a state machine."""
