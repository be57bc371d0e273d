"""Floor 6: cores and engines put together: processes, configuration, clock, embedding."""
