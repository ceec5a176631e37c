"""The section on drift."""
