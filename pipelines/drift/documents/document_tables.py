"""The documents of a run, and the whole ones that its sample holds, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.kernels.text.shingle_vectors import BINS
from corpus_audit.pipelines.measures.document_sample import DOCUMENTS_KEPT
from corpus_audit.pipelines.measures.identities import NO_ID
from corpus_audit.pipelines.storage.merging import sort_order
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


@dataclass(frozen=True)
class SampledDocuments:
    """S documents with all their tokens, in the order (domain, key, hash); without those that are too long.

    A domain's sample holds the lowest keys, so the same ids are in the samples of two snapshots: up to the lower of the
    two sides' ``limits``, a document is in one exactly if it is in the other or not in its snapshot.

    Attributes:
        documents: the documents, [S]; their sketches and ids are None.
        key: uint64 [S], by which documents are sampled: the identity, else the first 64 bits of the content hash.
        starts: int64 [S + 1], where each document's tokens begin.
        ids: uint32 [T], token ids.
        limits: uint64 [G], the highest key of each domain's sample; 2^64 - 1 where all of the domain is in it.
        too_long: int64 [G], rows that were sampled without their tokens.
    """

    documents: DocumentTable
    key: npt.NDArray[np.uint64]
    starts: Integers
    ids: npt.NDArray[np.uint32]
    limits: npt.NDArray[np.uint64]
    too_long: Integers

    def rows_of(self, table: DocumentTable) -> Integers:
        """The row in this sample of each of a table's N rows, -1 where it is not there, int64 [N]."""
        sides = table, self.documents
        names = ("high", "low", "identity", "domain")
        codes = codes_of([np.concatenate([getattr(side, name) for side in sides]).astype(np.uint64) for name in names])
        row_of_code = np.full(int(codes.max(initial=-1)) + 1, -1, np.int64)
        row_of_code[codes[len(table) :]] = np.arange(len(self.documents))
        rows: Integers = row_of_code[codes[: len(table)]]
        return rows


def read_sample(run: RunDirectory, names: Sequence[str]) -> SampledDocuments | None:
    """The whole documents that a run keeps; None where it keeps none (`excerpts: false`, or an earlier version).

    Raises:
        StoreError: the table cannot be read, or has a domain that ``names`` lacks.
    """
    if not (run.folder / "tables" / "document_sample.parquet").exists():
        return None
    table = run.table("document_sample").combine_chunks()
    rows = _rows(run, table, names)
    identity = pc.fill_null(table["identity"], NO_ID).to_numpy().astype(np.uint64)
    key = table["key"].to_numpy()
    sampled = np.bincount(rows.domain, minlength=len(names))
    limits = np.full(len(names), 2**64 - 1, np.uint64)
    for g in np.flatnonzero(sampled >= DOCUMENTS_KEPT).tolist():
        limits[g] = key[rows.domain == g].max()
    whole = np.flatnonzero(pc.is_valid(table["token_ids"]).to_numpy())
    packed = table["token_ids"].combine_chunks().take(pa.array(whole))
    tokens = rows.tokens[whole]
    starts = np.concatenate([[0], np.cumsum(tokens)]).astype(np.int64)
    data = b"".join(packed.to_pylist())
    width = len(data) // max(int(starts[-1]), 1) or 2
    if len(data) != width * int(starts[-1]) or width not in (2, 4):
        raise StoreError(f"table document_sample of {run.folder} holds another number of tokens than it says")
    documents = DocumentTable(
        rows.high[whole], rows.low[whole], identity[whole], rows.domain[whole], rows.documents[whole], tokens
    )
    too_long = sampled - np.bincount(rows.domain[whole], minlength=len(names))
    return SampledDocuments(
        documents, key[whole], starts, np.frombuffer(data, f"<u{width}").astype(np.uint32), limits, too_long
    )


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
    rows = _rows(run, table, names)
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


def _rows(run: RunDirectory, table: pa.Table, names: Sequence[str]) -> DocumentTable:
    """What the tables of documents have in common; the identity is `NO_ID`."""
    position: Mapping[str, int] = {name: i for i, name in enumerate(names)}
    column = table["domain"].combine_chunks()
    try:
        positions = np.array([position[name] for name in column.dictionary.to_pylist()], np.int64)
    except KeyError as error:
        raise StoreError(f"the documents of {run.folder} have domain {error}, which table duplicates lacks") from error
    halves = _fixed_bytes(table["hash"], 16).view(">u8")
    return DocumentTable(
        high=halves[:, 0].astype(np.uint64),
        low=halves[:, 1].astype(np.uint64),
        identity=np.zeros(len(table), np.uint64),
        domain=positions[column.indices.to_numpy()] if len(table) else np.empty(0, np.int64),
        documents=table["documents"].to_numpy(),
        tokens=table["tokens"].to_numpy(),
    )


def _fixed_bytes(column: pa.ChunkedArray, width: int) -> npt.NDArray[np.uint8]:
    """uint8 [N, width] of a column of fixed-size binary."""
    array = column.combine_chunks()
    if not len(array):
        return np.empty((0, width), np.uint8)
    return np.frombuffer(array.buffers()[1], np.uint8, width * len(array), width * array.offset).reshape(-1, width)


def codes_of(columns: Sequence[npt.NDArray[np.uint64]]) -> Integers:
    """A number for each distinct row of some columns, int64 [N]."""
    order = sort_order(columns)
    changed = np.zeros(len(order), bool)
    for column in columns:
        values = column[order]
        changed[1:] |= values[1:] != values[:-1]
    codes = np.empty(len(order), np.int64)
    codes[order] = np.cumsum(changed)
    return codes
