"""Text to token ids: the tokenizer file, the fast tokenizer and its probes, the reference, verification."""
