"""Drift between two finished runs: every analysis of it, in order, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.drift import rows
from corpus_audit.pipelines.drift.classifying import classifier_rows
from corpus_audit.pipelines.drift.comparable import RunReading, check_comparable
from corpus_audit.pipelines.drift.conclusion import conclude, conclusion_tables
from corpus_audit.pipelines.drift.documents.document_changes import document_changes
from corpus_audit.pipelines.drift.documents.turnover import (
    FollowedDocuments,
    edit_sizes,
    follow_documents,
    not_shared,
    turnover,
)
from corpus_audit.pipelines.drift.domain_samples import DomainSamples
from corpus_audit.pipelines.drift.edit_patterns import EditedTexts, edit_patterns, edited_texts
from corpus_audit.pipelines.drift.edited_documents import (
    CLUSTERED,
    NOT_SAMPLED,
    TANGLED_COPIES,
    EditedDocuments,
    edits_alone,
)
from corpus_audit.pipelines.drift.lengths import length_rows
from corpus_audit.pipelines.drift.lenses import with_adjusted_p
from corpus_audit.pipelines.drift.sampled_overlap import sampled_overlap
from corpus_audit.pipelines.drift.texts import Examples
from corpus_audit.pipelines.drift.token_tables import Contrasts, TokenTables
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
from corpus_audit.pipelines.statistics.drift.token_drift import FALLER, OTHER, RISER, TokenDrift, token_drift
from corpus_audit.pipelines.statistics.drift.token_sample import Integers, TokenContrast
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables import drift_tables
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

_NO_GROUPS = "hash groups are kept overall only, as there are too many domains for this vocabulary"


@dataclass
class _Rows:
    """Tables DRIFT, DRIFT_TOKENS and DRIFT_EDITS, a piece for each slice that has been computed."""

    summaries: list[pa.Table] = field(default_factory=list)
    tokens: list[pa.Table] = field(default_factory=list)
    edits: list[pa.Table] = field(default_factory=list)


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

    Comes in: the tables of two runs, and the token counters of the documents that both hold (their overlap).

    1. Refuse runs whose figures mean something else (another tokenizer, other text, other domains).
    2. Turnover: which documents were kept, edited, added and removed (`matching.py`). Everything else needs to know it.
    3. Overlap. Statistics need disjoint sets: only baseline, only current, shared, edited. A run that was audited with
       this baseline has measured the shared part. Else it is known only where one run holds nothing but what is shared
       (`_implied_overlap`), where the current run's sample has all of it (`sampled_overlap.py`), or where nothing is
       shared. Where it is not known, distances are shown and nothing is tested.
       Both versions of edited documents come from the runs' samples (`edited_documents.py`).
    4. The corpus as one slice (`_add_slice`): six distances against their null, and which tokens moved.
    5. Each domain as a slice, in one pass over the token tables, which also feeds the decomposition of the corpus's
       change into mixture (domains became larger or smaller) and content (their text changed: by edits, by documents
       that came, by documents that went).
    6. Domain shares, lengths, the classifier's test on document samples, near-duplicates.
    7. One conclusion from all of them (`conclusion.py`), and the p of every test adjusted to it (`lenses.py`).

    Goes out: one table a subject.

    Why so: a domain's token counters [64 groups, vocabulary] are the large part; they are streamed, one domain at a
    time, and the dense counts that the decomposition needs are made before, so that the corpus's can be let go.

    Args:
        label: what the tables call the baseline.
        baseline, current: the runs.
        shared: token tables of the documents that both hold, if either run has measured the other.
        workers: threads.
        progress: called with the name of each slice before it is computed.

    Returns:
        The tables of `schemas.tables.drift_tables` by name.

    Raises:
        UsageError: the runs cannot be compared.
        StoreError: a table cannot be read.
    """
    # Steps 1 and 2.
    check_comparable(RunReading.of(baseline.facts), RunReading.of(current.facts), label)
    progress("turnover")
    followed = follow_documents(baseline, current)
    changes, unlisted = document_changes(label, followed)
    documents = turnover(label, followed, unlisted)
    sizes = edit_sizes(label, followed)
    samples = DomainSamples.of(baseline, current, documents)
    # Step 3. The totals of shared documents come from the turnover, but without their tokens they are of no use.
    kept = int(documents["kept"][0].as_py())
    overlap = shared or _implied_overlap(baseline, current, documents) or sampled_overlap(current, followed)
    known = overlap is not None or kept == 0
    reason = None if known else unknown_overlap(kept)
    vocabulary = max(run.facts.tokenizer.vocabulary for run in (baseline, current))
    contrasts = Contrasts(
        _tables(baseline),
        _tables(current),
        overlap,
        samples.totals if known else (*samples.totals[:2], {}),
        vocabulary,
        current.facts.cluster is not None,
        all(run.facts.token_groups == "domain" for run in (baseline, current)),
    )
    examples = Examples.of(baseline, vocabulary), Examples.of(current, vocabulary)
    progress("edits")
    texts = edited_texts(baseline, current, followed)
    patterns = edit_patterns(label, followed, texts, examples)
    edited = _edited_documents(followed, texts, current.facts.cluster is not None)
    del followed, texts
    computed = _Rows()
    # Step 4.
    progress(ALL_DOMAINS)
    overall = _with_edits(contrasts.overall(), ALL_DOMAINS, edited, reason)
    moved = _add_slice(computed, label, ALL_DOMAINS, overall, examples, reason, edited, workers)
    counts = overall.counts
    dense = [_dense(count, overall, vocabulary) for count in counts]
    del overall, counts

    # Step 5.
    def each_domain() -> Iterator[tuple[str, TokenContrast]]:
        for name, contrast in contrasts.domains():
            progress(name)
            why = reason if contrasts.groups_by_domain or reason else _NO_GROUPS
            apart = _with_edits(contrast, name, edited, why)
            _add_slice(computed, label, name, apart, examples, why, edited, workers)
            yield name, apart

    parts = _part_rows(label, dense, each_domain(), examples, known)
    # Step 6.
    progress("classifier")
    tables = {
        "drift": pa.concat_tables(computed.summaries),
        "drift_tokens": pa.concat_tables(computed.tokens),
        "drift_parts": pa.Table.from_pylist(parts, schema=drift_tables.DRIFT_PARTS),
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
        "edit_sizes": sizes,
        "document_changes": changes,
        "edit_patterns": patterns,
        "drift_classifier": classifier_rows(label, baseline, current, documents, moved, examples),
        "near_duplicates": near_duplicate_rates(current, label, baseline),
        "drift_edits": pa.concat_tables([drift_tables.DRIFT_EDITS.empty_table(), *computed.edits]),
    }
    # Step 7.
    conclusion = conclude(tables)
    return tables | with_adjusted_p(tables, conclusion.lenses) | conclusion_tables(label, conclusion)


