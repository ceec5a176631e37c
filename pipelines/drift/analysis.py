"""Drift between two finished runs: every analysis of it, in order, as tables.

Comes in: the tables of two runs, and the token counters of the documents that both hold (their overlap).

1. Refuse runs whose figures mean something else (another tokenizer, other text, other domains).
2. Turnover: which documents were kept, edited, added and removed (`matching.py`). Everything else needs to know it.
3. Overlap. Statistics need disjoint sets: only baseline, only current, shared, edited. A run that was audited with
   this baseline has measured the shared part. Else it is known only where one run holds nothing but what is shared
   (`_implied_overlap`), where the current run's sample has all of it (`sampled_overlap.py`), or where nothing is
   shared. Where it is not known, distances are shown and nothing is tested.
   Both versions of edited documents come from the runs' samples (`edited_documents.py`).
4. The corpus as one slice (`SliceTests`): six distances against their null, and which tokens moved.
5. Each domain as a slice, as many at once as there are workers, in one pass over the token tables, which also feeds the
   decomposition of the corpus's change into mixture (domains became larger or smaller) and content (their text changed:
   by edits, by documents that came, by documents that went).
6. Domain shares, lengths, the classifier's test on document samples, near-duplicates.
7. One conclusion from all of them (`conclusion.py`), and the p of every test adjusted to it (`lenses.py`).

Goes out: one table a subject.

Why so: a domain's token counters [64 groups, vocabulary] are the large part; they are streamed, as many domains as
there are workers at a time, and the dense counts that the decomposition needs are made before, so that the corpus's can
be let go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    EditedDocuments,
)
from corpus_audit.pipelines.drift.lengths import length_rows
from corpus_audit.pipelines.drift.lenses import with_adjusted_p
from corpus_audit.pipelines.drift.sampled_overlap import sampled_overlap
from corpus_audit.pipelines.drift.slices import SliceTests
from corpus_audit.pipelines.drift.texts import Examples
from corpus_audit.pipelines.drift.token_tables import Contrasts, TokenTables
from corpus_audit.pipelines.figures.near_duplicate_rates import near_duplicate_rates
from corpus_audit.pipelines.statistics.drift.decomposition import decompose
from corpus_audit.pipelines.statistics.drift.domain_drift import UNITS, domain_drift, shares_alone
from corpus_audit.pipelines.statistics.drift.permutation import without_tokens
from corpus_audit.pipelines.statistics.drift.token_drift import TokenDrift
from corpus_audit.pipelines.statistics.drift.token_sample import Integers, TokenContrast
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables import drift_tables
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

_NO_GROUPS = "hash groups are kept overall only, as there are too many domains for this vocabulary"


def drift(
    label: str,
    baseline: RunDirectory,
    current: RunDirectory,
    shared: TokenTables | None,
    *,
    workers: int,
    progress: Callable[[str], None] = lambda _: None,
    images: Mapping[str, pa.Table] | None = None,
) -> dict[str, pa.Table]:
    """Compare two finished runs; no shard is read.

    Args:
        label: what the tables call the baseline.
        baseline, current: the runs.
        shared: token tables of the documents that both hold, if either run has measured the other.
        workers: threads.
        progress: called with the name of each slice before it is computed.
        images: IMAGE_DRIFT_SIZES and IMAGE_DRIFT_KINDS by name, of corpora of images: further lenses.

    Returns:
        The tables of `schemas.tables.drift_tables` by name, and those of images with their adjusted p.

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
    tables = {
        "turnover": documents,
        "edit_sizes": edit_sizes(label, followed),
        "document_changes": changes,
    }
    samples = DomainSamples.of(baseline, current, documents)
    # Step 3.
    contrasts, reason = _contrasts(baseline, current, shared, followed, documents, samples)
    examples = Examples.of(baseline, contrasts.vocabulary), Examples.of(current, contrasts.vocabulary)
    progress("edits")
    texts = edited_texts(baseline, current, followed)
    tables["edit_patterns"] = edit_patterns(label, followed, texts, examples)
    slices = SliceTests(label, examples, _edited_documents(followed, texts, contrasts.clustered))
    del followed, texts
    # Steps 4 and 5.
    of_slices, moved = _slice_tables(slices, contrasts, reason, workers, progress)
    # Step 6.
    progress("classifier")
    tables |= of_slices | {
        "drift_domains": _domain_rows(label, samples),
        "drift_lengths": length_rows(label, baseline, current, documents),
        "drift_classifier": classifier_rows(label, baseline, current, documents, moved, examples, workers),
        "near_duplicates": near_duplicate_rates(current, label, baseline),
    }
    # Step 7.
    tables |= images or {}
    conclusion = conclude(tables)
    return tables | with_adjusted_p(tables, conclusion.lenses) | conclusion_tables(label, conclusion)


