"""Scans a split of an image corpus with an image model: decodes images, runs the model, collects examples.

A window is an image: its text is the caption, and it has no tokens. What an engine sends to its processes is an
`ImageScanWorker`; each process loads the model once.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from corpus_audit.embeddings.images.card import ImageCard
from corpus_audit.embeddings.images.map_scan import ImageInput, MapScanner
from corpus_audit.embeddings.images.model import ImageModel, is_image_model, load_image_model
from corpus_audit.embeddings.images.pooled import PooledPoint, find_pooled
from corpus_audit.embeddings.images.receptive_fields import fields_of
from corpus_audit.embeddings.images.sources import ImageSource, decoded, image_of
from corpus_audit.embeddings.index.not_offered import NotOffered
from corpus_audit.embeddings.models.selection import Selection
from corpus_audit.embeddings.scan.accumulator import GROUPS, ActivationAccumulator, ListSizes
from corpus_audit.embeddings.scan.autoencoder_check import CheckedSae
from corpus_audit.embeddings.scan.partials import ScanPartial, documents_of, retained_windows
from corpus_audit.embeddings.scan.pooling import Pooling
from corpus_audit.embeddings.scan.worker import ScanWorker
from corpus_audit.pipelines.measures.base import facet_settings, reading_settings
from corpus_audit.pipelines.reading.documents.batches import PRIMARY, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.formats.reader import READER_VERSION, read_split
from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.run.snapshot import Shard, ShardPlan, Split
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.spec.audit_file import LoadedAudit
from corpus_audit.schemas.spec.embedding import OTHER_DOMAINS, EmbeddingSpec
from corpus_audit.schemas.tables.activation_tables import WINDOWS
from corpus_audit.schemas.units import Kind, parse_pattern, select

VERSION = 2
"""Part of every partial's key: how images become examples and statistics."""

_OF_TEXT = ("saes", "directions", "prepend_bos", "overlap", "heatmaps")
"""Settings that say nothing of an image model, and must be left as they are."""


def reads_images(audit: AuditSpec, spec: EmbeddingSpec, base: Path) -> bool:
    """Whether an embedding section is of an image model.

    By the model's folder, as its units are convolutions, or as the corpus has images and no text.
    """
    if is_image_model(spec.model, base) or any(text.startswith(f"{Kind.CONV}.") for text in spec.units):
        return True
    return audit.has_images and not audit.has_text


