"""Checks the fast tokenizer against the reference on the run's own documents."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.tokenization import FAST, TokenBatch, Tokenization, text_buffers
from corpus_audit.schemas.errors import TokenizerMismatchError

SLICE_BYTES = 8 * 1024
"""Documents longer than this are checked on one slice at an offset that their hash chooses."""

WHOLE_LOWEST = 16
"""The documents of lowest hash in a split are checked whole, against the very ids that were counted …"""

WHOLE_BYTES = 256 * 1024
"""… unless they are longer than this: the reference needs seconds for a document of megabytes."""

NEEDED = 1000
"""Documents that must be verified for a run to have a verdict (or all, if there are fewer)."""

_BATCH = 256


def threshold_for(documents: int) -> int:
    """The bound below which a document's hash (its first 8 bytes) makes it verified, for about that many documents.

    Aims 15 % above `NEEDED`: more than four standard deviations, so that a second pass is rarely needed.
    """
    share = min(1.0, 1.15 * NEEDED / max(documents, 1))
    return 2**64 if share >= 1.0 else int(share * 2**64)


@dataclass(slots=True)
class _Case:
    """One comparison: a text and the ids that the fast path gave for it."""

    text: str
    ids: np.ndarray
    where: str


@dataclass(slots=True)
class Verifier:
    """Collects documents of one split and compares them with the reference in batches.

    Attributes:
        documents: verified so far.
        seconds: spent, encoding slices and comparing included.
    """

    tokenization: Tokenization
    threshold: int
    shard: str
    documents: int = 0
    seconds: float = 0.0
    _cases: list[_Case] = field(default_factory=list)
    _lowest: list[tuple[int, int, _Case]] = field(default_factory=list)

    def add(self, text: pa.LargeStringArray, high: np.ndarray, rows: np.ndarray, batch: TokenBatch) -> None:
        """Look at a batch: D texts, the first 8 bytes of their hashes, their rows and the ids that were counted.

        Raises:
            TokenizerMismatchError: when a single id differs; it names the document.
        """
        if self.tokenization.path != FAST:
            self.documents += len(text)
            return
        started = time.perf_counter()
        bound = self._lowest[-1][0] if len(self._lowest) == WHOLE_LOWEST else 2**64
        low_bound = min(bound, 2**64 - 1)
        below = high <= np.uint64(min(self.threshold, 2**64 - 1))
        candidates = np.flatnonzero(below | (high <= np.uint64(low_bound)))
        for d in candidates.tolist():
            key = int(high[d])
            if self._enters_lowest(key):
                case = self._whole(text, d, rows, batch)
                self._lowest.append((key, int(rows[d]), case))
                self._lowest.sort(key=lambda item: item[:2])
                if len(self._lowest) > WHOLE_LOWEST:
                    key, _, case = self._lowest.pop()
                    if key <= self.threshold:
                        self._enqueue(case)
            elif key <= self.threshold:
                self._enqueue(self._whole(text, d, rows, batch))
        self.seconds += time.perf_counter() - started

    def finish(self) -> None:
        """Compare what is left."""
        started = time.perf_counter()
        self._cases.extend(case for _, _, case in self._lowest)
        self._lowest.clear()
        self._compare()
        self.seconds += time.perf_counter() - started

    def _enters_lowest(self, key: int) -> bool:
        return len(self._lowest) < WHOLE_LOWEST or key < self._lowest[-1][0]

    def _whole(self, text: pa.LargeStringArray, d: int, rows: np.ndarray, batch: TokenBatch) -> _Case:
        where = f"{self.shard}, row {int(rows[d])} of its split"
        ids = batch.ids[batch.offsets[d] : batch.offsets[d + 1]]
        one = text.slice(d, 1)
        _, data = text_buffers(one)
        if len(data) > WHOLE_BYTES:
            return self._slice(data, where)
        return _Case(one[0].as_py(), ids.copy(), where)

    def _slice(self, data: np.ndarray, where: str) -> _Case:
        """A slice of a document at an offset that its bytes choose, cut at character boundaries."""
        start = (len(data) * 2654435761 + int(data[0])) % (len(data) - SLICE_BYTES)
        stop = start + SLICE_BYTES
        while start > 0 and data[start] & 0xC0 == 0x80:
            start -= 1
        while stop < len(data) and data[stop] & 0xC0 == 0x80:
            stop += 1
        text = data[start:stop].tobytes().decode()
        ids = self.tokenization.encode(pa.array([text], pa.large_string())).ids
        return _Case(text, ids, f"{where}, bytes {start} to {stop}")

    def _enqueue(self, case: _Case) -> None:
        data = np.frombuffer(case.text.encode(), np.uint8)
        if len(data) > SLICE_BYTES:
            case = self._slice(data, case.where)
        self._cases.append(case)
        if len(self._cases) >= _BATCH:
            self._compare()

    def _compare(self) -> None:
        if not self._cases:
            return
        reference = self.tokenization.encode_reference([case.text for case in self._cases])
        for i, case in enumerate(self._cases):
            expected = reference.ids[reference.offsets[i] : reference.offsets[i + 1]]
            if len(expected) != len(case.ids) or (expected != case.ids).any():
                raise TokenizerMismatchError(
                    f"the fast tokenizer and the reference disagree on a document of {case.where}: gigatoken "
                    f"{self.tokenization.path_version} gives {len(case.ids)} ids, tokenizers "
                    f"{self.tokenization.reference_version} gives {len(expected)}. No count of this run can be "
                    "trusted; uninstall gigatoken to use the reference, and please report the tokenizer"
                )
        self.documents += len(self._cases)
        self._cases.clear()
