"""Documents kept, added and removed between two runs, by content hash: a streamed join of their hash tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.tables.drift_tables import TURNOVER
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

_JOINED = TableSpec(
    (
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("domain", ColumnKind.DOMAIN),
        ("baseline", ColumnKind.SUM),
        ("current", ColumnKind.SUM),
        ("tokens", ColumnKind.FIRST),
    )
)
_COUNTED = ("kept", "added", "removed", "moved_in", "moved_out", "kept_tokens", "added_tokens", "removed_tokens")


def turnover(label: str, baseline: RunDirectory, current: RunDirectory) -> pa.Table:
    """Table TURNOVER: multisets of documents are compared, so a second copy of a kept text is an added document.

    In the row of all domains a document that changed its domain is kept; in the domains' rows it has moved out of one
    and into the other.

    Raises:
        StoreError: when a table cannot be read.
    """
    names = sorted(
        {name for run in (baseline, current) for name in run.table("duplicates")["domain"].to_pylist()} - {ALL_DOMAINS},
        key=str.encode,
    )
    sums = {name: np.zeros(len(names) + 1, np.int64) for name in _COUNTED}
    squared = np.zeros(len(names) + 1)
    streams = [_rows(run, side, names) for side, run in (("baseline", baseline), ("current", current))]
    for chunk in merging.merge_streams(streams, _JOINED):
        _add(chunk, sums, squared)
    return pa.table(
        {
            "baseline": pa.array([label] * (len(names) + 1), pa.string()),
            "domain": pa.array([ALL_DOMAINS, *names], pa.string()),
            **sums,
            "kept_squared": squared,
        },
        schema=TURNOVER,
    )


def _rows(run: RunDirectory, side: str, names: list[str]) -> Iterator[CountTable]:
    """The run's documents, sorted by hash and the domains' places in ``names``."""
    path = run.folder / "tables" / "document_hashes.parquet"
    place = {name: i for i, name in enumerate(names)}
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(65_536):
                if not len(batch):
                    continue
                domain = batch["domain"]
                places = np.array([place[name] for name in domain.dictionary.to_pylist()], np.int64)
                hashes = np.frombuffer(batch["hash"].buffers()[1], ">u8").reshape(-1, 2)
                hashes = hashes[batch["hash"].offset : batch["hash"].offset + len(batch)]
                documents = batch["documents"].to_numpy()
                zeros = np.zeros(len(batch), np.int64)
                yield CountTable(
                    _JOINED,
                    {
                        "high": hashes[:, 0].astype(np.uint64),
                        "low": hashes[:, 1].astype(np.uint64),
                        "domain": places[domain.indices.to_numpy()],
                        "baseline": documents if side == "baseline" else zeros,
                        "current": documents if side == "current" else zeros,
                        "tokens": batch["tokens"].to_numpy(),
                    },
                )
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"cannot read {path}: {error}") from error


def _add(chunk: CountTable, sums: dict[str, np.ndarray], squared: np.ndarray) -> None:
    """Add the rows of whole texts; position 0 is all domains."""
    columns = chunk.columns
    before, now, tokens, domain = columns["baseline"], columns["current"], columns["tokens"], columns["domain"]
    new = np.ones(len(chunk), bool)
    new[1:] = (columns["high"][1:] != columns["high"][:-1]) | (columns["low"][1:] != columns["low"][:-1])
    starts = np.flatnonzero(new)
    text = np.cumsum(new) - 1
    kept = np.minimum(before, now)
    added, removed = now - kept, before - kept
    kept_anywhere = np.minimum(np.add.reduceat(before, starts), np.add.reduceat(now, starts))
    moved = (kept_anywhere - np.add.reduceat(kept, starts))[text]
    for name, values in (
        ("kept", kept),
        ("added", added),
        ("removed", removed),
        ("moved_in", _in_turn(added, moved, starts)),
        ("moved_out", _in_turn(removed, moved, starts)),
        ("kept_tokens", kept * tokens),
        ("added_tokens", added * tokens),
        ("removed_tokens", removed * tokens),
    ):
        np.add.at(sums[name], domain + 1, values)
    np.add.at(squared, domain + 1, kept * tokens.astype(np.float64) ** 2)
    each = tokens[starts]
    gone = np.add.reduceat(before, starts) - kept_anywhere
    came = np.add.reduceat(now, starts) - kept_anywhere
    for name, values in (("kept", kept_anywhere), ("added", came), ("removed", gone)):
        sums[name][0] += int(values.sum())
        sums[f"{name}_tokens"][0] += int((values * each).sum())
    squared[0] += float((kept_anywhere * each.astype(np.float64) ** 2).sum())


def _in_turn(values: np.ndarray, most: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Of each text's ``values`` the first ones, in the order of the domains, up to ``most`` in all."""
    total = np.cumsum(values)
    before = total - values
    sizes = np.diff(starts, append=len(values))
    before = before - np.repeat(before[starts], sizes)
    taken: np.ndarray = np.clip(most - before, 0, values)
    return taken
