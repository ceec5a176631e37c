"""The ways of doing the work that `activation_scan` times: the scan with more or fewer statistics, and its peers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from corpus_audit.embeddings.models.hooks import Taps
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator, ListSizes
from corpus_audit.embeddings.scan.forward import heat_maps, scan
from corpus_audit.embeddings.scan.verification import ONE_IN, RescanResult, check, correct, doubled
from corpus_audit.embeddings.scan.windows import windows_of
from tests.benchmarks.activation_peers import Found, buffered, plain
from tests.benchmarks.activation_work import WINDOW, Work

K = 20
EVERYTHING = ListSizes(top=K, domain=5, minima=5, samples=1)
LISTS = ListSizes(top=K, domain=0, minima=5, samples=0)
LIMITED = "maxima, minima, sums"
ALL, HEAT, VERIFY = "all of these", "heat maps of these", "verification of these"
PLAIN, BUFFERED = "hook, cat, topk", "running top k as baukit's"
BARE, AGAIN = "forward pass", "forward pass again"


def ways(work: Work) -> dict[str, Callable[[], Any]]:
    """Every way of doing the work, by name; the first and the last are the same."""
    neurons = work.taps("mlp.*:*")
    residual, heads = work.taps("mlp.*:*", "resid.*:*"), work.taps("mlp.*:*", "head.*:*")
    everything = work.taps("mlp.*:*", "resid.*:*", "head.*:*")
    return {
        BARE: work.forward,
        LIMITED: lambda: work.scanned(neurons, LISTS, histogram=False),
        "with histograms": lambda: work.scanned(neurons, LISTS),
        "with samples": lambda: work.scanned(neurons, dataclasses.replace(LISTS, samples=1), histogram=False),
        "with lists by domain": lambda: work.scanned(neurons, dataclasses.replace(LISTS, domain=5), histogram=False),
        "with residual dimensions": lambda: work.scanned(residual, LISTS, histogram=False),
        "with heads": lambda: work.scanned(heads, LISTS, histogram=False),
        ALL: lambda: work.scanned(everything, EVERYTHING),
        HEAT: HeatMaps(work, everything),
        VERIFY: Verification(work, everything),
        PLAIN: lambda: peer(work, plain),
        BUFFERED: lambda: peer(work, buffered),
        AGAIN: work.forward,
    }


def peer(work: Work, way: Callable[..., Found]) -> Found:
    """One of the ways of `activation_peers`."""
    with work.precision():
        return way(work.model, work.batches, K)


class HeatMaps:
    """The pass over the windows that hold an example of the top lists."""

    def __init__(self, work: Work, taps: Taps) -> None:
        top = work.scanned(taps, EVERYTHING).top
        self.taps, self.batch_tokens, self.shape = taps, work.batch_tokens, (*top.value.shape, WINDOW)
        used = np.flatnonzero(np.isin(work.windows.ids[:, 0], top.window[top.filled]))
        keys = np.frombuffer(b"".join(work.keys), np.uint8).reshape(-1, 16)
        self.windows = windows_of(work.windows.table(used, keys).sort_by("window"), len(work.plan.prefix))
        self.row, self.slot = np.nonzero(top.filled)
        self.at = np.searchsorted(self.windows.ids[:, 0], top.window[self.row, self.slot])

    def __call__(self) -> None:
        into = np.full(self.shape, np.nan, np.float16)
        with self.taps.hooked():
            heat_maps(self.taps, self.windows, self.row, self.slot, self.at, into, self.batch_tokens)


class Verification:
    """Running windows that hold an example again in float32: of a float32 scan one in 32, of a bfloat16 scan all."""

    def __init__(self, work: Work, taps: Taps) -> None:
        self.taps, self.batch_tokens, self.exact = taps, work.batch_tokens, work.dtype == "float32"
        self.stored = work.scanned(taps, EVERYTHING if self.exact else doubled(EVERYTHING))
        used = self.stored.used_windows()
        self.chosen = used[::ONE_IN] if self.exact else used
        here = np.flatnonzero(np.isin(work.windows.ids[:, 0], self.chosen))
        keys = np.frombuffer(b"".join(work.keys), np.uint8).reshape(-1, 16)
        self.windows = windows_of(work.windows.table(here, keys).sort_by("window"), len(work.plan.prefix))
        here = here[np.argsort(work.windows.ids[here, 0])]
        self.domain, self.group = work.domain[here], work.group[here]

    def __call__(self) -> RescanResult:
        anew = ActivationAccumulator(self.stored.rows, EVERYTHING, self.stored.floors, list(self.stored.domains))
        with self.taps.hooked():
            scan(self.taps, self.windows, self.domain, self.group, anew, self.batch_tokens)
        return check(self.stored, anew, self.chosen) if self.exact else correct(self.stored, anew, self.chosen)[1]
