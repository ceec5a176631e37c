"""From the paths of a spec to a list of shards, and what was seen and not taken."""
