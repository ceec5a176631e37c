"""Decoys: passages of the corpus, searched for outside their own documents; the hits give the false-positive rate.

A passage that nobody published as a test cannot be a leak. If its words occur in other documents nevertheless
(licences, quotations, generated text), a rule would also call a benchmark item of that kind contaminated. Passages are
cut from the documents of lowest content hash and are as long as the benchmarks' items; the document itself, and every
exact copy of it, is excluded from matching. A corpus of near-duplicates gives a high rate, as it should.

The selection depends only on what a run reads. Decoys of an earlier snapshot would match every document of this one
that was only edited, and the rate would measure editing. So decoys change with every snapshot and the search is
repeated; to bound its cost, they are cut from, and searched for in, the splits of lowest hash up to `LEAST_BYTES` and
`LEAST_SPLITS`, whichever is more: all of a corpus that is no larger. In a larger one the rate is that of the sample, in
which fewer documents can quote a passage than in the corpus: a lower bound.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.images.content_hash import content_hashes
from corpus_audit.pipelines.kernels.text.ngrams import rehash
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch
from corpus_audit.pipelines.tokens.tokenization import text_buffers

DECOY_VERSION = 1
"""Incremented whenever the same documents would give other decoys."""

LEAST_BYTES, LEAST_SPLITS = 2**30, 32

_LEAST_WORDS = 13
"""Shorter passages would be untestable for most rules; benchmarks of shorter items get decoys of this length."""


@dataclass(frozen=True, slots=True)
class Decoy:
    """A passage and the content hash of the document that it was cut from."""

    high: int
    low: int
    text: str


class DecoyPicker:
    """Selects the long enough documents of lowest content hash, whatever the order and division of the batches.

    Attributes:
        problems: messages about splits that could not be read; the selection is only valid without any.
    """

    def __init__(self, count: int, lengths: Sequence[int]) -> None:
        """``lengths`` are the benchmarks' items in words (runs between white space); a passage gets one of them."""
        self._count = count
        self._lengths = np.sort(np.maximum(np.asarray(lengths, np.int64), _LEAST_WORDS))
        self._selected: dict[tuple[int, int], Decoy] = {}
        self.problems: list[str] = []

    def add(self, batch: DocumentBatch) -> None:
        """Add the documents of a batch as candidates."""
        if not self._count or not len(batch) or not len(self._lengths):
            return
        offsets, data = text_buffers(batch.text)
        high, low = content_hashes(data, offsets, batch.properties)
        limit = max(self._selected) if len(self._selected) >= self._count else (2**64, 0)
        candidates: dict[tuple[int, int], Decoy] = {}
        for row in np.lexsort((low, high)):
            key = (int(high[row]), int(low[row]))
            if key >= limit or len(candidates) >= self._count:
                break
            passage = None if key in candidates else self._passage(key, batch.text[int(row)].as_py())
            if passage is not None:
                candidates[key] = Decoy(*key, passage)
        self._selected |= candidates
        self._trim()

    def merge(self, others: Iterable[DecoyPicker]) -> None:
        """Add the candidates and problems of other pickers of the same count and lengths."""
        for other in others:
            self._selected |= other._selected
            self.problems += other.problems
        self._trim()

    def decoys(self) -> tuple[Decoy, ...]:
        """The decoys, ascending by hash; fewer than requested if too few documents are long enough."""
        return tuple(self._selected[key] for key in sorted(self._selected))

    def _trim(self) -> None:
        if len(self._selected) > self._count:
            self._selected = {key: self._selected[key] for key in sorted(self._selected)[: self._count]}

    def _passage(self, key: tuple[int, int], text: str) -> str | None:
        """A passage whose start and length are drawn by the document's hash; None if the document is too short."""
        drawn = [int(value) for value in rehash(np.array([key[0], key[1]], np.uint64))]
        length = int(self._lengths[drawn[0] % len(self._lengths)])
        words = len(text.split())
        if words < 2 * length:
            return None
        following = text.split(None, drawn[1] % (words - length + 1))[-1]
        parts = following.split(None, length)
        return following[: len(following) - len(parts[length])].rstrip() if len(parts) > length else following.rstrip()


def select_decoy_splits(splits: Sequence[tuple[str, int, int, int]]) -> list[int]:
    """Positions, ascending, of the splits that decoys are cut from and searched for in.

    The splits of lowest hash, until there are enough; the selection depends on their content, not on their order.

    Args:
        splits: (SHA-256 of the shard in hex, start, stop, bytes) of each.
    """
    keys = [hashlib.sha256(f"decoys:{shard}:{start}:{stop}".encode()).digest() for shard, start, stop, _ in splits]
    selected: list[int] = []
    size = 0
    for position in sorted(range(len(splits)), key=lambda i: keys[i]):
        # A shard that is listed twice is selected twice: else which of the two is would depend on their order.
        is_repeated = bool(selected) and keys[selected[-1]] == keys[position]
        if not is_repeated and len(selected) >= LEAST_SPLITS and size >= LEAST_BYTES:
            break
        selected.append(position)
        size += splits[position][3]
    return sorted(selected)
