"""Floor 5: a whole cluster in one process, on a virtual clock and a seeded network."""
