"""Read and index the benchmarks of an audit before its corpus, and judge them after it is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from corpus_audit.pipelines.contamination.benchmarks.items import Benchmark, benchmarks_digest, read_benchmark
from corpus_audit.pipelines.contamination.canaries import plant_canaries
from corpus_audit.pipelines.contamination.decoys import Decoy
from corpus_audit.pipelines.contamination.evaluate import contamination_tables
from corpus_audit.pipelines.contamination.index import build_index
from corpus_audit.pipelines.contamination.measure import Contamination
from corpus_audit.pipelines.contamination.selfcheck import DecoyEvidence
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.pipelines.tokens.tokenization import Tokenization
from corpus_audit.schemas.run.run_file import IntegrityRule
from corpus_audit.schemas.spec.benchmarks import ContaminationSpec


@dataclass(frozen=True)
class Benchmarks:
    """The benchmarks of a spec as read, and the folder where their index is kept."""

    spec: ContaminationSpec
    read: tuple[Benchmark, ...]
    folder: Path

    @classmethod
    def open(cls, spec: ContaminationSpec, base: Path, store: Path) -> Benchmarks:
        """Read the benchmarks; paths are relative to ``base``.

        Raises:
            AuditError: a benchmark cannot be read or holds no item.
        """
        return cls(spec, tuple(read_benchmark(each, base) for each in spec.benchmarks), store / "benchmarks")

    @property
    def digest(self) -> str:
        """Digest of the benchmarks as read."""
        return benchmarks_digest(self.read)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Words of every item."""
        return tuple(sorted(len(item.text.split()) for benchmark in self.read for item in benchmark.items))

    def measure(self, tokenization: Tokenization) -> Contamination:
        """The measure of the index, which is built if the store lacks it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Contamination(build_index(self.read, tokenization, self.folder))

    def tables(
        self,
        measure: Contamination,
        partial: Partial,
        tokenization: Tokenization,
        decoys: Sequence[Decoy] = (),
        evidence: DecoyEvidence | None = None,
    ) -> dict[str, pa.Table]:
        """The contamination tables, from the merged evidence, this run's decoys and its canaries."""
        passages = [decoy.text for decoy in decoys]
        planted = plant_canaries(measure, self.read, tokenization, self.spec.canaries, passages)
        return contamination_tables(self.spec, measure.scanner.index, partial, planted, evidence)


def self_check(tables: dict[str, pa.Table]) -> IntegrityRule:
    """The integrity rule that the scan finds every planted copy that a rule must find."""
    rows = [row for row in tables["contamination_copies"].to_pylist() if row["required"]]
    missed = [row for row in rows if row["found"] < row["canaries"]]
    names = ", ".join(f"{row['rule']} found {row['found']} of {row['canaries']} ({row['copy']})" for row in missed)
    planted = sum(row["canaries"] for row in rows)
    kinds = ", ".join(dict.fromkeys(row["copy"] for row in rows if row["canaries"]))
    rules = len({row["rule"] for row in rows})
    return IntegrityRule.of(
        "contamination_self_check",
        not missed and planted > 0,
        f"planted copies of benchmark items were not all found: {names}"
        if missed
        else "no benchmark item is long enough for any rule, so the scan could not be checked",
        f"every planted copy that a rule must find was found, {planted} over {rules} rules ({kinds})",
    )
