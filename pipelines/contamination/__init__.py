"""Benchmarks in a corpus: their index, the scan's evidence, and the rules that are evaluated on it."""
