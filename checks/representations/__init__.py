"""Findings about what happens within a model: loads of experts, and units of activation indexes."""
