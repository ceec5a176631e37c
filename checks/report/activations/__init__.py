"""The section on what a model makes of the corpus."""
