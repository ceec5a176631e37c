"""What a run directory says: shards, results, the sign-off, who is trusted."""
