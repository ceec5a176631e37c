"""Traces a text to the documents of a corpus that share spans with it."""
