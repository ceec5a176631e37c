"""The sections of a run beyond its profile: drift, sampling strategies, contamination, the index, an investigation."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.storage.run_directory import RunDirectory, StagedRun
from corpus_audit.pipelines.tokens.tokenization import Tokenization, TokenizerFile
from corpus_audit.runners.audit import publish
from corpus_audit.runners.audit.baselines import Baseline, add_comparisons, open_baselines
from corpus_audit.runners.audit.index_facts import add_index
from corpus_audit.runners.investigation.published import FACTS_FILE, PublishedInvestigation, wanted_investigation
from corpus_audit.schemas.run.findings import FINDINGS_FILE
from corpus_audit.schemas.run.run_file import RunFile
from corpus_audit.schemas.spec.audit import AuditSpec

if TYPE_CHECKING:
    from corpus_audit.pipelines.contamination.measure import Contamination
    from corpus_audit.runners.audit.benchmarks import Benchmarks
    from corpus_audit.runners.audit.decoys import DecoySearch

INVESTIGATION = "investigation"
"""Folder of a run directory with the findings of the investigation that the audit names."""


@dataclass(frozen=True)
class Comparisons:
    """Baselines, benchmarks and the investigation of an audit, opened and checked before a shard is read."""

    spec: AuditSpec
    base: Path
    baselines: tuple[Baseline, ...]
    benchmarks: Benchmarks | None
    investigation: PublishedInvestigation | None = None

    @classmethod
    def open(cls, spec: AuditSpec, base: Path, tokenizer: TokenizerFile, store: Path) -> Comparisons:
        """Open what a spec compares with; paths are relative to ``base``.

        Raises:
            AuditError: a baseline, a benchmark, a target, a log or an investigation is not there or cannot be compared
                with.
        """
        if spec.sampling is not None:
            from corpus_audit.pipelines.sampling.strategies_report import (
                check_sampling,
            )  # only where it is wanted: 60 ms

            check_sampling(spec.sampling, tokenizer.sha256, base)
        baselines = open_baselines(spec, base, tokenizer, store)
        for benchmark in spec.image_limits.benchmarks:
            from corpus_audit.pipelines.images.benchmarks import benchmark_files

            benchmark_files(benchmark.name, base / benchmark.path)
        investigation = wanted_investigation(base / spec.investigation if spec.investigation is not None else None)
        wanted = spec.contamination_spec
        if not wanted:
            return cls(spec, base, baselines, None, investigation)
        from corpus_audit.runners.audit.benchmarks import Benchmarks  # with the scan and its kernels: 50 ms

        return cls(spec, base, baselines, Benchmarks.open(wanted, base, store), investigation)

    def write(
        self,
        staged: StagedRun,
        facts: RunFile,
        profile: Profile,
        contamination: Contamination | None,
        decoys: DecoySearch | None,
        tokenization: Tokenization,
        workers: int,
    ) -> RunFile:
        """Write the tables of all sections and add their metrics; returns ``facts`` with the self-check."""
        if self.benchmarks is not None and contamination is not None and decoys is not None:
            from corpus_audit.pipelines.contamination.metrics import contamination_metrics
            from corpus_audit.runners.audit.benchmarks import self_check

            tables = self.benchmarks.tables(
                contamination,
                profile.merged_partial(contamination),
                tokenization,
                decoys.decoys,
                decoys.evidence(profile),
            )
            for name, table in tables.items():
                staged.add_table(name, [table])
            facts = facts.with_rule(self_check(tables))
            publish.add_metrics(staged, [contamination_metrics(tables)])
        if self.spec.image_limits.benchmarks:
            from corpus_audit.pipelines.image_figures.staging import write_image_benchmarks

            publish.add_metrics(staged, [write_image_benchmarks(staged, self.spec, self.base)])
        facts = add_index(staged, facts, self.spec, self.base)
        if self.investigation is not None:
            _add_investigation(staged, self.investigation)
        current = RunDirectory(staged.folder, facts.with_files(staged.digests()))
        add_comparisons(staged, current.facts, self.baselines, workers, lambda _: None)
        if self.spec.sampling is not None:
            from corpus_audit.pipelines.sampling.strategies_report import sampling_tables

            for name, table in sampling_tables(current, self.spec.sampling, self.base).items():
                staged.add_table(name, [table])
        return facts


def _add_investigation(staged: StagedRun, investigation: PublishedInvestigation) -> None:
    """Add the metrics of an investigation; copy its findings and its list of files, so that `run.json` binds them."""
    publish.add_metrics(staged, [investigation.metrics()])
    (staged.folder / INVESTIGATION).mkdir()
    for name in (FINDINGS_FILE, FACTS_FILE):
        shutil.copyfile(investigation.folder / name, staged.folder / INVESTIGATION / name)
