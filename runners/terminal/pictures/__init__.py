"""Pictures in terminals that can draw them."""
