"""Attention of vision transformers over the patches of an image."""
