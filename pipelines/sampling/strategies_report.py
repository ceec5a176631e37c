"""Sampling tables of a finished run: the draws that strategies imply, and the draws that a sampler's log records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.figures.document_samples import hashed_documents
from corpus_audit.pipelines.kernels.text.ngrams import BUCKETS
from corpus_audit.pipelines.sampling.domain_contents import DomainContents
from corpus_audit.pipelines.sampling.log.rows import TargetMixture
from corpus_audit.pipelines.sampling.log.tables import log_tables
from corpus_audit.pipelines.sampling.strategy_rows import StrategyPlan, domain_rows, summary_row
from corpus_audit.pipelines.statistics.sampling import strategies
from corpus_audit.pipelines.statistics.sampling.dsir import SampledCorpus, dsir
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
)
from corpus_audit.schemas.tables.sampling_tables import SAMPLING_STRATEGIES

DSIR_DOCUMENTS, DSIR_LEAST = 200_000, 100
"""Sampled documents of a DSIR estimate, and the least number of each domain, however many domains there are."""


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
        "sampling": pa.concat_tables([domain_rows(plan) for plan in planned]).combine_chunks(),
        "sampling_strategies": pa.Table.from_pylist(
            [summary_row(plan, spec, note) for plan in planned], schema=SAMPLING_STRATEGIES
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
) -> StrategyPlan:
    unique, budget = contents.unique_tokens, spec.budget
    if isinstance(strategy, str):
        return StrategyPlan(strategy, contents, strategies.temperature(unique, budget, 1.0))
    if isinstance(strategy, TemperatureStrategy):
        return StrategyPlan(strategy, contents, strategies.temperature(unique, budget, strategy.temperature.alpha))
    if isinstance(strategy, UnimaxStrategy):
        return StrategyPlan(strategy, contents, strategies.unimax(unique, budget, strategy.unimax.epoch_cap))
    if isinstance(strategy, WeightsStrategy):
        return _explicit(contents, strategy, budget)
    return _dsir(run, contents, strategy, budget, base)


def _explicit(contents: DomainContents, strategy: WeightsStrategy, budget: float) -> StrategyPlan:
    widened = contents.with_absent(list(strategy.weights))
    weight = np.array([strategy.weights.get(name, 0.0) for name in widened.names])
    if strategy.unit == "tokens":
        allocation = strategies.token_weights(widened.unique_tokens, budget, weight)
    else:
        allocation = strategies.document_weights(widened.unique_tokens, widened.unique_documents, budget, weight)
    return StrategyPlan(strategy, widened, allocation)


def _dsir(
    run: RunDirectory, contents: DomainContents, strategy: DsirStrategy, budget: float, base: Path
) -> StrategyPlan:
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
    return StrategyPlan(strategy, contents, Allocation(estimate.share, drawn, unallocated), estimate)


def _corpus(run: RunDirectory, contents: DomainContents) -> SampledCorpus:
    most = max(DSIR_LEAST, DSIR_DOCUMENTS // max(len(contents.names), 1))
    sample = hashed_documents(run.table("samples"), contents.names, most)
    return SampledCorpus(sample, contents.unique_documents, contents.unique_tokens)


def _note(run: RunDirectory) -> str | None:
    share = run.facts.coverage.sample_share
    if share >= 1:
        return None
    return f"the audit read {share:.1%} of the splits: unique tokens are those of the part that was read"
