"""Reads single units with torch, after the scan: activations on given tokens, receptive fields, logits."""
