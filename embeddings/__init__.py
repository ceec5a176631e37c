"""Activation indexes: which training examples make a unit of a model fire. `open_index` reads one without torch."""

from corpus_audit.embeddings.index.examples import examples_table
from corpus_audit.embeddings.index.reader import Example, Index, open_index

__all__ = ["Example", "Index", "examples_table", "open_index"]
