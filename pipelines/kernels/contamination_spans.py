"""What is left of stored matches when some n-grams do not count."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.jit import kernel


@kernel
def _covered(counts, starts, texts, span_starts, spans, gram, covered, longest):
    for row in range(len(texts)):
        at = starts[texts[row]]
        covered_to = best = total = 0
        run = 0
        position = 0
        for s in range(span_starts[row], span_starts[row + 1], 2):
            position += spans[s]
            run = 0
            for k in range(position, position + spans[s + 1]):
                if not counts[at + k]:
                    run = 0
                    continue
                run += 1
                best = max(best, run)
                total += k + gram - max(k, covered_to)
                covered_to = k + gram
            position += spans[s + 1]
        covered[row] = total
        longest[row] = best


def covered_words(
    counts: np.ndarray, starts: np.ndarray, texts: np.ndarray, span_starts: np.ndarray, spans: np.ndarray, gram: int
) -> tuple[np.ndarray, np.ndarray]:
    """Words that matches cover, and the n-grams of their longest run, int64 [R] each.

    Args:
        counts: bool [W], whether the n-gram that begins at a place counts.
        starts: int64 [X + 1], where each text begins.
        texts: int64 [R], the text of each match.
        span_starts: int64 [R + 1] into ``spans``.
        spans: int32, runs of n-grams as (skipped, length).
        gram: n.
    """
    covered, longest = np.empty(len(texts), np.int64), np.empty(len(texts), np.int64)
    _covered(counts, starts, texts, span_starts, spans, gram, covered, longest)
    return covered, longest