def _edited_documents(
    followed: FollowedDocuments, texts: EditedTexts | None, clustered: bool
) -> EditedDocuments | str | None:
    """The edited documents with both versions; why they are not known, or None where there are none."""
    if not len(followed.matches.edited):
        return None
    if clustered:
        return CLUSTERED
    if texts is None:
        return NOT_SAMPLED
    edited = EditedDocuments.of(followed, texts.samples)
    return edited if len(edited.groups) else NOT_SAMPLED


def _with_edits(
    contrast: TokenContrast, name: str, edited: EditedDocuments | str | None, reason: str | None
) -> TokenContrast:
    """The contrast of a slice with its edited documents apart, as far as they and the hash groups are known."""
    return edited.apart(name, contrast) if isinstance(edited, EditedDocuments) and reason is None else contrast


def _part_rows(
    label: str,
    dense: Sequence[Integers],
    domains: Iterator[tuple[str, TokenContrast]],
    examples: tuple[Examples, Examples],
    known: bool,
) -> list[dict[str, Any]]:
    """Rows of DRIFT_PARTS: the corpus's change and each domain's contribution, by mixture and content.

    Args:
        label: what the tables call the baseline.
        dense: int64 [vocabulary] each, token counts of the baseline and of the current corpus.
        domains: name and contrast of every domain; read to its end once.
        examples: what tokens decode to, for either run.
        known: whether the overlap of the runs is known; what chance alone gives depends on it.
    """
    names: list[str] = []

    def contrasts() -> Iterator[TokenContrast]:
        for name, contrast in domains:
            names.append(name)
            yield contrast

    if not all(side.any() for side in dense):  # a side without tokens has no shares whose change could be attributed
        for _ in contrasts():
            pass
        empty = without_tokens(*(bool(side.any()) for side in dense))
        parts = [row for name in (ALL_DOMAINS, *names) for row in rows.empty_part_rows(label, name, empty)]
    else:
        split = decompose(dense[0], dense[1], contrasts())
        parts = list(rows.part_rows(label, ALL_DOMAINS, split.overall, examples))
        for name, changes in zip(names, split.domains, strict=True):
            parts += rows.part_rows(label, name, changes, examples)
    return parts if known else [row | {"tvd_null_mean": None, "tvd_excess": None} for row in parts]


