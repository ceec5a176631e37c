"""Pure functions from counters to figures with uncertainty; each names its paper."""
