"""What the modules of the commands share."""
