"""Floor 7: simulations that come along: trace, drift, flock."""
