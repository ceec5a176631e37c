"""The PTransforms: the only place where Beam and the measures meet."""
