"""Suffix arrays of documents, and the longest spans that a text shares with them."""
