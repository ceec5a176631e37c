"""What a scan keeps of a split, for all units at once: lists of examples, samples, histograms and sums.

All of it merges. Lists and samples are idempotent; counts and sums are not, so a partial is added once a split. Sums
are kept by domain and by hash group of documents: the groups are the clusters of the intervals (random-groups
estimator, Wolter 2007, chapter 2), as a document's windows meet in no batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from corpus_audit.embeddings.bins import HISTOGRAM_BINS, HISTOGRAM_ONE_IN
from corpus_audit.embeddings.topk import SlotLists, merge_samples
from corpus_audit.pipelines.kernels.activations import SAMPLE_BINS, add_sums, count_bins, lowest_into, reduce_into
from corpus_audit.pipelines.kernels.examples import offer, offer_lowest, offer_samples
from corpus_audit.schemas.embedding import MOST_DOMAINS, EmbeddingSpec
from corpus_audit.schemas.errors import AuditError, UsageError

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
        """As a spec says."""
        return cls(spec.k, spec.domain_k, spec.minima, spec.samples)


@dataclass(frozen=True)
class BatchRows:
    """The windows of a batch as the accumulator sees them; B of them, of L tokens.

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


@dataclass
class Accumulator:
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
        """Where domains are in the arrays, int64; new ones are added.

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
        place = {name: i for i, name in enumerate(self.domains)}
        return np.array([place[name] for name in names], np.int64)

    def count_windows(self, batch: BatchRows) -> None:
        """Count a batch's windows and tokens, once."""
        np.add.at(self.tokens, (batch.domain, batch.group), batch.counted.sum(axis=1))
        np.add.at(self.windows, batch.domain, 1)

    def add_highest(
        self, batch: BatchRows, row: int, values: np.ndarray, where: str, fired: np.ndarray | None = None
    ) -> None:
        """Take in activations, float32 [B', L, U] (B' >= B), of the units from ``row`` on.

        Raises:
            AuditError: an activation is not a finite number.
        """
        peak, at, total, count = _reduce(values, batch.counted)
        if not np.isfinite(total).all():
            raise AuditError(f"the model gives activations that are not finite numbers ({where})")
        if fired is not None:
            count = np.where(batch.counted[:, :, None], fired[: len(batch.window)], False).sum(axis=1, dtype=np.int32)
        add_sums(total, count, batch.domain, batch.group, row, self.total, self.fired)
        examples = (peak, at, batch.window, batch.contexts, row, self.floors)
        offer(np.arange(len(peak)), *examples, *self.top.columns)
        for d in np.unique(batch.domain) if self.sizes.domain else ():
            offer(np.flatnonzero(batch.domain == d), *examples, *self.by_domain[d].columns)
        if self.sizes.samples:
            offer_samples(*examples, *self.samples.columns)
        chosen = (batch.window % np.uint64(HISTOGRAM_ONE_IN)) == 0
        if chosen.any():
            count_bins(values.view(np.uint32), batch.counted, chosen, row, self.histogram)

    def add_lowest(self, batch: BatchRows, row: int, values: np.ndarray) -> None:
        """Take in minima of activations, float32 [B', L, U], of the units from ``row`` on."""
        if self.sizes.minima:
            lowest, at = _lowest(values, batch.counted)
            offer_lowest(lowest, at, batch.window, batch.contexts, row, *self.minima.columns)

    def merge(self, other: Accumulator) -> None:
        """Add another part of the corpus, of the same units and sizes."""
        place = self.positions_of(other.domains)
        self.top.merge(other.top)
        self.minima.merge(other.minima)
        merge_samples(self.samples, other.samples)
        for d, lists in zip(place, other.by_domain, strict=True):
            self.by_domain[d].merge(lists)
        self.histogram += other.histogram
        for name in ("fired", "total", "tokens", "documents", "windows"):
            getattr(self, name)[place] += getattr(other, name)

    def used_windows(self) -> np.ndarray:
        """Windows that hold an example, uint64 ascending."""
        lists = [self.top, self.minima, self.samples, *self.by_domain]
        parts = [np.unique(each.window[each.filled]) for each in lists]
        return np.unique(np.concatenate(parts))

    def arrays(self) -> dict[str, np.ndarray]:
        """All state by name, as `from_arrays` takes it."""
        found: dict[str, np.ndarray] = {}
        for name, lists in (("top", self.top), ("minima", self.minima), ("samples", self.samples)):
            found |= {f"{name}.{part}": column for part, column in zip(_PARTS, lists.columns, strict=True)}
        for part in _PARTS if self.by_domain else ():
            found[f"domain.{part}"] = np.stack([getattr(lists, part) for lists in self.by_domain])
        for name in ("histogram", "fired", "total", "tokens", "documents", "windows"):
            found[name] = getattr(self, name)
        return found

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], sizes: ListSizes, floors: np.ndarray, domains: Sequence[str]
    ) -> Accumulator:
        """The accumulator whose `arrays` these are; they are copied."""
        made = cls(len(floors), sizes, floors, list(domains))
        for name in ("top", "minima", "samples"):
            columns = (arrays[f"{name}.{part}"].copy() for part in _PARTS)
            setattr(made, name, SlotLists(*columns))
        for d in range(len(domains)):
            columns = (arrays[f"domain.{part}"][d].copy() for part in _PARTS)
            made.by_domain[d] = SlotLists(*columns)
        for name in ("histogram", "fired", "total", "tokens", "documents", "windows"):
            setattr(made, name, arrays[name].copy())
        return made


def _reduce(values: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Highest, its position, sum and number above 0 over the tokens that count: float32, int32 by turns, [B, U]."""
    shape = (len(counted), values.shape[2])
    peak, total = np.empty(shape, np.float32), np.empty(shape, np.float32)
    at, count = np.empty(shape, np.int32), np.empty(shape, np.int32)
    reduce_into(values, counted, peak, at, total, count)
    return peak, at, total, count


def _lowest(values: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest over the tokens that count and its position, float32 and int32 [B, U]."""
    shape = (len(counted), values.shape[2])
    lowest, at = np.empty(shape, np.float32), np.empty(shape, np.int32)
    lowest_into(values, counted, lowest, at)
    return lowest, at