def _add_slice(
    computed: _Rows,
    label: str,
    name: str,
    contrast: TokenContrast,
    examples: tuple[Examples, Examples],
    reason: str | None,
    edited: EditedDocuments | str | None,
    workers: int,
) -> TokenDrift:
    """Add the rows of one slice: its distances, those of its edited documents' two versions from each other, and the
    tokens that moved, which are returned as they were tested.

    Where there is a ``reason`` why no test would be right (the overlap, or how documents cluster, is not known), the
    rows have values alone.
    """
    summary = (
        drift_summary(contrast, PERMUTATIONS, workers=workers) if reason is None else _values_only(contrast, reason)
    )
    computed.summaries.append(rows.summary_rows(label, name, contrast, summary))
    if contrast.edited is not None and isinstance(edited, EditedDocuments):
        versions = edits_alone(contrast.tokens, contrast.edited)
        alone = drift_summary(versions, PERMUTATIONS, workers=workers)
        computed.edits.append(rows.edit_rows(label, name, edited.used(name), versions, alone))
    elif name == ALL_DOMAINS and edited is not None:
        why = edited if isinstance(edited, str) else reason or TANGLED_COPIES
        computed.edits.append(rows.untested_edit_rows(label, why))
    moved = shown = token_drift(contrast)
    if reason is not None:
        nothing = np.full(len(moved.tokens), np.nan)
        kind = np.where(np.isin(moved.kind, (RISER, FALLER)), OTHER, moved.kind).astype(np.uint8)
        shown = replace(moved, kind=kind, z=nothing, log_odds_z=nothing, p=nothing, q=nothing)
        shown = replace(shown, low=nothing, high=nothing, design_effect=nothing)
    computed.tokens.append(rows.token_rows(label, name, shown, examples, everything=name == ALL_DOMAINS))
    return moved


def _values_only(contrast: TokenContrast, reason: str) -> DriftSummary:
    """The six distances without nulls, and why there are none."""
    baseline, current = contrast.baseline.count, contrast.current.count
    before, now = bool(baseline.any()), bool(current.any())
    comparable = before and now
    distances = {
        name: Distance(name, float(function(baseline, current)) if comparable else None)
        for name, function in STATISTICS.items()
    }
    return DriftSummary(distances, 0, None, None, reason if comparable else without_tokens(before, now))


def unknown_overlap(kept: int) -> str:
    """Why two runs that share documents cannot be tested, and what to do."""
    return (
        f"both hold {kept} documents, and neither run measured their tokens, nor has its sample all of them: name this "
        "baseline in the current audit file (baseline: {run: RUN}) and run it again with corpus-audit run, which reads "
        "what it must"
    )


def _tables(run: RunDirectory) -> TokenTables:
    folder = run.folder / "tables"
    return TokenTables(folder / "token_counts.parquet", folder / "token_groups.parquet")


def _implied_overlap(baseline: RunDirectory, current: RunDirectory, turnover: pa.Table) -> TokenTables | None:
    """Token tables of the documents that both runs hold, where one run holds no others in any domain; else None.

    With clusters only the current run's will do: the shared documents are clustered as the current run clusters them.
    """
    only_baseline, only_current = not_shared(turnover)
    if not only_current.any():
        return _tables(current)
    if not only_baseline.any() and current.facts.cluster is None:
        return _tables(baseline)
    return None


def _dense(count: Integers, contrast: TokenContrast, vocabulary: int) -> Integers:
    dense = np.zeros(vocabulary, np.int64)
    dense[contrast.tokens] = count
    return dense
