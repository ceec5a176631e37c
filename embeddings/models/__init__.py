"""Models, their blocks, hooks on their units, routers, sparse autoencoders, directions."""
