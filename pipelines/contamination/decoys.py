"""Decoys: real passages of the corpus, looked for outside their own documents; their hits are the false-positive rate.

A passage that nobody published as a test cannot be a leak. Where its words are found in other documents all the same
(licences, quotations, generated text), a rule would call a benchmark item of that kind contaminated too. Passages are
cut from the documents of lowest content hash, as long as the benchmarks' own items; the document itself, and every
exact copy of it, is left out of matching. A corpus of near-duplicates gives a high rate, and that is the finding.

Decoys are chosen by what a run reads and by nothing else. Those of an earlier snapshot would be found in this one
wherever a document was only edited, and the rate would say how much was edited. So they change with every snapshot and
have to be looked for anew; to bound what that costs, they are cut from, and looked for in, the splits of lowest hash up
to `LEAST_BYTES` and `LEAST_SPLITS`, whichever is more: all of a corpus that is no larger. In a larger one the rate is
that of the sample, where fewer documents can quote a passage than in the whole: a lower bound.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.kernels.text.ngrams import rehash
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch
from corpus_audit.pipelines.tokens.tokenization import text_buffers

DECOY_VERSION = 1
"""Raised whenever the same documents would give other decoys."""

LEAST_BYTES, LEAST_SPLITS = 2**30, 32

_LEAST_WORDS = 13
"""Shorter passages would be untestable for most rules; benchmarks of shorter items are given decoys of this length."""


@dataclass(frozen=True, slots=True)
class Decoy:
    """A passage and the content hash of the document that it was cut from."""

    high: int
    low: int
    text: str


class DecoyPicker:
    """The documents of lowest content hash that are long enough; the same for any order and division of the batches.

    Attributes:
        problems: what could not be read; the choice is no good unless it is empty.
    """

    def __init__(self, count: int, lengths: Sequence[int]) -> None:
        """``lengths`` are the benchmarks' items in words (runs between white space); a passage gets one of them."""
        self._count = count
        self._lengths = np.sort(np.maximum(np.asarray(lengths, np.int64), _LEAST_WORDS))
        self._held: dict[tuple[int, int], Decoy] = {}
        self.problems: list[str] = []

    def add(self, batch: DocumentBatch) -> None:
        """Consider a batch."""
        if not self._count or not len(batch) or not len(self._lengths):
            return
        offsets, data = text_buffers(batch.text)
        high, low = hash_documents(data, offsets)
        limit = max(self._held) if len(self._held) >= self._count else (2**64, 0)
        found: dict[tuple[int, int], Decoy] = {}
        for row in np.lexsort((low, high)):
            key = (int(high[row]), int(low[row]))
            if key >= limit or len(found) >= self._count:
                break
            passage = None if key in found else self._passage(key, batch.text[int(row)].as_py())
            if passage is not None:
                found[key] = Decoy(*key, passage)
        self._held |= found
        self._trim()

    def merge(self, others: Iterable[DecoyPicker]) -> None:
        """Take in what other pickers of the same count and lengths hold."""
        for other in others:
            self._held |= other._held
            self.problems += other.problems
        self._trim()

    def decoys(self) -> tuple[Decoy, ...]:
        """The decoys, ascending by hash; fewer than asked for if the corpus has not as many documents."""
        return tuple(self._held[key] for key in sorted(self._held))

    def _trim(self) -> None:
        if len(self._held) > self._count:
            self._held = {key: self._held[key] for key in sorted(self._held)[: self._count]}

    def _passage(self, key: tuple[int, int], text: str) -> str | None:
        """A passage at a place, and of a length, that the document's hash chooses."""
        drawn = [int(value) for value in rehash(np.array([key[0], key[1]], np.uint64))]
        length = int(self._lengths[drawn[0] % len(self._lengths)])
        words = len(text.split())
        if words < 2 * length:
            return None
        rest = text.split(None, drawn[1] % (words - length + 1))[-1]
        behind = rest.split(None, length)
        return rest[: len(rest) - len(behind[length])].rstrip() if len(behind) > length else rest.rstrip()


def chosen_splits(splits: Sequence[tuple[str, int, int, int]]) -> list[int]:
    """Which splits decoys are cut from and looked for in: ascending positions.

    Those of lowest hash, until they are enough; the choice depends on the content of the splits, not on their order.

    Args:
        splits: (SHA-256 of the shard in hex, start, stop, bytes) of each.
    """
    keys = [hashlib.sha256(f"decoys:{shard}:{start}:{stop}".encode()).digest() for shard, start, stop, _ in splits]
    chosen: list[int] = []
    size = 0
    for position in sorted(range(len(splits)), key=lambda i: keys[i]):
        again = bool(chosen) and keys[chosen[-1]] == keys[position]  # a shard that is there twice is chosen twice
        if not again and len(chosen) >= LEAST_SPLITS and size >= LEAST_BYTES:
            break
        chosen.append(position)
        size += splits[position][3]
    return sorted(chosen)
