"""Checks the fast tokenizer against the reference on the run's own documents."""

from __future__ import annotations

import bisect
import time
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.tokens.tokenization import FAST, TokenBatch, Tokenization, text_buffers
from corpus_audit.schemas.errors import TokenizerMismatchError

SLICE_BYTES = 8 * 1024
"""Bytes; longer documents are checked on one slice, at an offset that follows from their bytes."""

COMPARED_IN_FULL = 16
"""This many documents of lowest hash in a split are compared in full, with the ids that were counted."""

MAX_FULL_BYTES = 64 * 1024
"""Bytes; longer documents are never compared in full: the reference needs a second for every few megabytes."""

NEEDED = 1000
"""Documents that a run must verify to have a verdict (or all, if there are fewer)."""

_BATCH = 256  # cases that are compared at once; the first difference ends the run


def documents_per_split(required: int, splits: int) -> int:
    """Documents of lowest hash that each of ``splits`` splits must verify so that ``required`` are verified in total.

    A fifth more than an even share, so that splits with fewer documents rarely make a second pass necessary.
    """
    return max(COMPARED_IN_FULL, -(-required * 6 // (5 * max(splits, 1))))


@dataclass(slots=True)
class _Case:
    """A text to compare, and the ids that were counted for it; None for a slice, whose ids were not counted."""

    text: str
    ids: np.ndarray | None
    source: str


@dataclass(slots=True)
class Verifier:
    """Selects the documents of lowest content hash in a split, and compares their ids with the reference at its end.

    Attributes:
        tokenization: the fast and the reference tokenizer.
        lowest: number of documents to verify; all, if the split has fewer.
        shard: name of the shard in error messages.
        documents: documents verified so far.
        seconds: time spent so far, encoding and comparing included.
    """

    tokenization: Tokenization
    lowest: int
    shard: str
    documents: int = 0
    seconds: float = 0.0
    _selected: list[tuple[int, int, _Case]] = field(default_factory=list)

    def add(self, text: pa.LargeStringArray, high: np.ndarray, rows: np.ndarray, batch: TokenBatch) -> None:
        """Select documents of a batch.

        Args:
            text: large_string [D].
            high: uint64 [D], the first 8 bytes of the content hashes.
            rows: int64 [D], rows within the split.
            batch: the ids that were counted.
        """
        if self.tokenization.path != FAST:
            self.documents += len(text)
            return
        started = time.perf_counter()
        bound = self._selected[-1][0] if 0 < self.lowest <= len(self._selected) else 2**64 - 1
        for d in np.flatnonzero(high <= np.uint64(bound)).tolist():
            rank = bisect.bisect(self._selected, (int(high[d]), int(rows[d])), key=lambda entry: entry[:2])
            if rank < self.lowest:
                # Later documents can only move this one back: if it is not among the first now, it never will be.
                in_full = rank < COMPARED_IN_FULL
                self._selected.insert(
                    rank, (int(high[d]), int(rows[d]), self._case(text, d, high, rows, batch, in_full))
                )
                del self._selected[self.lowest :]
        self.seconds += time.perf_counter() - started

    def finish(self) -> None:
        """Compare the selected documents with the reference.

        Raises:
            TokenizerMismatchError: an id differs; it names the document, the token and both ids.
            NoVerdictError: the reference fails on a document.
        """
        started = time.perf_counter()
        cases = [case for _, _, case in self._selected]
        self._selected.clear()
        for i in range(COMPARED_IN_FULL, len(cases)):
            data = np.frombuffer(cases[i].text.encode(), np.uint8)
            if cases[i].ids is not None and len(data) > SLICE_BYTES:  # it was among the first when it was selected
                cases[i] = _slice(data, cases[i].source)
        # One call for all slices: a call costs a millisecond, however little text it has.
        slices = [case for case in cases if case.ids is None]
        if slices:
            fast = self.tokenization.encode(pa.array([case.text for case in slices], pa.large_string()))
            for i, case in enumerate(slices):
                case.ids = fast.of(i)
        for start in range(0, len(cases), _BATCH):
            self._compare(cases[start : start + _BATCH])
        self.seconds += time.perf_counter() - started

    def _case(
        self, text: pa.LargeStringArray, d: int, high: np.ndarray, rows: np.ndarray, batch: TokenBatch, in_full: bool
    ) -> _Case:
        source = f"{self.shard}, row {int(rows[d])} of its split (content hash {int(high[d]):016x}\u2026)"
        document = text.slice(d, 1)
        _, data = text_buffers(document)
        if len(data) > (MAX_FULL_BYTES if in_full else SLICE_BYTES):
            return _slice(data, source)
        return _Case(document[0].as_py(), batch.of(d).copy(), source)

    def _compare(self, cases: list[_Case]) -> None:
        reference = self.tokenization.encode_reference([case.text for case in cases])
        for i, case in enumerate(cases):
            assert case.ids is not None
            difference = self.tokenization.difference(case.ids, reference.of(i))
            if difference:
                raise TokenizerMismatchError(
                    f"the fast tokenizer and the reference disagree on a document of {case.source}: {difference}; the "
                    "counts of the fast tokenizer cannot be trusted"
                )
        self.documents += len(cases)


def _slice(data: np.ndarray, source: str) -> _Case:
    """A slice of a document (its bytes, uint8) at an offset computed from them, moved to character boundaries."""
    # Spread by Knuth's multiplier and no random number: a rerun checks the same bytes, and its errors can be repeated.
    start = (len(data) * 2654435761 + int(data[0])) % (len(data) - SLICE_BYTES)
    stop = start + SLICE_BYTES
    while start > 0 and data[start] & 0xC0 == 0x80:
        start -= 1
    while stop < len(data) and data[stop] & 0xC0 == 0x80:
        stop += 1
    return _Case(data[start:stop].tobytes().decode(), None, f"{source}, bytes {start} to {stop}")
