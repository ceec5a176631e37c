"""The contents of a run directory: tables, run.json and the report."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines import derived
from corpus_audit.pipelines.job import Job
from corpus_audit.pipelines.measures.base import facet_settings
from corpus_audit.pipelines.measures.records import RECORDS, Records
from corpus_audit.pipelines.partials import PartialReader
from corpus_audit.pipelines.profile import Profile, hash_column
from corpus_audit.pipelines.run_directory import StagedRun
from corpus_audit.pipelines.verification import NEEDED
from corpus_audit.runners.baselines import baseline_facts
from corpus_audit.runners.recording import stage_trends
from corpus_audit.schemas import tables
from corpus_audit.schemas.audit import AuditSpec
from corpus_audit.schemas.snapshot import ShardStatus, manifest_text, snapshot_digest

if TYPE_CHECKING:
    from corpus_audit.runners.baselines import Baseline
    from corpus_audit.runners.shard_states import ShardState

_PACKAGES = ("corpus-audit", "apache-beam", "gigatoken", "numba", "numpy", "pyarrow", "scipy", "tokenizers")


@dataclass(frozen=True, slots=True)
class Material:
    """What a run has found, ready to be written."""

    spec: AuditSpec
    job: Job
    states: list[ShardState]
    profile: Profile
    documents: int
    workers: int
    baselines: tuple[Baseline, ...] = ()


def write_tables(staged: StagedRun, material: Material) -> dict[str, Any]:
    """Write every table and the manifest; returns run.json but for the digests of files."""
    spec, profile, states = material.spec, material.profile, material.states
    (domains, cluster_groups), lengths = profile.domains(), profile.lengths()
    shards, outcomes = _shards(states), _outcomes(states)
    streamed: dict[str, Iterable[pa.Table]] = {
        "token_groups": profile.token_groups(),
        "token_counts": profile.token_counts(),
        "samples": profile.samples(),
        "document_hashes": profile.document_hashes(),
        "token_examples": profile.token_examples(material.job.tokenization.texts()),
        "minhash": profile.minhash(),
        "domains": [domains],
        "lengths": [lengths],
        "shards": [shards],
        "outcomes": [outcomes],
        "dead_letters": _dead_letters(states),
    }
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
    names = [(state.shard.name, state.sha256) for state in states if state.sha256]
    staged.add_text("MANIFEST.sha256", manifest_text(names))
    return _facts(staged, material)


def _vocabulary(material: Material) -> pa.Table:
    profile = material.profile
    return derived.vocabulary(profile.token_counts(), profile.token_groups(), material.job.tokenizer.vocabulary)


@dataclass(frozen=True, slots=True)
class _Integers:
    """What figures are derived from."""

    domains: pa.Table
    cluster_groups: pa.Table | None
    lengths: pa.Table
    duplicates: pa.Table
    shards: pa.Table
    outcomes: pa.Table
    vocabulary: pa.Table


def _figures(material: Material, integers: _Integers) -> dict[str, pa.Table]:
    """The tables that are derived, once and here, from integers."""
    mixture = material.spec.mixture
    intended = mixture.shares if mixture else None
    unit = mixture.unit if mixture else "tokens"
    sampling = _sampling(material)
    domains, groups = integers.domains, integers.cluster_groups
    proportions = derived.proportions(domains, groups, intended, unit, sampling)
    quantiles = derived.length_quantiles(integers.lengths, domains)
    distance = derived.mixture_distance(domains, intended, unit, groups, sampling) if intended else None
    metrics = derived.metrics(
        domains=domains,
        proportions=proportions,
        length_quantiles=quantiles,
        duplicates=integers.duplicates,
        vocabulary=integers.vocabulary,
        vocabulary_size=material.job.tokenizer.vocabulary,
        shards=integers.shards,
        outcomes=integers.outcomes,
        verified_documents=_verified(material.states),
        mixture=distance,
        mixture_unit=unit,
    )
    return {
        "proportions": proportions,
        "length_quantiles": quantiles,
        "vocabulary": integers.vocabulary,
        "metrics": metrics,
    }


def _sampling(material: Material) -> derived.SplitTotals | None:
    table = material.profile.split_totals()
    if table is None:
        return None
    read = sum(len(state.planned.chosen) for state in material.states)
    planned = sum(len(state.planned.plan.splits) for state in material.states)
    return derived.SplitTotals(table, read, planned)


def _verified(states: list[ShardState]) -> int:
    return sum(state.verified for state in states)


def _copies(states: list[ShardState]) -> Counter[str]:
    return Counter(state.sha256 for state in states if state.sha256)


def _shards(states: list[ShardState]) -> pa.Table:
    copies = _copies(states)
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
                "splits_counted": len(state.planned.chosen) if coverage else 0,
                "rows": coverage.rows if coverage else 0,
                "documents": coverage.documents if coverage else 0,
                "dead_letters": sum(coverage.dead.values()) if coverage else 0,
                "filtered": sum(coverage.filtered.values()) if coverage else 0,
                "nul_documents": coverage.nul_documents if coverage else 0,
                "error": state.error,
            }
        )
    return pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["shard"])), schema=tables.SHARDS)


def _outcomes(states: list[ShardState]) -> pa.Table:
    counts: Counter[tuple[str, str]] = Counter()
    for state in states:
        if state.coverage:
            counts["document", ""] += state.coverage.documents
            counts.update({("dead_letter", reason): n for reason, n in state.coverage.dead.items()})
            counts.update({("filtered", reason): n for reason, n in state.coverage.filtered.items()})
    rows = [{"outcome": o, "reason": r, "rows": n} for (o, r), n in sorted(counts.items())]
    return pa.Table.from_pylist(rows, schema=tables.OUTCOMES)


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
            schema=tables.DEAD_LETTERS,
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
                schema=tables.PER_DOCUMENT,
            )


def _facts(staged: StagedRun, material: Material) -> dict[str, Any]:
    spec, states = material.spec, material.states
    coverage = _coverage(material)
    needed = min(NEEDED, material.documents)
    verified = _verified(states)
    integrity = _integrity(spec, states, coverage, verified, needed)
    reasons = [rule["detail"] for rule in integrity if rule["status"] == "fail"]
    tokenization, tokenizer = material.job.tokenization, material.job.tokenizer
    hashed = [(state.shard.name, state.sha256) for state in states if state.sha256]
    return {
        "format": 1,
        "name": spec.name,
        "run": staged.name,
        "snapshot": {
            "digest": snapshot_digest(hashed),
            "shards": len(states),
            "bytes": sum(state.shard.size for state in states),
        },
        "coverage": coverage,
        "integrity": integrity,
        "complete": not reasons,
        "reasons": reasons,
        "tokenizer": {
            "name": spec.tokenizer,
            "sha256": tokenizer.sha256,
            "vocabulary": tokenizer.vocabulary,
            "path": tokenization.path,
            "path_version": tokenization.path_version,
            "path_reason": tokenization.reason,
            "switched_off": list(tokenizer.switched_off),
            "verified": verified,
            "verified_needed": needed,
        },
        "facets": {
            "primary": "domain",
            "names": list(material.profile.facets),
            "sources": {
                name: _source_text(source)
                for name, source in {"domain": spec.document.domain, **spec.document.facets}.items()
            },
        },
        "cluster": _source_text(spec.document.cluster) if spec.document.cluster is not None else None,
        "token_groups": "domain" if material.profile.groups_by_domain else "overall",
        "mixture": {"unit": spec.mixture.unit, "shares": spec.mixture.shares} if spec.mixture else None,
        "filter": [{"name": clause.name, "clause": _clause_text(clause)} for clause in spec.filter],
        "baselines": baseline_facts(material.baselines),
        "versions": _versions(),
        "spec": spec.model_dump(mode="json"),
    }


def _coverage(material: Material) -> dict[str, Any]:
    states = material.states
    by_status = Counter(state.status for state in states)
    totals = [state.coverage for state in states if state.coverage]
    splits = sum(len(state.planned.plan.splits) for state in states)
    counted = sum(len(state.planned.chosen) for state in states if state.coverage)
    return {
        "shards": len(states),
        "shards_read": by_status[ShardStatus.READ],
        "shards_cached": by_status[ShardStatus.CACHED],
        "shards_error": by_status[ShardStatus.ERROR],
        "shards_not_sampled": by_status[ShardStatus.NOT_SAMPLED],
        "splits": splits,
        "splits_counted": counted,
        "rows": sum(coverage.rows for coverage in totals),
        "documents": material.documents,
        "dead_letters": sum(sum(coverage.dead.values()) for coverage in totals),
        "filtered": sum(sum(coverage.filtered.values()) for coverage in totals),
        "sample_share": material.spec.sample.share if material.spec.sample else 1.0,
        "conserved": _conserved(material),
        "manifest": material.spec.snapshot.manifest is not None,
        "digests_computed": sum(state.planned.plan.digest_computed for state in states),
        "digests_remembered": sum(not state.planned.plan.digest_computed for state in states),
        "duplicate_shards": sum(n - 1 for n in _copies(states).values()),
    }


def _conserved(material: Material) -> bool:
    """Whether readers, footers and measures agree on every row: the readers' tallies were checked as they read; here
    the rows that footers promise and the documents that the measures hold are held against them."""
    for state in material.states:
        plan = state.planned.plan
        whole = len(state.planned.chosen) == len(plan.splits)
        if state.coverage and whole and plan.rows is not None and plan.rows != state.coverage.rows:
            return False
    profile_documents = sum(int(chunk.columns["documents"].sum()) for chunk in material.profile.duplicate_hashes())
    return profile_documents == material.documents


def _integrity(
    spec: AuditSpec, states: list[ShardState], coverage: dict[str, Any], verified: int, needed: int
) -> list[dict[str, str]]:
    failed = [state for state in states if state.error is not None]
    budget = spec.limits.dead_letter_share
    dead = coverage["dead_letters"] / coverage["rows"] if coverage["rows"] else 0.0
    first = f"; the first is {failed[0].shard.name}: {failed[0].error}" if failed else ""
    rules = [
        (
            "coverage",
            not failed,
            f"{len(failed)} of {len(states)} shards could not be read{first}",
            "every shard was read",
        ),
        ("conservation", coverage["conserved"], "rows are unaccounted for", "every row is accounted for"),
        (
            "digests",
            all(state.sha256 for state in states),
            "a shard could not be hashed",
            f"{coverage['digests_computed']} computed, {coverage['digests_remembered']} remembered",
        ),
        (
            "tokenizer_verification",
            verified >= needed,
            f"only {verified} of the {needed} documents needed were verified against the reference tokenizer",
            f"{verified} documents agree with the reference",
        ),
        (
            "dead_letter_budget",
            dead <= budget,
            f"{coverage['dead_letters']} of {coverage['rows']} rows are dead letters ({dead:.3%}), more than the "
            f"limit of {budget:.3%}",
            f"{coverage['dead_letters']} of {coverage['rows']} rows, the limit is {budget:.3%}",
        ),
    ]
    return [
        {"check": check, "status": "pass" if holds else "fail", "detail": good if holds else bad}
        for check, holds, bad, good in rules
    ]


def add_rule(facts: dict[str, Any], rule: tuple[str, bool, str, str]) -> None:
    """Add an integrity rule (name, whether it holds, what is wrong, what was seen) to run.json."""
    check, holds, bad, good = rule
    facts["integrity"].append({"check": check, "status": "pass" if holds else "fail", "detail": good if holds else bad})
    if not holds:
        facts["complete"] = False
        facts["reasons"].append(bad)


def add_metrics(staged: StagedRun, more: Iterable[pa.Table]) -> None:
    """Add rows to the table of metrics."""
    metrics = pa.concat_tables([staged.table("metrics"), *more])
    staged.add_table("metrics", [metrics.sort_by([("metric", "ascending"), ("slice", "ascending")])])


def _source_text(source: Any) -> str:
    value = facet_settings(source)
    if isinstance(value, str):
        return f"column {value}"
    return ", ".join(f"{kind.replace('_', ' ')} {what}" for kind, what in value.items())


def _clause_text(clause: Any) -> str:
    value = list(clause.value) if isinstance(clause.value, tuple) else clause.value
    return f"{clause.column} {clause.op}" + ("" if value is None else f" {value!r}")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "unicode": unicodedata.unidata_version}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def host_facts() -> dict[str, Any]:
    """Name and kind of this machine; they go into timings.json alone."""
    return {
        "name": platform.node(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }


def write_report_and_facts(staged: StagedRun, facts: dict[str, Any]) -> None:
    """Render report.html and the outputs from what is staged; write run.json with the digest of every other file."""
    from corpus_audit.checks.outputs.evidence import load_evidence
    from corpus_audit.checks.outputs.formats import write_outputs
    from corpus_audit.checks.report.html import render_html
    from corpus_audit.checks.report.model import load_report

    def write_facts() -> None:
        text = json.dumps(facts | {"files": staged.digests()}, indent=2, sort_keys=True, ensure_ascii=False)
        staged.add_text("run.json", text + "\n")

    stage_trends(staged, facts)
    write_facts()  # the report is made from a run directory, this one
    model = load_report(staged.folder)
    staged.add_text("report.html", render_html(model))
    write_outputs(staged.folder, load_evidence(staged.folder, model))
    write_facts()
