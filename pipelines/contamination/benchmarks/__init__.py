"""Benchmark items as they are read and compared: files, normal form, normalisation."""
