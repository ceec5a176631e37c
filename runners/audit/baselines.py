"""Open and check the baselines of an audit before it reads shards, and compare with them after it writes tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from corpus_audit.pipelines.drift.comparable import RunReading, check_comparable
from corpus_audit.pipelines.drift.metrics import drift_metrics, near_duplicate_metrics
from corpus_audit.pipelines.figures.near_duplicate_rates import near_duplicate_rates
from corpus_audit.pipelines.measures.overlap.baseline_keys import BaselineKeys, documents_digest
from corpus_audit.pipelines.measures.overlap.shared import Shared
from corpus_audit.pipelines.storage.run_directory import RunDirectory, StagedRun, open_run
from corpus_audit.pipelines.tokens.tokenization import TokenizerFile
from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.run.results import RESULTS_FILE, Verdict, read_results
from corpus_audit.schemas.run.run_file import RunBaseline, RunFile
from corpus_audit.schemas.spec.audit import AuditSpec

if TYPE_CHECKING:
    from corpus_audit.pipelines.drift.token_tables import TokenTables


def default_workers() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Baseline:
    """A run to compare with, and the measure of what the current snapshot shares with it."""

    label: str
    run: RunDirectory
    measure: Shared

    @property
    def keys(self) -> BaselineKeys:
        """The documents that the baseline holds."""
        return self.measure.keys


def open_baselines(spec: AuditSpec, base: Path, tokenizer: TokenizerFile, store: Path) -> tuple[Baseline, ...]:
    """Open the baselines of a spec; paths are relative to ``base``.

    Raises:
        UsageError: a baseline is not there, is the same run as another one, or cannot be compared with this audit.
        StoreError: a baseline is damaged.
    """
    baselines: list[Baseline] = []
    current = RunReading(tokenizer.sha256, tokenizer.name, spec.model_dump(mode="json"), sample_share=1.0)
    for reference in spec.baselines:
        run = last_passed(base / reference.run) if reference.passed else open_run(base / reference.run)
        check_comparable(RunReading.of(run.facts), current, reference.label)
        if not run.facts.complete:
            raise UsageError(
                f"the baseline {reference.label} has no verdict ({run.facts.reasons[0]}): compare with a complete run"
            )
        baselines.append(Baseline(reference.label, run, Shared(BaselineKeys.of(run, store))))
    return tuple(baselines)


def last_passed(folder: Path) -> RunDirectory:
    """The newest run of an output folder whose verdict is pass or warn.

    Raises:
        UsageError: there is none.
    """
    for path in sorted(folder.glob(f"*/{RESULTS_FILE}"), reverse=True):
        with suppress(OSError, StoreError):
            if read_results(path.read_bytes(), str(path)).verdict in (Verdict.PASS, Verdict.WARN):
                return RunDirectory(path.parent)
    raise UsageError(
        f"{folder} holds no run whose verdict is pass or warn: the first audit needs a policy and no baseline, or a "
        "baseline without `passed: true`"
    )


def baseline_facts(baselines: Sequence[Baseline]) -> tuple[RunBaseline, ...]:
    """The baselines as run.json records them."""
    return tuple(
        RunBaseline(
            label=baseline.label,
            run=baseline.run.facts.run,
            name=baseline.run.facts.name,
            snapshot=baseline.run.facts.snapshot.digest,
            documents=baseline.keys.digest,
        )
        for baseline in baselines
    )


def add_comparisons(
    staged: StagedRun,
    facts: RunFile,
    baselines: Sequence[Baseline],
    workers: int,
    progress: Callable[[str], None],
) -> None:
    """Write the drift tables and the near-duplicate rates of a staged run, and add their figures to its metrics.

    Raises:
        StoreError: a table of a baseline cannot be read.
    """
    current = RunDirectory(staged.folder, facts)
    near = [near_duplicate_rates(current)]
    parts_by_name: dict[str, list[pa.Table]] = {}
    for baseline in baselines:
        shared = _shared_tables(current, baseline.keys.digest)
        images = _image_drift(baseline.label, baseline.run, current)
        tables = _drift()(
            baseline.label, baseline.run, current, shared, workers=workers, progress=progress, images=images
        )
        near.append(tables.pop("near_duplicates"))
        for name, table in tables.items():
            parts_by_name.setdefault(name, []).append(table)
    drift_tables = {name: pa.concat_tables(parts) for name, parts in parts_by_name.items()}
    drift_tables["near_duplicates"] = pa.concat_tables(near)
    for name, table in drift_tables.items():
        staged.add_table(name, [table])
    rows = [current.table("metrics"), near_duplicate_metrics(drift_tables["near_duplicates"])]
    if parts_by_name:
        rows.append(drift_metrics(drift_tables))
    if "image_drift_sizes" in drift_tables:
        from corpus_audit.pipelines.image_figures.drift import image_drift_metrics

        rows.append(image_drift_metrics(drift_tables, current.table("image_totals")))
    metrics = pa.concat_tables(rows).sort_by([("metric", "ascending"), ("slice", "ascending")])
    staged.add_table("metrics", [metrics])


def _drift() -> Callable[..., dict[str, pa.Table]]:
    from corpus_audit.pipelines.drift.analysis import drift  # 0.1 s that an audit without a baseline saves

    return drift


def _image_drift(label: str, baseline: RunDirectory, current: RunDirectory) -> dict[str, pa.Table]:
    """Both drift tables of images; none where a run is not of images."""
    if not all((run.folder / "tables" / "image_files.parquet").exists() for run in (baseline, current)):
        return {}
    from corpus_audit.pipelines.image_figures.drift import image_drift_tables  # only where it is needed

    return image_drift_tables(label, baseline, current)


def compare(
    baseline: RunDirectory, current: RunDirectory, label: str, workers: int, progress: Callable[[str], None]
) -> dict[str, pa.Table]:
    """Drift between two finished runs, from their tables.

    Raises:
        UsageError: the runs cannot be compared.
        StoreError: a table cannot be read.
    """
    check_comparable(RunReading.of(baseline.facts), RunReading.of(current.facts), label)
    shared = None
    for measuring, other in ((current, baseline), (baseline, current)):
        digest = documents_digest(other)
        if any(known.documents == digest for known in measuring.facts.baselines):
            shared = _shared_tables(measuring, digest)
            break
    images = _image_drift(label, baseline, current)
    return _drift()(label, baseline, current, shared, workers=workers, progress=progress, images=images)


def _shared_tables(run: RunDirectory, digest: str) -> TokenTables:
    from corpus_audit.pipelines.drift.token_tables import TokenTables  # as above

    folder = run.folder / "tables"
    return TokenTables(folder / "shared_token_counts.parquet", folder / "shared_token_groups.parquet", digest)
