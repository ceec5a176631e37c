"""Rows of the sampling tables: what a strategy draws from each domain, and in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.figures.facet_totals import nullable
from corpus_audit.pipelines.sampling.domain_contents import DomainContents
from corpus_audit.pipelines.statistics.intervals.clustered import Floats
from corpus_audit.pipelines.statistics.sampling import draws as figures
from corpus_audit.pipelines.statistics.sampling import strategies
from corpus_audit.pipelines.statistics.sampling.dsir import DsirEstimate
from corpus_audit.pipelines.statistics.sampling.strategies import Allocation
from corpus_audit.schemas.spec.sampling import (
    DsirStrategy,
    SamplingSpec,
    Strategy,
    TemperatureStrategy,
    UnimaxStrategy,
    WeightsStrategy,
    strategy_name,
)
from corpus_audit.schemas.tables.sampling_tables import SAMPLING

NAMED = 3
"""Domains that a reason names before it counts the rest."""

_ESTIMATED = (
    "DSIR shares are estimated from a sample of documents, by hashed token n-grams of their first 256 tokens; bounds "
    "speak of the sample"
)


@dataclass(frozen=True, slots=True)
class StrategyPlan:
    """A strategy, and what it draws from the domains of a run."""

    strategy: Strategy
    contents: DomainContents
    allocation: Allocation
    estimate: DsirEstimate | None = None

    @property
    def name(self) -> str:
        """The strategy's name in the tables."""
        return strategy_name(self.strategy)


def domain_rows(plan: StrategyPlan) -> pa.Table:
    """A strategy's rows of SAMPLING, one a domain: what it draws from each."""
    contents, allocation = plan.contents, plan.allocation
    size = len(contents.names)
    reach = figures.exposure(contents.unique_tokens, contents.unique_documents, allocation.drawn)
    share = allocation.share
    bounds = (plan.estimate.low, plan.estimate.high) if plan.estimate else (np.full(size, np.nan),) * 2
    documents, misread = _other_unit(plan)
    table = pa.table(
        {
            "strategy": pa.repeat(plan.name, size),
            "domain": pa.array(contents.names, pa.string()),
            "weight": nullable(allocation.weight),
            "weight_unit": pa.repeat(allocation.unit, size),
            "share": pa.array(share),
            "share_low": nullable(bounds[0]),
            "share_high": nullable(bounds[1]),
            "document_share": nullable(documents),
            "misread_share": nullable(misread),
            "tokens": contents.tokens,
            "unique_tokens": contents.unique_tokens,
            "unique_documents": contents.unique_documents,
            "drawn": pa.array(allocation.drawn),
            "unallocated": pa.array(allocation.unallocated),
            "epochs": nullable(reach.epochs),
            "exhaustion": nullable(np.where(np.isfinite(reach.exhaustion), reach.exhaustion, np.nan)),
            "coverage": nullable(reach.coverage),
            "coverage_replaced": nullable(reach.coverage_replaced),
            "draws": nullable(reach.epochs),
            "draws_maximum": nullable(reach.maximum).cast(pa.int64()),
            "draws_maximum_replaced": nullable(reach.maximum_replaced).cast(pa.int64()),
            "effective_tokens": pa.array(reach.effective),
        },
        schema=SAMPLING,
    )
    return table.sort_by([("share", "descending"), ("domain", "ascending")])


def _other_unit(plan: StrategyPlan) -> tuple[Floats, Floats]:
    """Shares of the documents drawn, and token shares if the weights were applied to the other unit; [G] each.

    Only explicit weights can be misread; for the other strategies the second is what a sampler of whole documents draws
    that takes the token shares for its document weights.
    """
    contents, allocation = plan.contents, plan.allocation
    lengths = strategies.mean_lengths(contents.unique_tokens, contents.unique_documents)
    drawable = np.where(contents.unique_tokens > 0, allocation.weight, 0.0)
    documents = strategies.document_shares_of_tokens(allocation.share, lengths)
    if allocation.unit == "documents":
        return documents, strategies.normalised(drawable)
    return documents, strategies.token_shares_of_documents(drawable, lengths)


