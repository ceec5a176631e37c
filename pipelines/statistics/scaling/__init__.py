"""Scaling laws of a training loss in parameters and tokens, with intervals."""
