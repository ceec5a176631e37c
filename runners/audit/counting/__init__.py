"""Plan, count and merge the shards of one audit."""
