"""Which experts take another share of the tokens of a domain than of all other tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.embeddings.index.rates import differences
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.schemas.units import Kind


@dataclass(frozen=True)
class DomainLoads:
    """Loads of E experts in D domains against all other domains, float64 [D, E].

    Attributes:
        rows: int64 [E], of the experts in the index.
        domains: names [D].
        load, elsewhere: share of tokens that are sent to the expert.
        difference: load less elsewhere; low, high: its 95 % interval, NaN where there is none.
        q: Benjamini-Hochberg over all experts and domains; NaN where there is no interval.
    """

    rows: np.ndarray
    domains: tuple[str, ...]
    load: np.ndarray
    elsewhere: np.ndarray
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    q: np.ndarray


def domain_loads(index: Index, rows: np.ndarray) -> DomainLoads | None:
    """Loads of the experts among some rows by domain; None without experts, or with one domain.

    Intervals have documents as clusters (`rates.differences`).
    """
    from scipy.special import stdtr

    from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg

    units = list(index.units())
    experts = np.array([row for row in rows.tolist() if units[row].point.kind is Kind.EXPERT], np.int64)
    tokens = np.asarray(index.array("tokens"), np.float64)
    documents = np.asarray(index.array("documents"), np.int64)
    domains = np.flatnonzero(tokens.sum(axis=1) > 0)
    if not len(experts) or len(domains) < 2:
        return None
    fired = np.asarray(index.array("fired")[:, :, experts], np.float64)
    total, all_tokens = fired.sum(axis=0), tokens.sum(axis=0)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("load", "elsewhere", "value", "low", "high", "p")}
    for d in domains.tolist():
        others = (total - fired[d], all_tokens - tokens[d])
        result = differences(
            others, (fired[d], tokens[d]), (int(documents.sum() - documents[d]), int(documents[d])), disjoint=True
        )
        parts["load"].append(fired[d].sum(axis=0) / tokens[d].sum())
        parts["elsewhere"].append(others[0].sum(axis=0) / others[1].sum())
        for name in ("value", "low", "high"):
            parts[name].append(getattr(result, name))
        known = np.isfinite(result.t)
        p = np.full(len(experts), np.nan)
        if known.any():
            p[known] = 2 * stdtr(result.degrees, -np.abs(result.t[known]))
        parts["p"].append(p)
    joined = {name: np.stack(arrays) for name, arrays in parts.items()}
    q = benjamini_hochberg(joined["p"].ravel()).reshape(joined["p"].shape)
    return DomainLoads(
        experts, tuple(index.domains[d] for d in domains.tolist()), joined["load"], joined["elsewhere"],
        joined["value"], joined["low"], joined["high"], q,
    )  # fmt: skip
