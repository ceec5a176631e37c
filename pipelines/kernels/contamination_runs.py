"""Where a document has the words of a benchmark text: the runs of words that the two have in common.

An 8-gram may stand at several places of a document and of a text. A run is one of both: equal words, as many as there
are, from one place of each on. Texts quote themselves and documents quote texts twice, so that which of an 8-gram's
occurrences a run holds is only known by following it.
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.contamination import REPEATS, WORD_GRAM, with_room
from corpus_audit.pipelines.kernels.jit import inlined, kernel


@kernel
def link_occurrences(found, numbers, heads, counts, following):
    """Link the occurrences of each 8-gram of a document, first to last.

    Args:
        found: int64, the document's distinct 8-grams.
        numbers: int32, the 8-gram of each occurrence, in the document's order.
        heads, counts: see `Marks`; set for ``found``.
        following: int32, set for each occurrence: the next one of the same 8-gram, or -1.
    """
    for gram in found:
        heads[gram] = -1
        counts[gram] = 0
    for h in range(len(numbers) - 1, -1, -1):
        gram = numbers[h]
        following[h] = heads[gram]
        heads[gram] = h
        counts[gram] += 1


@inlined
def _held(words, counts, serial, gram, frequent):
    """Whether the document holds an 8-gram, and as often as asked for."""
    return words[gram] == serial and (counts[gram] > REPEATS) == frequent


@kernel
def _run_at(hashes, n, text_hashes, size, j, k):
    """(first word in the document, words) of the run that holds the equal 8-grams at ``j`` and ``k``."""
    back = 0
    while back < j and back < k and hashes[j - back - 1] == text_hashes[k - back - 1]:
        back += 1
    length = WORD_GRAM
    while j + length < n and k + length < size and hashes[j + length] == text_hashes[k + length]:
        length += 1
    return j - back, back + length


@kernel
def common_runs(hashes, n, text, texts, marks, serial, places, following, origins):
    """The runs of at least eight words that a document and a text have in common.

    Every run is tried that has an 8-gram which stands at most `REPEATS` times in the document; of the others, those
    that are longer than all of these. So the longest run is always found.

    Args:
        hashes: words of the document, ``n`` of them.
        text: the text, which shares an 8-gram with the document.
        texts: all texts.
        marks: with the document's 8-grams, their occurrences linked.
        serial: the document's.
        places: int64, the word that each occurrence begins at.
        following: as `link_occurrences` left it.
        origins: int64, any length: room for the result.

    Returns:
        ``(first, longest, origins, tried)``: the longest run, the first such in the document: its first word there
        and its words; and for each run that was tried, the document's word that stands for the text's first.
    """
    start = texts.starts[text]
    size = texts.starts[text + 1] - start
    text_hashes, numbers = texts.hashes[start : start + size], texts.grams[start : start + size]
    words, heads, counts = marks.words, marks.word_heads, marks.word_counts
    first = longest = tried = 0
    grams = size - WORD_GRAM + 1
    before = False
    for k in range(grams):
        here = _held(words, counts, serial, numbers[k], False)
        h = heads[numbers[k]] if here else np.int32(-1)
        while h >= 0:
            j = places[h]
            h = following[h]
            if before and j > 0 and hashes[j - 1] == text_hashes[k - 1]:
                continue  # the same run as that of the 8-gram before
            at, length = _run_at(hashes, n, text_hashes, size, j, k)
            if length > longest or (length == longest and at < first):
                first, longest = at, length
            origins = with_room(origins, tried + 1)
            origins[tried] = j - k
            tried += 1
        before = here
    known = longest
    k = 0
    while k < grams:
        begin = k
        while k < grams and _held(words, counts, serial, numbers[k], True):
            k += 1
        if k == begin:
            k += 1
            continue
        if k - begin + WORD_GRAM - 1 < known:
            continue  # a run of frequent 8-grams alone would be shorter
        for m in range(begin, k):
            h = heads[numbers[m]]
            while h >= 0:
                j = places[h]
                h = following[h]
                if m > begin and j > 0 and hashes[j - 1] == text_hashes[m - 1]:
                    continue
                at, length = _run_at(hashes, n, text_hashes, size, j, m)
                if length > longest or (length == longest and at < first):
                    first, longest = at, length
                if length > known:
                    origins = with_room(origins, tried + 1)
                    origins[tried] = j - m
                    tried += 1
    return first, longest, origins, tried
