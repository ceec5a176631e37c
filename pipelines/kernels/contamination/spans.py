"""Coverage of stored matches when some n-grams, those frequent in the corpus, do not count."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel


@kernel
def _covered(counts, starts, texts, span_starts, spans, gram, covered):
    for row in range(len(texts)):
        first = starts[texts[row]]
        covered_to = total = position = 0
        for s in range(span_starts[row], span_starts[row + 1], 2):
            position += spans[s]
            for k in range(position, position + spans[s + 1]):
                if not counts[first + k]:
                    continue
                # Only the words behind those that earlier n-grams cover: n-grams overlap.
                total += k + gram - max(k, covered_to)
                covered_to = k + gram
            position += spans[s + 1]
        covered[row] = total


def covered_words(
    counts: np.ndarray, starts: np.ndarray, texts: np.ndarray, span_starts: np.ndarray, spans: np.ndarray, gram: int
) -> np.ndarray:
    """Words that matches cover, int64 [R].

    Args:
        counts: bool [W], whether the n-gram that begins at a word counts.
        starts: int64 [X + 1], where each text begins.
        texts: int64 [R], the text of each match.
        span_starts: int64 [R + 1] into ``spans``.
        spans: int32, runs of n-grams as (skipped, length).
        gram: n.
    """
    covered = np.empty(len(texts), np.int64)
    _covered(counts, starts, texts, span_starts, spans, gram, covered)
    return covered
