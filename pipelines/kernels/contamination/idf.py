"""The IDF-weighted overlap of a prompt with one stretch of a document, and whether its answer follows (decon)."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel
from corpus_audit.pipelines.kernels.contamination.scan import IDF_ANSWER_REACH, IDF_GRAM, IDF_SLACK, MILLION
from corpus_audit.pipelines.kernels.text.normalised_words import base_power, finish, rolled

_IDF_POWER = base_power(IDF_GRAM - 1)


@inlined
def _slot(table, h):
    """The slot of a hash in an open-addressing table, or the free slot that it would get."""
    slot = np.int64(finish(h)) & (len(table) - 1)
    while table[slot] != h and table[slot] != 0:
        slot = (slot + 1) & (len(table) - 1)
    return slot


@inlined
def _insert(table, h):
    table[_slot(table, h)] = h


@kernel
def idf_overlap(hashes, low, high, texts, start, stop):
    """IDF-weighted share, in millionths, of the 5-grams of text words ``start`` to ``stop`` that also occur in document
    words ``low`` to ``high``."""
    count = high - low - IDF_GRAM + 1
    size = 16
    while size < 2 * count:
        size *= 2
    # At most half full, which keeps linear probing short; 0 marks a free slot.
    table = np.zeros(size, np.uint64)
    h = np.uint64(0)
    for i in range(low, high):
        h = rolled(h, hashes[i - IDF_GRAM] if i >= low + IDF_GRAM else np.uint64(0), hashes[i], _IDF_POWER)
        if i >= low + IDF_GRAM - 1:
            _insert(table, h)
    text_hashes, weights = texts.hashes, texts.weights
    shared = total = np.int64(0)
    h = np.uint64(0)
    for i in range(start, stop):
        leaving = text_hashes[i - IDF_GRAM] if i >= start + IDF_GRAM else np.uint64(0)
        h = rolled(h, leaving, text_hashes[i], _IDF_POWER)
        weight = weights[i - IDF_GRAM + 1] if i >= start + IDF_GRAM - 1 else np.int64(0)
        if weight > 0:
            total += weight
            if table[_slot(table, h)] == h:
                shared += weight
    return shared * MILLION // total if total > 0 else np.int64(0)


@kernel
def _contains_answer(hashes, low, high, texts, start, stop):
    size = stop - start
    for i in range(low, high - size + 1):
        k = 0
        while k < size and hashes[i + k] == texts.hashes[start + k]:
            k += 1
        if k == size:
            return True
    return False


@kernel
def idf_score(hashes, n, text, texts, origin):
    """decon's overlap of the prompt in millionths, 0 where the text has an answer and it is not near.

    Args:
        hashes: words of the document, ``n`` of them.
        text: the text.
        texts: all texts.
        origin: the document's word that stands for the text's first; may be negative.
    """
    start, stop = texts.starts[text], texts.starts[text + 1]
    middle = start + texts.prompts[text]
    low = max(0, origin - IDF_SLACK)
    high = min(n, origin + texts.prompts[text] + IDF_SLACK)
    score = idf_overlap(hashes, low, high, texts, start, middle)
    answer = stop - middle
    if score == 0 or answer == 0:
        return score
    high = min(n, high + max(2 * answer, IDF_ANSWER_REACH))
    if answer < IDF_GRAM:
        near = _contains_answer(hashes, low, high, texts, middle, stop)
    else:
        near = idf_overlap(hashes, low, high, texts, middle, stop) >= 8 * MILLION // 10
    return score if near else np.int64(0)


@kernel
def best_idf_score(hashes, n, text, texts, origins):
    """The best `idf_score` over alignments of document and text, int64; repeated ``origins`` are scored once."""
    best = np.int64(0)
    for origin in np.unique(origins):
        best = max(best, idf_score(hashes, n, text, texts, origin))
        if best == MILLION:
            break
    return best
