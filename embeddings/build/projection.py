"""Projects a sample of windows to two dimensions: principal components, then t-SNE (van der Maaten and Hinton 2008)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.lookup.search import WindowSearch
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.tables.embedding_tables import PROJECTION

COMPONENTS = 50
PERPLEXITY = 30.0
LEAST = 10
"""Fewest windows that are projected."""

SEED = 0


def stored_projection(folder: Path, most: int) -> pa.Table:
    """The projection of an index, which is computed when it is first needed and then kept beside the index.

    Args:
        folder: of the index, which has vectors.
        most: windows at most, as for `project`.
    """
    path = folder.parent / ".projections" / f"{folder.name}-{most}.parquet"
    try:
        table = pq.read_table(path)
        if table.schema.equals(PROJECTION):
            return table
    except (OSError, pa.ArrowException):
        pass
    table = project(WindowSearch(Index(folder)), most)
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    path.parent.mkdir(exist_ok=True)
    atomic_write(path, file.getvalue())
    return table


def project(search: WindowSearch, most: int) -> pa.Table:
    """Coordinates of at most ``most`` windows, in the schema PROJECTION: those of lowest name, which is a hash.

    Deterministic for one version of scikit-learn on one kind of CPU; that is why the coordinates are stored.
    """
    rows = np.arange(min(most, search.windows))  # ascending by name
    if len(rows) < LEAST:
        return PROJECTION.empty_table()
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    vectors = np.asarray(search.vectors("mean")[rows], np.float64)
    parts = PCA(min(COMPONENTS, *vectors.shape), svd_solver="full").fit_transform(vectors)
    if not parts.std(axis=0).any():  # all windows are the same
        coordinates = np.zeros((len(rows), 2))
    else:
        perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
        with threadpool_limits(1):  # threads wait for each other more than they work, and sums depend on their number
            coordinates = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED).fit_transform(parts)
    columns = [search.names(rows), search.domains(rows), coordinates[:, 0], coordinates[:, 1]]
    return pa.table([pa.array(c).cast(f.type) for c, f in zip(columns, PROJECTION, strict=True)], schema=PROJECTION)
