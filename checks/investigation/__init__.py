"""Findings about training runs: what happened, how sure that is, and what else could explain it."""
