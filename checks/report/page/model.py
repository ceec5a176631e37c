"""The report's model: everything that a report shows, read from a published run directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.checks.report.page.further_sections import (
    load_contamination,
    load_drift,
    load_images,
    load_index,
    load_sampling,
)
from corpus_audit.checks.report.profile import mixture, tables
from corpus_audit.checks.report.profile.records import (
    DuplicateRow,
    FacetTable,
    LengthPanel,
    LengthUnit,
    MixtureComparison,
    OutcomeRow,
    ShardRow,
    ShareRow,
    Unit,
    VocabularyRow,
)
from corpus_audit.checks.report.verdict import section as verdict_section
from corpus_audit.checks.report.verdict import trends as trend_section
from corpus_audit.checks.report.verdict.records import VerdictView
from corpus_audit.checks.report.verdict.trends import TrendView
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.run.run_file import (
    FileListing,
    IntegrityRule,
    RunCoverage,
    RunFile,
    RunFilter,
    RunSnapshot,
    RunTokenizer,
)
from corpus_audit.schemas.tables.run_tables import OTHER_VALUES

if TYPE_CHECKING:
    from corpus_audit.checks.report.activations.section import ModelView
    from corpus_audit.checks.report.contamination.records import ContaminationView
    from corpus_audit.checks.report.drift.records import DriftView
    from corpus_audit.checks.report.images.records import ImagesView
    from corpus_audit.checks.report.sampling.records import SamplingView

LENGTH_UNITS: tuple[LengthUnit, ...] = ("tokens", "characters")
TOP_DOMAINS = 30
TOP_FACET_VALUES = 10
TOP_SHARDS = 12
TOP_SHARDS_IN_ERROR = 50


@dataclass(frozen=True)
class ReportTotals:
    """Totals of everything that was counted; ``domains_exact`` is false if the tables list only the largest domains."""

    documents: int
    bytes: int
    characters: int
    words: int
    tokens: int
    domains: int
    domains_exact: bool


@dataclass(frozen=True)
class ReportModel:
    """Everything that the page and the summary show of a run; no clocks, hosts or paths of the machine.

    ``domains`` holds the `TOP_DOMAINS` largest by share or intended share, in the unit of the mixture (without one, in
    tokens, or documents where these are images), then the exact remainder. ``shards`` has those to look at first.
    ``near_duplicates`` says whether rates of near-duplicates were estimated; ``images`` whether documents are images,
    and ``text`` whether they have a text: images without captions have none.
    """

    name: str
    run: str
    complete: bool
    reasons: tuple[str, ...]
    snapshot: RunSnapshot
    coverage: RunCoverage
    integrity: tuple[IntegrityRule, ...]
    tokenizer: RunTokenizer
    totals: ReportTotals
    unit: Unit
    mixture: MixtureComparison | None
    domain_source: str
    domains: tuple[ShareRow, ...]
    facets: tuple[FacetTable, ...]
    lengths: tuple[LengthPanel, ...]
    duplicates: tuple[DuplicateRow, ...]
    vocabulary: tuple[VocabularyRow, ...]
    outcomes: tuple[OutcomeRow, ...]
    shards: tuple[ShardRow, ...]
    filter: tuple[RunFilter, ...]
    cluster: str | None
    token_groups: str
    methods: tuple[str, ...]
    dead_letter_budget: float | None
    versions: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str, int], ...]
    spec: str
    pictures: ImagesView | None = None
    drift: tuple[DriftView, ...] = ()
    sampling: SamplingView | None = None
    contamination: ContaminationView | None = None
    indexed: ModelView | None = None
    verdict: VerdictView | None = None
    trends: TrendView | None = None
    near_duplicates: bool = False
    documents_without_cluster: int = 0
    listing: FileListing | None = None
    images: bool = False
    text: bool = True


def load_report(run_dir: Path) -> ReportModel:
    """Read `run.json` and the tables of a published run directory.

    1. Read run.json by its schema, and each table against the digest that run.json lists: a page never shows a table of
       another run or version.
    2. Shares of the primary facet's values. A mixture adds what each value should have, and rows for values that it
       names and the corpus lacks.
    3. Select the values to show: the largest, by the mixture's unit as that is what the reader compares. The others
       become one row, so that what is shown adds up to the whole.
    4. Lengths, duplicates and vocabulary show the same values in the same order, and say how many are left out.
    5. Each section reads its own tables, and is None or empty where the run has none. The verdict comes first, as the
       trends end with it.

    Raises:
        StoreError: a file is missing, damaged, or was written by another version.
    """
    # Step 1.
    published = RunDirectory(run_dir)
    run = published.facts

    def table(name: str) -> pa.Table:
        return tables.read_table(run_dir, name, run.files)

    domains, proportions, metrics = table("domains"), table("proportions"), table("metrics")
    # Steps 2 and 3.
    document = run.spec.get("document", {})
    images = run.of_images
    unit: Unit = run.mixture.unit if run.mixture else "documents" if images else "tokens"
    primary = domains.filter(pc.equal(domains["facet"], run.facets.primary))
    rows = _primary_rows(run, domains, proportions, unit)
    shown = tables.largest(rows, unit, TOP_DOMAINS)
    top = tables.fold(sorted(rows, key=lambda row: (-row.amount(unit).share, row.name)), shown)
    # Step 4. A run lists the 10,000 most frequent values and one row of the others: not all may be in the table.
    names = [row.name for row in top if not row.folded]
    listed = pc.sum(pc.not_equal(primary["value"], OTHER_VALUES)).as_py() or 0
    hidden = listed - sum(1 for row in top if not row.folded and row.documents.count)
    lengths, quantiles = table("lengths"), table("length_quantiles")
    # Step 5.
    verdict = verdict_section.load(published)
    primary_shares = proportions.filter(pc.equal(proportions["facet"], run.facets.primary))
    return ReportModel(
        name=run.name,
        run=run.run,
        complete=run.complete,
        reasons=run.reasons,
        snapshot=run.snapshot,
        coverage=run.coverage,
        integrity=run.integrity,
        tokenizer=run.tokenizer,
        totals=_totals(primary, listed),
        unit=unit,
        mixture=mixture.comparison(rows, unit, metrics) if run.mixture else None,
        domain_source=run.facets.sources.get(run.facets.primary, ""),
        domains=top,
        facets=_further_facets(run, domains, proportions),
        lengths=tuple(
            tables.length_panel(lengths, quantiles, length_unit, names, hidden) for length_unit in LENGTH_UNITS
        ),
        duplicates=tables.duplicate_rows(table("duplicates"), metrics, run.facets.primary, names),
        vocabulary=tables.vocabulary_rows(table("vocabulary"), names),
        outcomes=tuple(OutcomeRow(r["outcome"], r["reason"], r["rows"]) for r in table("outcomes").to_pylist()),
        shards=tables.shard_rows(table("shards"), TOP_SHARDS_IN_ERROR, TOP_SHARDS),
        filter=run.filter,
        cluster=run.cluster,
        documents_without_cluster=run.documents_without_cluster,
        token_groups=run.token_groups,
        methods=tuple(sorted(set(primary_shares["method"].to_pylist()))),
        dead_letter_budget=_dead_letter_budget(run),
        versions=tuple(sorted(run.versions.items())),
        files=tuple((name, file.sha256, file.bytes) for name, file in sorted(run.files.items())),
        spec=json.dumps(run.spec, indent=2, ensure_ascii=False, sort_keys=True),
        pictures=load_images(published),
        drift=load_drift(published),
        sampling=load_sampling(published),
        contamination=load_contamination(published),
        indexed=load_index(published),
        verdict=verdict,
        trends=trend_section.load(published, verdict.verdict) if verdict else None,
        near_duplicates="tables/near_duplicates.parquet" in run.files,
        listing=run.listing,
        images=images,
        text=not images or document.get("text") is not None,
    )


def _primary_rows(run: RunFile, domains: pa.Table, proportions: pa.Table, unit: Unit) -> list[ShareRow]:
    """Shares of the values of the primary facet, with what the mixture intends if the run has one."""
    facet = run.facets.primary
    if run.mixture is None:
        return tables.share_rows(domains, proportions, facet, {})
    rows = tables.share_rows(domains, proportions, facet, run.mixture.shares)
    return mixture.with_intended(rows, proportions, facet, unit, run.mixture.shares)


def _totals(primary: pa.Table, listed: int) -> ReportTotals:
    """Sums over the rows of the primary facet, of which ``listed`` are of one value each."""
    return ReportTotals(
        documents=_total(primary, "documents"),
        bytes=_total(primary, "bytes"),
        characters=_total(primary, "characters"),
        words=_total(primary, "words"),
        tokens=_total(primary, "tokens"),
        domains=listed,
        domains_exact=listed == len(primary),
    )


def _total(table: pa.Table, column: str) -> int:
    return int(pc.sum(table[column]).as_py() or 0)


def _dead_letter_budget(run: RunFile) -> float | None:
    """The share of rows that may be dead letters, by the spec as the run recorded it."""
    limits = run.spec.get("limits")
    budget = limits.get("dead_letter_share") if isinstance(limits, dict) else None
    return float(budget) if isinstance(budget, int | float) else None


def _further_facets(run: RunFile, domains: pa.Table, proportions: pa.Table) -> tuple[FacetTable, ...]:
    """A table of each facet but the primary one, in the run's order."""
    names = [name for name in run.facets.names if name != run.facets.primary]
    return tuple(_facet(domains, proportions, name, run.facets.sources.get(name, "")) for name in names)


def _facet(domains: pa.Table, proportions: pa.Table, name: str, source: str) -> FacetTable:
    rows = tables.share_rows(domains, proportions, name)
    rows.sort(key=lambda row: (-row.tokens.count, row.name))
    values = sum(1 for row in rows if not row.folded)
    top = tables.largest(rows, "tokens", TOP_FACET_VALUES)
    return FacetTable(name, source, values, values == len(rows), tables.fold(rows, top))
