"""The contents of a run directory: tables, run.json and the report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.counting.table_columns import hash_column
from corpus_audit.pipelines.figures import published
from corpus_audit.pipelines.measures.records import RECORDS, Records
from corpus_audit.pipelines.statistics.intervals.proportions import Estimate
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.pipelines.storage.run_directory import StagedRun
from corpus_audit.runners.audit.history import stage_trends
from corpus_audit.runners.audit.run_facts import Material, copies_of, run_facts, verified_documents
from corpus_audit.schemas.run.run_file import RunFile
from corpus_audit.schemas.run.snapshot import UnreadFile, manifest_text
from corpus_audit.schemas.tables import coverage_tables, document_tables

if TYPE_CHECKING:
    from corpus_audit.runners.audit.counting.shard_states import ShardState


def write_tables(staged: StagedRun, material: Material) -> RunFile:
    """Write every table and the manifest; returns run.json without the digests of its files."""
    spec, profile, states = material.spec, material.profile, material.states
    (domains, cluster_groups), lengths = profile.domains(), profile.lengths()
    shards, outcomes = _shards(states), _outcomes(states)
    streamed: dict[str, Iterable[pa.Table]] = {
        "token_groups": profile.token_groups(),
        "token_counts": profile.token_counts(),
        "samples": profile.samples(),
        "document_hashes": profile.document_hashes(),
        "document_identities": profile.document_identities(),
        "token_examples": profile.token_examples(material.job.tokenization.texts),
        "minhash": profile.minhash(),
        "domains": [domains],
        "lengths": [lengths],
        "shards": [shards],
        "outcomes": [outcomes],
        "dead_letters": _dead_letters(states),
    }
    if spec.excerpts:
        streamed["document_sample"] = profile.document_sample()
    if material.unread:
        streamed["unread_files"] = [_unread_files(material.unread)]
    if material.baselines:
        measured = {baseline.keys.digest: baseline.measure.name for baseline in material.baselines}
        streamed["shared_token_counts"] = profile.shared_token_counts(measured)
        streamed["shared_token_groups"] = profile.shared_token_groups(measured)
    if cluster_groups is not None:
        streamed["cluster_groups"] = [cluster_groups]
    if spec.per_document:
        streamed["per_document"] = _per_document(material)
    # Parquet and the kernels release the GIL; the slowest tables come first.
    with ThreadPoolExecutor(material.workers) as pool:
        vocabulary = pool.submit(_vocabulary, material)
        writing = [pool.submit(staged.add_table, name, pieces) for name, pieces in streamed.items()]
        duplicates = profile.duplicates()
        staged.add_table("duplicates", [duplicates])
        for done in writing:
            done.result()
    tables_so_far = _Integers(domains, cluster_groups, lengths, duplicates, shards, outcomes, vocabulary.result())
    for name, table in _figures(material, tables_so_far).items():
        staged.add_table(name, [table])
    if spec.has_images:
        from corpus_audit.pipelines.image_figures.staging import write_image_tables

        add_metrics(staged, [write_image_tables(staged, profile.reader, spec)])
    names = [(state.shard.name, state.sha256) for state in states if state.sha256]
    staged.add_text("MANIFEST.sha256", manifest_text(names))
    return run_facts(staged.name, material)


def _vocabulary(material: Material) -> pa.Table:
    profile = material.profile
    return published.vocabulary(profile.token_counts(), profile.token_groups(), material.job.tokenizer.vocabulary)


@dataclass(frozen=True, slots=True)
class _Integers:
    """Tables of counts, from which the figures are derived."""

    domains: pa.Table
    cluster_groups: pa.Table | None
    lengths: pa.Table
    duplicates: pa.Table
    shards: pa.Table
    outcomes: pa.Table
    vocabulary: pa.Table


def _figures(material: Material, integers: _Integers) -> dict[str, pa.Table]:
    """The tables of figures, derived from the tables of counts."""
    mixture = material.spec.mixture
    intended = mixture.shares if mixture else None
    unit = mixture.unit if mixture else "tokens"
    sampling = _sampling(material)
    domains, groups = integers.domains, integers.cluster_groups
    proportions = published.proportions(domains, groups, intended, unit, sampling)
    quantiles = published.length_quantiles(integers.lengths, domains)
    distance = published.mixture_distance(domains, intended, unit, groups, sampling) if intended else None
    if intended and distance is None:
        distance = Estimate(
            math.nan, math.nan, math.nan
        )  # there is an intended mixture, and nothing to hold against it
    metrics = published.metrics(
        domains=domains,
        proportions=proportions,
        length_quantiles=quantiles,
        duplicates=integers.duplicates,
        vocabulary=integers.vocabulary,
        vocabulary_size=material.job.tokenizer.vocabulary,
        shards=integers.shards,
        outcomes=integers.outcomes,
        verified_documents=verified_documents(material.states),
        mixture=distance,
        mixture_unit=unit,
    )
    return {
        "proportions": proportions,
        "length_quantiles": quantiles,
        "vocabulary": integers.vocabulary,
        "metrics": metrics,
    }


def _sampling(material: Material) -> published.SampledSplits | None:
    table = material.profile.split_totals()
    if table is None:
        return None
    read = sum(len(state.planned.sampled) for state in material.states)
    planned = sum(len(state.planned.plan.splits) for state in material.states)
    return published.SampledSplits(table, read, planned)


def _shards(states: list[ShardState]) -> pa.Table:
    copies = copies_of(states)
    rows = []
    for state in states:
        coverage = state.coverage
        rows.append(
            {
                "shard": state.shard.name,
                "sha256": state.sha256 or None,
                "bytes": state.shard.size,
                "format": state.shard.format.value,
                "status": state.status.value,
                "copies": copies.get(state.sha256, 1),
                "splits": len(state.planned.plan.splits),
                "splits_counted": len(state.planned.sampled) if coverage else 0,
                "rows": coverage.rows if coverage else 0,
                "documents": coverage.documents if coverage else 0,
                "dead_letters": sum(coverage.dead.values()) if coverage else 0,
                "row_bytes": coverage.row_bytes if coverage else 0,
                "dead_letter_bytes": sum(coverage.dead_bytes.values()) if coverage else 0,
                "filtered": sum(coverage.filtered.values()) if coverage else 0,
                "nul_documents": coverage.nul_documents if coverage else 0,
                "error": state.error,
            }
        )
    return pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["shard"])), schema=coverage_tables.SHARDS)


def _unread_files(unread: Iterable[UnreadFile]) -> pa.Table:
    rows = [
        {
            "file": file.name,
            "reason": file.reason.value,
            "may_be_data": file.reason.may_be_data,
            "bytes": file.size,
            "same_as": file.same_as,
        }
        for file in unread
    ]
    return pa.Table.from_pylist(rows, schema=coverage_tables.UNREAD_FILES)


def _outcomes(states: list[ShardState]) -> pa.Table:
    counts: Counter[tuple[str, str]] = Counter()
    for state in states:
        if state.coverage:
            counts["document", ""] += state.coverage.documents
            counts.update({("dead_letter", reason): n for reason, n in state.coverage.dead.items()})
            counts.update({("filtered", reason): n for reason, n in state.coverage.filtered.items()})
    rows = [{"outcome": o, "reason": r, "rows": n} for (o, r), n in sorted(counts.items())]
    return pa.Table.from_pylist(rows, schema=coverage_tables.OUTCOMES)


def _dead_letters(states: list[ShardState]) -> Iterator[pa.Table]:
    for state in sorted(states, key=lambda state: state.shard.name):
        if state.coverage is None or not len(state.coverage.letters):
            continue
        letters = state.coverage.letters.columns
        reasons = [state.coverage.names[p].split(":", 1)[1] for p in letters["reason"]]
        excerpts = [text.decode(errors="backslashreplace") or None for text in letters["excerpt"].to_pylist()]
        yield pa.table(
            {
                "shard": pa.array([state.shard.name] * len(reasons), pa.string()),
                **_coordinates(letters["row"]),
                "reason": pa.array(reasons, pa.string()),
                "sha256": letters["sha256"].cast(pa.string()),
                "bytes": letters["bytes"],
                "excerpt": pa.array(excerpts, pa.string()),
            },
            schema=coverage_tables.DEAD_LETTERS,
        )


def _coordinates(key: np.ndarray) -> dict[str, np.ndarray]:
    return {"split": (key >> np.uint64(40)).astype(np.int64), "row": (key & np.uint64(2**40 - 1)).astype(np.int64)}


def _per_document(material: Material) -> Iterator[pa.Table]:
    for state in sorted(material.states, key=lambda state: state.shard.name):
        if state.error is not None:
            continue
        reader = PartialReader(material.job.path_of(Records.name, state.shard, state.sha256))
        names = pa.array(list(reader.names), pa.string())
        for chunk in reader.chunks("records", RECORDS):
            columns = chunk.columns
            ids = columns["id"].cast(pa.string())
            yield pa.table(
                {
                    "shard": pa.array([state.shard.name] * len(chunk), pa.string()),
                    **_coordinates(columns["cell"]),
                    "id": ids if material.spec.document.id else pa.nulls(len(chunk), pa.string()),
                    "domain": names.take(pa.array(columns["domain"])),
                    "hash": hash_column(chunk),
                    **{name: columns[name] for name in ("bytes", "characters", "words", "tokens")},
                },
                schema=document_tables.PER_DOCUMENT,
            )


def add_metrics(staged: StagedRun, more: Iterable[pa.Table]) -> None:
    """Add rows to the table of metrics."""
    metrics = pa.concat_tables([staged.table("metrics"), *more])
    staged.add_table("metrics", [metrics.sort_by([("metric", "ascending"), ("slice", "ascending")])])


def write_report_and_facts(staged: StagedRun, facts: RunFile) -> None:
    """Render report.html and the outputs from what is staged; write run.json with the digest of every other file."""
    from corpus_audit.checks.outputs.context import load_context
    from corpus_audit.checks.outputs.formats import write_outputs
    from corpus_audit.checks.report.page.html import render_html
    from corpus_audit.checks.report.page.model import load_report

    def write_facts() -> None:
        staged.add_run_file(facts.with_files(staged.digests()))

    stage_trends(staged, facts)
    write_facts()  # the report is made from a run directory, this one
    model = load_report(staged.folder)
    staged.add_text("report.html", render_html(model))
    write_outputs(staged.folder, load_context(staged.folder, model))
    write_facts()
