"""Comparisons of evaluation results: paired differences, power, pass rates, noise, and gains from leaked items."""
