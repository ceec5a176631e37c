"""The accumulator of a scan, for all units at once: top lists, samples, histograms and sums.

Accumulators merge. Lists and samples are idempotent; counts and sums are not, so a partial is added once a split. Sums
are kept by domain and by hash group of documents: the groups are the clusters of the intervals (random-groups
estimator, Wolter 2007, chapter 2), as a document's windows meet in no batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from corpus_audit.embeddings.index.bins import HISTOGRAM_BINS, HISTOGRAM_ONE_IN
from corpus_audit.embeddings.index.topk import SlotLists, merge_samples
from corpus_audit.pipelines.kernels.activations.topk_lists import insert_lowest, insert_peaks, insert_samples
from corpus_audit.pipelines.kernels.activations.windows import (
    SAMPLE_BINS,
    add_sums,
    count_bins,
    lowest_into,
    reduce_into,
)
from corpus_audit.schemas.errors import AuditError, UsageError
from corpus_audit.schemas.spec.embedding import MOST_DOMAINS, EmbeddingSpec

GROUPS = 16
"""Hash groups of documents, the clusters of intervals: 15 degrees of freedom."""

_PARTS = ("value", "window", "position", "context")


@dataclass(frozen=True, slots=True)
class ListSizes:
    """Slots of each list: top and minima a unit, domain a unit and domain, samples a unit and bin."""

    top: int
    domain: int
    minima: int
    samples: int

    @classmethod
    def of(cls, spec: EmbeddingSpec) -> ListSizes:
        """The sizes that a spec asks for."""
        return cls(spec.k, spec.domain_k, spec.minima, spec.samples)


@dataclass(frozen=True)
class BatchRows:
    """A batch of B windows of L tokens, without their activations.

    Attributes:
        window: uint64 [B]; rows beyond are repeats that fill the batch and are not looked at.
        domain: int64 [B], position among the domains; group: int64 [B], hash group of the document.
        counted: bool [B, L]; contexts: uint64 [B, L].
    """

    window: np.ndarray
    domain: np.ndarray
    group: np.ndarray
    counted: np.ndarray
    contexts: np.ndarray


@dataclass(frozen=True, slots=True)
class Highest:
    """The highest activation and the sums of a batch's windows, arrays [B, U].

    Attributes:
        peak: float32; at: int32, the first position that has it.
        total: float32, the sum over tokens that count; count: int32, how many of them fired.
    """

    peak: np.ndarray
    at: np.ndarray
    total: np.ndarray
    count: np.ndarray


@dataclass(frozen=True, slots=True)
class Lowest:
    """The lowest activation of windows, float32 [B, U], and the first position that has it, int32."""

    value: np.ndarray
    at: np.ndarray


@dataclass
class ActivationAccumulator:
    """Merged examples and statistics of ``rows`` units.

    Attributes:
        domains: names, in the order of the arrays.
        top, minima: [R, k]; minima hold minus the value. by_domain: a list a domain, [R, k] each.
        samples: [R, bins, s].
        histogram: int64 [R, bins]; of one window in `HISTOGRAM_ONE_IN`.
        fired, total: int64 and float64 [D, GROUPS, R]: tokens that fired, and the sum of activations.
        tokens: int64 [D, GROUPS], tokens that count; documents: int64 [D]; windows: int64 [D].
    """

    rows: int
    sizes: ListSizes
    floors: np.ndarray
    domains: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.top = SlotLists.empty(self.rows, self.sizes.top)
        self.minima = SlotLists.empty(self.rows, self.sizes.minima)
        shape = (self.rows, SAMPLE_BINS, self.sizes.samples)
        flat = SlotLists.empty(self.rows * SAMPLE_BINS, self.sizes.samples)
        self.samples = SlotLists(*(column.reshape(shape) for column in flat.columns))
        self.by_domain: list[SlotLists] = []
        self.histogram = np.zeros((self.rows, HISTOGRAM_BINS), np.int64)
        self.fired = np.zeros((0, GROUPS, self.rows), np.int64)
        self.total = np.zeros((0, GROUPS, self.rows), np.float64)
        self.tokens = np.zeros((0, GROUPS), np.int64)
        self.documents = np.zeros(0, np.int64)
        self.windows = np.zeros(0, np.int64)
        known, self.domains = self.domains, []
        self.positions_of(known)

    def positions_of(self, names: Sequence[str]) -> np.ndarray:
        """Positions of domains in the arrays, int64; new ones are added.

        Raises:
            UsageError: there are more than `MOST_DOMAINS`.
        """
        new = [name for name in dict.fromkeys(names) if name not in self.domains]
        if new:
            self.domains += new
            if len(self.domains) > MOST_DOMAINS:
                raise UsageError(
                    f"the corpus has more than {MOST_DOMAINS} domains: list those to keep apart in embedding.domains"
                )
            self.by_domain += [SlotLists.empty(self.rows, self.sizes.domain) for _ in new]
            for name in ("fired", "total", "tokens", "documents", "windows"):
                array = getattr(self, name)
                grown = np.zeros((len(self.domains), *array.shape[1:]), array.dtype)
                grown[: len(array)] = array
                setattr(self, name, grown)
        index = {name: i for i, name in enumerate(self.domains)}
        return np.array([index[name] for name in names], np.int64)

    def count_windows(self, batch: BatchRows) -> None:
        """Count a batch's windows and tokens, once."""
        np.add.at(self.tokens, (batch.domain, batch.group), batch.counted.sum(axis=1))
        np.add.at(self.windows, batch.domain, 1)

    def add_highest(self, batch: BatchRows, row: int, highest: Highest, point: str) -> None:
        """Add the highest activations of the units from ``row`` on.

        Args:
            batch: the windows.
            row: the first unit's row.
            highest: the batch's windows, reduced.
            point: where the units are read, for the message.

        Raises:
            AuditError: an activation is not a finite number.
        """
        _check_finite(highest.total, point)
        add_sums(highest.total, highest.count, batch.domain, batch.group, row, self.total, self.fired)
        examples = (highest.peak, highest.at, batch.window, batch.contexts, row, self.floors)
        insert_peaks(np.arange(len(batch.window)), *examples, *self.top.columns)
        for d in np.unique(batch.domain) if self.sizes.domain else ():
            insert_peaks(np.flatnonzero(batch.domain == d), *examples, *self.by_domain[d].columns)
        if self.sizes.samples:
            insert_samples(*examples, *self.samples.columns)

    def add_lowest(self, batch: BatchRows, row: int, lowest: Lowest, point: str) -> None:
        """Add the lowest activations; arguments and errors as for `add_highest`."""
        if not self.sizes.minima:
            return
        _check_finite(lowest.value[batch.counted.any(axis=1)], point)
        insert_lowest(lowest.value, lowest.at, batch.window, batch.contexts, row, *self.minima.columns)

    def add_histogram(self, row: int, values: np.ndarray, counted: np.ndarray) -> None:
        """Count activations, float32 [B, L, U], of windows that `in_histogram` selects; counted is bool [B, L]."""
        count_bins(values.view(np.uint32), counted, np.ones(len(counted), np.bool_), row, self.histogram)

    def merge(self, other: ActivationAccumulator) -> None:
        """Add another part of the corpus, of the same units and sizes."""
        index = self.positions_of(other.domains)
        self.top.merge(other.top)
        self.minima.merge(other.minima)
        merge_samples(self.samples, other.samples)
        for d, lists in zip(index, other.by_domain, strict=True):
            self.by_domain[d].merge(lists)
        self.histogram += other.histogram
        for name in ("fired", "total", "tokens", "documents", "windows"):
            getattr(self, name)[index] += getattr(other, name)

    def used_windows(self) -> np.ndarray:
        """Windows that hold an example, uint64 ascending."""
        lists = [self.top, self.minima, self.samples, *self.by_domain]
        parts = [np.unique(each.window[each.filled]) for each in lists]
        return np.unique(np.concatenate(parts))

    def arrays(self) -> dict[str, np.ndarray]:
        """All state by name, as `from_arrays` takes it."""
        arrays: dict[str, np.ndarray] = {}
        for name, lists in (("top", self.top), ("minima", self.minima), ("samples", self.samples)):
            arrays |= {f"{name}.{part}": column for part, column in zip(_PARTS, lists.columns, strict=True)}
        for part in _PARTS if self.by_domain else ():
            arrays[f"domain.{part}"] = np.stack([getattr(lists, part) for lists in self.by_domain])
        for name in ("histogram", "fired", "total", "tokens", "documents", "windows"):
            arrays[name] = getattr(self, name)
        return arrays

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], sizes: ListSizes, floors: np.ndarray, domains: Sequence[str]
    ) -> ActivationAccumulator:
        """The accumulator that `arrays` was called on; the arrays are copied."""
        accumulator = cls(len(floors), sizes, floors, list(domains))
        for name in ("top", "minima", "samples"):
            columns = (arrays[f"{name}.{part}"].copy() for part in _PARTS)
            setattr(accumulator, name, SlotLists(*columns))
        for d in range(len(domains)):
            columns = (arrays[f"domain.{part}"][d].copy() for part in _PARTS)
            accumulator.by_domain[d] = SlotLists(*columns)
        for name in ("histogram", "fired", "total", "tokens", "documents", "windows"):
            setattr(accumulator, name, arrays[name].copy())
        return accumulator