@dataclass(frozen=True)
class ImageScanner:
    """An image model and its units; `open_image_scanner` makes one.

    Attributes:
        card: the identity of the model.
        sizes, slots: of the lists; both are the same, as the scan is in float32.
        windows: digest of how an image becomes the model's input.
        key: digest of everything that decides the result of scanning a document.
        pooled: where the vectors of images are read; None without vectors.
        block: None: vectors are not those of a block.
    """

    audit: AuditSpec
    spec: EmbeddingSpec
    model: ImageModel
    card: ImageCard
    selection: Selection
    sizes: ListSizes
    windows: str
    key: str
    pooled: PooledPoint | None = None
    block: None = None

    @property
    def has_vectors(self) -> bool:
        """Whether images get vectors."""
        return self.pooled is not None

    @property
    def hidden(self) -> int:
        """Dimensions of a vector; 0 without."""
        return 0 if self.pooled is None else self.pooled.width

    @property
    def slots(self) -> ListSizes:
        """Of the lists of a scan."""
        return self.sizes

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch, as the spec says: of an image model it has no meaning, and is not lowered."""
        return self.spec.batch_tokens

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.model.device

    def scan(self, shard: Shard, split: Split, progress: Callable[[int], None]) -> ScanPartial:
        """Scan one split; ``progress`` is called with a quarter of the bytes of the images.

        Raises:
            ShardError: the split cannot be read.
        """
        tally, state = SplitTally(), self._empty(())
        pooling = self._pooling()
        vectors = None if self.pooled is None or pooling is None else (self.pooled, pooling)
        scanner = MapScanner(self.model, self.selection, state, self.spec.batch_images, vectors)
        windows, documents = [WINDOWS.empty_table()], []
        for batch in read_split(shard, split, ReadSettings.of(self.audit), tally):
            if batch.images is None:
                raise UsageError("an image model reads images: document.image names their column")
            captions = batch.text.to_pylist()
            ids = batch.ids.to_pylist() if batch.ids is not None else [None] * len(captions)
            domains = [self._domain(name) for name in batch.facets[PRIMARY].to_pylist()]
            index = state.positions_of(domains)
            np.add.at(state.documents, index, 1)
            keys, names = [], []
            for i, caption in enumerate(captions):
                image = image_of(ids[i], batch.images[i].as_py(), caption)
                name = self._window_id(image.key)
                inputs = self.model.preprocess(decoded(image.data, self.audit))
                group = image.key[15] % GROUPS
                scanner.add(ImageInput(inputs, _number(name), image.context, int(index[i]), group))
                keys.append(image.key)
                names.append(name)
                progress(len(image.data) // 4)
            windows.append(_windows_table(names, keys, captions))
            columns = (
                pa.array(keys, pa.binary(16)),
                batch.rows,
                pa.array(domains, pa.string()),
                pa.array(ids, pa.string()),
            )
            documents.append(pa.table(dict(zip(("document", "row", "domain", "id"), columns, strict=True))))
        scanner.finish()
        counts = {
            "dead_letters": tally.dead.total(),
            "documents": tally.documents,
            "rows": tally.rows,
            "tokens": int(state.tokens.sum()),
            "windows": int(state.windows.sum()),
        }
        table = pa.concat_tables(windows)
        collected = None if pooling is None else pooling.vectors()
        retained = table.filter(pa.array(np.isin(table["window"].to_numpy(), retained_windows(state, collected))))
        return ScanPartial(state, retained, documents_of(retained, documents), counts, collected)

    def rescan(
        self, partial: ScanPartial, rows: np.ndarray, domain: np.ndarray, plans: Sequence[ShardPlan]
    ) -> ActivationAccumulator:
        """Read images of a scan again, run them, in other batches than before; arguments as of the scanner of texts.

        Raises:
            StoreError: an image is not in its shard any more.
        """
        state = self._empty(partial.state.domains)
        scanner = MapScanner(self.model, self.selection, state, self.spec.batch_images)
        rows_of: dict[bytes, tuple[str, int, int]] = {}
        for row in partial.documents.select(["document", "shard", "split", "row"]).to_pylist():
            rows_of.setdefault(row["document"], (row["shard"], row["split"], row["row"]))
        of_document: dict[bytes, list[tuple[int, int]]] = {}
        keys, names = partial.windows["document"], partial.windows["window"].to_numpy()
        for row, d in zip(rows.tolist(), domain.tolist(), strict=True):
            of_document.setdefault(keys[row].as_py(), []).append((int(names[row]), d))
        source = ImageSource.of_plans(self.audit, plans)
        for _, image in source.read(rows_of[key] for key in of_document):
            inputs = self.model.preprocess(decoded(image.data, self.audit))
            for window, d in of_document.pop(image.key, ()):
                scanner.add(ImageInput(inputs, window, image.context, d, 0))
        if of_document:
            raise StoreError("an image that was scanned is not in its shard any more: run the command again")
        scanner.finish()
        return state

    def decided(self) -> np.ndarray:
        """Units behind a decision that rounding can turn, bool [R]: none of an image model."""
        return np.zeros(self.selection.rows, np.bool_)

    def not_offered(self) -> list[dict[str, Any]]:
        """Convolutions, and kinds of units of blocks, that have no units, with reasons, as plain values."""
        refused = self.model.units.refused
        return [
            NotOffered(each.kind, (), f"{each.name}: {each.reason}" if each.name else each.reason).as_json()
            for each in refused
        ]

    def _pooling(self) -> Pooling | None:
        """What collects the vectors of a split; None without vectors."""
        if self.pooled is None or self.spec.vectors is None:
            return None
        return Pooling(self.pooled.width, self.spec.vectors.one_in, peak_width=0)

    def checked_saes(self, windows: pa.Table, base: Path) -> dict[str, CheckedSae]:
        """Nothing: an image model has no autoencoders."""
        return {}

    def sae_notes(self) -> dict[str, list[str]]:
        """Nothing, as `checked_saes`."""
        return {}

    def _empty(self, domains: Sequence[str]) -> ActivationAccumulator:
        return ActivationAccumulator(self.selection.rows, self.sizes, self.selection.floors(), list(domains))

    def _domain(self, name: str) -> str:
        return name if not self.spec.domains or name in self.spec.domains else OTHER_DOMAINS

    def _window_id(self, key: bytes) -> bytes:
        settings = bytes.fromhex(self.windows)
        return hashlib.blake2b(key + settings + (0).to_bytes(8, "big"), digest_size=16).digest()


@contextmanager
def open_image_scanner(loaded: LoadedAudit) -> Iterator[ImageScanner]:
    """Load the image model of an audit; within the block, this process's workers use the same scanner.

    Raises:
        UsageError: model, units or settings are wrong, or the corpus is of no images.
    """
    scanner = load_scanner(loaded)
    _scanners[scanner.key] = scanner
    try:
        yield scanner
    finally:
        _scanners.pop(scanner.key, None)


_scanners: dict[str, ImageScanner] = {}
_loading = threading.Lock()


@dataclass(frozen=True, slots=True)
class ImageScanWorker(ScanWorker):
    """Scans splits of an image corpus into the store."""

    def scanner(self) -> ImageScanner:
        """The scanner of this process: that of `open_image_scanner`, else one that stays loaded.

        Raises:
            StoreError: this process would have another scanner.
        """
        with _loading:
            if self.key not in _scanners:
                scanner = load_scanner(self.loaded)
                if scanner.key != self.key:
                    raise StoreError("a worker has another model or another version of torch than the driver")
                _scanners[self.key] = scanner
            return _scanners[self.key]


def load_scanner(loaded: LoadedAudit) -> ImageScanner:
    """The scanner of an audit; errors as of `open_image_scanner`."""
    audit, spec = loaded.spec, loaded.spec.embedding
    if spec is None:
        raise UsageError("the audit has no embedding section, which names a model and its units")
    if not audit.has_images:
        raise UsageError("embedding.model is an image model, but the corpus is of texts: document.image names images")
    for name in _OF_TEXT:
        if getattr(spec, name) != EmbeddingSpec.model_fields[name].default:
            raise UsageError(f"embedding.{name} is for language models, and must be left out with an image model")
    if spec.dtype != "float32":
        raise UsageError("embedding.dtype: image models are scanned in float32")
    if spec.vectors is not None and spec.vectors.block is not None:
        raise UsageError("embedding.vectors.block is for language models; images have the vector of the last layer")
    model = load_image_model(spec.model, loaded.base, spec.device)
    pooled = None if spec.vectors is None else find_pooled(model.trace)
    if isinstance(pooled, str):
        raise UsageError(f"images get no vectors, as {pooled}: say vectors: null in the embedding section")
    patterns = [parse_pattern(text) for text in spec.units]
    selection = Selection(select(patterns, model.units.widths()))
    fields = {str(point.point): fields_of(model.trace, point) for point in model.units.points}
    card = ImageCard(
        spec.model,
        type(model.module).__name__,
        model.digest,
        model.input_size,
        model.preprocessing,
        model.class_names,
        {name: each for name, each in fields.items() if name in {str(point) for point in selection.indices}},
    )
    windows = hashlib.sha256(json.dumps(["image", model.preprocessing.digest]).encode()).hexdigest()
    key = _key(audit, spec, model, pooled)
    return ImageScanner(audit, spec, model, card, selection, ListSizes.of(spec), windows, key, pooled)


def _key(audit: AuditSpec, spec: EmbeddingSpec, model: ImageModel, pooled: PooledPoint | None) -> str:
    """The digest of everything that decides the result of scanning an image."""
    versions = {}
    for name in ("torch", "transformers"):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    names = ("units", "k", "domain_k", "minima", "samples", "domains", "batch_images")
    settings = {
        "version": VERSION,
        "reading": reading_settings(audit) | {"reader": READER_VERSION, "id": audit.document.id},
        "domain": facet_settings(audit.document.domain),
        "scan": spec.model_dump(mode="json", include=set(names)),
        "model": model.digest,
        "device": model.device.type,
        "vectors": None if pooled is None or spec.vectors is None else [pooled.read, spec.vectors.one_in],
    } | versions
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _number(name: bytes) -> int:
    return int.from_bytes(name[:8], "big")


def _windows_table(names: Sequence[bytes], keys: Sequence[bytes], captions: Sequence[str]) -> pa.Table:
    """Images as windows, in the schema WINDOWS: no tokens, and the caption as text."""
    none: list[list[int]] = [[] for _ in names]
    columns: dict[str, Any] = {
        "window": np.array([_number(name) for name in names], np.uint64),
        "id": names,
        "document": keys,
        "number": np.zeros(len(names), np.int32),
        "text": captions,
        "text_start": np.zeros(len(names), np.int64),
    } | dict.fromkeys(("tokens", "starts", "ends", "counted"), none)
    return pa.table([pa.array(columns[field.name], field.type) for field in WINDOWS], schema=WINDOWS)
