"""Compares many units at once: which prefer a domain, which moved between two snapshots, which are dead or dense.

Everything is computed from sums that an index stores by domain and hash group of documents; no model is loaded. A
difference is judged by its interval, with documents as clusters, and by its q value over all requested units
(Benjamini and Hochberg 1995). Units are ordered by the smallest difference that the interval allows, divided by the
standard deviation of the activation over tokens, as the units of a model have different scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.embeddings.index.bins import histogram_edges
from corpus_audit.embeddings.index.rates import RatioDifferences, differences
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import parse_pattern, select

Q = 0.05
"""Largest q value of a unit that is reported to differ."""

DENSE = 0.5
"""Share of tokens from which a unit that fires on more of them is called dense."""


@dataclass(frozen=True)
class Comparison:
    """R units in two parts of a corpus, or in two snapshots.

    Attributes:
        rows: int64 [R], of the units in the (current) index.
        first, second: mean activation in either, float64 [R].
        difference: second less first.
        deviation: of the activation from token to token, from the histogram, float64 [R]; 0 where it is constant.
        q: float64 [R]; NaN where there is no interval.
        fires_first, fires_second: share of tokens on which it fires, float64 [R].
    """

    rows: np.ndarray
    first: np.ndarray
    second: np.ndarray
    difference: RatioDifferences
    deviation: np.ndarray
    q: np.ndarray
    fires_first: np.ndarray
    fires_second: np.ndarray

    @property
    def certain(self) -> np.ndarray:
        """The smallest difference that the interval allows, signed, in standard deviations; 0 if it contains 0."""
        low, high = self.difference.low, self.difference.high
        least = np.where(low > 0, low, np.where(high < 0, high, 0.0))
        scale = np.where(self.deviation > 0, self.deviation, np.inf)
        least_differences: np.ndarray = np.nan_to_num(np.where(self.q <= Q, least, 0.0) / scale)
        return least_differences


def select_rows(index: Index, pattern: str | None) -> np.ndarray:
    """Rows of the units that match a pattern, int64 ascending; of all units without a pattern.

    Raises:
        UnitError: none of that name is indexed.
    """
    if pattern is None:
        return np.arange(len(index.array("indices")))
    indices_by_point = select([parse_pattern(pattern)], index.widths)
    rows = [row for point, indices in indices_by_point.items() for row in index.rows_of(point, indices).tolist()]
    if not rows:
        raise UsageError(f"no unit of {pattern} was indexed")
    return np.array(rows, np.int64)


def preferences(index: Index, domain: str, rows: np.ndarray) -> Comparison:
    """Units in the other domains (first) and in one domain (second).

    Raises:
        UsageError: there is no such domain, or no other.
    """
    if domain not in index.domains:
        raise UsageError(f"the index has no domain {domain!r}; it has {', '.join(index.domains)}")
    d = index.domains.index(domain)
    others = [i for i in range(len(index.domains)) if i != d]
    if not others:
        raise UsageError(f"{domain!r} is the only domain of the index: there is nothing to compare it with")
    documents = _documents(index, others), _documents(index, [d])
    return _compared(index, rows, _sums(index, rows, others), _sums(index, rows, [d]), documents, disjoint=True)


def movements(
    before: Index, after: Index, rows: np.ndarray, domain: str | None = None, checkpoints: bool = False
) -> Comparison:
    """Units in an earlier snapshot (first) and in a later one (second).

    Args:
        before, after: their indexes, of the same model and windows.
        rows: of units in ``after``; all of them are in ``before``.
        domain: only tokens of this domain.
        checkpoints: whether the two may be of different models, such as two checkpoints of a training run, whose units
            of one address are taken to be the same.

    Raises:
        UsageError: the indexes cannot be compared; the message says why.
    """
    check_comparable(before, after, checkpoints)
    units = list(after.units())
    old = np.array([before.row_of(units[row]) for row in rows.tolist()], np.int64)

    def domain_indices(index: Index) -> list[int]:
        if domain is None:
            return list(range(len(index.domains)))
        if domain not in index.domains:
            raise UsageError(f"{index.folder} has no domain {domain!r}; it has {', '.join(index.domains)}")
        return [index.domains.index(domain)]

    domains = domain_indices(before), domain_indices(after)
    documents = _documents(before, domains[0]), _documents(after, domains[1])
    return _compared(after, rows, _sums(before, old, domains[0]), _sums(after, rows, domains[1]), documents)


def check_comparable(before: Index, after: Index, checkpoints: bool = False) -> None:
    """Check that two indexes have the same model, tokenizer and window plan; of checkpoints the same architecture.

    Raises:
        UsageError: they do not; the message says what differs.
    """
    for what, old, new in (
        ("architecture", before.facts.model.get("architecture"), after.facts.model.get("architecture"))
        if checkpoints
        else ("model", before.facts.model["digest"], after.facts.model["digest"]),
        ("tokenizer", before.facts.model["tokenizer"], after.facts.model["tokenizer"]),
        ("windows", before.facts.windows, after.facts.windows),
    ):
        if old != new:
            raise UsageError(f"{before.folder} and {after.folder} cannot be compared: they differ in the {what}")


def _sums(index: Index, rows: np.ndarray, domains: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums and firings [G, R], and tokens [G], over some domains."""
    size = index.array("total").shape[1], len(rows)
    total, fired = np.zeros(size), np.zeros(size)
    for d in domains:
        total += index.array("total")[d][:, rows]
        fired += index.array("fired")[d][:, rows]
    tokens = np.asarray(index.array("tokens")[domains], np.float64).sum(axis=0)
    return total, fired, tokens


