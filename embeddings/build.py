"""From an audit's `embedding:` section to a published index: split by split, resumable, then merged."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.embeddings.accumulator import GROUPS, Accumulator, ListSizes
from corpus_audit.embeddings.index_files import IndexFacts, write_index
from corpus_audit.embeddings.index_tables import documents_table, records_table, unit_domains_table
from corpus_audit.embeddings.models import Model, check_window, load_model
from corpus_audit.embeddings.partials import COUNTS, ScanPartial, read_partial, write_partial
from corpus_audit.embeddings.scanning import fitting_batch, heat_maps, scan
from corpus_audit.embeddings.sparse_autoencoders import load_autoencoder, load_vectors
from corpus_audit.embeddings.units import Directions, Taps
from corpus_audit.embeddings.windows import WindowPlan, Windows, cut, document_key, windows_of
from corpus_audit.pipelines.measures.base import facet_settings, reading_settings
from corpus_audit.pipelines.reading.documents import PRIMARY, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.errors import ShardError
from corpus_audit.pipelines.reading.listing import list_shards
from corpus_audit.pipelines.reading.path_patterns import path_values
from corpus_audit.pipelines.reading.reader import READER_VERSION, read_split
from corpus_audit.pipelines.reading.splits import plan_shard
from corpus_audit.schemas.activation_tables import DOCUMENTS, WINDOWS
from corpus_audit.schemas.audit import AuditSpec
from corpus_audit.schemas.audit_file import LoadedAudit
from corpus_audit.schemas.embedding import OTHER_DOMAINS, EmbeddingSpec
from corpus_audit.schemas.errors import NoVerdictError, StoreError, UsageError
from corpus_audit.schemas.snapshot import Shard, ShardPlan, Split, snapshot_digest
from corpus_audit.schemas.units import parse_pattern

VERSION = 1
"""Part of every partial's key: how activations become examples and statistics."""


@dataclass(frozen=True, slots=True)
class Built:
    """A published index.

    Attributes:
        folder: where it is.
        facts: what its index.json says.
        splits_scanned, splits_kept: splits that were scanned now, and earlier.
        seconds: by stage.
        batch_tokens: tokens of a batch; less than the spec asks for if the device had no room.
    """

    folder: Path
    facts: IndexFacts
    splits_scanned: int
    splits_kept: int
    seconds: dict[str, float]
    batch_tokens: int


@dataclass(frozen=True)
class _Scanner:
    """The model, its units and how documents are cut."""

    audit: AuditSpec
    spec: EmbeddingSpec
    model: Model
    taps: Taps
    plan: WindowPlan
    sizes: ListSizes
    key: str
    batch_tokens: int

    def scan(self, shard: Shard, split: Split, progress: Callable[[int], None]) -> ScanPartial:
        """Scan one split.

        Raises:
            ShardError: the split cannot be read.
        """
        tally = SplitTally()
        settings = ReadSettings(self.audit.document, self.audit.filter, self.audit.limits)
        state = Accumulator(self.taps.selection.rows, self.sizes, self.taps.selection.floors())
        kept: list[tuple[Windows, pa.Table, np.ndarray]] = []
        for batch in read_split(shard, split, settings, tally):
            texts = batch.text.to_pylist()
            ids = batch.ids.to_pylist() if batch.ids is not None else [None] * len(texts)
            names = [self._domain(name) for name in batch.facets[PRIMARY].to_pylist()]
            keys = [document_key(name, text) for name, text in zip(ids, texts, strict=True)]
            where = state.positions_of(names)
            np.add.at(state.documents, where, 1)
            groups = np.array([key[15] % GROUPS for key in keys], np.int64)
            windows = cut(texts, keys, self.model.tokenizer, self.plan)
            own = windows.document
            scan(self.taps, windows, where[own], groups[own], state, self.batch_tokens, progress)
            documents = pa.table(
                {
                    "document": pa.array(keys, pa.binary(16)),
                    "row": pa.array(batch.rows, pa.int64()),
                    "domain": pa.array(names, pa.string()),
                    "id": pa.array(ids, pa.string()),
                }
            )
            key_bytes = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16)
            kept = self._still_used(state, [*kept, (windows, documents, key_bytes)])
        used = state.used_windows()
        tables = [(w.table(np.flatnonzero(np.isin(w.ids[:, 0], used)), k), d, w) for w, d, k in kept]
        counts = {
            "dead_letters": tally.dead.total(),
            "documents": tally.documents,
            "rows": tally.rows,
            "tokens": int(state.tokens.sum()),
            "windows": int(state.windows.sum()),
        }
        windows_table = pa.concat_tables([t for t, _, _ in tables]) if tables else WINDOWS.empty_table()
        return ScanPartial(state, windows_table, _documents_of(windows_table, [d for _, d, _ in tables]), counts)

    def _domain(self, name: str) -> str:
        return name if not self.spec.domains or name in self.spec.domains else OTHER_DOMAINS

    @staticmethod
    def _still_used(
        state: Accumulator, kept: list[tuple[Windows, pa.Table, np.ndarray]]
    ) -> list[tuple[Windows, pa.Table, np.ndarray]]:
        """Batches of which a window is still an example: a split's text is not kept whole."""
        used = state.used_windows()
        return [one for one in kept if np.isin(one[0].ids[:, 0], used).any()]

    def heat(self, rows: np.ndarray, slots: np.ndarray, at: np.ndarray, table: pa.Table) -> np.ndarray:
        """Token activations of examples: float16 [R, k, window], NaN beyond a window and in empty slots."""
        found = np.full((self.taps.selection.rows, self.sizes.top, self.spec.window), np.nan, np.float16)
        with self.taps.hooked():
            heat_maps(self.taps, windows_of(table), rows, slots, at, found, self.batch_tokens)
        return found


