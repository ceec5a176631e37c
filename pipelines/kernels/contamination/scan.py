"""The scan of documents for the n-grams of benchmark texts, all rules in one pass over words and token ids.

Nearly all of the work is to find that a document's n-gram is none of the benchmarks': one bit test in a blocked Bloom
filter that the caches hold. What passes is looked up in the sorted hashes. A document that shares an n-gram with a text
is then compared with that text; such pairs are few.

The gram numbers of a document, and the texts that it was compared with, are marked with its serial number in arrays
that outlive the call, so that nothing has to be cleared.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel

WORD_GRAM, LONG_WORD_GRAM, TOKEN_GRAM = 8, 13, 10
"""PaLM, Llama 3 and Tulu 3; GPT-3; the exact beginning of a match of Llama 2."""

TOKENS_A_BLOCK = 64
"""Tokens of benchmark texts between two entries of the table that gives the text of a token."""

SKIP_BUDGET = 4
"""Llama 2: tokens in which a match may differ."""

IDF_GRAM, IDF_SLACK, IDF_ANSWER_REACH = 5, 11, 20
"""decon: n, consecutive misses that a match survives, least words behind the question in which the answer may be."""

IDF_CANDIDATE = 2
"""A document is scored by IDF when its 8-grams cover at least one in so many of the text's words."""

REPEATS = 32
"""An 8-gram that a document has more often than this aligns document and text only if that gives a longer run than the
rarer 8-grams do: a template that a document repeats would align each of its items with all others."""

MILLION = 1_000_000


class Grams(NamedTuple):
    """The distinct n-grams of one length: G of them.

    Attributes:
        keys: uint64 [G], their hashes, sorted; a gram's number is its index here.
        directory: uint32 [2^b + 1]: the hashes that begin with bits p are ``keys[directory[p] : directory[p + 1]]``.
        filter: uint64 [2^m], the blocked Bloom filter.
        directory_shift, filter_shift: 64 - b and 64 - m.
        starts, posted: uint32: the texts (words) or token positions (tokens) of gram g are
            ``posted[starts[g] : starts[g + 1]]``; n-grams of very many texts have none.
    """

    keys: np.ndarray
    directory: np.ndarray
    filter: np.ndarray
    directory_shift: np.uint64
    filter_shift: np.uint64
    starts: np.ndarray
    posted: np.ndarray


class Texts(NamedTuple):
    """Benchmark texts as words and as tokens; X texts of W words and T tokens in all.

    Attributes:
        starts: int64 [X + 1], words of each text; prompts: int64 [X], how many of them are its prompt's.
        hashes: uint64 [W]; grams: int32 [W], the number of the 8-gram that begins there, or -1.
        weights: int64 [W], IDF of the 5-gram that begins there, 0 where it is not the prompt's or answer's first such.
        token_starts: int64 [X + 1]; tokens: uint32 [T]; token_grams: int32 [T], the number of the 10-gram, or -1.
        token_blocks: int32, the text of token 64 b, for every b; a token's text is that one or one of the next.
        token_homes: int32 [10-grams], the first token position of each.
    """

    starts: np.ndarray
    prompts: np.ndarray
    hashes: np.ndarray
    grams: np.ndarray
    weights: np.ndarray
    token_starts: np.ndarray
    tokens: np.ndarray
    token_grams: np.ndarray
    token_blocks: np.ndarray
    token_homes: np.ndarray


class Marks(NamedTuple):
    """A thread's state between calls; an element is marked if it equals the current document's serial number.

    Attributes:
        words: int32 [8-grams]; long_words: int32 [13-grams].
        word_heads: int32 [8-grams], the first occurrence of each in the document. Not marks: valid for a
            document's own 8-grams once `link_occurrences` has set them.
        tokens: int32 [10-grams].
        texts, token_texts: int32 [X]; token_rows: int64 [X].
        positions: int32 [T]; ends: int32 [T], end of the longest match in the current document that begins at a token.
        best: int32 [T], longest match that begins at a token in the current batch; all 0 between calls.
    """

    words: np.ndarray
    word_heads: np.ndarray
    long_words: np.ndarray
    tokens: np.ndarray
    texts: np.ndarray
    token_texts: np.ndarray
    token_rows: np.ndarray
    positions: np.ndarray
    ends: np.ndarray
    best: np.ndarray


class Buffers(NamedTuple):
    """Scratch arrays for one document of at most N words and at most N tokens; contents mean nothing between documents.

    Attributes:
        hashes, ends: uint64 and int64 [N], the words' hashes and the bytes where they end.
        positions, keys: int64 and uint64 [N], last word or token, and hash, of the n-grams that pass the filter.
        numbers, following, remaining: int32 [N], the 8-gram of each occurrence, and `link_occurrences`' lists.
    """

    hashes: np.ndarray
    ends: np.ndarray
    positions: np.ndarray
    keys: np.ndarray
    numbers: np.ndarray
    following: np.ndarray
    remaining: np.ndarray

    @classmethod
    def of(cls, size: int) -> Buffers:
        """Buffers of N = ``size``."""
        kinds = (np.uint64, np.int64, np.int64, np.uint64, np.int32, np.int32, np.int32)
        return cls(*(np.empty(size, kind) for kind in kinds))


@inlined
def in_filter(bloom, key, shift):
    """Whether the filter holds the three bits of a key."""
    bits = (
        (np.uint64(1) << (key & np.uint64(63)))
        | (np.uint64(1) << ((key >> np.uint64(6)) & np.uint64(63)))
        | (np.uint64(1) << ((key >> np.uint64(12)) & np.uint64(63)))
    )
    return bloom[np.int64(key >> shift)] & bits == bits


@kernel
def fill_filter(keys: np.ndarray, shift: np.uint64, bloom: np.ndarray) -> None:
    """Set every key's bits."""
    for key in keys:
        bloom[np.int64(key >> shift)] |= (
            (np.uint64(1) << (key & np.uint64(63)))
            | (np.uint64(1) << ((key >> np.uint64(6)) & np.uint64(63)))
            | (np.uint64(1) << ((key >> np.uint64(12)) & np.uint64(63)))
        )


@kernel
def find(keys, directory, shift, key):
    """The number of the gram with that hash, or -1."""
    prefix = np.int64(key >> shift)
    for i in range(directory[prefix], directory[prefix + 1]):
        if keys[i] == key:
            return np.int64(i)
    return np.int64(-1)


@kernel
def find_all(keys: np.ndarray, directory: np.ndarray, shift: np.uint64, hashes: np.ndarray, out: np.ndarray) -> None:
    """Write the number of the gram with each hash, or -1, into ``out``."""
    for i in range(len(hashes)):
        out[i] = find(keys, directory, shift, hashes[i])


@kernel
def with_room(array, needed):
    """The array, or a longer copy if it has fewer than ``needed`` elements."""
    if needed <= len(array):
        return array
    longer = np.empty(max(needed, 2 * len(array)), array.dtype)
    for i in range(len(array)):  # assigning to a slice takes numba two seconds to compile
        longer[i] = array[i]
    return longer
