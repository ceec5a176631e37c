"""Drift between two finished profiles: reads tables, never shards."""
