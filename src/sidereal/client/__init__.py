"""Floor 4: a game client's session, as a state machine."""
