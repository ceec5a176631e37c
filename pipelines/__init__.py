"""Corpus to profile to tables."""
