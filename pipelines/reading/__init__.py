"""Shards to batches of documents: listing, planning into splits, reading, dead letters."""
