"""A sampler's log: read, tallied, held against the strategy it should have followed."""
