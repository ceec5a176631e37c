"""Divergence, its null by permutation, tests by token, decomposition into mix and text."""
