"""The documents of a run as arrays, to be matched with those of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.kernels.text.sketches import BINS
from corpus_audit.pipelines.measures.identities import NO_ID
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DocumentTable:
    """N rows, one for each id, text and domain, in the order (hash, identity, domain); all arrays are [N].

    Attributes:
        high, low: uint64, the content hash.
        identity: uint64, hash of the id, `NO_ID` without one.
        domain: int64, position in a list of names that both runs share.
        documents: int64, documents of the row; tokens: int64, tokens of one of them.
        sketches: uint8 [N, BINS], None where the run has none.
        ids: the ids, null without one; None where the run does not list them.
    """

    high: npt.NDArray[np.uint64]
    low: npt.NDArray[np.uint64]
    identity: npt.NDArray[np.uint64]
    domain: Integers
    documents: Integers
    tokens: Integers
    sketches: npt.NDArray[np.uint8] | None = None
    ids: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.high)

    @property
    def has_ids(self) -> bool:
        """Whether any document has an id."""
        return bool((self.identity != NO_ID).any())

    def names_of(self, rows: Integers) -> pa.Array:
        """The id of each row, else its content hash in hex, string [len(rows)]."""
        hashes = np.stack([self.high[rows], self.low[rows]], axis=1).astype(">u8")
        hexes = pa.array([row.tobytes().hex() for row in hashes], pa.string())
        return hexes if self.ids is None else pc.coalesce(self.ids.take(pa.array(rows)), hexes)


def lists_documents(run: RunDirectory) -> bool:
    """Whether the run has table DOCUMENT_IDENTITIES, which runs of earlier versions lack."""
    return (run.folder / "tables" / "document_identities.parquet").exists()


def domain_names(*runs: RunDirectory) -> list[str]:
    """The domains of all runs, sorted by their bytes."""
    listed = {name for run in runs for name in run.table("duplicates")["domain"].to_pylist()}
    return sorted(listed - {ALL_DOMAINS}, key=str.encode)


def read_documents(run: RunDirectory, names: Sequence[str], by_content_alone: bool) -> DocumentTable:
    """The documents of a run.

    Args:
        run: the run.
        names: domains, which positions refer to.
        by_content_alone: read table DOCUMENT_HASHES, which every run has, rather than DOCUMENT_IDENTITIES.

    Raises:
        StoreError: the table cannot be read, or has a domain that ``names`` lacks.
    """
    table = run.table("document_hashes" if by_content_alone else "document_identities").combine_chunks()
    position: Mapping[str, int] = {name: i for i, name in enumerate(names)}
    column = table["domain"].combine_chunks()
    try:
        places = np.array([position[name] for name in column.dictionary.to_pylist()], np.int64)
    except KeyError as error:
        raise StoreError(f"the documents of {run.folder} have domain {error}, which table duplicates lacks") from error
    halves = _fixed_bytes(table["hash"], 16).view(">u8")
    rows = DocumentTable(
        high=halves[:, 0].astype(np.uint64),
        low=halves[:, 1].astype(np.uint64),
        identity=np.zeros(len(table), np.uint64),
        domain=places[column.indices.to_numpy()] if len(table) else np.empty(0, np.int64),
        documents=table["documents"].to_numpy(),
        tokens=table["tokens"].to_numpy(),
    )
    if by_content_alone:
        return rows
    return DocumentTable(
        rows.high,
        rows.low,
        pc.fill_null(table["identity"], NO_ID).to_numpy().astype(np.uint64),
        rows.domain,
        rows.documents,
        rows.tokens,
        _fixed_bytes(table["sketch"], BINS),
        table["id"].combine_chunks(),
    )


def _fixed_bytes(column: pa.ChunkedArray, width: int) -> npt.NDArray[np.uint8]:
    """uint8 [N, width] of a column of fixed-size binary."""
    array = column.combine_chunks()
    if not len(array):
        return np.empty((0, width), np.uint8)
    return np.frombuffer(array.buffers()[1], np.uint8, width * len(array), width * array.offset).reshape(-1, width)
