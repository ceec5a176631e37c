"""Documents that a sampler drew in a few intervals of steps, gathered from its log in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus_audit.pipelines.sampling.log.reader import LogRows, id_keys
from corpus_audit.pipelines.sampling.log.rows import UNKNOWN
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.schemas.errors import UsageError

MOST_ROWS = 5_000_000
"""Draws that are gathered; with what is computed of them about 170 bytes each at the peak."""

Interval = tuple[int, int]


class DrawnLog(Protocol):
    """A log of drawn documents, such as `SamplerLogReader`."""

    @property
    def path(self) -> Path:
        """Where it is, for messages."""

    def step_range(self) -> tuple[int, int]:
        """The first and the last step."""

    def rows(self) -> Iterator[LogRows]:
        """All rows, batch by batch."""


class TooManyRowsError(Exception):
    """The intervals hold more than `MOST_ROWS` draws."""


@dataclass(frozen=True, slots=True)
class DrawnRows:
    """Draws by step, arrays [N].

    Attributes:
        step, tokens: of every draw, int64, steps ascending.
        key: hash of the document's id, uint64; None if the log has no ids.
        domain: position in ``domains``, int64; None if no domain is known.
        loss: nats per token, NaN where there is none; None if the log has none.
        domains: names.
        ids: id by key of the documents of some intervals.
    """

    step: Integers
    tokens: Integers
    key: npt.NDArray[np.uint64] | None
    domain: Integers | None
    loss: Floats | None
    domains: tuple[str, ...]
    ids: dict[int, str]

    def between(self, first: int, last: int) -> slice:
        """The rows of steps from first to last."""
        return slice(*np.searchsorted(self.step, [first, last + 1]).tolist())

    def part(self, first: int, last: int) -> DrawnRows:
        """The draws of steps from first to last."""
        rows = self.between(first, last)
        return replace(
            self,
            step=self.step[rows],
            tokens=self.tokens[rows],
            key=None if self.key is None else self.key[rows],
            domain=None if self.domain is None else self.domain[rows],
            loss=None if self.loss is None else self.loss[rows],
        )


def drawn_rows(
    log: DrawnLog, intervals: list[Interval], named: list[Interval], audit: Path | None, most: int = MOST_ROWS
) -> DrawnRows:
    """Gather the draws of intervals of steps.

    Args:
        log: the log.
        intervals: first and last steps; they may overlap.
        named: intervals whose documents keep their ids as text.
        audit: run directory whose table ``per_document`` names the domain of an id, if the log does not.
        most: draws at most.

    Raises:
        UsageError: the log does not fit its spec, or is damaged.
        TooManyRowsError: the intervals hold more than ``most`` draws.
    """
    merged = _merged(intervals)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("step", "tokens", "key", "domain", "loss")}
    codes: dict[str, int] = {}
    ids: dict[int, str] = {}
    size = 0
    for rows in log.rows():
        mask = _inside(rows.step, merged)
        size += int(mask.sum())
        if size > most:
            raise TooManyRowsError
        if mask.any():
            _add(rows, mask, named, parts, codes, ids)
    joined = {name: np.concatenate(arrays) if arrays else None for name, arrays in parts.items()}
    step = joined["step"] if joined["step"] is not None else np.empty(0, np.int64)
    tokens = joined["tokens"] if joined["tokens"] is not None else np.empty(0, np.int64)
    order = np.argsort(step, kind="stable")
    ordered = {name: array[order] if array is not None else None for name, array in joined.items()}
    if ordered["domain"] is None and ordered["key"] is not None and audit is not None:
        ordered["domain"] = _looked_up(audit, ordered["key"], codes)
    return DrawnRows(step[order], tokens[order], ordered["key"], ordered["domain"], ordered["loss"], tuple(codes), ids)


def _merged(intervals: list[Interval]) -> npt.NDArray[np.int64]:
    """Disjoint intervals in order, int64 [K, 2]."""
    result: list[list[int]] = []
    for first, last in sorted(intervals):
        if result and first <= result[-1][1] + 1:
            result[-1][1] = max(result[-1][1], last)
        else:
            result.append([first, last])
    return np.array(result, np.int64).reshape(-1, 2)


def _inside(step: Integers, intervals: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    at = np.searchsorted(intervals[:, 0], step, side="right") - 1
    return np.asarray((at >= 0) & (step <= intervals[np.maximum(at, 0), 1]))


def _add(
    rows: LogRows,
    mask: npt.NDArray[np.bool_],
    named: list[Interval],
    parts: dict[str, list[np.ndarray]],
    codes: dict[str, int],
    ids: dict[int, str],
) -> None:
    selected = pa.array(mask)
    step = rows.step[mask]
    parts["step"].append(step)
    parts["tokens"].append(rows.tokens[mask])
    if rows.loss is not None:
        parts["loss"].append(rows.loss[mask])
    if rows.domain is not None:
        parts["domain"].append(domain_codes(rows.domain.filter(selected), codes))
    if rows.document is not None:
        documents = rows.document.filter(selected)
        keys = id_keys(documents)
        parts["key"].append(keys)
        keep = np.flatnonzero(_inside(step, _merged(named))) if named else np.empty(0, np.int64)
        ids.update(zip(keys[keep].tolist(), _words(documents.take(pa.array(keep))), strict=True))


def _words(texts: pa.Array) -> list[str]:
    """Texts without nulls; Arrow does not check that those of a file are UTF-8."""
    return [text.decode("utf-8", "replace") for text in texts.cast(pa.binary()).to_pylist()]


def domain_codes(names: pa.Array, codes: dict[str, int]) -> Integers:
    """Positions of names in ``codes``, which new ones are added to."""
    encoded = pc.dictionary_encode(names)
    table = np.array([codes.setdefault(name, len(codes)) for name in _words(encoded.dictionary)], np.int64)
    return np.asarray(table[encoded.indices.to_numpy(zero_copy_only=False)])


def _looked_up(audit: Path, keys: npt.NDArray[np.uint64], codes: dict[str, int]) -> Integers:
    """The domain of every key, by table ``per_document`` of a run; documents that it lacks are of an unknown domain."""
    path = audit / "tables" / "per_document.parquet"
    if not path.is_file():
        raise UsageError(f"{audit}: the run has no table per_document; run the audit with --per-document")
    distinct, inverse = np.unique(keys, return_inverse=True)
    domain = np.full(len(distinct), -1, np.int64)
    try:
        with pq.ParquetFile(path) as parquet:
            for batch in parquet.iter_batches(columns=["id", "domain"]):
                known = pc.is_valid(batch.column(0))
                batch_keys = id_keys(batch.column(0).filter(known))
                at = np.minimum(np.searchsorted(distinct, batch_keys), len(distinct) - 1)
                match = distinct[at] == batch_keys
                batch_codes = domain_codes(batch.column(1).cast(pa.string()).filter(known), codes)
                domain[at[match]] = batch_codes[match]
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    unknown = domain < 0
    if unknown.any():
        domain[unknown] = codes.setdefault(UNKNOWN, len(codes))
    return domain[inverse]
