"""Building an activation index on an engine."""
