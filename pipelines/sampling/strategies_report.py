"""Sampling tables of a finished run: the draws that strategies imply, and the draws that a sampler's log records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.figures.document_samples import hashed_documents
from corpus_audit.pipelines.figures.facet_totals import nullable
from corpus_audit.pipelines.kernels.text.ngrams import BUCKETS
from corpus_audit.pipelines.sampling.domain_contents import DomainContents
from corpus_audit.pipelines.sampling.log.rows import TargetMixture
from corpus_audit.pipelines.sampling.log.tables import log_tables
from corpus_audit.pipelines.statistics.intervals.clustered import Floats
from corpus_audit.pipelines.statistics.sampling import draws as figures
from corpus_audit.pipelines.statistics.sampling import strategies
from corpus_audit.pipelines.statistics.sampling.dsir import DsirEstimate, SampledCorpus, dsir
from corpus_audit.pipelines.statistics.sampling.strategies import Allocation
from corpus_audit.pipelines.storage.run_directory import RunDirectory, open_run
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.spec.sampling import (
    DsirStrategy,
    SamplingSpec,
    Strategy,
    TemperatureStrategy,
    UnimaxStrategy,
    WeightsStrategy,
    strategy_name,
)
from corpus_audit.schemas.tables.sampling_tables import SAMPLING, SAMPLING_STRATEGIES

DSIR_DOCUMENTS, DSIR_LEAST = 200_000, 100
"""Sampled documents of a DSIR estimate, and the least number of each domain, however many domains there are."""

NAMED = 3
"""Domains that a reason names before it counts the rest."""


@dataclass(frozen=True, slots=True)
class _StrategyPlan:
    """A strategy, and what it draws from the domains of a run."""

    strategy: Strategy
    contents: DomainContents
    allocation: Allocation
    estimate: DsirEstimate | None = None

    @property
    def name(self) -> str:
        return strategy_name(self.strategy)


def sampling_tables(run: RunDirectory, spec: SamplingSpec, base: Path) -> dict[str, pa.Table]:
    """The sampling tables of a finished run.

    Args:
        run: the run whose corpus is sampled.
        spec: budget, strategies and, where there is one, the sampler's log.
        base: the folder against which paths in the spec resolve.

    Returns:
        ``sampling`` and ``sampling_strategies``, and the three ``sampling_log_*`` tables where the spec names a log; in
        the schemas and row orders of `schemas.tables.sampling_tables`.

    Raises:
        UsageError: a file that the spec names is missing or invalid, or the target has another tokenizer.
        NoVerdictError: the corpus has no tokens.
        StoreError: the run is damaged.
    """
    contents = DomainContents.of(run.table("duplicates"))
    if not contents.unique_tokens.sum():
        documents = int(contents.documents.sum())
        raise NoVerdictError(
            f"the corpus has no tokens in {documents:,} {'document' if documents == 1 else 'documents'}, so there is "
            "nothing to sample: check document.text, or remove the sampling section"
        )
    planned = [_plan(run, contents, strategy, spec, base) for strategy in spec.strategies]
    note = _note(run)
    tables = {
        "sampling": pa.concat_tables([_by_domain(plan) for plan in planned]).combine_chunks(),
        "sampling_strategies": pa.Table.from_pylist(
            [_summary(plan, spec, note) for plan in planned], schema=SAMPLING_STRATEGIES
        ),
    }
    if spec.log is not None:
        strategy_of_log = spec.log.strategy or planned[0].name
        plan = next(plan for plan in planned if plan.name == strategy_of_log)
        allocation = plan.allocation
        drawable = np.where(plan.contents.unique_tokens > 0, allocation.weight, 0.0)
        shares = strategies.normalised(drawable) if allocation.unit == "documents" else allocation.share
        intended = TargetMixture(plan.contents.names, shares, allocation.unit, plan.contents.documents, note is None)
        tables |= log_tables(run, spec.log, base, intended)
    return tables


def check_sampling(spec: SamplingSpec, tokenizer: str, base: Path) -> None:
    """Check the paths of a sampling section before the corpus is read.

    Args:
        spec: the section.
        tokenizer: SHA-256 of the tokenizer.
        base: the folder against which paths in the spec resolve.

    Raises:
        UsageError: a target or the log does not exist, or a target has another tokenizer.
    """
    for strategy in spec.strategies:
        if isinstance(strategy, DsirStrategy):
            _open_target(base / strategy.dsir.target, tokenizer)
    if spec.log is not None and not (base / spec.log.path).exists():
        raise UsageError(f"sampling.log.path: {base / spec.log.path} does not exist")


def _open_target(folder: Path, tokenizer: str) -> RunDirectory:
    target = open_run(folder)
    if target.facts.tokenizer.sha256 != tokenizer:
        raise UsageError(
            f"dsir target {folder}: it was counted with another tokenizer than this corpus, so token n-grams cannot be "
            "compared; audit the target with the tokenizer of this corpus"
        )
    return target


def _plan(
    run: RunDirectory, contents: DomainContents, strategy: Strategy, spec: SamplingSpec, base: Path
) -> _StrategyPlan:
    unique, budget = contents.unique_tokens, spec.budget
    if isinstance(strategy, str):
        return _StrategyPlan(strategy, contents, strategies.temperature(unique, budget, 1.0))
    if isinstance(strategy, TemperatureStrategy):
        return _StrategyPlan(strategy, contents, strategies.temperature(unique, budget, strategy.temperature.alpha))
    if isinstance(strategy, UnimaxStrategy):
        return _StrategyPlan(strategy, contents, strategies.unimax(unique, budget, strategy.unimax.epoch_cap))
    if isinstance(strategy, WeightsStrategy):
        return _explicit(contents, strategy, budget)
    return _dsir(run, contents, strategy, budget, base)


def _explicit(contents: DomainContents, strategy: WeightsStrategy, budget: float) -> _StrategyPlan:
    widened = contents.with_absent(list(strategy.weights))
    weight = np.array([strategy.weights.get(name, 0.0) for name in widened.names])
    if strategy.unit == "tokens":
        allocation = strategies.token_weights(widened.unique_tokens, budget, weight)
    else:
        allocation = strategies.document_weights(widened.unique_tokens, widened.unique_documents, budget, weight)
    return _StrategyPlan(strategy, widened, allocation)


def _dsir(
    run: RunDirectory, contents: DomainContents, strategy: DsirStrategy, budget: float, base: Path
) -> _StrategyPlan:
    folder = base / strategy.dsir.target
    target_run = _open_target(folder, run.facts.tokenizer.sha256)
    corpus, target = _corpus(run, contents), _corpus(target_run, DomainContents.of(target_run.table("duplicates")))
    if not len(target.sample):
        raise UsageError(f"dsir target {folder}: it has no documents")
    epochs = strategy.dsir.epochs
    estimate = dsir(corpus, target, budget / epochs, BUCKETS)
    drawn = epochs * estimate.selected
    missing = max(budget - float(drawn.sum()), 0.0)
    unallocated = missing * estimate.share if missing > 1e-6 * budget else np.zeros_like(drawn)
    return _StrategyPlan(strategy, contents, Allocation(estimate.share, drawn, unallocated), estimate)


def _corpus(run: RunDirectory, contents: DomainContents) -> SampledCorpus:
    most = max(DSIR_LEAST, DSIR_DOCUMENTS // max(len(contents.names), 1))
    sample = hashed_documents(run.table("samples"), contents.names, most)
    return SampledCorpus(sample, contents.unique_documents, contents.unique_tokens)


def _by_domain(plan: _StrategyPlan) -> pa.Table:
    """Rows of one strategy in the schema SAMPLING."""
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


def _other_unit(plan: _StrategyPlan) -> tuple[Floats, Floats]:
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


def _summary(plan: _StrategyPlan, spec: SamplingSpec, note: str | None) -> dict[str, Any]:
    """The strategy's row of SAMPLING_STRATEGIES."""
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


_ESTIMATED = (
    "DSIR shares are estimated from a sample of documents, by hashed token n-grams of their first 256 tokens; bounds "
    "speak of the sample"
)


def _kind(strategy: TemperatureStrategy | UnimaxStrategy | WeightsStrategy | DsirStrategy) -> str:
    return type(strategy).__name__.removesuffix("Strategy").lower()


def _unallocated(plan: _StrategyPlan) -> str | None:
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


def _note(run: RunDirectory) -> str | None:
    share = run.facts.coverage.sample_share
    if share >= 1:
        return None
    return f"the audit read {share:.1%} of the splits: unique tokens are those of the part that was read"
