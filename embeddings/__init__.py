"""Corpus and model to activation index, vectors and lookups (not built yet)."""
