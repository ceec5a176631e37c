"""Finds the units whose strongest examples peak on a token of the corpus.

The corpus's tokenizer and the model's may differ, so tokens are matched by their position in the text: an example
counts if the model's token at its peak overlaps an occurrence of the corpus's token.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Unit


@dataclass(frozen=True, slots=True)
class ExplainedUnit:
    """A unit whose top examples peak on a token.

    Attributes:
        hits, examples: top examples that peak on it, of all that the list holds.
        lift: share of its top examples over the token's share of the model's tokens in stored windows.
        value: highest activation among the hits.
    """

    unit: Unit
    hits: int
    examples: int
    lift: float
    value: float


@dataclass(frozen=True)
class Explanation:
    """How often a token occurs in stored windows, and the units whose top examples peak on it.

    Attributes:
        occurrences: of the token in stored windows; windows: how many of them contain it.
        base: share of the model's tokens that overlap an occurrence.
        sampled: whether stored windows are only a part of the corpus's.
        units: most hits first.
    """

    occurrences: int
    windows: int
    base: float
    sampled: bool
    units: list[ExplainedUnit]


def explain(index: Index, token: str, k: int, tokenizer: Any = None) -> Explanation:
    """Find units whose top examples peak on a token.

    Args:
        index: the index.
        token: its text, as it stands in documents.
        k: the number of units at most.
        tokenizer: the corpus's `tokenizers.Tokenizer`; an occurrence counts only where it produces that token. Without
            it, an occurrence of the text counts where no word goes on at either side; text in Chinese, Japanese and
            Korean, which put no spaces between words, counts everywhere.

    Raises:
        UsageError: the token is empty, or no stored window contains it.
    """
    if not token:
        raise UsageError("the token is empty")
    table = index.windows
    offsets, overlaps, counted, occurrences, windows = _overlapping(table, token, tokenizer)
    base = float(overlaps.sum() / counted.sum())
    value, rows, position = (np.asarray(index.array(f"top.{part}")) for part in ("value", "row", "position"))
    filled = rows < len(table)
    rows = np.where(filled, rows, 0)
    hit = filled & overlaps[np.minimum(offsets[rows] + position, len(overlaps) - 1)]
    hits, examples = hit.sum(axis=1), filled.sum(axis=1)
    highest = np.where(hit, value, -np.inf).max(axis=1)
    order = np.lexsort((np.arange(len(hits)), -hits / np.maximum(examples, 1)))[:k]
    units = list(index.units())
    explained = [
        ExplainedUnit(
            units[row],
            int(hits[row]),
            int(examples[row]),
            float(hits[row] / examples[row] / base),
            float(highest[row]),
        )
        for row in order.tolist()
        if hits[row]
    ]
    vectors = index.facts.vectors
    return Explanation(occurrences, windows, base, vectors is None or vectors["one_in"] > 1, explained)


def _overlapping(table: pa.Table, token: str, tokenizer: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    """Which of the model's tokens overlap an occurrence of a token, over all stored windows.

    Returns:
        Where each window's tokens begin, [W + 1]; whether each counts and overlaps one, and whether it counts, bool;
        occurrences, and windows with any.

    Raises:
        UsageError: none does.
    """
    starts, ends, counted = (
        pc.list_flatten(table[name].combine_chunks()).to_numpy(zero_copy_only=False)
        for name in ("starts", "ends", "counted")
    )
    offsets = np.concatenate([[0], np.cumsum(pc.list_value_length(table["tokens"]).to_numpy())])
    overlaps = np.zeros(len(starts), bool)
    occurrences = windows = 0
    for row in np.flatnonzero(pc.match_substring(table["text"], token).to_numpy()).tolist():
        spans = list(_occurrences(table["text"][row].as_py(), token, tokenizer))
        part = slice(int(offsets[row]), int(offsets[row + 1]))
        for begin, end in spans:
            overlaps[part] |= (starts[part] < end) & (ends[part] > begin)
        occurrences += len(spans)
        windows += bool(spans)
    counting = overlaps & counted
    if not counting.any():
        if overlaps.any():
            raise UsageError(
                f"stored windows contain {token!r} {occurrences:,} times, but only where tokens do not count: the "
                "model's tokenizer makes a special token of it, or it is context or the first token of a causal model"
            )
        raise UsageError(f"no stored window contains the token {token!r}")
    return offsets, counting, counted, occurrences, windows


def _occurrences(text: str, token: str, tokenizer: Any) -> Iterator[tuple[int, int]]:
    """Code points where the token starts and ends in a text, without surrounding blanks."""
    front = len(token) - len(token.lstrip()) if token.strip() else 0
    back = len(token) - len(token.rstrip()) if token.strip() else 0
    if tokenizer is None:
        before = r"(?<!\w)" if _in_words(token[0]) else ""
        after = r"(?!\w)" if _in_words(token[-1]) else ""
        for match in re.finditer(before + re.escape(token) + after, text):
            yield match.start() + front, match.end() - back
        return
    encoding = tokenizer.encode(text, add_special_tokens=False)
    for number, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
        if text[begin:end].strip() == token.strip() and tokenizer.decode([number], skip_special_tokens=False) == token:
            yield begin, end


def _in_words(character: str) -> bool:
    """Whether a character belongs to a script with spaces between words; wide East Asian characters do not."""
    return character.isalnum() and unicodedata.east_asian_width(character) not in "WF"
