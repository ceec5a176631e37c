"""Where a document has the words of a benchmark text: the runs of words that the two have in common.

An 8-gram may stand at several places of a document and of a text. A run is one of both: equal words, as many as there
are, from one place of each on. Texts quote themselves and documents quote texts twice, so that which of an 8-gram's
occurrences a run holds is only known by following it.
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel
from corpus_audit.pipelines.kernels.contamination.scan import REPEATS, WORD_GRAM, with_room


@kernel
def link_occurrences(found, numbers, heads, following, still):
    """Link the occurrences of each 8-gram of a document, first to last.

    Args:
        found: int64, the document's distinct 8-grams.
        numbers: int32, the 8-gram of each occurrence, in the document's order.
        heads: see `Marks`; set for ``found``.
        following, still: int32, set for each occurrence: the next one of the same 8-gram, or -1; and how many there are
            from this one on.
    """
    for gram in found:
        heads[gram] = -1
    for h in range(len(numbers) - 1, -1, -1):
        after = heads[numbers[h]]
        following[h] = after
        still[h] = 1 if after < 0 else still[after] + 1
        heads[numbers[h]] = h


@inlined
def _first_occurrence(words, heads, serial, gram):
    """The first occurrence of an 8-gram in the document, or -1."""
    return np.int64(heads[gram]) if words[gram] == serial else np.int64(-1)


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
def common_runs(hashes, n, text, texts, marks, serial, places, following, still, origins):
    """The runs of at least eight words that a document and a text have in common.

    Every run is tried that has an 8-gram which stands at most `REPEATS` times in the document; of the others, the
    longest, the first such in the document and then in the text, if it is longer than all of these.

    Args:
        hashes: words of the document, ``n`` of them.
        text: the text, which shares an 8-gram with the document.
        texts: all texts.
        marks: with the document's 8-grams, their occurrences linked.
        serial: the document's.
        places: int64, the word that each occurrence begins at.
        following, still: as `link_occurrences` left them.
        origins: int64, any length: room for the result.

    Returns:
        ``(first, longest, origins, tried)``: the longest run, the first such in the document: its first word there
        and its words; and for each run that was tried, the document's word that stands for the text's first.
    """
    start = texts.starts[text]
    size = texts.starts[text + 1] - start
    text_hashes, numbers = texts.hashes[start : start + size], texts.grams[start : start + size]
    words, heads = marks.words, marks.word_heads
    first = longest = tried = frequent = 0
    grams = size - WORD_GRAM + 1
    before = False
    for k in range(grams):
        h = _first_occurrence(words, heads, serial, numbers[k])
        if h >= 0 and still[h] > REPEATS:
            frequent += 1
            h = np.int64(-1)
        here = h >= 0
        while h >= 0:
            j = places[h]
            h = np.int64(following[h])
            if before and j > 0 and hashes[j - 1] == text_hashes[k - 1]:
                continue  # the same run as that of the 8-gram before
            at, length = _run_at(hashes, n, text_hashes, size, j, k)
            if length > longest or (length == longest and at < first):
                first, longest = at, length
            origins = with_room(origins, tried + 1)
            origins[tried] = j - k
            tried += 1
        before = here
    if frequent == 0:
        return first, longest, origins, tried
    known, origin = longest, 0
    k = 0
    while k < grams:
        begin = k
        while k < grams:
            h = _first_occurrence(words, heads, serial, numbers[k])
            if h < 0 or still[h] <= REPEATS:
                break
            k += 1
        if k == begin:
            k += 1
            continue
        # A run of n words holds n - 7 8-grams in a row, so every 2^i-th of a range is in all that hold as many.
        top = 1
        while 2 * top <= k - begin:
            top *= 2
        step = top
        most = k - begin + WORD_GRAM - 1
        whole = False
        while most >= longest and not whole:
            for m in range(begin, k, step):
                if step < top and (m - begin) % (2 * step) == 0:
                    continue  # looked at with the wider step
                h = np.int64(heads[numbers[m]])
                while h >= 0 and not whole:
                    j = places[h]
                    h = np.int64(following[h])
                    at, length = _run_at(hashes, n, text_hashes, size, j, m)
                    if length > longest or (length == longest and (at < first or (at == first and j - m > origin))):
                        first, longest, origin = at, length, j - m
                    # Nothing of this range is longer, or stands before the first that is as long.
                    whole = length == most
            if step == 1 or step <= longest - WORD_GRAM + 1:
                break
            step //= 2
    if longest > known:
        origins = with_room(origins, tried + 1)
        origins[tried] = origin
        tried += 1
    return first, longest, origins, tried
