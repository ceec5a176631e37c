"""Runs over time: index, references, trends."""
