"""Counting one split: blocks, the job of a worker, the store of partials, the merged profile."""
