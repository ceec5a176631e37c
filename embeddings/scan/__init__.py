"""From documents to windows to what is kept of all units; needs torch."""
