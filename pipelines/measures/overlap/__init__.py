"""What a snapshot shares with a baseline."""
