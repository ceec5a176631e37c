"""Evaluation results of language models: read from many programs' files, recomputed, paired and compared."""
