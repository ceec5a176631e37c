"""What a measure is, and the block of documents that it counts."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.images.properties import ImageProperties
from corpus_audit.pipelines.kernels.counters import gather
from corpus_audit.pipelines.measures.hits import Hits
from corpus_audit.pipelines.storage import count_tables, merging, partials
from corpus_audit.pipelines.storage.count_tables import CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial, PartialReader, PartialWriter
from corpus_audit.schemas.spec.audit import AuditSpec, DocumentSpec, FacetSource

FAN_IN = 32
"""Partials that one merge reads at once; more are merged as a tree."""


@dataclass(frozen=True, slots=True)
class FacetColumn:
    """One facet of a block: distinct values, and the position of each document's among them.

    ``values`` is a large_string array of V distinct values; ``codes`` is int64 [D].
    """

    values: pa.LargeStringArray
    codes: np.ndarray


@dataclass(frozen=True, slots=True)
class Block:
    """Documents of one split, up to some tens of megabytes of text, counted and tokenised; D of them, T tokens.

    Attributes:
        split: position of the split within its shard; split_key: 64 bits that identify it by content.
        rows: int64 [D], row within the split.
        bytes, characters, words, tokens: int64 [D].
        high, low: uint64 [D], the content hash (see `kernels.hashing`).
        first_minhash: uint32 [D]; sketches: uint8 [D, 64] (see `kernels.text.sketches`).
        names: the block's primary-facet values, sorted as UTF-8 bytes.
        domains: int64 [D], position in ``names``.
        facets: name -> column, the primary facet included.
        clusters: (high, low) of the cluster keys' hashes, uint64 [D] each, or None when documents are clusters.
        alone: bool [D], documents without a cluster value: each is a cluster, and its content hash stands in
            ``clusters``. None exactly when ``clusters`` is.
        ids: uint16 or uint32 [T] token ids, the narrower where it will do: these loops wait for memory.
        offsets: int64 [D + 1] into ``ids``.
        document_ids: large_binary [D] of the documents' ids (empty where the corpus has none).
        excerpts: large_binary [D], the beginning of each text, or None if excerpts are off.
        vocabulary: one more than the largest token id that the tokenizer can give.
        hits: what a scan for benchmarks found in the documents, None without one.
        images: of an image corpus, the properties of the documents' images, D rows; else None.
    """

    split: int
    split_key: int
    rows: np.ndarray
    bytes: np.ndarray
    characters: np.ndarray
    words: np.ndarray
    tokens: np.ndarray
    high: np.ndarray
    low: np.ndarray
    first_minhash: np.ndarray
    sketches: np.ndarray
    names: tuple[str, ...]
    domains: np.ndarray
    facets: dict[str, FacetColumn]
    clusters: tuple[np.ndarray, np.ndarray] | None
    alone: np.ndarray | None
    ids: np.ndarray
    offsets: np.ndarray
    document_ids: pa.LargeBinaryArray
    excerpts: pa.LargeBinaryArray | None
    vocabulary: int
    hits: Hits | None = None
    images: ImageProperties | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def groups(self) -> np.ndarray:
        """uint8 [D], the hash group (of 64) of each document, or of its cluster where a cluster field is set."""
        high = self.high if self.clusters is None else self.clusters[0]
        return ((high >> np.uint64(56)) & np.uint64(63)).astype(np.uint8)

    def take(self, rows: np.ndarray) -> Block:
        """The block of some of the documents, int64 [N] ascending positions; without hits if not of all."""
        if len(rows) == len(self):
            return self
        lengths = self.tokens[rows]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        clusters = None if self.clusters is None else (self.clusters[0][rows], self.clusters[1][rows])
        facets = {name: FacetColumn(facet.values, facet.codes[rows]) for name, facet in self.facets.items()}
        plain = ("rows", "bytes", "characters", "words", "tokens", "high", "low", "domains")
        hashed = ("first_minhash", "sketches")
        return replace(
            self,
            **{name: getattr(self, name)[rows] for name in (*plain, *hashed)},
            facets=facets,
            clusters=clusters,
            alone=None if self.alone is None else self.alone[rows],
            ids=gather.take_runs(self.ids, self.offsets[rows], offsets),
            offsets=offsets,
            hits=None,
            document_ids=self.document_ids.take(pa.array(rows)),
            excerpts=None if self.excerpts is None else self.excerpts.take(pa.array(rows)),
            images=None if self.images is None else self.images.take(rows),
        )


class Measure(ABC):
    """Counts blocks into mergeable tables; knows nothing of engines, files or other measures.

    To add one, write it in a file of its own and list it in `measures.registry`. ``version`` changes whenever the same
    documents would give other rows.
    """

    name: str
    version: int
    uses_tokens: bool = True
    merges: bool = True
    """Whether shards add up into one profile; otherwise the rows stay with their shard."""

    def wants(self, sha256: str, spec: AuditSpec) -> bool:
        """Whether the measure counts a shard of that digest; all of them, as a rule."""
        return True

    @abstractmethod
    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The part of the spec that the counts depend on, beyond how documents are read; JSON values."""

    @abstractmethod
    def tables(self) -> dict[str, TableSpec]:
        """The tables it counts into."""

    def in_run(self, run: str) -> Measure:
        """The measure as it counts splits of one run in this process; ``run`` identifies the run."""
        return self

    @abstractmethod
    def count(self, block: Block) -> Partial:
        """Count one block."""

    def merge(self, parts: Sequence[Partial]) -> Partial:
        """Merge partials in memory; associative and commutative."""
        return partials.merge_partials(parts)

    def streams(self, readers: Sequence[PartialReader], names: Sequence[str]) -> dict[str, list[Iterator[CountTable]]]:
        """The sorted chunks of every table of every partial, positions referring to ``names``."""
        return {name: _streams(readers, name, spec, names) for name, spec in self.tables().items()}

    def merged_apart(self) -> tuple[tuple[str, ...], ...]:
        """Sets of tables that can be merged on different workers; each table by itself unless it needs another."""
        return tuple((name,) for name in self.tables())

    def empty(self) -> Partial:
        """The partial of no documents."""
        return Partial((), {name: count_tables.empty(spec) for name, spec in self.tables().items()})

    def settings_digest(self, spec: AuditSpec) -> str:
        """SHA-256 of the settings."""
        return hashlib.sha256(json.dumps(self.settings(spec), sort_keys=True).encode()).hexdigest()


