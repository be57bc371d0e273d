"""Floor 1: moves bytes over UDP, encrypted: a state machine, and beside it the sockets."""
