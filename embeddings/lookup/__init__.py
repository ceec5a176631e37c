"""Questions to an index: nearest windows, tokens to units, units compared, experts; no torch but for text queries."""
