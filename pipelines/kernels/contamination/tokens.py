"""Benchmark 10-grams in the token ids of documents, each extended to the match that Llama 2 defines.

Llama 2 (Touvron et al. 2023, appendix A.6) calls a token of a benchmark text contaminated when it is in a match of more
than ten tokens that a document has too, of which up to four may differ. Here a match begins with ten equal tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel
from corpus_audit.pipelines.kernels.contamination.scan import (
    SKIP_BUDGET,
    TOKEN_GRAM,
    TOKENS_A_BLOCK,
    Buffers,
    Grams,
    Marks,
    Texts,
    find,
    in_filter,
    with_room,
)
from corpus_audit.pipelines.kernels.text.normalised_words import base_power, finish, rolled, token_hash

_TOKEN_POWER = base_power(TOKEN_GRAM - 1)


class TokenMatches(NamedTuple):
    """What D documents and the benchmark texts have in common as tokens.

    Attributes:
        grams: int64 [H], numbers of the 10-grams that a document holds, each once a document.
        gram_stops: int64 [D]; those of document d end before ``gram_stops[d]``.
        pairs: int64 [P, 3], a row for each document and text with a match: (document, text, tokens of the longest).
        positions: int64 [M], tokens of the texts (an index into `Texts.tokens`) at which a match begins, each once.
        lengths: int64 [M], tokens of the longest match that begins there in any of the documents; above ten.
    """

    grams: np.ndarray
    gram_stops: np.ndarray
    pairs: np.ndarray
    positions: np.ndarray
    lengths: np.ndarray


@kernel
def _passing_tokens(tokens, bloom, shift, at, keys):
    """As `_passing_words`, of 10-grams of token ids."""
    passed = 0
    h = np.uint64(0)
    n = len(tokens)
    for i in range(min(n, TOKEN_GRAM - 1)):
        h = rolled(h, np.uint64(0), token_hash(tokens[i]), _TOKEN_POWER)
    leaving = np.uint64(0)
    for i in range(TOKEN_GRAM - 1, n):
        h = rolled(h, leaving, token_hash(tokens[i]), _TOKEN_POWER)
        leaving = token_hash(tokens[i - (TOKEN_GRAM - 1)])
        key = finish(h)
        at[passed] = i
        keys[passed] = key
        passed += in_filter(bloom, key, shift)
    return passed


@kernel
def _text_of(blocks, starts, position):
    """The number of the text that a token belongs to.

    A table of one entry a block of tokens gives a text at or just before it; a binary search would wait for a dozen
    cache lines.
    """
    text = np.int64(blocks[position // TOKENS_A_BLOCK])
    while starts[text + 1] <= position:
        text += 1
    return text


@kernel
def match_end(tokens, j, text_tokens, position, stop):
    """Where a match ends that begins with ten equal tokens, ``tokens[j:]`` and ``text_tokens[position:]``.

    It goes on until more than `SKIP_BUDGET` tokens differ or document or text (before ``stop``) end; tokens that differ
    at its end are not part of it.

    Returns:
        The index behind its last token in ``text_tokens``.
    """
    i = TOKEN_GRAM
    last = TOKEN_GRAM
    differing = 0
    while position + i < stop and j + i < len(tokens):
        if tokens[j + i] == text_tokens[position + i]:
            last = i + 1
        else:
            differing += 1
            if differing > SKIP_BUDGET:
                break
        i += 1
    return position + last


@inlined
def _first_equal(tokens, j, text_tokens, position, start, end, now, position_marks, position_ends):
    """Step 5 of `scan_tokens`: the position of the first of the equal tokens that lead to ``tokens[j]``.

    Goes back to the text's ``start``, or to a position whose match in this document already ends as late as ``end``.
    """
    back = 1
    while (
        j >= back
        and position - back >= start
        and tokens[j - back] == text_tokens[position - back]
        and not (position_marks[position - back] == now and position_ends[position - back] >= end)
    ):
        back += 1
    return position - back + 1


@inlined
def _record_match(first, position, end, now, position_marks, position_ends, best, touched, n_touched):
    """Step 6 of `scan_tokens`, by position: a match that ends at ``end`` begins at each of ``first`` to ``position``.

    Returns:
        ``(touched, n_touched)``: with the positions whose ``best`` is no longer 0.
    """
    for at in range(first, position + 1):
        if position_marks[at] != now or position_ends[at] < end:
            position_marks[at] = now
            position_ends[at] = end
        length = end - at
        if length > TOKEN_GRAM and length > best[at]:
            if best[at] == 0:
                touched = with_room(touched, n_touched + 1)
                touched[n_touched] = at
                n_touched += 1
            best[at] = length
    return touched, n_touched


@inlined
def _record_pair(d, text, length, now, text_marks, text_rows, rows, pairs):
    """Step 6 of `scan_tokens`, by document and text: keep the longest match of the pair.

    Returns:
        ``(rows, pairs)``: `TokenMatches.pairs` row after row, and how many there are.
    """
    if text_marks[text] != now:
        text_marks[text] = now
        text_rows[text] = pairs
        rows = with_room(rows, 3 * (pairs + 1))
        rows[3 * pairs], rows[3 * pairs + 1], rows[3 * pairs + 2] = d, text, 0
        pairs += 1
    row = 3 * text_rows[text] + 2
    rows[row] = max(rows[row], length)
    return rows, pairs


@kernel
def scan_tokens(
    ids: np.ndarray,
    offsets: np.ndarray,
    own: np.ndarray,
    grams: Grams,
    texts: Texts,
    marks: Marks,
    serial: int,
    buffers: Buffers,
) -> TokenMatches:
    """Find the matches of more than ten tokens between D documents and the benchmark texts.

    Comes in: the documents' token ids, ``ids`` uint32 [T] cut at ``offsets`` int64 [D + 1]; the index of the texts; the
    thread's marks and room. For each document:

    1. Filter. A rolling hash of every 10-gram is held against the Bloom filter. Nearly all of a corpus ends here.
    2. Look up. A 10-gram that passes is looked up in the index, unless its number follows from the one before.
    3. Note the 10-gram, once a document: that is what other rules count.
    4. Extend. The index leads from a 10-gram to the positions p in the texts where it begins. With j its first token in
       the document, (p, j) is a cell of a matrix, and a match is a diagonal in it::

                        text    p    p+1   p+2   p+3
           document  j          #
                     j+1              #                  10-grams of one match: it is measured at the first of them,
                     j+2                    #            the others take over where it ends
                     j+3                          #

       So only the first cell of a diagonal is compared token by token, and work is linear in the length of what is
       copied, not quadratic.
    5. Walk back. 10-grams that very many texts share lead to no position (see `grams.SHARED_TEXTS`). Those that stand
       just before the first cell are found by comparing tokens backwards from it.
    6. Record matches of more than ten tokens: the longest by position in the texts, and by (document, text).

    Goes out: `TokenMatches`.

    Why so: documents are read once and are mostly clean, so steps 1 and 2 decide the speed; both avoid waiting for
    memory. Marks carry a document's serial number instead of being cleared between documents.

    Args:
        ids, offsets: the documents' tokens.
        own: int64 [D], the text that was cut from the document, which is not compared with it, or -1.
        grams, texts: the 10-grams of the index, and its texts.
        marks: the thread's; ``marks.best`` is all 0 before and after.
        serial: serial number of the first document, as for `scan_words`.
        buffers: room for the longest document.
    """
    size = len(offsets) - 1
    hits = np.empty(1024, np.int64)
    stops = np.empty(size, np.int64)
    rows = np.empty(3 * 64, np.int64)
    touched = np.empty(256, np.int64)
    # The cells of the diagonals at the token before and at this one: positions, ascending, where the matches end, and
    # in which text. The two sets are swapped after every token.
    before_positions, before_ends = np.empty(64, np.int64), np.empty(64, np.int64)
    before_texts = np.empty(64, np.int64)
    positions, ends, of_texts = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.int64)
    total = pairs = n_touched = 0
    # An array that is read through a tuple costs a reference count in every round of a loop.
    at_token, passing = buffers.positions, buffers.keys
    keys, directory, shift = grams.keys, grams.directory, grams.directory_shift
    gram_starts, gram_positions = grams.starts, grams.posted
    token_marks, position_marks, position_ends, best = marks.tokens, marks.positions, marks.ends, marks.best
    text_marks, text_rows = marks.token_texts, marks.token_rows
    token_starts, text_tokens, text_grams = texts.token_starts, texts.tokens, texts.token_grams
    token_blocks, first_positions = texts.token_blocks, texts.token_homes
    for d in range(size):
        tokens = ids[offsets[d] : offsets[d + 1]]
        now = serial + d
        # Step 1: i is a 10-gram's last token, so that 10-grams of consecutive i overlap in nine.
        passed = _passing_tokens(tokens, grams.filter, grams.filter_shift, at_token, passing)
        before = np.int64(0)
        last, last_key, gram, aligned = np.int64(-2), np.uint64(0), np.int64(-1), np.int64(-1)
        for c in range(passed):
            i = at_token[c]
            if i != last + 1:  # the 10-gram before is none of the benchmarks': no diagonal continues
                before = np.int64(0)
                aligned = np.int64(-1)
            # Step 2. ``aligned`` is a position of the last 10-gram in the texts, -1 if it is in none.
            if aligned >= 0 and text_grams[aligned + 1] >= 0 and text_tokens[aligned + TOKEN_GRAM] == tokens[i]:
                # Text and document go on alike: the next 10-gram of the one is that of the other, and need not be
                # looked up, which would wait for memory.
                aligned += 1
                gram = np.int64(text_grams[aligned])
                last_key = passing[c]
            elif passing[c] != last_key:
                last_key = passing[c]
                gram = find(keys, directory, shift, last_key)
                aligned = np.int64(first_positions[gram]) if gram >= 0 else np.int64(-1)
            else:  # a run of spaces is one 10-gram over and over
                aligned = np.int64(first_positions[gram]) if gram >= 0 else np.int64(-1)
            if gram < 0:  # the filter lets a few through that are none
                continue
            last = i
            # Step 3.
            if token_marks[gram] != now:
                token_marks[gram] = now
                hits = with_room(hits, total + 1)
                hits[total] = gram
                total += 1
            # Step 4.
            j = i - (TOKEN_GRAM - 1)
            posted = np.int64(gram_starts[gram + 1]) - np.int64(gram_starts[gram])
            if posted > len(positions):
                positions, ends = with_room(positions, posted), with_room(ends, posted)
                of_texts = with_room(of_texts, posted)
            b = 0
            for p in range(posted):
                position = np.int64(gram_positions[np.int64(gram_starts[gram]) + p])
                first = position
                # Both lists ascend, so that one pass over them finds which diagonals go on.
                while b < before and before_positions[b] < position - 1:
                    b += 1
                if b < before and before_positions[b] == position - 1:
                    # On the diagonal of the token before: the same match, without its first token. The token that has
                    # come into the ten is equal, so the differing ones, and with them the end, are the same.
                    end, text = before_ends[b], before_texts[b]
                else:
                    text = _text_of(token_blocks, token_starts, position)
                    end = match_end(tokens, j, text_tokens, position, token_starts[text + 1])
                    # Step 5.
                    first = _first_equal(
                        tokens, j, text_tokens, position, token_starts[text], end, now, position_marks, position_ends
                    )
                positions[p], ends[p], of_texts[p] = position, end, text
                if text == own[d] or end - first <= TOKEN_GRAM:
                    continue
                # Step 6.
                touched, n_touched = _record_match(
                    first, position, end, now, position_marks, position_ends, best, touched, n_touched
                )
                rows, pairs = _record_pair(d, text, end - first, now, text_marks, text_rows, rows, pairs)
            before = posted
            before_positions, positions = positions, before_positions
            before_ends, ends = ends, before_ends
            before_texts, of_texts = of_texts, before_texts
        stops[d] = total
    # Read the longest matches, and leave ``best`` all 0 again: only what was touched has to be cleared.
    lengths = np.empty(n_touched, np.int64)
    for i in range(n_touched):
        lengths[i] = best[touched[i]]
        best[touched[i]] = 0
    return TokenMatches(
        hits[:total].copy(),
        stops,
        rows[: 3 * pairs].copy().reshape(pairs, 3),
        touched[:n_touched].copy(),
        lengths,
    )
