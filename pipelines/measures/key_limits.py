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

    def limits(self, names: Sequence[str], domains: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """The k-th lowest key of each domain, with the given documents; `NO_LIMIT` where fewer are known.

        Args:
            names: the domains that positions refer to.
            domains: int64 [N] positions, of the documents that are being counted.
            keys: uint64 [N].

        Returns:
            uint64 [names].
        """
        limits = np.full(len(names), NO_LIMIT)
        order = np.argsort(domains, kind="stable")
        starts = np.searchsorted(domains[order], np.arange(len(names) + 1))
        counts = np.diff(starts)
        for position, name in enumerate(names):
            with self._lock:
                lowest = self._lowest.get(name, keys[:0])
                if counts[position] >= _FEWEST:
                    own = keys[order[starts[position] : starts[position + 1]]]
                    lowest = self._lowest[name] = _lowest_distinct(np.concatenate([lowest, own]), self._kept)
            if len(lowest) == self._kept:
                limits[position] = lowest[-1]
        return limits


def _lowest_distinct(keys: np.ndarray, kept: int) -> np.ndarray:
    keys = np.sort(keys)  # ten times as fast as np.unique
    new = np.ones(len(keys), bool)
    new[1:] = keys[1:] != keys[:-1]
    return keys[new][:kept]


def limits_of_run(run: str, kept: int) -> KeyLimits:
    """The keys that this process has counted in a run, which its name identifies."""
    with _of_run_lock:
        if run not in _of_run:
            for oldest in list(_of_run)[: len(_of_run) + 1 - _RUNS]:
                del _of_run[oldest]
            _of_run[run] = KeyLimits(kept)
        return _of_run[run]
