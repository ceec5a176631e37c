"""Looking at files and proposing an ``audit.yaml``."""
