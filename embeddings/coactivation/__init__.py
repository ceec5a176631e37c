"""Units that fire together."""
