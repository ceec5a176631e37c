"""Scans a split of a corpus with a model: reads documents, cuts windows, runs the model, collects examples.

Each process loads the model once; `worker.py` has what an engine sends to its processes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from corpus_audit.embeddings.models.autoencoder_config import SaeConfig
from corpus_audit.embeddings.models.autoencoders import VERSION as SAE_VERSION
from corpus_audit.embeddings.models.autoencoders import load_autoencoder
from corpus_audit.embeddings.models.directions import load_vectors
from corpus_audit.embeddings.models.hooks import Directions, Taps
from corpus_audit.embeddings.models.models import LanguageModel, ModelCard, check_window, load_model
from corpus_audit.embeddings.models.selection import Selection
from corpus_audit.embeddings.scan.accumulator import GROUPS, ActivationAccumulator, ListSizes
from corpus_audit.embeddings.scan.autoencoder_check import (
    CheckedSae,
    check_autoencoder,
    check_bos,
    sample_inputs,
    training_notes,
)
from corpus_audit.embeddings.scan.encoder import TextEncoder
from corpus_audit.embeddings.scan.forward import fitting_batch, heat_maps, scan
from corpus_audit.embeddings.scan.partials import (
    ScanPartial,
    documents_of,
    partial_key,
    retained_windows,
)
from corpus_audit.embeddings.scan.pooling import Pooling
from corpus_audit.embeddings.scan.verification import doubled
from corpus_audit.embeddings.scan.windows import WindowPlan, Windows, cut, document_key, windows_of
from corpus_audit.pipelines.reading.documents.batches import PRIMARY, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.formats.reader import read_split
from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.run.snapshot import Shard, ShardPlan, Split
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.spec.audit_file import LoadedAudit
from corpus_audit.schemas.spec.embedding import OTHER_DOMAINS, EmbeddingSpec
from corpus_audit.schemas.tables.activation_tables import WINDOWS
from corpus_audit.schemas.units import parse_pattern


@dataclass(frozen=True)
class ActivationScanner:
    """A hooked model, its units and a window plan; `open_scanner` makes one.

    Attributes:
        sizes: of the published lists; slots: of the lists of a scan, candidates included.
        block: the block at whose output vectors are read; None without vectors.
        saes: configurations of the autoencoders, by name.
        key: digest of everything that decides the result of scanning a document.
    """

    audit: AuditSpec
    spec: EmbeddingSpec
    model: LanguageModel
    taps: Taps
    plan: WindowPlan
    sizes: ListSizes
    slots: ListSizes
    block: int | None
    saes: dict[str, SaeConfig]
    key: str
    batch_tokens: int

    @property
    def has_vectors(self) -> bool:
        """Whether windows get vectors."""
        return self.block is not None

    def scan(self, shard: Shard, split: Split, progress: Callable[[int], None]) -> ScanPartial:
        """Scan one split.

        Raises:
            ShardError: the split cannot be read.
        """
        tally = SplitTally()
        settings = ReadSettings.of(self.audit)
        state = ActivationAccumulator(self.taps.selection.rows, self.slots, self.taps.selection.floors())
        pooling = self._pooling()
        scanned: list[_ScannedBatch] = []
        for batch in read_split(shard, split, settings, tally):
            texts = batch.text.to_pylist()
            ids = batch.ids.to_pylist() if batch.ids is not None else [None] * len(texts)
            domains = [self._domain(name) for name in batch.facets[PRIMARY].to_pylist()]
            keys = [document_key(name, text) for name, text in zip(ids, texts, strict=True)]
            domain_index = state.positions_of(domains)
            np.add.at(state.documents, domain_index, 1)
            group = np.array([key[15] % GROUPS for key in keys], np.int64)
            windows = cut(texts, keys, self.model.tokenizer, self.plan)
            document_of_window = windows.document
            with _precision(self.model, self.spec):
                scan(
                    self.taps,
                    windows,
                    domain_index[document_of_window],
                    group[document_of_window],
                    state,
                    self.batch_tokens,
                    progress,
                    pooling,
                )
            documents = pa.table(
                {
                    "document": pa.array(keys, pa.binary(16)),
                    "row": pa.array(batch.rows, pa.int64()),
                    "domain": pa.array(domains, pa.string()),
                    "id": pa.array(ids, pa.string()),
                }
            )
            key_bytes = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16)
            scanned.append(_ScannedBatch(windows, documents, key_bytes))
            if pooling is None:  # with vectors, all or a fixed share of the windows stay
                # A window that is in no list now cannot enter one later: batches without any are dropped, so that
                # memory is bounded by the lists and not by the split.
                used = state.used_windows()
                scanned = [batch for batch in scanned if np.isin(batch.windows.ids[:, 0], used).any()]
        vectors = None if pooling is None else pooling.vectors()
        used = retained_windows(state, vectors)
        counts = {
            "dead_letters": tally.dead.total(),
            "documents": tally.documents,
            "rows": tally.rows,
            "tokens": int(state.tokens.sum()),
            "windows": int(state.windows.sum()),
        }
        retained = pa.concat_tables([WINDOWS.empty_table(), *(batch.table(used) for batch in scanned)])
        documents = documents_of(retained, [batch.documents for batch in scanned])
        return ScanPartial(state, retained, documents, counts, vectors)

    @property
    def selection(self) -> Selection:
        """The units."""
        return self.taps.selection

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.taps.device

    @property
    def hidden(self) -> int:
        """Width of the vectors."""
        return self.taps.hidden

    @property
    def card(self) -> ModelCard:
        """The identity of the model."""
        return self.model.card

    @property
    def windows(self) -> str:
        """Digest of how documents are cut into windows."""
        return self.plan.digest

    def decided(self) -> np.ndarray:
        """Units behind a decision that rounding can turn, bool [R]."""
        return self.taps.decided()

    def _pooling(self) -> Pooling | None:
        vectors = self.spec.vectors
        return None if vectors is None else Pooling(self.taps.hidden, vectors.one_in)

    def _domain(self, name: str) -> str:
        return name if not self.spec.domains or name in self.spec.domains else OTHER_DOMAINS

    def rescan(
        self, partial: ScanPartial, rows: np.ndarray, domain: np.ndarray, plans: Sequence[ShardPlan]
    ) -> ActivationAccumulator:
        """Scan windows of a scan again, in float32.

        Args:
            partial: the scan.
            rows: int64 [N], of its windows; domain: int64 [N], positions among its domains.
            plans: of the snapshot's shards; texts are in the scan's windows.
        """
        selection = self.taps.selection
        state = ActivationAccumulator(selection.rows, self.sizes, selection.floors(), list(partial.state.domains))
        windows = partial.windows.take(rows)
        scan(self.taps, self._windows(windows), domain, np.zeros(len(domain), np.int64), state, self.batch_tokens)
        return state

    def _windows(self, table: pa.Table) -> Windows:
        return windows_of(table, len(self.plan.prefix))

    def heat(self, rows: np.ndarray, slots: np.ndarray, window_index: np.ndarray, table: pa.Table) -> np.ndarray:
        """Token activations of examples: float16 [R, k, window], NaN beyond a window and in empty slots."""
        heat = np.full((self.taps.selection.rows, self.sizes.top, self.spec.window), np.nan, np.float16)
        heat_maps(self.taps, self._windows(table), rows, slots, window_index, heat, self.batch_tokens)
        return heat

    def checked_saes(self, windows: pa.Table, base: Path) -> dict[str, CheckedSae]:
        """Check each autoencoder's latents on a sample of the windows' tokens against an independent computation.

        Args:
            windows: in the schema WINDOWS, those with the lowest names (a hash) first.
            base: the folder of the audit file.

        Raises:
            AuditError: a latent does not follow from the autoencoder's files.
        """
        checked: dict[str, CheckedSae] = {}
        if self.spec.saes:
            samples = sample_inputs(self.taps, self._windows(windows))
            for sae in self.spec.saes:
                checked[sae.name] = check_autoencoder(sae.name, base / sae.path, *samples[sae.name])
        return checked

    def sae_notes(self) -> dict[str, list[str]]:
        """By autoencoder, in sentences: how the data it was trained on differs from these windows."""
        return {name: training_notes(config, self.model, self.spec) for name, config in self.saes.items()}

    def not_offered(self) -> list[dict[str, Any]]:
        """Units of the model that are not offered, with reasons, as plain values."""
        return [each.as_json() for each in self.taps.not_offered]

    def encoder(self) -> TextEncoder:
        """An encoder that gives any text the vector that a document of the corpus would have."""
        return TextEncoder(self.model, self.taps, self.plan, self.batch_tokens)


@dataclass(frozen=True)
class _ScannedBatch:
    """The windows of a batch of documents, until the split's examples are known."""

    windows: Windows
    documents: pa.Table
    keys: np.ndarray

    def table(self, used: np.ndarray) -> pa.Table:
        return self.windows.table(np.flatnonzero(np.isin(self.windows.ids[:, 0], used)), self.keys)


