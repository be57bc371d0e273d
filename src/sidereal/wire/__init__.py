"""Floor 3: the messages and their bytes."""
