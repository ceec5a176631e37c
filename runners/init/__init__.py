"""Look at files and propose an ``audit.yaml``."""
