"""Sampling strategies: how many training tokens each domain gives, from its unique tokens and a budget.

G domains with ``unique`` tokens U_g each (after exact deduplication), a budget of B training tokens. Every strategy
returns an `Allocation`: the tokens that it draws, and those that it should draw and cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.intervals.clustered import Floats


@dataclass(frozen=True, slots=True)
class Allocation:
    """Training tokens by domain; float64 [G] each.

    Attributes:
        weight: intended shares that add up to 1, in ``unit``; zeros where nothing can be drawn.
        drawn: training tokens that are drawn.
        unallocated: training tokens that were intended for the domain and cannot be drawn from it.
        unit: unit of ``weight``, tokens or documents.
    """

    weight: Floats
    drawn: Floats
    unallocated: Floats
    unit: str = "tokens"

    @property
    def share(self) -> Floats:
        """Shares of the training tokens that are drawn; they add up to 1, or are all 0."""
        return normalised(self.drawn)


def normalised(values: npt.ArrayLike) -> Floats:
    """The values divided by their sum, float64; zeros if the sum is not above 0."""
    array = np.asarray(values, dtype=np.float64)
    total = array.sum()
    return array / total if total > 0 else np.zeros_like(array)


def temperature(unique: npt.ArrayLike, budget: float, alpha: float) -> Allocation:
    """Shares proportional to U_g^alpha, alpha = 1 / T (Devlin et al. 2019, multilingual BERT; seqio's mixing rates).

    ``alpha`` 1 is proportional sampling. A domain without text takes no part.
    """
    sizes = np.asarray(unique, dtype=np.float64)
    has_text = sizes > 0
    weight = np.zeros_like(sizes)
    if has_text.any():
        logs = alpha * np.log(sizes[has_text])
        weight[has_text] = normalised(np.exp(logs - logs.max()))
    return _by_token_weight(sizes, weight, budget)


def unimax(unique: npt.ArrayLike, budget: float, epoch_cap: float) -> Allocation:
    """As even as possible with at most ``epoch_cap`` passes over a domain (Chung et al. 2023, UniMax, algorithm 1).

    From the smallest domain up, each takes an equal part of what is left of the budget, or N U_g if that is less.
    What all caps together cannot give stays unallocated; it is spread over the domains in the ratio of their caps.
    """
    sizes = np.asarray(unique, dtype=np.float64)
    drawn = np.zeros_like(sizes)
    order = np.argsort(sizes, kind="stable")
    budget_left = float(budget)
    remaining = int((sizes > 0).sum())
    for g in order[len(order) - remaining :]:
        drawn[g] = min(budget_left / remaining, epoch_cap * sizes[g])
        budget_left -= drawn[g]
        remaining -= 1
    missing = max(budget_left, 0.0) if epoch_cap * sizes.sum() < budget else 0.0
    return Allocation(normalised(drawn), drawn, missing * normalised(sizes))


def token_weights(unique: npt.ArrayLike, budget: float, weight: npt.ArrayLike) -> Allocation:
    """Explicit shares of the training tokens; a domain without text leaves its part unallocated."""
    return _by_token_weight(np.asarray(unique, dtype=np.float64), normalised(weight), budget)


def document_weights(
    unique: npt.ArrayLike, documents: npt.ArrayLike, budget: float, weight: npt.ArrayLike
) -> Allocation:
    """Explicit shares of the documents drawn: a domain's documents bring its mean length along.

    A domain without text has no mean length; it is taken to be that of the other domains under their weights, so that
    what it cannot give is stated.
    """
    sizes = np.asarray(unique, dtype=np.float64)
    shares_of_documents = normalised(weight)
    lengths = mean_lengths(sizes, documents)
    known = np.isfinite(lengths) & (sizes > 0)
    typical = float((normalised(shares_of_documents * known) * np.where(known, lengths, 0.0)).sum())
    # Where no domain with a weight has text no length is known: nothing can be drawn, all of the budget is missing.
    shares = normalised(shares_of_documents * np.where(known, lengths, typical or 1.0))
    allocation = _by_token_weight(sizes, shares, budget)
    return Allocation(shares_of_documents, allocation.drawn, allocation.unallocated, "documents")


def mean_lengths(unique: npt.ArrayLike, documents: npt.ArrayLike) -> Floats:
    """Mean tokens of a domain's distinct texts, [G]; NaN where there are none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(unique, dtype=np.float64) / np.asarray(documents, dtype=np.float64)


def token_shares_of_documents(weight: npt.ArrayLike, lengths: npt.ArrayLike) -> Floats:
    """Token shares implied by document shares v_g: v_g n_g / sum v_h n_h, [G]; domains without text have none."""
    return normalised(np.nan_to_num(np.asarray(weight, dtype=np.float64) * np.asarray(lengths, dtype=np.float64)))


def document_shares_of_tokens(share: npt.ArrayLike, lengths: npt.ArrayLike) -> Floats:
    """Document shares behind token shares q_g: (q_g / n_g) / sum (q_h / n_h), [G]."""
    mean = np.asarray(lengths, dtype=np.float64)
    usable = np.isfinite(mean) & (mean > 0)
    return normalised(np.where(usable, np.asarray(share, dtype=np.float64) / np.where(usable, mean, 1.0), 0.0))


def _by_token_weight(sizes: Floats, weight: Floats, budget: float) -> Allocation:
    tokens = weight * budget
    has_text = sizes > 0
    return Allocation(weight, np.where(has_text, tokens, 0.0), np.where(has_text, 0.0, tokens))
