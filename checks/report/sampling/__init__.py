"""The section on sampling strategies and a sampler's log."""
