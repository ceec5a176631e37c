"""Attention of a model: what a head attends to and writes, its weights as matrices, and the logit lens."""
