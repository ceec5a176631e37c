"""Everything that drift between two runs is made of, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.drift import rows
from corpus_audit.pipelines.drift.classifying import classifier_rows
from corpus_audit.pipelines.drift.comparable import RunReading, check_comparable
from corpus_audit.pipelines.drift.domain_samples import DomainSamples
from corpus_audit.pipelines.drift.lengths import length_rows
from corpus_audit.pipelines.drift.texts import Examples
from corpus_audit.pipelines.drift.token_tables import Contrasts, TokenTables
from corpus_audit.pipelines.drift.turnover import turnover
from corpus_audit.pipelines.figures.near_duplicate_rates import near_duplicate_rates
from corpus_audit.pipelines.statistics.drift.decomposition import decompose
from corpus_audit.pipelines.statistics.drift.domain_drift import UNITS, domain_drift, shares_alone
from corpus_audit.pipelines.statistics.drift.permutation import (
    PERMUTATIONS,
    STATISTICS,
    Distance,
    DriftSummary,
    drift_summary,
    without_tokens,
)
from corpus_audit.pipelines.statistics.drift.token_drift import FALLER, OTHER, RISER, token_drift
from corpus_audit.pipelines.statistics.drift.token_sample import Integers, TokenContrast
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables import drift_tables
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

_NO_GROUPS = "hash groups are kept overall only, as there are too many domains for this vocabulary"


@dataclass
class _Found:
    """Rows of the tables as they come."""

    summaries: list[pa.Table] = field(default_factory=list)
    tokens: list[pa.Table] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)


def drift(
    label: str,
    baseline: RunDirectory,
    current: RunDirectory,
    shared: TokenTables | None,
    *,
    workers: int,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, pa.Table]:
    """Compare two finished runs; no shard is read.

    Args:
        label: what the tables call the baseline.
        baseline, current: the runs.
        shared: token tables of the documents that both hold, if either run has measured the other.
        workers: threads.
        progress: told which slice comes next.

    Returns:
        The tables of `schemas.tables.drift_tables` by name.

    Raises:
        UsageError: the runs cannot be compared.
        StoreError: a table cannot be read.
    """
    check_comparable(RunReading.of(baseline.facts), RunReading.of(current.facts), label)
    progress("turnover")
    documents = turnover(label, baseline, current)
    samples = DomainSamples.of(baseline, current, documents)
    kept = int(documents["kept"][0].as_py())
    shared = shared or _implied(baseline, current, documents)
    known = shared is not None or kept == 0
    vocabulary = max(run.facts.tokenizer.vocabulary for run in (baseline, current))
    contrasts = Contrasts(
        _tables(baseline),
        _tables(current),
        shared,
        samples.totals if known else (*samples.totals[:2], {}),
        vocabulary,
        current.facts.cluster is not None,
        all(run.facts.token_groups == "domain" for run in (baseline, current)),
    )
    examples = Examples.of(baseline, vocabulary), Examples.of(current, vocabulary)
    found = _Found()
    progress(ALL_DOMAINS)
    overall = contrasts.overall()
    reason = None if known else unknown_overlap(kept)
    _slice(found, label, ALL_DOMAINS, overall, examples, reason, workers)
    counts = overall.baseline.count, overall.current.count
    moved = token_drift(overall)
    dense = [_dense(count, overall, vocabulary) for count in counts]
    del overall, counts

    def each_domain() -> Iterator[TokenContrast]:
        for name, contrast in contrasts.domains():
            progress(name)
            why = reason if contrasts.groups_by_domain or reason else _NO_GROUPS
            _slice(found, label, name, contrast, examples, why, workers)
            names.append(name)
            yield contrast

    names: list[str] = []
    if all(side.any() for side in dense):
        split = decompose(dense[0], dense[1], each_domain())
        found.parts += rows.part_rows(label, ALL_DOMAINS, split.overall, examples)
        for name, parts in zip(names, split.domains, strict=True):
            found.parts += rows.part_rows(label, name, parts, examples)
    else:  # there is no change of shares to attribute where a side has none
        for _ in each_domain():
            pass
        empty = without_tokens(*(bool(side.any()) for side in dense))
        for name in (ALL_DOMAINS, *names):
            found.parts += rows.empty_part_rows(label, name, empty)
    if not known:  # what chance alone gives depends on what is shared
        found.parts = [row | {"tvd_null_mean": None, "tvd_excess": None} for row in found.parts]
    progress("classifier")
    tables = {
        "drift": pa.concat_tables(found.summaries),
        "drift_tokens": pa.concat_tables(found.tokens),
        "drift_parts": pa.Table.from_pylist(found.parts, schema=drift_tables.DRIFT_PARTS),
        "drift_domains": pa.concat_tables(
            rows.domain_rows(
                label,
                samples.names,
                unit,
                shares_alone(samples.only_baseline, samples.only_current, samples.shared, unit)
                or domain_drift(samples.only_baseline, samples.only_current, samples.shared, unit),
            )
            for unit in UNITS
        ),
        "drift_lengths": length_rows(label, baseline, current, documents),
        "turnover": documents,
        "drift_classifier": classifier_rows(label, baseline, current, documents, moved, examples),
        "near_duplicates": near_duplicate_rates(current, label, baseline),
    }
    return tables


def _slice(
    found: _Found,
    label: str,
    name: str,
    contrast: TokenContrast,
    examples: tuple[Examples, Examples],
    reason: str | None,
    workers: int,
) -> None:
    """Add the rows of one slice; where ``reason`` is given, values alone, as no test would be right."""
    summary = (
        drift_summary(contrast, PERMUTATIONS if reason is None else 0, workers=workers)
        if reason is None
        else (_values_only(contrast, reason))
    )
    found.summaries.append(rows.summary_rows(label, name, contrast, summary))
    moved = token_drift(contrast)
    if reason is not None:  # what is shared, or how it clusters, is not known: no test would be right
        nothing = np.full(len(moved.tokens), np.nan)
        kind = np.where(np.isin(moved.kind, (RISER, FALLER)), OTHER, moved.kind).astype(np.uint8)
        moved = replace(moved, kind=kind, z=nothing, log_odds_z=nothing, p=nothing, q=nothing)
        moved = replace(moved, low=nothing, high=nothing, design_effect=nothing)
    found.tokens.append(rows.token_rows(label, name, moved, examples, everything=name == ALL_DOMAINS))


def _values_only(contrast: TokenContrast, reason: str) -> DriftSummary:
    baseline, current = contrast.baseline.count, contrast.current.count
    before, now = bool(baseline.any()), bool(current.any())
    held = before and now
    distances = {
        name: Distance(name, float(function(baseline, current)) if held else None)
        for name, function in STATISTICS.items()
    }
    return DriftSummary(distances, 0, None, None, reason if held else without_tokens(before, now))


def unknown_overlap(kept: int) -> str:
    """Why two runs that share documents cannot be tested, and what to do."""
    return (
        f"both hold {kept} documents, and neither run measured their tokens: name this baseline in the current audit "
        "file (baseline: {run: RUN}), run it again, and it reads what it must"
    )


def _tables(run: RunDirectory) -> TokenTables:
    folder = run.folder / "tables"
    return TokenTables(folder / "token_counts.parquet", folder / "token_groups.parquet")


def _implied(baseline: RunDirectory, current: RunDirectory, turnover: pa.Table) -> TokenTables | None:
    """Token tables of what both runs hold where one run holds nothing else, in any domain: its own; else None.

    With clusters only the current run's will do: the shared documents are clustered as the current run clusters them.
    """
    if not any(turnover["added"].to_pylist()):
        return _tables(current)
    if not any(turnover["removed"].to_pylist()) and current.facts.cluster is None:
        return _tables(baseline)
    return None


def _dense(count: Integers, contrast: TokenContrast, vocabulary: int) -> Integers:
    dense = np.zeros(vocabulary, np.int64)
    dense[contrast.tokens] = count
    return dense