def in_histogram(batch: BatchRows) -> np.ndarray:
    """Positions of the windows that count into histograms: one in `HISTOGRAM_ONE_IN`, by its id."""
    return np.flatnonzero(batch.window % np.uint64(HISTOGRAM_ONE_IN) == 0)


def highest_of(values: np.ndarray, counted: np.ndarray) -> Highest:
    """The highest of activations, float32 [B', L, U] (B' >= B), over the tokens that count, bool [B, L]."""
    shape = (len(counted), values.shape[2])
    highest = Highest(
        np.empty(shape, np.float32), np.empty(shape, np.int32), np.empty(shape, np.float32), np.empty(shape, np.int32)
    )
    reduce_into(values, counted, highest.peak, highest.at, highest.total, highest.count)
    return highest


def lowest_of(values: np.ndarray, counted: np.ndarray) -> Lowest:
    """The lowest of activations; arguments as for `highest_of`."""
    shape = (len(counted), values.shape[2])
    lowest = Lowest(np.empty(shape, np.float32), np.empty(shape, np.int32))
    lowest_into(values, counted, lowest.value, lowest.at)
    return lowest


def _check_finite(values: np.ndarray, point: str) -> None:
    if not np.isfinite(values).all():
        raise AuditError(f"the model gives activations that are not finite numbers ({point})")
