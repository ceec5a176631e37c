"""From the paths of a spec to a list of shards, and a list of the files that are not read."""
