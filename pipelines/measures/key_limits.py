"""The lowest keys of each domain that a process has counted in a run: what a sample of lowest keys can leave out.

A sample holds the k lowest keys of a domain. Once k lower keys of the same corpus are known, wherever in it, a document
cannot be in the sample of the corpus any more, and its text need not be copied, digested and written. With n documents
of a domain in shards of random order, about k (1 + ln(n / k)) are kept by all shards together instead of up to k by
each.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

NO_LIMIT = np.uint64(2**64 - 1)
"""Every key is within it."""

_FEWEST = 32
"""Keys of a domain that a block must have to be looked at: with many small domains, that would take longer than it
saves."""

_RUNS = 4
"""Runs whose keys a process remembers; a worker process may serve many."""

_of_run: dict[str, KeyLimits] = {}
_of_run_lock = threading.Lock()


class KeyLimits:
    """The k lowest keys of each domain; may be used by several threads."""

    def __init__(self, kept: int) -> None:
        """Know of no key yet; ``kept`` is k."""
        self._kept = kept
        self._lowest: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()

    def limits(self, names: Sequence[str]) -> np.ndarray:
        """The k-th lowest key of each domain, uint64 [names]; `NO_LIMIT` where fewer are known."""
        limits = np.full(len(names), NO_LIMIT)
        with self._lock:
            for position, name in enumerate(names):
                lowest = self._lowest.get(name)
                if lowest is not None and len(lowest) == self._kept:
                    limits[position] = lowest[-1]
        return limits

    def add(self, names: Sequence[str], domains: np.ndarray, keys: np.ndarray) -> None:
        """Add the keys of counted documents.

        Args:
            names: the domains that positions refer to.
            domains: int64 [N] positions, ascending.
            keys: uint64 [N].
        """
        starts = np.searchsorted(domains, np.arange(len(names) + 1))
        for position in np.flatnonzero(np.diff(starts) >= _FEWEST).tolist():
            added = keys[starts[position] : starts[position + 1]]
            with self._lock:
                before = self._lowest.get(names[position], added[:0])
                self._lowest[names[position]] = np.union1d(before, added)[: self._kept]


def limits_of_run(run: str, kept: int) -> KeyLimits:
    """The keys that this process has counted in a run, which its name identifies."""
    with _of_run_lock:
        if run not in _of_run:
            for oldest in list(_of_run)[: len(_of_run) + 1 - _RUNS]:
                del _of_run[oldest]
            _of_run[run] = KeyLimits(kept)
        return _of_run[run]
