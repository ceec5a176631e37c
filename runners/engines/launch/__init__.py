"""Opening an engine, and what it would be given (``--dry-run``)."""
