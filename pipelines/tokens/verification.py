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
"""Documents longer than this are checked on one slice at an offset that their bytes choose."""

WHOLE_LOWEST = 16
"""The documents of lowest hash in a split are checked whole, against the very ids that were counted …"""

WHOLE_BYTES = 64 * 1024
"""… unless they are longer than this: the reference needs a second for every few megabytes."""

NEEDED = 1000
"""Documents that must be verified for a run to have a verdict (or all, if there are fewer)."""

_BATCH = 256


def lowest_for(lacking: int, splits: int) -> int:
    """How many documents of lowest hash each of ``splits`` splits must verify for ``lacking`` in all.

    A fifth more than an even share: splits that hold fewer documents then rarely call for a second pass.
    """
    return max(WHOLE_LOWEST, -(-lacking * 6 // (5 * max(splits, 1))))


@dataclass(slots=True)
class _Case:
    """One comparison: a text, and the ids that were counted for it; None for a slice, which was not counted as one."""

    text: str
    ids: np.ndarray | None
    where: str


@dataclass(slots=True)
class Verifier:
    """Collects the documents of lowest content hash in a split, and compares them with the reference at its end.

    Attributes:
        tokenization: both paths.
        lowest: how many documents to verify; all, if the split has fewer.
        shard: what to call the shard in an error.
        documents: verified so far.
        seconds: spent, encoding slices and comparing included.
    """

    tokenization: Tokenization
    lowest: int
    shard: str
    documents: int = 0
    seconds: float = 0.0
    _held: list[tuple[int, int, _Case]] = field(default_factory=list)

    def add(self, text: pa.LargeStringArray, high: np.ndarray, rows: np.ndarray, batch: TokenBatch) -> None:
        """Look at a batch: D texts, the first 8 bytes of their hashes, their rows and the ids that were counted."""
        if self.tokenization.path != FAST:
            self.documents += len(text)
            return
        started = time.perf_counter()
        bound = self._held[-1][0] if 0 < self.lowest <= len(self._held) else 2**64 - 1
        for d in np.flatnonzero(high <= np.uint64(bound)).tolist():
            place = bisect.bisect(self._held, (int(high[d]), int(rows[d])), key=lambda held: held[:2])
            if place < self.lowest:
                # Later documents only push this one back, so whether it is among the first is known for good if not.
                whole = place < WHOLE_LOWEST
                self._held.insert(place, (int(high[d]), int(rows[d]), self._case(text, d, high, rows, batch, whole)))
                del self._held[self.lowest :]
        self.seconds += time.perf_counter() - started

    def finish(self) -> None:
        """Compare the collected documents with the reference.

        Raises:
            TokenizerMismatchError: when a single id differs; it names the document, the token and both ids.
            NoVerdictError: the reference fails on a document.
        """
        started = time.perf_counter()
        cases = [case for _, _, case in self._held]
        self._held.clear()
        for i in range(WHOLE_LOWEST, len(cases)):
            data = np.frombuffer(cases[i].text.encode(), np.uint8)
            if cases[i].ids is not None and len(data) > SLICE_BYTES:  # was among the first for a while
                cases[i] = _slice(data, cases[i].where)
        # One call for all slices: each costs a millisecond before the first byte.
        slices = [case for case in cases if case.ids is None]
        if slices:
            fast = self.tokenization.encode(pa.array([case.text for case in slices], pa.large_string()))
            for i, case in enumerate(slices):
                case.ids = fast.of(i)
        for start in range(0, len(cases), _BATCH):
            self._compare(cases[start : start + _BATCH])
        self.seconds += time.perf_counter() - started

    def _case(
        self, text: pa.LargeStringArray, d: int, high: np.ndarray, rows: np.ndarray, batch: TokenBatch, whole: bool
    ) -> _Case:
        where = f"{self.shard}, row {int(rows[d])} of its split (content hash {int(high[d]):016x}\u2026)"
        one = text.slice(d, 1)
        _, data = text_buffers(one)
        if len(data) > (WHOLE_BYTES if whole else SLICE_BYTES):
            return _slice(data, where)
        return _Case(one[0].as_py(), batch.of(d).copy(), where)

    def _compare(self, cases: list[_Case]) -> None:
        reference = self.tokenization.encode_reference([case.text for case in cases])
        for i, case in enumerate(cases):
            assert case.ids is not None
            difference = self.tokenization.difference(case.ids, reference.of(i))
            if difference:
                raise TokenizerMismatchError(
                    f"the fast tokenizer and the reference disagree on a document of {case.where}: {difference}; no "
                    "count of the fast tokenizer can be trusted here"
                )
        self.documents += len(cases)


def _slice(data: np.ndarray, where: str) -> _Case:
    """A slice of a document (its bytes, uint8) at an offset that they choose, cut at character boundaries."""
    start = (len(data) * 2654435761 + int(data[0])) % (len(data) - SLICE_BYTES)
    stop = start + SLICE_BYTES
    while start > 0 and data[start] & 0xC0 == 0x80:
        start -= 1
    while stop < len(data) and data[stop] & 0xC0 == 0x80:
        stop += 1
    return _Case(data[start:stop].tobytes().decode(), None, f"{where}, bytes {start} to {stop}")
