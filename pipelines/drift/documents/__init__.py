"""Which document of one run is which of another, and tables of what became of them."""
