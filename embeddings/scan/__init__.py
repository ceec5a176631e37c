"""Scans documents with a model: windows, forward passes, examples and statistics of all units; needs torch."""