def _documents(index: Index, domains: list[int]) -> int:
    """Documents of some domains."""
    return int(index.array("documents")[domains].sum())


def _compared(
    index: Index,
    rows: np.ndarray,
    first: tuple[np.ndarray, np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray, np.ndarray],
    documents: tuple[int, int],
    disjoint: bool = False,
) -> Comparison:
    from scipy.special import stdtr

    from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg

    difference = differences((first[0], first[2]), (second[0], second[2]), documents, disjoint)
    q = np.full(len(rows), np.nan)
    known = np.isfinite(difference.t)
    if known.any():
        q[known] = benjamini_hochberg(2 * stdtr(difference.degrees, -np.abs(difference.t[known])))
    with np.errstate(divide="ignore", invalid="ignore"):
        means, fires = ([part[i].sum(axis=0) / part[2].sum() for part in (first, second)] for i in (0, 1))
    return Comparison(
        rows=rows,
        first=means[0],
        second=means[1],
        difference=difference,
        deviation=deviations(index.array("histogram")[rows]),
        q=q,
        fires_first=fires[0],
        fires_second=fires[1],
    )


def deviations(histogram: np.ndarray) -> np.ndarray:
    """Standard deviations of activations from their histograms, float64 [R]; the value of a bin is its middle.

    Args:
        histogram: int64 [R, bins], as `bins.histogram_edges`.
    """
    edges = histogram_edges()
    middle = np.concatenate([[edges[0] * 1.25], (edges[1:] + edges[:-1]) / 2, [edges[-1] * 1.25]])
    counts = np.asarray(histogram, np.float64)
    total = np.maximum(counts.sum(axis=1), 1.0)
    mean = counts @ middle / total
    spread = counts @ middle**2 / total - mean**2
    standard_deviations: np.ndarray = np.sqrt(np.maximum(spread, 0.0))
    return standard_deviations


def firing(index: Index, rows: np.ndarray) -> tuple[np.ndarray, int]:
    """Share of all tokens on which units fire, float64 [R], and the number of tokens."""
    _, fired, tokens = _sums(index, rows, list(range(len(index.domains))))
    total = int(tokens.sum())
    return fired.sum(axis=0) / max(total, 1), total
