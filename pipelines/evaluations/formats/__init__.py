"""Readers of evaluation files, one module a format."""
