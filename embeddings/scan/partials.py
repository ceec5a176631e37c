"""The partial of one split, in files: its accumulator, and the windows and documents of its examples.

A partial is a folder under a key made of everything that decides its content, published by one rename: a scan that was
killed goes on where it was, and shards that were scanned before are not scanned again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus_audit.embeddings.index.vectors import WindowVectors
from corpus_audit.embeddings.models.models import ModelCard
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator, ListSizes
from corpus_audit.embeddings.scan.windows import WindowPlan
from corpus_audit.pipelines.kernels.activations.topk_lists import EMPTY
from corpus_audit.pipelines.measures.base import facet_settings, reading_settings
from corpus_audit.pipelines.reading.formats.reader import READER_VERSION
from corpus_audit.pipelines.storage.atomic import publish_folder
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.spec.embedding import EmbeddingSpec
from corpus_audit.schemas.tables.activation_tables import DOCUMENTS

_STATE, _WINDOWS, _DOCUMENTS = "state.npz", "windows.parquet", "documents.parquet"


VERSION = 4
"""Part of every partial's key: how activations become examples and statistics."""


def partial_key(
    audit: AuditSpec,
    spec: EmbeddingSpec,
    card: ModelCard,
    plan: WindowPlan,
    files: Sequence[Path],
    blocks: Sequence[int],
    device: str,
    autoencoders: int | None,
) -> str:
    """The digest of everything that decides the result of scanning a document.

    Args:
        audit, spec: the audit and its embedding section.
        card: the model; plan: how windows are cut.
        files: of autoencoders and directions; blocks: at which the directions are read.
        device: kind of the device.
        autoencoders: version of how latents are computed; None without autoencoders.
    """
    settings = {
        "version": VERSION,
        "reading": reading_settings(audit) | {"reader": READER_VERSION, "id": audit.document.id},
        "domain": facet_settings(audit.document.domain),
        "scan": spec.scan_settings(),
        "model": card.digest,
        "windows": plan.digest,
        "files": [hashlib.sha256(path.read_bytes()).hexdigest() for path in files],
        "blocks": list(blocks),
        "torch": importlib.metadata.version("torch"),
        "transformers": importlib.metadata.version("transformers"),
        "device": device,
    } | ({"sae": autoencoders} if autoencoders is not None else {})
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class ScanPartial:
    """The examples and statistics of a split.

    Attributes:
        state: examples and statistics of all units.
        windows: the windows that hold an example or have vectors, in the schema WINDOWS.
        documents: the documents of these windows; columns document, row, domain and id of the schema DOCUMENTS.
        counts: numbers by name, `COUNTS`.
        vectors: of windows; None if the index has none.
    """

    state: ActivationAccumulator
    windows: pa.Table
    documents: pa.Table
    counts: dict[str, int]
    vectors: WindowVectors | None = None


def write_partial(folder: Path, partial: ScanPartial) -> None:
    """Write a partial to a folder, by one rename; a partial that exists already is not replaced."""
    staged = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    staged.mkdir(parents=True)
    try:
        names = np.array(partial.state.domains, dtype=np.str_)
        counts = np.array([partial.counts[name] for name in sorted(partial.counts)], np.int64)
        np.savez(staged / _STATE, _domains=names, _counts=counts, **_packed(partial.state.arrays()))
        pq.write_table(partial.windows, staged / _WINDOWS, compression="zstd", write_page_checksum=True)
        pq.write_table(partial.documents, staged / _DOCUMENTS, compression="zstd", write_page_checksum=True)
        if partial.vectors is not None:
            partial.vectors.save(staged)
        publish_folder(staged, folder)
    except FileExistsError:
        pass
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def read_partial(folder: Path, sizes: ListSizes, floors: np.ndarray, with_vectors: bool) -> ScanPartial:
    """Read a partial; its vectors are memory-mapped.

    Raises:
        StoreError: the folder does not exist, or is damaged.
    """
    try:
        with np.load(folder / _STATE, allow_pickle=False) as stored:
            packed = {name: stored[name] for name in stored.files}
        domains = [str(name) for name in packed.pop("_domains")]
        counts = dict(zip(COUNTS, packed.pop("_counts").tolist(), strict=True))
        arrays = _unpacked(packed)
        windows, documents = (
            pq.read_table(folder / name, page_checksum_verification=True) for name in (_WINDOWS, _DOCUMENTS)
        )
        state = ActivationAccumulator.from_arrays(arrays, sizes, floors, domains)
        vectors = WindowVectors.load(folder) if with_vectors else None
        return ScanPartial(state, windows, documents, counts, vectors)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise StoreError(f"the partial scan {folder} cannot be read: {error}") from error


_DEFAULTS: dict[str, Any] = {"value": np.float32(-np.inf), "window": EMPTY}
"""What stands in the columns of empty slots, where that is not 0."""


def _packed(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """An accumulator's arrays without what is empty: of each a bit per entry, and the rest; narrow counts.

    A split holds few examples of most units (and none of latents that did not fire), and its counts are small.
    """
    packed: dict[str, Any] = {}
    for name, array in arrays.items():
        default = np.full(1, _DEFAULTS.get(name.rpartition(".")[2], 0), array.dtype)
        mask = np.ascontiguousarray(array).view(f"u{array.itemsize}") != default.view(f"u{array.itemsize}")
        values = array[mask]
        if array.dtype == np.int64 and len(values) and values.min() >= 0:
            values = values.astype(np.min_scalar_type(int(values.max())))
        packed |= {f"{name}/values": values, f"{name}/mask": np.packbits(mask), f"{name}/shape": np.array(array.shape)}
        packed[f"{name}/default"] = default
    return packed


def _unpacked(packed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays that `_packed` was given."""
    arrays = {}
    for name in (key.removesuffix("/shape") for key in packed if key.endswith("/shape")):
        shape, default = tuple(packed[f"{name}/shape"].tolist()), packed[f"{name}/default"]
        array = np.full(shape, default[0], default.dtype)
        mask = np.unpackbits(packed[f"{name}/mask"], count=array.size).astype(bool)
        array[mask.reshape(shape)] = packed[f"{name}/values"]
        arrays[name] = array
    return arrays


def retained_windows(state: ActivationAccumulator, vectors: WindowVectors | None) -> np.ndarray:
    """Windows that hold an example or have vectors, by name, uint64 ascending."""
    used = state.used_windows()
    return used if vectors is None else np.union1d(used, vectors.window)


def documents_of(windows: pa.Table, documents: Sequence[pa.Table]) -> pa.Table:
    """The rows of those documents that a window belongs to."""
    keys = windows["document"].combine_chunks().unique()
    empty = pa.table({name: pa.array([], DOCUMENTS.field(name).type) for name in ("document", "row")})
    empty = empty.append_column("domain", pa.array([], pa.string())).append_column("id", pa.array([], pa.string()))
    if not documents:
        return empty
    joined = pa.concat_tables(documents)
    return joined.filter(pc.is_in(joined["document"], keys))


COUNTS = ("dead_letters", "documents", "rows", "tokens", "windows")
"""Names of a partial's counts, in order."""
