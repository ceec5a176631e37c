"""Activations of windows reduced, top lists merged, dot products."""
