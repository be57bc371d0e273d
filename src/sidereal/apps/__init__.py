"""Floor 9: what a person starts: the command line."""
