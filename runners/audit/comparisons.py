"""The sections of a run beyond its profile: drift from baselines, sampling strategies, contamination, the index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.storage.run_directory import RunDirectory, StagedRun
from corpus_audit.pipelines.tokens.tokenization import Tokenization, TokenizerFile
from corpus_audit.runners.audit import publish
from corpus_audit.runners.audit.baselines import Baseline, add_comparisons, open_baselines
from corpus_audit.runners.audit.index_facts import add_index
from corpus_audit.schemas.run.run_file import RunFile
from corpus_audit.schemas.spec.audit import AuditSpec

if TYPE_CHECKING:
    from corpus_audit.pipelines.contamination.measure import Contamination
    from corpus_audit.runners.audit.benchmarks import Benchmarks
    from corpus_audit.runners.audit.decoys import DecoySearch


@dataclass(frozen=True)
class Comparisons:
    """Baselines and benchmarks of an audit, opened and checked before a shard is read."""

    spec: AuditSpec
    base: Path
    baselines: tuple[Baseline, ...]
    benchmarks: Benchmarks | None

    @classmethod
    def open(cls, spec: AuditSpec, base: Path, tokenizer: TokenizerFile, store: Path) -> Comparisons:
        """Open the baselines and benchmarks of a spec; paths are relative to ``base``.

        Raises:
            AuditError: a baseline, a benchmark, a target or a log is not there or cannot be compared with.
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
        wanted = spec.contamination_spec
        if not wanted:
            return cls(spec, base, baselines, None)
        from corpus_audit.runners.audit.benchmarks import Benchmarks  # with the scan and its kernels: 50 ms

        return cls(spec, base, baselines, Benchmarks.open(wanted, base, store))

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
        current = RunDirectory(staged.folder, facts.with_files(staged.digests()))
        add_comparisons(staged, current.facts, self.baselines, workers, lambda _: None)
        if self.spec.sampling is not None:
            from corpus_audit.pipelines.sampling.strategies_report import sampling_tables

            for name, table in sampling_tables(current, self.spec.sampling, self.base).items():
                staged.add_table(name, [table])
        return facts