def _contrasts(
    baseline: RunDirectory,
    current: RunDirectory,
    shared: TokenTables | None,
    followed: FollowedDocuments,
    documents: pa.Table,
    samples: DomainSamples,
) -> tuple[Contrasts, str | None]:
    """The token tables of both runs and of their overlap; why nothing can be tested, None where the overlap is known.

    The totals of shared documents come from the turnover, but without their tokens they are of no use.
    """
    kept = int(documents["kept"][0].as_py())
    overlap = shared or _implied_overlap(baseline, current, documents) or sampled_overlap(current, followed)
    known = overlap is not None or kept == 0
    contrasts = Contrasts(
        _tables(baseline),
        _tables(current),
        overlap,
        samples.totals if known else (*samples.totals[:2], {}),
        max(run.facts.tokenizer.vocabulary for run in (baseline, current)),
        current.facts.cluster is not None,
        all(run.facts.token_groups == "domain" for run in (baseline, current)),
    )
    return contrasts, None if known else unknown_overlap(kept)


def _slice_tables(
    slices: SliceTests, contrasts: Contrasts, reason: str | None, workers: int, progress: Callable[[str], None]
) -> tuple[dict[str, pa.Table], TokenDrift]:
    """Tables DRIFT, DRIFT_TOKENS, DRIFT_EDITS and DRIFT_PARTS; and the tokens of the corpus as they were tested."""
    progress(ALL_DOMAINS)
    overall = slices.with_edits(ALL_DOMAINS, contrasts.overall(), reason)
    first, moved = slices.rows(ALL_DOMAINS, overall, reason, workers)
    made = [first]
    dense = [_dense(count, overall, contrasts.vocabulary) for count in overall.counts]
    del overall
    why = reason if contrasts.groups_by_domain or reason else _NO_GROUPS

    def read() -> Iterator[tuple[str, TokenContrast]]:
        for name, contrast in contrasts.domains():
            progress(name)
            yield name, contrast

    def computed() -> Iterator[tuple[str, TokenContrast]]:
        for name, contrast, of_domain in slices.each(read(), why, workers):
            made.append(of_domain)
            yield name, contrast

    parts = _part_rows(slices.label, dense, computed(), slices.examples, reason is None)
    edits = [each.edits for each in made if each.edits is not None]
    tables = {
        "drift": pa.concat_tables(each.summary for each in made),
        "drift_tokens": pa.concat_tables(each.tokens for each in made),
        "drift_parts": pa.Table.from_pylist(parts, schema=drift_tables.DRIFT_PARTS),
        "drift_edits": pa.concat_tables([drift_tables.DRIFT_EDITS.empty_table(), *edits]),
    }
    return tables, moved


def _domain_rows(label: str, samples: DomainSamples) -> pa.Table:
    """Table DRIFT_DOMAINS."""
    sets = samples.only_baseline, samples.only_current, samples.shared
    return pa.concat_tables(
        rows.domain_rows(label, samples.names, unit, shares_alone(*sets, unit) or domain_drift(*sets, unit))
        for unit in UNITS
    )


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


def unknown_overlap(kept: int) -> str:
    """Why two runs that share documents cannot be tested, and what to do."""
    documents = "1 document" if kept == 1 else f"{kept:,} documents"
    return (
        f"both hold {documents}, and neither run measured their tokens, nor has its sample all of them: name this "
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