def summary_row(plan: StrategyPlan, spec: SamplingSpec, note: str | None) -> dict[str, Any]:
    """A strategy's row of SAMPLING_STRATEGIES: what it draws in all. ``note`` is the same for all strategies."""
    contents, allocation, estimate = plan.contents, plan.allocation, plan.estimate
    unique, drawn = contents.unique_tokens.astype(np.float64), allocation.drawn
    reach = figures.exposure(unique, contents.unique_documents, drawn)
    total, allocated = float(unique.sum()), float(drawn.sum())
    effective = float(reach.effective.sum())
    kish = figures.kish_effective_size(unique, reach.epochs)
    most = int(np.nanargmax(reach.epochs))
    notes = [note, _ESTIMATED if estimate else None]
    row = {
        "strategy": plan.name,
        "kind": plan.strategy if isinstance(plan.strategy, str) else _kind(plan.strategy),
        "budget": spec.budget,
        "allocated": allocated,
        "unallocated": float(allocation.unallocated.sum()),
        "unallocated_reason": _unallocated(plan),
        "unique_seen": float(np.nansum(reach.coverage * unique)),
        "coverage": float(np.nansum(reach.coverage * unique)) / total,
        "coverage_replaced": float(np.nansum(reach.coverage_replaced * unique)) / total,
        "effective_tokens": effective,
        "epochs_maximum": float(reach.epochs[most]),
        "epochs_maximum_domain": contents.names[most],
        # The domain with the most epochs is the one that is used up first.
        "first_exhausted": float(reach.exhaustion[most]) if allocated else 0.0,
        "first_exhausted_domain": contents.names[most],
        "effective_sample": kish,
        "effective_sample_share": kish / total,
        "kl_natural": figures.kl_divergence(allocation.share, unique / total),
        "effective_domains": figures.effective_number(allocation.share) if allocated else 0.0,
        "misread_distance": figures.total_variation(allocation.share, _other_unit(plan)[1]),
        "note": "; ".join(text for text in notes if text) or None,
    }
    if estimate:
        row |= {
            "dsir_sample": estimate.sampled,
            "dsir_effective": estimate.effective_share,
            "dsir_top_weight": estimate.top_weight,
            "dsir_kl_reduction": estimate.kl_reduction,
        }
    if spec.parameters is not None:
        optimal = figures.TOKENS_A_PARAMETER * spec.parameters
        row |= {
            "parameters": spec.parameters,
            "tokens_per_parameter": allocated / spec.parameters,
            "optimal_tokens": optimal,
            "optimal_ratio": allocated / optimal,
            "effective_ratio": effective / optimal,
            "flops": figures.FLOPS_A_TOKEN * spec.parameters * allocated,
        }
    return row


def _kind(strategy: TemperatureStrategy | UnimaxStrategy | WeightsStrategy | DsirStrategy) -> str:
    return type(strategy).__name__.removesuffix("Strategy").lower()


def _unallocated(plan: StrategyPlan) -> str | None:
    missing = plan.allocation.unallocated
    if not missing.any():
        return None
    if isinstance(plan.strategy, UnimaxStrategy):
        cap = plan.strategy.unimax.epoch_cap
        return f"a cap of {cap:g} on the epochs of every domain gives fewer tokens than the budget"
    if isinstance(plan.strategy, DsirStrategy):
        epochs = plan.strategy.dsir.epochs
        passes = "one pass over" if epochs == 1 else f"{epochs:g} epochs of"
        return f"{passes} all unique text gives fewer tokens than the budget"
    names = [plan.contents.names[g] for g in np.argsort(-missing, kind="stable") if missing[g] > 0]
    listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    return f"weights are given for domains without text: {listed}"
