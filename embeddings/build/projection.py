"""Projects a sample of windows to two dimensions: principal components, then t-SNE (van der Maaten and Hinton 2008)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.embeddings.build.layer_vectors import block_means
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.lookup.search import WindowSearch
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.tables.embedding_tables import PROJECTION

COMPONENTS = 50
PERPLEXITY = 30.0
LEAST = 10
"""Fewest windows that are projected."""

SEED = 0


def stored_projection(folder: Path, most: int, block: int | None = None, model: str | None = None) -> pa.Table:
    """The projection of an index, which is computed when it is first needed and then kept beside the index.

    Args:
        folder: of the index, which has vectors.
        most: windows at most, as for `project`.
        block: at whose output windows are pooled; None: the block whose vectors the index holds. For another one the
            model runs over the windows.
        model: path of the model, if it has moved since the index was made.

    Raises:
        UsageError: the model has no such block, or is not the index's.
        ModuleNotFoundError: the extra is not installed.
    """
    index = Index(folder)
    search = WindowSearch(index)
    other = "" if block is None or block == search.block else f"-block-{block}"
    path = folder.parent / ".projections" / f"{folder.name}-{most}{other}.parquet"
    try:
        table = pq.read_table(path)
        if table.schema.equals(PROJECTION):
            return table.replace_schema_metadata(PROJECTION.metadata)
    except (OSError, pa.ArrowException):
        pass
    vectors = block_means(index, most, block, model) if other and block is not None else None
    table = project(search, most, vectors)
    provenance = {
        "block": search.block if block is None else block, "windows": len(table), "model": index.facts.model["digest"],
        "scan": index.facts.scan, "snapshot": index.facts.snapshot, "seed": SEED,
    }  # fmt: skip
    file = io.BytesIO()
    pq.write_table(_with(table, provenance), file, compression="zstd")
    path.parent.mkdir(exist_ok=True)
    atomic_write(path, file.getvalue())
    return table


def _with(table: pa.Table, provenance: dict[str, Any]) -> pa.Table:
    return table.replace_schema_metadata(
        {**(table.schema.metadata or {}), b"provenance": strict_json.dumps(provenance)}
    )


def project(search: WindowSearch, most: int, vectors: np.ndarray | None = None) -> pa.Table:
    """Coordinates of at most ``most`` windows, in the schema PROJECTION: those of lowest name, which is a hash.

    Deterministic for one version of scikit-learn on one kind of CPU; that is why the coordinates are stored.

    Args:
        search: the index.
        most: windows at most.
        vectors: of these windows, float32 [N, d]; None: the means that the index holds.
    """
    rows = np.arange(min(most, search.windows))  # ascending by name
    if len(rows) < LEAST:
        return PROJECTION.empty_table()
    coordinates = _coordinates(np.asarray(search.vectors("mean")[rows] if vectors is None else vectors, np.float64))
    columns = [search.names(rows), search.domains(rows), coordinates[:, 0], coordinates[:, 1]]
    return pa.table([pa.array(c).cast(f.type) for c, f in zip(columns, PROJECTION, strict=True)], schema=PROJECTION)


def _coordinates(vectors: np.ndarray) -> np.ndarray:
    """Vectors [N, d] in two dimensions, [N, 2]."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    parts = PCA(min(COMPONENTS, *vectors.shape), svd_solver="full").fit_transform(vectors)
    if not parts.std(axis=0).any():  # all windows are the same
        return np.zeros((len(vectors), 2))
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    with threadpool_limits(1):  # threads wait for each other more than they work, and sums depend on their number
        coordinates: np.ndarray = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED).fit_transform(parts)
    return coordinates
