"""A sampler's log: read, tallied, and compared with the strategy that it should have followed."""
