"""Charts as inline SVG: the toolkit."""