def build_index(
    loaded: LoadedAudit,
    *,
    begin: Callable[[str, int], Callable[[int], None]] = lambda stage, size: lambda done: None,
) -> Built:
    """Scan the corpus of an audit, as far as that was not done before, and publish an index.

    Args:
        loaded: the audit; it has an `embedding:` section.
        begin: told each stage and its size, in bytes; returns what is told of bytes that are done.

    Raises:
        UsageError: there is no such section, or model, units or windows are wrong.
        NoVerdictError: a shard cannot be read, or there is nothing to scan.
    """
    started, seconds = time.perf_counter(), {}
    scanner = _scanner(loaded)
    seconds["model"] = time.perf_counter() - started
    store = loaded.base / loaded.spec.store if loaded.spec.store else loaded.base / loaded.spec.output / ".store"
    shards = list_shards(loaded.spec.snapshot, loaded.base)
    step = begin("planning", sum(shard.size for shard in shards))
    plans = [plan_shard(shard, None, step) for shard in shards]
    for plan in plans:
        if plan.error is not None:
            raise NoVerdictError(f"shard {plan.shard.name}: {plan.error}")
    tasks = _tasks(plans, scanner, store / "activations")
    todo = [task for task in tasks if not (task.place / "state.npz").exists()]
    mark = time.perf_counter()
    step = begin("scanning", sum(task.split.weight for task in todo))
    for task in todo:
        _scan_one(scanner, task, step)
    seconds["scan"] = time.perf_counter() - mark
    mark = time.perf_counter()
    begin("merging", 0)
    merged = _merged(scanner, tasks)
    if not merged.counts["windows"]:
        raise NoVerdictError("no document of the corpus has a token that counts: there is nothing to index")
    seconds["merge"] = time.perf_counter() - mark
    heat = None
    if scanner.spec.heatmaps and scanner.sizes.top:
        mark = time.perf_counter()
        begin("heat maps", 0)
        heat = scanner.heat(*_places(merged), merged.windows)
        seconds["heat maps"] = time.perf_counter() - mark
    output = loaded.base / scanner.spec.output
    facts = _facts(scanner, plans, merged)
    indices = {str(point): held for point, held in scanner.taps.selection.indices.items()}
    arrays = merged.state.arrays()
    if heat is not None:
        arrays["heat"] = heat
    tables = {
        "windows": merged.windows,
        "documents": documents_table(merged.documents, facts.snapshot),
        "records": records_table(merged.state, indices),
        "unit_domains": unit_domains_table(merged.state, indices),
    }
    folder, facts = write_index(output, datetime.now(UTC), facts, arrays, indices, tables)
    return Built(folder, facts, len(todo), len(tasks) - len(todo), seconds, scanner.batch_tokens)


@dataclass(frozen=True, slots=True)
class _Task:
    plan: ShardPlan
    split: Split
    place: Path


def _scanner(loaded: LoadedAudit) -> _Scanner:
    audit, spec = loaded.spec, loaded.spec.embedding
    if spec is None:
        raise UsageError("the audit has no embedding section: it names a model and its units")
    patterns = tuple(parse_pattern(text) for text in spec.units)
    model = load_model(spec.model, loaded.base, spec.device, with_head=any(p.point == "logit" for p in patterns))
    check_window(model, spec.window)
    saes = {sae.name: load_autoencoder(loaded.base / sae.path) for sae in spec.saes}
    directions = {one.name: Directions(one.block, load_vectors(loaded.base / one.path)) for one in spec.directions}
    taps = Taps(model, patterns, saes, directions)
    card = model.card
    plan = WindowPlan(spec.window, spec.overlap, card.causal, card.prefix, card.suffix, card.special, card.tokenizer)
    files = [loaded.base / sae.path / "sae_weights.safetensors" for sae in spec.saes]
    files += [loaded.base / one.path for one in spec.directions]
    settings = {
        "version": VERSION,
        "reading": reading_settings(audit) | {"reader": READER_VERSION, "id": audit.document.id},
        "domain": facet_settings(audit.document.domain),
        "scan": spec.scan_settings(),
        "model": card.digest,
        "windows": plan.digest,
        "files": [hashlib.sha256(path.read_bytes()).hexdigest() for path in files],
        "blocks": [one.block for one in spec.directions],
        "torch": importlib.metadata.version("torch"),
        "device": model.device.type,
    }
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    with taps.hooked():
        batch_tokens = fitting_batch(taps, spec.window, spec.batch_tokens)
    return _Scanner(audit, spec, model, taps, plan, ListSizes.of(spec), key, batch_tokens)


