"""The words of documents against the benchmarks' 8- and 13-grams, and of documents that match against their texts."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel
from corpus_audit.pipelines.kernels.contamination.idf import best_idf_score
from corpus_audit.pipelines.kernels.contamination.runs import common_runs, link_occurrences
from corpus_audit.pipelines.kernels.contamination.scan import (
    IDF_CANDIDATE,
    LONG_WORD_GRAM,
    WORD_GRAM,
    Grams,
    Marks,
    Texts,
    find,
    in_filter,
    with_room,
)
from corpus_audit.pipelines.kernels.text.normalised_words import (
    base_power,
    finish,
    gram_at,
    hash_words,
    rolled,
    word_span,
)

_WORD_POWER = base_power(WORD_GRAM - 1)
_LONG_RUN = LONG_WORD_GRAM - WORD_GRAM + 1


@kernel
def _passing_words(hashes, n, bloom, shift, at, keys):
    """Write the last word, and the hash, of every 8-gram that passes the filter; returns how many do.

    No branch depends on the outcome, so that the processor waits for many cache lines at once; and what a loop reads
    is a plain array, as one in a tuple costs a reference count every time (measured: four times as slow).
    """
    passed = 0
    h = np.uint64(0)
    for i in range(min(n, WORD_GRAM - 1)):
        h = rolled(h, np.uint64(0), hashes[i], _WORD_POWER)
    leaving = np.uint64(0)
    for i in range(WORD_GRAM - 1, n):
        h = rolled(h, leaving, hashes[i], _WORD_POWER)
        leaving = hashes[i - (WORD_GRAM - 1)]
        key = finish(h)
        at[passed] = i
        keys[passed] = key
        passed += in_filter(bloom, key, shift)
    return passed


@kernel
def word_hits(hashes, n, grams, long_grams, marks, serial, room, numbers, found, long_found):
    """Numbers of the 8- and 13-grams that a document holds, each once, in the order of their first places.

    Every occurrence of an 8-gram is left in ``room[0]``, the word that it begins at, and in ``numbers``.

    Returns:
        ``(found, hits, long_found, long_hits, occurrences)``: the numbers are those before ``hits`` in ``found``.
    """
    hits = long_hits = occurrences = 0
    run = 0
    at, passing = room
    passed = _passing_words(hashes, n, grams.filter, grams.filter_shift, at, passing)
    keys, directory, shift = grams.keys, grams.directory, grams.directory_shift
    words = marks.words
    last = -2
    for c in range(passed):
        i = at[c]
        gram = find(keys, directory, shift, passing[c])
        if gram < 0:
            continue
        run = run + 1 if i == last + 1 else 1
        last = i
        at[occurrences] = i - (WORD_GRAM - 1)  # there are never more than c
        numbers[occurrences] = gram
        occurrences += 1
        if words[gram] != serial:
            words[gram] = serial
            found = with_room(found, hits + 1)
            found[hits] = gram
            hits += 1
        # A 13-gram of a text consists of six of its 8-grams.
        if run >= _LONG_RUN:
            gram = find(
                long_grams.keys,
                long_grams.directory,
                long_grams.directory_shift,
                gram_at(hashes, i - (LONG_WORD_GRAM - 1), LONG_WORD_GRAM),
            )
            if gram >= 0 and marks.long_words[gram] != serial:
                marks.long_words[gram] = serial
                long_found = with_room(long_found, long_hits + 1)
                long_found[long_hits] = gram
                long_hits += 1
    return found, hits, long_found, long_hits, occurrences


@kernel
def covered_words(text, texts, marks, serial, spans, used):
    """Compare a document with one text: which of its 8-grams the document holds.

    Appends to ``spans`` (int32) the runs of held 8-grams as pairs: 8-grams skipped since the last run, length.

    Returns:
        ``(spans, used, covered)``, the last: words of the text in a held 8-gram.
    """
    start = texts.starts[text]
    size = texts.starts[text + 1] - start
    words, numbers = marks.words, texts.grams[start : start + size]
    covered = last_end = covered_to = 0
    k = 0
    while k + WORD_GRAM <= size:
        if words[numbers[k]] != serial:
            k += 1
            continue
        first = k
        while k + WORD_GRAM <= size and words[numbers[k]] == serial:
            k += 1
        spans = with_room(spans, used + 2)
        spans[used] = first - last_end
        spans[used + 1] = k - first
        used += 2
        last_end = k
        to = k + WORD_GRAM - 1
        covered += to - max(first, covered_to)
        covered_to = to
    return spans, used, covered


@kernel
def scan_words(
    data: np.ndarray,
    offsets: np.ndarray,
    own: np.ndarray,
    ascii_table: np.ndarray,
    wide_table: np.ndarray,
    grams: Grams,
    long_grams: Grams,
    texts: Texts,
    marks: Marks,
    serial: int,
    buffer: tuple[np.ndarray, np.ndarray],
    room: tuple[np.ndarray, np.ndarray],
    occurrences: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scan the words of D documents.

    Args:
        data, offsets: uint8 and int64 [D + 1], the documents' text.
        own: int64 [D], the text that was cut from the document, which is not compared with it, or -1.
        ascii_table, wide_table: see `normalised_words`.
        grams, long_grams, texts, marks: the index, and the thread's marks.
        serial: serial number of the first document, never used before with these marks.
        buffer: (uint64, int64), room for the words of the longest document and where they end.
        room: (int64, uint64), as many places and hashes.
        occurrences: (int32, int32, int32), as many numbers of 8-grams, and two for `link_occurrences`.

    Returns:
        ``(found, found_stops, long_found, long_stops, pairs, spans)``: numbers of the 8-grams of document d are
        those before ``found_stops[d]``, 13-grams alike; a row of ``pairs``, int64 [P, 8], is (document, text, covered
        words, 8-grams of the longest run, first byte and bytes of that run, IDF score, where its spans end in
        ``spans``, int32).
    """
    size = len(offsets) - 1
    found, long_found = np.empty(1024, np.int64), np.empty(256, np.int64)
    found_stops, long_stops = np.empty(size, np.int64), np.empty(size, np.int64)
    rows = np.empty(8 * 64, np.int64)
    spans = np.empty(256, np.int32)
    used = pairs = total = long_total = 0
    gram_starts, gram_texts, text_starts = grams.starts, grams.posted, texts.starts
    text_marks = marks.texts
    hashes, ends = buffer
    at_word, (numbers, following, still) = room[0], occurrences
    origins = np.empty(64, np.int64)
    for d in range(size):
        document = data[offsets[d] : offsets[d + 1]]
        now = serial + d
        n = hash_words(document, ascii_table, wide_table, hashes, ends)
        found_now, hits, long_now, long_hits, held = word_hits(
            hashes, n, grams, long_grams, marks, now, room, numbers, found[total:], long_found[long_total:]
        )
        linked = False
        found = with_room(found, total + hits)
        found[total : total + hits] = found_now[:hits]
        long_found = with_room(long_found, long_total + long_hits)
        long_found[long_total : long_total + long_hits] = long_now[:long_hits]
        long_total += long_hits
        for h in range(total, total + hits):
            gram = found[h]
            for p in range(gram_starts[gram], gram_starts[gram + 1]):
                text = np.int64(gram_texts[p])
                if text_marks[text] == now or text == own[d]:
                    continue
                text_marks[text] = now
                if not linked:
                    link_occurrences(found_now[:hits], numbers[:held], marks.word_heads, following, still)
                    linked = True
                spans, used, covered = covered_words(text, texts, marks, now, spans, used)
                first, longest, origins, tried = common_runs(
                    hashes, n, text, texts, marks, now, at_word, following, still, origins
                )
                start, stop = word_span(
                    document,
                    ascii_table,
                    wide_table,
                    ends[first - 1] if first > 0 else np.int64(0),
                    ends[first + longest - 1],
                )
                score = np.int64(0)
                if covered * IDF_CANDIDATE >= text_starts[text + 1] - text_starts[text]:
                    score = best_idf_score(hashes, n, text, texts, origins[:tried])
                rows = with_room(rows, 8 * (pairs + 1))
                at = 8 * pairs
                rows[at], rows[at + 1], rows[at + 2], rows[at + 3] = d, text, covered, longest - WORD_GRAM + 1
                rows[at + 4], rows[at + 5] = start, stop - start
                rows[at + 6], rows[at + 7] = score, used
                pairs += 1
        total += hits
        found_stops[d], long_stops[d] = total, long_total
    return (
        found[:total].copy(),
        found_stops,
        long_found[:long_total].copy(),
        long_stops,
        rows[: 8 * pairs].copy().reshape(pairs, 8),
        spans[:used].copy(),
    )
