"""Runs of equal words that a document and a benchmark text have in common.

An 8-gram may occur several times in a document and in a text. A run aligns one occurrence in each and extends as far as
the words are equal. Texts quote themselves and documents quote texts twice, so which occurrences belong to one run is
only known by extending them.
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel
from corpus_audit.pipelines.kernels.contamination.scan import REPEATS, WORD_GRAM, with_room


@kernel
def link_occurrences(distinct, numbers, heads, following, remaining):
    """Link the occurrences of each 8-gram of a document into a list, first to last.

    Args:
        distinct: int64, the document's distinct 8-grams.
        numbers: int32, the 8-gram of each occurrence, in the document's order.
        heads: see `Marks`; set for the ``distinct`` ones.
        following, remaining: int32, set for each occurrence: the next one of the same 8-gram, or -1; and how many there
            are from this one on.
    """
    for gram in distinct:
        heads[gram] = -1
    for h in range(len(numbers) - 1, -1, -1):  # backwards, so that the head is the first one in the end
        after = heads[numbers[h]]
        following[h] = after
        remaining[h] = 1 if after < 0 else remaining[after] + 1
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
def _rare_runs(hashes, n, text_hashes, numbers, words, heads, serial, positions, following, remaining, origins):
    """Step 1 of `common_runs`: every run that has a rare 8-gram.

    Returns:
        ``(first, longest, origins, tried, frequent)``; ``frequent`` is the number of the text's 8-grams for step 2.
    """
    size = len(text_hashes)
    first = longest = tried = frequent = 0
    previous_tried = False  # whether the text's 8-gram at k - 1 was tried
    for k in range(size - WORD_GRAM + 1):
        h = _first_occurrence(words, heads, serial, numbers[k])
        if h >= 0 and remaining[h] > REPEATS:
            frequent += 1
            h = np.int64(-1)
        occurs = h >= 0
        while h >= 0:
            j = positions[h]
            h = np.int64(following[h])
            if previous_tried and j > 0 and hashes[j - 1] == text_hashes[k - 1]:
                continue  # the same run as that of the 8-gram before, which was tried from there
            run_first, length = _run_at(hashes, n, text_hashes, size, j, k)
            if length > longest or (length == longest and run_first < first):
                first, longest = run_first, length
            origins = with_room(origins, tried + 1)
            origins[tried] = j - k
            tried += 1
        previous_tried = occurs
    return first, longest, origins, tried, frequent


@kernel
def _longest_frequent_run(
    hashes, n, text_hashes, numbers, words, heads, serial, positions, following, remaining, first, longest
):
    """Step 2 of `common_runs`: the longest run, if it is made of frequent 8-grams, else ``first`` and ``longest``.

    Returns:
        ``(first, longest, origin)``; the origin is 0 if nothing longer was found.
    """
    size = len(text_hashes)
    grams = size - WORD_GRAM + 1
    origin = k = 0
    while k < grams:
        # A range of frequent 8-grams in the text, begin <= m < k.
        begin = k
        while k < grams:
            h = _first_occurrence(words, heads, serial, numbers[k])
            if h < 0 or remaining[h] <= REPEATS:
                break
            k += 1
        if k == begin:
            k += 1
            continue
        # A run of w words holds w - 7 8-grams in a row. So if every step-th 8-gram of the range is tried, every run
        # with at least ``step`` of them is: begin wide, and halve the step until no untried run can be as long as the
        # longest.
        top = 1
        while 2 * top <= k - begin:
            top *= 2
        step = top
        longest_possible = k - begin + WORD_GRAM - 1  # words of a run that is the whole range
        exhausted = False
        while longest_possible >= longest and not exhausted:
            for m in range(begin, k, step):
                if step < top and (m - begin) % (2 * step) == 0:
                    continue  # tried with the wider step
                h = np.int64(heads[numbers[m]])
                while h >= 0 and not exhausted:
                    j = positions[h]
                    h = np.int64(following[h])
                    run_first, length = _run_at(hashes, n, text_hashes, size, j, m)
                    earlier = run_first < first or (run_first == first and j - m > origin)
                    if length > longest or (length == longest and earlier):
                        first, longest, origin = run_first, length, j - m
                    # No run of this range is longer, or begins before this one and is as long.
                    exhausted = length == longest_possible
            if step == 1 or step <= longest - WORD_GRAM + 1:
                break
            step //= 2
    return first, longest, origin


@kernel
def common_runs(hashes, n, text, texts, marks, serial, positions, following, remaining, origins):
    """The runs of at least eight words that a document and a text have in common.

    In the matrix of document words by text words, mark every cell where the next eight words are equal. A run is a
    diagonal of marks, and its origin, j - k, says which diagonal. A text that says something twice makes two::

                   text  k   k+1  k+2  ...  k'   k'+1
        document  j      #                  #
                  j+1         #                  #
                  j+2              #

    1. Rare 8-grams, those that occur at most `REPEATS` times in the document: each occurrence is extended both ways to
       its whole run, unless it continues the run of the 8-gram before. All origins are noted.
    2. Frequent 8-grams, if there are any: a template that a document repeats would make occurrences times text length
       diagonals, and almost all of them say nothing. Only the longest run is looked for, by probing ever more closely;
       its origin is noted if it is longer than all of step 1.

    Both keep the longest run, and of equally long ones the first in the document (step 2 then the first in the text),
    so that the outcome does not depend on the order of the search.

    Args:
        hashes: uint64, words of the document, ``n`` of them.
        text: the text, which shares an 8-gram with the document.
        texts: all texts.
        marks: with the document's 8-grams, their occurrences linked.
        serial: the document's.
        positions: int64, the word that each occurrence begins at.
        following, remaining: as `link_occurrences` left them.
        origins: int64, any length: room for the result.

    Returns:
        ``(first, longest, origins, tried)``: the longest run's first word in the document, and its words; the first
        ``tried`` of ``origins`` are the document's word, perhaps below 0, that stands for the text's first.
    """
    start = texts.starts[text]
    size = texts.starts[text + 1] - start
    text_hashes, numbers = texts.hashes[start : start + size], texts.grams[start : start + size]
    words, heads = marks.words, marks.word_heads
    first, longest, origins, tried, frequent = _rare_runs(
        hashes, n, text_hashes, numbers, words, heads, serial, positions, following, remaining, origins
    )
    if frequent == 0:
        return first, longest, origins, tried
    longest_rare = longest
    first, longest, origin = _longest_frequent_run(
        hashes, n, text_hashes, numbers, words, heads, serial, positions, following, remaining, first, longest
    )
    if longest > longest_rare:
        origins = with_room(origins, tried + 1)
        origins[tried] = origin
        tried += 1
    return first, longest, origins, tried