@contextmanager
def open_scanner(loaded: LoadedAudit) -> Iterator[ActivationScanner]:
    """Load the model of an audit and hook its units; within the block, this process's workers use the same scanner.

    Raises:
        UsageError: there is no embedding section, or model, units or windows are wrong.
    """
    with ExitStack() as stack:
        scanner = _load(loaded, stack)
        _open_scanners[scanner.key] = scanner
        stack.callback(_open_scanners.pop, scanner.key)
        yield scanner


_open_scanners: dict[str, ActivationScanner] = {}
_loading = threading.Lock()
_process_hooks = ExitStack()
"""The hooks of scanners that stay for the life of the process: without a reference, the stack would be closed."""


def process_scanner(loaded: LoadedAudit, key: str) -> ActivationScanner:
    """The scanner of this process: that of `open_scanner`, else one that stays loaded as long as the process.

    Args:
        loaded: the audit.
        key: of the scanner.

    Raises:
        StoreError: this process would have another scanner.
    """
    with _loading:
        if key not in _open_scanners:
            scanner = _load(loaded, _process_hooks)
            if scanner.key != key:
                raise StoreError("a worker has another model or another version of torch than the driver")
            _open_scanners[key] = scanner
        return _open_scanners[key]


def _precision(model: LanguageModel, spec: EmbeddingSpec) -> torch.autocast:
    """Matrix products in the type that the spec asks for; sums, norms and softmax stay in float32."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=spec.dtype == "bfloat16")


def _directions(path: Path, block: int) -> Directions:
    return Directions(block, torch.from_numpy(load_vectors(path)))


def _load(loaded: LoadedAudit, stack: ExitStack) -> ActivationScanner:
    audit, spec = loaded.spec, loaded.spec.embedding
    if spec is None:
        raise UsageError("the audit has no embedding section, which names a model and its units")
    patterns = tuple(parse_pattern(text) for text in spec.units)
    saes = {sae.name: load_autoencoder(loaded.base / sae.path, sae.ignore) for sae in spec.saes}
    with_head = any(p.point == "logit" for p in patterns)
    model = load_model(spec.model, loaded.base, spec.device, with_head, spec.prepend_bos)
    check_window(model, spec.window)
    for name, sae in saes.items():
        check_bos(name, sae.config, model, spec)
    directions = {
        direction.name: _directions(loaded.base / direction.path, direction.block) for direction in spec.directions
    }
    block = None
    if spec.vectors is not None:
        block = len(model.blocks) - 1 if spec.vectors.block is None else spec.vectors.block
    taps = Taps(model, patterns, saes, directions, block)
    card = model.card
    plan = WindowPlan(spec.window, spec.overlap, card.causal, card.prefix, card.suffix, card.special, card.tokenizer)
    files = [loaded.base / sae.path / name for sae in spec.saes for name in ("cfg.json", "sae_weights.safetensors")]
    files += [loaded.base / direction.path for direction in spec.directions]
    blocks = [direction.block for direction in spec.directions]
    key = partial_key(audit, spec, card, plan, files, blocks, model.device.type, SAE_VERSION if saes else None)
    stack.enter_context(taps.hooked())
    # A device may lack the memory for a batch; on a CPU one window shows that the model runs.
    tried = spec.window if model.device.type == "cpu" else spec.batch_tokens
    with _precision(model, spec):
        fitting = fitting_batch(taps, spec.window, tried)
    batch_tokens = min(spec.batch_tokens, fitting) if model.device.type != "cpu" else spec.batch_tokens
    sizes = ListSizes.of(spec)
    slots = sizes if spec.dtype == "float32" else doubled(sizes)
    configs = {name: sae.config for name, sae in saes.items()}
    return ActivationScanner(audit, spec, model, taps, plan, sizes, slots, block, configs, key, batch_tokens)
