"""The token ids of documents against the benchmarks' 10-grams, and on from there as far as Llama 2's match goes."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel
from corpus_audit.pipelines.kernels.contamination.scan import (
    PLACES_A_BLOCK,
    SKIP_BUDGET,
    TOKEN_GRAM,
    Grams,
    Marks,
    Texts,
    find,
    in_filter,
    with_room,
)
from corpus_audit.pipelines.kernels.text.normalised_words import base_power, finish, rolled, token_hash

_TOKEN_POWER = base_power(TOKEN_GRAM - 1)


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
def _text_of(blocks, starts, place):
    """The text that a token is of: a table first, as a search would wait for a dozen cache lines."""
    text = np.int64(blocks[place // PLACES_A_BLOCK])
    while starts[text + 1] <= place:
        text += 1
    return text


@kernel
def match_end(tokens, j, text_tokens, place, stop):
    """Where the match of Llama 2 ends, as a place, that begins with ten equal tokens at ``j`` and ``place``: at most
    `SKIP_BUDGET` tokens differ, and its last one does not."""
    i = TOKEN_GRAM
    last = TOKEN_GRAM
    differing = 0
    while place + i < stop and j + i < len(tokens):
        if tokens[j + i] == text_tokens[place + i]:
            last = i + 1
        else:
            differing += 1
            if differing > SKIP_BUDGET:
                break
        i += 1
    return place + last


@kernel
def scan_tokens(
    ids: np.ndarray,
    offsets: np.ndarray,
    own: np.ndarray,
    grams: Grams,
    texts: Texts,
    marks: Marks,
    serial: int,
    room: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scan the token ids of D documents; arguments as for `scan_words`.

    Returns:
        ``(found, stops, pairs, places, lengths)``: numbers of the 10-grams of document d are those before
        ``stops[d]``; a row of ``pairs``, int64 [P, 3], is (document, text, tokens of the longest match); ``lengths``
        has, for each of ``places``, the longest match that begins there, if it is longer than ten tokens.
    """
    size = len(offsets) - 1
    found = np.empty(1024, np.int64)
    stops = np.empty(size, np.int64)
    rows = np.empty(3 * 64, np.int64)
    touched = np.empty(256, np.int64)
    # Matches at the token before and at this one: places, ascending, where they end and in which text.
    before_places, before_ends, before_texts = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.int64)
    places, ends, of_texts = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.int64)
    total = pairs = n_touched = 0
    at_token, passing = room
    keys, directory, shift = grams.keys, grams.directory, grams.directory_shift
    gram_starts, gram_places = grams.starts, grams.posted
    token_marks, mark_places, mark_ends, best = marks.tokens, marks.places, marks.ends, marks.best
    text_marks, text_rows = marks.token_texts, marks.token_rows
    token_starts, text_tokens, text_grams = texts.token_starts, texts.tokens, texts.token_grams
    token_blocks, homes = texts.token_blocks, texts.token_homes
    for d in range(size):
        tokens = ids[offsets[d] : offsets[d + 1]]
        now = serial + d
        passed = _passing_tokens(tokens, grams.filter, grams.filter_shift, at_token, passing)
        before = np.int64(0)
        last, last_key, gram, home = np.int64(-2), np.uint64(0), np.int64(-1), np.int64(-1)
        for c in range(passed):
            i = at_token[c]
            if i != last + 1:
                before = np.int64(0)
                home = np.int64(-1)
            if home >= 0 and text_grams[home + 1] >= 0 and text_tokens[home + TOKEN_GRAM] == tokens[i]:
                # Text and document go on alike: the next n-gram of the one is that of the other, and need not be looked
                # up, which would wait for memory.
                home += 1
                gram = np.int64(text_grams[home])
                last_key = passing[c]
            elif passing[c] != last_key:  # a run of spaces is one n-gram over and over
                last_key = passing[c]
                gram = find(keys, directory, shift, last_key)
                home = np.int64(homes[gram]) if gram >= 0 else np.int64(-1)
            else:
                home = np.int64(homes[gram]) if gram >= 0 else np.int64(-1)
            if gram < 0:
                continue
            last = i
            if token_marks[gram] != now:
                token_marks[gram] = now
                found = with_room(found, total + 1)
                found[total] = gram
                total += 1
            j = i - (TOKEN_GRAM - 1)
            posted = np.int64(gram_starts[gram + 1]) - np.int64(gram_starts[gram])
            if posted > len(places):
                places, ends, of_texts = with_room(places, posted), with_room(ends, posted), with_room(of_texts, posted)
            b = 0
            for p in range(posted):
                place = np.int64(gram_places[np.int64(gram_starts[gram]) + p])
                first = place
                while b < before and before_places[b] < place - 1:
                    b += 1
                if b < before and before_places[b] == place - 1:
                    # On the diagonal of the token before: the same match, without its first token.
                    end, text = before_ends[b], before_texts[b]
                else:
                    text = _text_of(token_blocks, token_starts, place)
                    end = match_end(tokens, j, text_tokens, place, token_starts[text + 1])
                    # n-grams of very many texts lead nowhere: those just before this one are found from here.
                    back = 1
                    while (
                        j >= back
                        and place - back >= token_starts[text]
                        and tokens[j - back] == text_tokens[place - back]
                        and not (mark_places[place - back] == now and mark_ends[place - back] >= end)
                    ):
                        first = place - back
                        back += 1
                places[p], ends[p], of_texts[p] = place, end, text
                if text == own[d] or end - first <= TOKEN_GRAM:
                    continue
                for at in range(first, place + 1):
                    if mark_places[at] != now or mark_ends[at] < end:
                        mark_places[at] = now
                        mark_ends[at] = end
                    length = end - at
                    if length > TOKEN_GRAM and length > best[at]:
                        if best[at] == 0:
                            touched = with_room(touched, n_touched + 1)
                            touched[n_touched] = at
                            n_touched += 1
                        best[at] = length
                if text_marks[text] != now:
                    text_marks[text] = now
                    text_rows[text] = pairs
                    rows = with_room(rows, 3 * (pairs + 1))
                    rows[3 * pairs], rows[3 * pairs + 1], rows[3 * pairs + 2] = d, text, 0
                    pairs += 1
                row = 3 * text_rows[text] + 2
                rows[row] = max(rows[row], end - first)
            before = posted
            before_places, places = places, before_places
            before_ends, ends = ends, before_ends
            before_texts, of_texts = of_texts, before_texts
        stops[d] = total
    lengths = np.empty(n_touched, np.int64)
    for i in range(n_touched):
        lengths[i] = best[touched[i]]
        best[touched[i]] = 0
    return (
        found[:total].copy(),
        stops,
        rows[: 3 * pairs].copy().reshape(pairs, 3),
        touched[:n_touched].copy(),
        lengths,
    )
