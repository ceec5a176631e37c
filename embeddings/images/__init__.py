"""Image models as models of an index: loading, units of convolutions, receptive fields, scanning images."""
