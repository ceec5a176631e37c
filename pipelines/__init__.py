"""From a corpus to its profile, and from profiles to tables."""
