"""What look-ups show of an image model's units: crops, contact sheets, effective fields, and queries by image."""
