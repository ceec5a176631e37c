"""YAML text to values that know where they stand, and holding them against a pydantic model."""
