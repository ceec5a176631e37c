"""The files of an activation index, and reading them; no torch."""
