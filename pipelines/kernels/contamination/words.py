"""Benchmark 8- and 13-grams in the words of documents; a document that shares one with a text is compared with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel
from corpus_audit.pipelines.kernels.contamination.idf import best_idf_score
from corpus_audit.pipelines.kernels.contamination.runs import common_runs, link_occurrences
from corpus_audit.pipelines.kernels.contamination.scan import (
    IDF_CANDIDATE,
    LONG_WORD_GRAM,
    WORD_GRAM,
    Buffers,
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


class WordMatches(NamedTuple):
    """What D documents and the benchmark texts have in common as words.

    Attributes:
        grams, long_grams: int64 [H] and [L], numbers of the 8-grams and 13-grams that a document holds, each once a
            document.
        gram_stops, long_stops: int64 [D] each; those of document d end before ``gram_stops[d]``, ``long_stops[d]``.
        pairs: int64 [P, 8], a row for each document and text that share an 8-gram: (document, text, covered words,
            8-grams of the longest run, first byte of that run in the document, its bytes, IDF score in millionths, end
            of its spans in ``spans``).
        spans: int32, for each pair its runs of 8-grams in the text: (8-grams skipped since the last run, length), …
    """

    grams: np.ndarray
    gram_stops: np.ndarray
    long_grams: np.ndarray
    long_stops: np.ndarray
    pairs: np.ndarray
    spans: np.ndarray


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
def word_hits(hashes, n, grams, long_grams, marks, serial, at, passing, numbers, hits, long_hits):
    """Numbers of the 8- and 13-grams that a document holds, each once, in the order in which they first occur.

    Every occurrence of an 8-gram is noted too: the word that it begins at in ``at``, its number in ``numbers``.

    Args:
        hashes: words of the document, ``n`` of them.
        grams, long_grams: the 8-grams and 13-grams of the index.
        marks, serial: the thread's marks, and the document's serial number.
        at, passing, numbers: room for ``n`` elements each.
        hits, long_hits: int64, any length: room for the result.

    Returns:
        ``(hits, n_hits, long_hits, n_long, occurrences)``: the numbers are the first ``n_hits`` of ``hits``.
    """
    n_hits = n_long = occurrences = 0
    run = 0
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
        at[occurrences] = i - (WORD_GRAM - 1)  # in place: there are never more occurrences than c
        numbers[occurrences] = gram
        occurrences += 1
        if words[gram] != serial:
            words[gram] = serial
            hits = with_room(hits, n_hits + 1)
            hits[n_hits] = gram
            n_hits += 1
        # A 13-gram of a text consists of six of its 8-grams, so only behind six in a row one has to be looked up.
        if run >= _LONG_RUN:
            gram = find(
                long_grams.keys,
                long_grams.directory,
                long_grams.directory_shift,
                gram_at(hashes, i - (LONG_WORD_GRAM - 1), LONG_WORD_GRAM),
            )
            if gram >= 0 and marks.long_words[gram] != serial:
                marks.long_words[gram] = serial
                long_hits = with_room(long_hits, n_long + 1)
                long_hits[n_long] = gram
                n_long += 1
    return hits, n_hits, long_hits, n_long, occurrences


@kernel
def covered_words(text, texts, marks, serial, spans, used):
    """Compare a document with one text: which of its 8-grams the document holds.

    Appends to ``spans`` (int32) the runs of 8-grams that the document holds, two numbers each: 8-grams skipped since
    the last run, and length.

    Returns:
        ``(spans, used, covered)``: ``used`` numbers of ``spans`` are written, and ``covered`` words of the text are in
        an 8-gram that the document holds.
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
        end = k + WORD_GRAM - 1
        covered += end - max(first, covered_to)
        covered_to = end
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
    buffers: Buffers,
) -> WordMatches:
    """Find the 8- and 13-grams of benchmarks in the words of D documents, and compare what shares one.

    Comes in: the documents' text, ``data`` uint8 cut at ``offsets`` int64 [D + 1]; the tables that say what a character
    counts as; the index of the texts; the thread's marks and room. For each document:

    1. Words. `hash_words` turns the text into one 64-bit hash a normalised word, and notes the byte where it ends.
    2. N-grams. `word_hits` filters all 8-grams through the Bloom filter, looks up what passes, and tries 13-grams only
       behind six 8-grams in a row. Nearly all of a corpus ends here.
    3. Texts. Each 8-gram leads to the texts that have it (none if very many do); a text is compared once a document.
    4. Comparison of the document with such a text, which the rules need three views of:
       a. `covered_words`: which of the text's 8-grams the document holds anywhere, in any order (Tulu 3). They are kept
          as spans, since 8-grams that prove frequent in the corpus do not count, and that is known only at its end;
       b. `common_runs`: the longest run of equal words, and its bytes in the document, to be shown as evidence; and all
          alignments of document and text that a run implies;
       c. `best_idf_score`: decon's overlap at each of these alignments, if enough of the text is covered at all.

    Goes out: `WordMatches`, rows of integers that are small even where a document matches.

    Why so: step 2 decides the speed of the audit, step 4 is rare and may be thorough. What step 4 finds is judged
    later, when thresholds and the n-grams' frequencies in the corpus are known; so it hands on counts, not verdicts.

    Args:
        data, offsets: the documents, valid UTF-8.
        own: int64 [D], the text that was cut from the document, which is not compared with it, or -1.
        ascii_table, wide_table: uint8 [128] and uint16 [65,536], see `normalised_words`.
        grams, long_grams, texts: the 8-grams and 13-grams of the index, and its texts.
        marks: the thread's.
        serial: serial number of the first document; it and the next D - 1 were never used with these marks.
        buffers: room for the words of the longest document.
    """
    size = len(offsets) - 1
    hits, long_hits = np.empty(1024, np.int64), np.empty(256, np.int64)
    stops, long_stops = np.empty(size, np.int64), np.empty(size, np.int64)
    rows = np.empty(8 * 64, np.int64)
    spans = np.empty(256, np.int32)
    used = pairs = total = long_total = 0
    gram_starts, gram_texts, text_starts = grams.starts, grams.posted, texts.starts
    text_marks = marks.texts
    hashes, ends, at_word, passing = buffers.hashes, buffers.ends, buffers.positions, buffers.keys
    numbers, following, remaining = buffers.numbers, buffers.following, buffers.remaining
    origins = np.empty(64, np.int64)
    for d in range(size):
        document = data[offsets[d] : offsets[d + 1]]
        now = serial + d
        # Steps 1 and 2. The numbers are written straight behind those of the documents before, where there is room.
        n = hash_words(document, ascii_table, wide_table, hashes, ends)
        hits_now, n_hits, long_now, n_long, occurrences = word_hits(
            hashes, n, grams, long_grams, marks, now, at_word, passing, numbers, hits[total:], long_hits[long_total:]
        )
        linked = False
        hits = with_room(hits, total + n_hits)
        for h in range(n_hits):  # not by slices: see `with_room`
            hits[total + h] = hits_now[h]
        long_hits = with_room(long_hits, long_total + n_long)
        for h in range(n_long):
            long_hits[long_total + h] = long_now[h]
        long_total += n_long
        # Step 3.
        for h in range(total, total + n_hits):
            gram = hits[h]
            for p in range(gram_starts[gram], gram_starts[gram + 1]):
                text = np.int64(gram_texts[p])
                if text_marks[text] == now or text == own[d]:
                    continue
                text_marks[text] = now
                if not linked:  # once a document, and only if it is compared with any text
                    link_occurrences(hits_now[:n_hits], numbers[:occurrences], marks.word_heads, following, remaining)
                    linked = True
                # Step 4.
                spans, used, covered = covered_words(text, texts, marks, now, spans, used)
                first, longest, origins, tried = common_runs(
                    hashes, n, text, texts, marks, now, at_word, following, remaining, origins
                )
                # ``ends`` is behind the space after a word, so the run's bytes lie between two ends; `word_span` drops
                # spaces and what does not count at either side.
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
                row = 8 * pairs
                rows[row], rows[row + 1], rows[row + 2], rows[row + 3] = d, text, covered, longest - WORD_GRAM + 1
                rows[row + 4], rows[row + 5] = start, stop - start
                rows[row + 6], rows[row + 7] = score, used
                pairs += 1
        total += n_hits
        stops[d], long_stops[d] = total, long_total
    return WordMatches(
        hits[:total].copy(),
        stops,
        long_hits[:long_total].copy(),
        long_stops,
        rows[: 8 * pairs].copy().reshape(pairs, 8),
        spans[:used].copy(),
    )