def _streams(
    readers: Sequence[PartialReader], table: str, spec: TableSpec, names: Sequence[str]
) -> list[Iterator[CountTable]]:
    positions = [partials.positions_in(reader.names, names) for reader in readers]
    limits = None
    if spec.keep_per_domain and not spec.compressed and len(readers) > 1:
        # The long byte strings of rows that the merged table cannot hold need not be read: most of those of many files.
        columns = (reader.columns(table, spec, spec.sort_columns[:2]) for reader in readers)
        keys = ((own[domain], key) for own, (domain, key) in zip(positions, columns, strict=True))
        limits = merging.highest_kept(keys, len(names), spec.keep_per_domain)
    return [_remapped(reader, table, spec, own, limits) for reader, own in zip(readers, positions, strict=True)]


def _remapped(
    reader: PartialReader, table: str, spec: TableSpec, positions: np.ndarray, limits: np.ndarray | None
) -> Iterator[CountTable]:
    for chunk in reader.chunks(table, spec, None if limits is None else limits[positions]):
        yield count_tables.remap_domains(chunk, positions)


def merge_files(measure: Measure, sources: Sequence[Path], target: Path, only: Collection[str] | None = None) -> None:
    """Merge partial files into one, with a chunk of each source in memory; a repeated source counts again.

    1. The union of the sources' domain names, sorted: the positions in all rows are replaced by those in it.
    2. Table by table, the streams of all sources are merged (`merging.merge_streams`), and written as they come.

    Args:
        measure: what they are partials of.
        sources: at most some tens of files.
        target: the merged file.
        only: the tables to merge, all by default.

    Raises:
        StoreError: when a source is damaged.
    """
    readers = [PartialReader(path) for path in sources]
    names = partials.union_names(reader.names for reader in readers)
    with PartialWriter(target, names, partials.merge_facts(reader.facts for reader in readers)) as writer:
        for name, streams in sorted(measure.streams(readers, names).items()):
            if only is not None and name not in only:
                continue
            spec = measure.tables()[name]
            writer.add(name, count_tables.empty(spec))
            for chunk in merging.merge_streams(streams, spec):
                writer.add(name, chunk)


class Accumulator:
    """Adds up the blocks of one split in bounded memory.

    1. `add` counts a block into a partial and merges once there are three: blocks of one split share most keys, so
       that the merged table is hardly larger than one of them.
    2. `spill`, called after each block, writes what is in memory to a file when that has more rows than ``spill_rows``,
       and begins anew. Splits with very many domains come to that; others never touch the disk.
    3. `write` makes the split's partial: of what is in memory, or, if anything was spilled, by a streamed merge of the
       files, of which a chunk each is in memory.
    """

    def __init__(self, measure: Measure, spill_rows: int = 1_500_000) -> None:
        self._measure = measure
        self._parts: list[Partial] = []
        self._spilled: list[Path] = []
        self._spill_rows = spill_rows

    def add(self, block: Block) -> None:
        """Count a block."""
        self._parts.append(self._measure.count(block))
        if len(self._parts) > 2:
            self._parts = [self._measure.merge(self._parts)]

    def spill(self, folder: Path) -> None:
        """Move what is held to a file in ``folder`` if it has many rows."""
        rows = sum(len(table) for part in self._parts for table in part.tables.values())
        if rows > self._spill_rows:
            path = folder / f"{self._measure.name}-{len(self._spilled)}"
            partials.write_partial(path, self._measure.merge(self._parts))
            self._parts.clear()
            self._spilled.append(path)

    def write(self, path: Path) -> None:
        """Everything added, merged, as a partial file; spilled files are removed."""
        if not self._spilled:
            merged = self._measure.merge(self._parts) if self._parts else self._measure.empty()
            partials.write_partial(path, merged)
            return
        if self._parts:
            last = self._spilled[0].with_name(f"{self._measure.name}-last")
            partials.write_partial(last, self._measure.merge(self._parts))
            self._spilled.append(last)
        merge_files(self._measure, self._spilled, path)
        for spilled in self._spilled:
            spilled.unlink()


def facet_settings(source: FacetSource | None) -> Any:
    """A facet source as a JSON value."""
    return source if source is None or isinstance(source, str) else source.model_dump()


def reading_settings(spec: AuditSpec) -> dict[str, Any]:
    """What decides which rows become documents, for every measure."""
    settings: dict[str, Any] = {
        "text": spec.document.text,
        "filter": [clause.model_dump(mode="json") for clause in spec.filter],
        "document_bytes": spec.limits.document_bytes,
    }
    if spec.document.image is not None:
        settings["image"] = spec.document.image
        settings["images"] = spec.image_limits.model_dump(mode="json", exclude={"benchmarks"})
        settings["decoders"] = f"pillow {importlib.metadata.version('pillow')}"
    return settings


def domain_settings(document: DocumentSpec) -> dict[str, Any]:
    """What decides a document's domain and cluster."""
    return {"domain": facet_settings(document.domain), "cluster": facet_settings(document.cluster)}
