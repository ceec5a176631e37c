"""What every reader of evaluation files shares: items, claims, dead letters, and bounded access to files."""
