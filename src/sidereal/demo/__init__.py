"""Floor 7: a whole world on this machine, and the audit that does not believe it."""
