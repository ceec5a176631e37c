"""What the commands of an investigation print."""
