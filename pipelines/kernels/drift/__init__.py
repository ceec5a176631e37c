"""Divergences under many exchanges, logistic regressions, pairs of MinHash signatures."""
