"""A tokenizer.json: where it comes from, what it sets, and whether the fast tokenizer may count with it."""
