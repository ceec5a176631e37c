"""Known encoders computed in numpy, so that a short text or a few windows are read without torch."""
