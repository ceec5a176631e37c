"""Publishes a merged scan as an index: its arrays and tables, and what it says of its snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.build.drift import embedding_drift
from corpus_audit.embeddings.build.semantic import semantic_contamination
from corpus_audit.embeddings.build.tables import documents_table
from corpus_audit.embeddings.build.unit_crops import unit_crops
from corpus_audit.embeddings.images.scanner import ImageScanner
from corpus_audit.embeddings.images.sources import ImageSource
from corpus_audit.embeddings.index.files import IndexFacts, write_index
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.lookup.search import WindowSearch
from corpus_audit.embeddings.scan.autoencoder_check import CheckedSae
from corpus_audit.embeddings.scan.partials import ScanPartial
from corpus_audit.embeddings.scan.scanner import ActivationScanner
from corpus_audit.embeddings.scan.verification import RescanResult
from corpus_audit.embeddings.unit_reading.unit_reader import source_digest
from corpus_audit.pipelines.contamination.benchmarks.items import read_benchmark
from corpus_audit.pipelines.progress.board import process_board
from corpus_audit.pipelines.progress.timings import Timings
from corpus_audit.schemas.run.snapshot import ShardPlan, snapshot_digest
from corpus_audit.schemas.spec.audit_file import LoadedAudit


class BuildStages(Timings):
    """Times the stages of a build, in wall-clock seconds."""

    @contextmanager
    def stage(self, name: str, size: int = 0) -> Iterator[None]:
        """Time a block of code, and show it on the progress board as a stage of ``size`` bytes."""
        process_board().begin_stage(name, total_bytes=size)
        with super().stage(name):
            yield


@dataclass(frozen=True)
class Publication:
    """What an index is published from, besides the merged scan.

    Attributes:
        loaded: the audit.
        scanner: that made the scan.
        stages: times what is done.
        baseline: the index from which drift is measured, if there is one.
    """

    loaded: LoadedAudit
    scanner: ActivationScanner | ImageScanner
    stages: BuildStages
    baseline: Index | None

    def write(
        self,
        plans: Sequence[ShardPlan],
        merged: ScanPartial,
        verified: RescanResult,
        saes: dict[str, CheckedSae],
        folder: Path,
    ) -> tuple[Path, IndexFacts]:
        """Write the index; returns its folder and the content of its index.json.

        Args:
            plans: of the snapshot's shards.
            merged, verified: the scan, and what running windows again has shown.
            saes: what was measured of each autoencoder.
            folder: of the vectors' arrays, which are moved.
        """
        scanner = self.scanner
        notes = scanner.sae_notes()
        checked = {name: sae.as_json() | {"notes": notes[name]} for name, sae in saes.items()} or None
        facts = replace(self._facts(plans, merged), verified=verified.as_json(), autoencoders=checked)
        facts = replace(facts, sources=self._sources())
        indices = {str(point): units for point, units in scanner.selection.indices.items()}
        arrays = merged.state.arrays()
        if isinstance(scanner, ActivationScanner) and scanner.spec.heatmaps and scanner.sizes.top:
            with self.stages.stage("heat maps"):
                arrays["heat"] = scanner.heat(*_example_positions(merged), merged.windows)
        tables = {
            "windows": merged.windows,
            "documents": documents_table(merged.documents, facts.snapshot),
        }
        output = self.loaded.base / scanner.spec.output
        more = partial(self._snapshot_tables, plans)
        return write_index(output, datetime.now(UTC), facts, arrays, indices, tables, folder, more)

    def _snapshot_tables(self, plans: Sequence[ShardPlan], folder: Path) -> dict[str, pa.Table]:
        """Tables about the snapshot as a whole, computed from the index in ``folder``: they search its vectors, and
        crop its images."""
        tables: dict[str, pa.Table] = {}
        index = Index(folder)
        if self.baseline is not None:
            with self.stages.stage("drift"):
                tables["embedding_drift"] = embedding_drift(self.baseline, index)
        if isinstance(self.scanner, ImageScanner):
            if self.loaded.spec.excerpts:
                with self.stages.stage("contact sheets"):
                    source = ImageSource.of_plans(self.loaded.spec, plans)
                    tables["unit_crops"] = unit_crops(index, self.scanner.model, source, self.loaded.spec)
            return tables
        if self.scanner.block is None:
            return tables
        search = WindowSearch(index)
        if self.loaded.spec.benchmarks:
            with self.stages.stage("benchmarks"):
                benchmarks = [read_benchmark(entry, self.loaded.base) for entry in self.loaded.spec.benchmarks]
                tables |= semantic_contamination(search, self.scanner.encoder(), benchmarks)
        return tables

    def _facts(self, plans: Sequence[ShardPlan], merged: ScanPartial) -> IndexFacts:
        scanner = self.scanner
        vectors: dict[str, Any] | None = None
        if merged.vectors is not None and scanner.spec.vectors is not None and scanner.has_vectors:
            vectors = {
                "block": scanner.block,
                "one_in": scanner.spec.vectors.one_in,
                "width": scanner.hidden,
                "windows": len(merged.vectors),
            }
            if isinstance(scanner, ImageScanner) and scanner.pooled is not None:
                vectors["read"] = scanner.pooled.read
        model: dict[str, Any] = scanner.card.as_json()
        sizes = scanner.sizes
        return IndexFacts(
            name=scanner.audit.name,
            snapshot=snapshot_digest([(plan.shard.name, plan.sha256) for plan in plans]),
            model=model,
            windows=scanner.windows,
            window=scanner.spec.window,
            sizes={"k": sizes.top, "domain_k": sizes.domain, "minima": sizes.minima, "samples": sizes.samples},
            scan=scanner.key,
            counts=merged.counts,
            domains=tuple(merged.state.domains),
            vectors=vectors,
            not_offered=scanner.not_offered(),
        )

    def _sources(self) -> dict[str, dict[str, Any]] | None:
        """The files that units are read from, by point."""
        spec, base = self.scanner.spec, self.loaded.base
        sources: dict[str, dict[str, Any]] = {
            f"sae.{sae.name}": {"path": sae.path, "sha256": source_digest(base / sae.path), "ignore": list(sae.ignore)}
            for sae in spec.saes
        }
        for direction in spec.directions:
            digest = source_digest(base / direction.path)
            sources[f"dir.{direction.name}"] = {"path": direction.path, "sha256": digest, "block": direction.block}
        return sources or None


def _example_positions(merged: ScanPartial) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit's row, slot and window's position of every example of the top lists, int64 [P] each."""
    rows, slots = np.nonzero(merged.state.top.filled)
    positions = np.searchsorted(merged.windows["window"].to_numpy(), merged.state.top.window[rows, slots])
    return rows, slots, positions
