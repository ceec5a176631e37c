"""Token counters, merges of cells and groups, look-ups, variable-length integers."""
