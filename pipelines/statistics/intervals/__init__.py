"""Intervals of shares, means and quantiles, and multiple comparisons."""
