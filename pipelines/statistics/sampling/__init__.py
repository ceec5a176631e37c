"""Mixing strategies, what they draw, importance resampling, tests of a sampler's log."""
