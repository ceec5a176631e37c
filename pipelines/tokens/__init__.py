"""Tokenizers: finding and reading a tokenizer.json, the fast path and its admission, the reference, verification."""
