"""Sampling strategies over a finished run, and the log of what a sampler drew."""
