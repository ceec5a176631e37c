"""Corpus and model: which training examples make a unit fire. `open_index` reads an index without torch."""

from corpus_audit.embeddings.index.reader import Example, Index, open_index

__all__ = ["Example", "Index", "open_index"]
