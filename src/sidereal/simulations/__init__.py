"""Floor 6: simulations that come along: trace, drift, flock."""