def _tasks(plans: Sequence[ShardPlan], scanner: _Scanner, store: Path) -> list[_Task]:
    tasks = []
    for plan in plans:
        values = path_values(plan.shard, scanner.audit.document)
        for split in plan.splits:
            text = json.dumps([scanner.key, plan.sha256, split.start, split.stop, dict(values)], sort_keys=True)
            name = hashlib.sha256(text.encode()).hexdigest()
            tasks.append(_Task(plan, split, store / name[:2] / name))
    return tasks


def _scan_one(scanner: _Scanner, task: _Task, step: Callable[[int], None]) -> None:
    if (task.place / "state.npz").exists():  # an identical shard was scanned meanwhile
        step(task.split.weight)
        return
    done = 0

    def progress(tokens: int) -> None:
        nonlocal done
        more = min(4 * tokens, task.split.weight - done)  # about four bytes a token: progress, not a figure
        done += max(more, 0)
        step(max(more, 0))

    try:
        with scanner.taps.hooked():
            partial = scanner.scan(task.plan.shard, task.split, progress)
    except ShardError as error:
        raise NoVerdictError(f"shard {task.plan.shard.name}: {error.problem}") from None
    write_partial(task.place, partial)
    step(max(task.split.weight - done, 0))


def _merged(scanner: _Scanner, tasks: Iterable[_Task]) -> ScanPartial:
    """All partials as one, with the shard and split of every document; a damaged one is removed and refused."""
    selection = scanner.taps.selection
    state = Accumulator(selection.rows, scanner.sizes, selection.floors())
    windows, documents = [], []
    counts = dict.fromkeys(COUNTS, 0)
    for task in tasks:
        try:
            partial = read_partial(task.place, scanner.sizes, selection.floors())
        except StoreError as error:
            shutil.rmtree(task.place, ignore_errors=True)
            raise StoreError(f"{error}; it was removed: run the same command again") from None
        state.merge(partial.state)
        windows.append(partial.windows)
        named = partial.documents
        size = len(named)
        named = named.append_column("shard", pa.array([task.plan.shard.name] * size, pa.string()))
        documents.append(named.append_column("split", pa.array([task.split.index] * size, pa.int32())))
        for name in COUNTS:
            counts[name] += partial.counts[name]
    held = _distinct(pa.concat_tables(windows) if windows else WINDOWS.empty_table(), state.used_windows())
    found = pa.concat_tables(documents) if documents else None
    return ScanPartial(state, held, _members(found, held), counts)


def _distinct(table: pa.Table, used: np.ndarray) -> pa.Table:
    """The windows that are used, each once, ascending."""
    window = table["window"].to_numpy()
    _, first = np.unique(window, return_index=True)
    return table.take(first[np.isin(window[first], used)]).combine_chunks()


def _documents_of(windows: pa.Table, documents: Sequence[pa.Table]) -> pa.Table:
    """The rows of documents that a window is of."""
    wanted = pa.array(sorted(set(windows["document"].to_pylist())), pa.binary(16))
    empty = pa.table({name: pa.array([], DOCUMENTS.field(name).type) for name in ("document", "row")})
    empty = empty.append_column("domain", pa.array([], pa.string())).append_column("id", pa.array([], pa.string()))
    if not documents:
        return empty
    whole = pa.concat_tables(documents)
    return whole.filter(pc.is_in(whole["document"], wanted))


def _members(documents: pa.Table | None, windows: pa.Table) -> pa.Table:
    if documents is None:
        return _documents_of(windows, [])
    return _documents_of(windows, [documents]).sort_by(
        [("document", "ascending"), ("shard", "ascending"), ("split", "ascending"), ("row", "ascending")]
    )


def _places(merged: ScanPartial) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit's row, slot and window's position of every example of the top lists, int64 [P] each."""
    rows, slots = np.nonzero(merged.state.top.filled)
    at = np.searchsorted(merged.windows["window"].to_numpy(), merged.state.top.window[rows, slots])
    return rows, slots, at


def _facts(scanner: _Scanner, plans: Sequence[ShardPlan], merged: ScanPartial) -> IndexFacts:
    model: dict[str, Any] = scanner.model.card.as_json()
    shards = [(plan.shard.name, plan.sha256) for plan in plans]
    return IndexFacts(
        name=scanner.audit.name,
        snapshot=snapshot_digest(shards),
        model=model,
        windows=scanner.plan.digest,
        window=scanner.spec.window,
        sizes={"k": scanner.sizes.top, "domain_k": scanner.sizes.domain, "minima": scanner.sizes.minima,
               "samples": scanner.sizes.samples},
        scan=scanner.key,
        counts=merged.counts,
        domains=tuple(merged.state.domains),
    )  # fmt: skip
