"""How evenly a mixture of experts is used: load, imbalance and dead experts, over the corpus or in a domain.

An expert's load is the share of tokens that its router sends to it. A layer's imbalance is given as Shazeer et al.
(2017, "Outrageously Large Neural Networks", appendix A) do: the coefficient of variation of the loads, and the largest
load over the mean one; balanced they are 0 and 1. Everything is computed from sums that an index stores by domain and
hash group of documents.

Intervals are of 95 % and have documents as clusters. Those of loads are the jackknife ones of `rates`. That of the
largest over the mean is from the highest lower to the highest upper bound among intervals that cover all experts at
once (Bonferroni), as which expert is the largest was not known before. That of the coefficient of variation is the
delete-a-group jackknife (Wolter 2007, chapter 4); sampling alone makes the coefficient of a balanced layer a little
larger than 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from corpus_audit.embeddings.index.rates import (
    LEAST_GROUPS,
    QUANTILES,
    Rates,
    dead_bound,
    firing_rates,
    quantile,
    rates,
)
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Point, Unit


@dataclass(frozen=True, slots=True)
class LoadEstimate:
    """A number and its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float


NOTHING = LoadEstimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class LayerLoad:
    """Experts of one layer.

    Attributes:
        point: the layer.
        indices: int64 [E], the requested experts.
        tokens, documents: of the corpus or the domain; documents are clusters.
        routed: int64 [E], tokens that were sent to each.
        load: share of tokens [E]; of a dead expert the upper bound is `dead_below`.
        chosen: experts to which each token is sent; None unless all experts of the layer are indexed. The next two are
            then NaN.
        variation: coefficient of variation of the loads.
        largest: the largest load over the mean one.
    """

    point: Point
    indices: np.ndarray
    tokens: int
    documents: int
    routed: np.ndarray
    load: Rates
    chosen: int | None
    variation: LoadEstimate
    largest: LoadEstimate

    @property
    def units(self) -> list[Unit]:
        """The experts' addresses."""
        return [Unit(self.point, index) for index in self.indices.tolist()]

    @property
    def over_mean(self) -> np.ndarray:
        """Load over the mean load of the layer, float64 [E]; NaN unless all experts are there."""
        if self.chosen is None:
            return np.full(len(self.indices), np.nan)
        ratio: np.ndarray = self.load.value * len(self.indices) / self.chosen
        return ratio

    @property
    def dead(self) -> np.ndarray:
        """Whether an expert was sent no token, bool [E]; False throughout where there are no tokens."""
        is_dead: np.ndarray = (self.routed == 0) & (self.tokens > 0)
        return is_dead

    @property
    def dead_below(self) -> float:
        """Upper 95 % bound of the load of a dead expert; valid even if all tokens of a document are routed alike."""
        return dead_bound(self.documents)


def layer_loads(index: Index, rows: np.ndarray, domain: str | None = None) -> list[LayerLoad]:
    """Loads of the experts among some rows, layer by layer.

    Args:
        index: the index.
        rows: int64 ascending; those of other units are left out.
        domain: only its tokens.

    Raises:
        UsageError: there is no such domain, or no expert among the rows.
    """
    if domain is not None and domain not in index.domains:
        raise UsageError(f"the index has no domain {domain!r}; it has {', '.join(index.domains)}")
    layers = list(_layers(index, rows))
    if not layers:
        raise UsageError("no experts were indexed: of a mixture of experts, add 'expert.*:*' to embedding.units")
    fired, all_tokens = index.array("fired"), np.asarray(index.array("tokens"))
    domain_slice = slice(None) if domain is None else slice(at := index.domains.index(domain), at + 1)
    tokens, documents = all_tokens[domain_slice].sum(axis=0), int(index.array("documents")[domain_slice].sum())
    loads = []
    for point, layer_rows, indices in layers:
        routed = np.asarray(fired[:, :, layer_rows])
        chosen = experts_per_token(indices, routed.sum(axis=(0, 1)), int(all_tokens.sum()))
        loads.append(layer_load(point, indices, routed[domain_slice].sum(axis=0), tokens, documents, chosen))
    return loads


def experts_per_token(indices: np.ndarray, routed: np.ndarray, tokens: int) -> int | None:
    """Number of experts to which each token is sent; None if experts of the layer are missing from the index.

    Missing experts show as tokens that were sent elsewhere, so that the sum is no multiple of the tokens. A missing
    expert that is the last of its layer and dead in the whole corpus does not show, and would not change the number.

    Args:
        indices, routed: int64 [E], experts and the tokens sent to each, over the whole corpus.
        tokens: that count.
    """
    total = int(routed.sum())
    is_complete = total > 0 and total % tokens == 0 and np.array_equal(indices, np.arange(len(indices)))
    return total // tokens if is_complete else None


def _layers(index: Index, rows: np.ndarray) -> Iterator[tuple[Point, np.ndarray, np.ndarray]]:
    """Each layer with the rows and indices of its experts among ``rows``."""
    all_indices = index.array("indices")
    for point, size in index.widths.items():
        if point.kind is Kind.EXPERT:
            expert_rows = np.intersect1d(rows, index.rows_of(point, np.arange(size)))
            if len(expert_rows):
                yield point, expert_rows, np.asarray(all_indices[expert_rows])


def layer_load(
    point: Point, indices: np.ndarray, routed: np.ndarray, tokens: np.ndarray, documents: int, chosen: int | None
) -> LayerLoad:
    """A layer's load from its sums.

    Args:
        point: the layer.
        indices: int64 [E], ascending.
        routed: int64 [G, E], tokens sent to each expert, by hash group of documents.
        tokens: int64 [G], tokens that count.
        documents: how many there are.
        chosen: `experts_per_token`.
    """
    total, per_expert = int(tokens.sum()), routed.sum(axis=0)
    load = rates(np.asarray(routed, np.float64), np.asarray(tokens, np.float64))
    groups = int((tokens > 0).sum())
    return LayerLoad(
        point=point,
        indices=indices,
        tokens=total,
        documents=documents,
        routed=per_expert,
        load=firing_rates(routed, tokens, documents),
        chosen=chosen,
        variation=_variation(routed[tokens > 0]) if chosen is not None and total else NOTHING,
        largest=_largest(load, groups, chosen) if chosen is not None and total else NOTHING,
    )


def _variation(routed: np.ndarray) -> LoadEstimate:
    """Coefficient of variation of loads, of groups [G, E] that hold tokens."""
    groups, sums = len(routed), routed.sum(axis=0)
    value = float(sums.std() / sums.mean())
    if groups < LEAST_GROUPS:
        return LoadEstimate(value, np.nan, np.nan)
    without = sums - routed
    each = without.std(axis=1) / without.mean(axis=1)
    reach = QUANTILES[groups - 1] * float(np.sqrt((groups - 1) / groups * ((each - each.mean()) ** 2).sum()))
    return LoadEstimate(value, max(value - reach, 0.0), value + reach)


def _largest(load: Rates, groups: int, chosen: int) -> LoadEstimate:
    """The largest load over the mean one, which is known: chosen / experts."""
    experts = len(load.value)
    mean = chosen / experts
    if groups < LEAST_GROUPS:
        return LoadEstimate(float(load.value.max()) / mean, np.nan, np.nan)
    from scipy.special import stdtrit

    wider = float(stdtrit(load.degrees, 1 - 0.025 / experts)) / quantile(load.degrees)
    reach = wider * (load.high - load.value)
    low, high = float((load.value - reach).max()) / mean, float((load.value + reach).max()) / mean
    return LoadEstimate(float(load.value.max()) / mean, max(low, 1.0), min(high, 1 / mean))
