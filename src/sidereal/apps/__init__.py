"""Floor 8: what a person starts: the command line."""
