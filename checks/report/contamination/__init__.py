"""The section on contamination."""
