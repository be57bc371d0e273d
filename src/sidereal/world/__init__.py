"""Floor 2: space and what is in it."""
