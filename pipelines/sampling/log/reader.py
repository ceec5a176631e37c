"""Reads a sampler's log as a stream, from Parquet or JSON lines with one row a drawn document.

A log is read twice: once for its first and last step (from Parquet's statistics where they exist), once for its rows.
Ids are compared by 64 bits of their BLAKE2b hash: that any two of 10^9 documents share theirs has probability 0.03.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.sampling.log.row_files import column_types, record_batches, row_files, usage_errors
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.sampling import SamplerLogSpec


@dataclass(frozen=True, slots=True)
class LogRows:
    """A batch of N rows of a log.

    Attributes:
        step, tokens: int64 [N].
        document: their ids as text, or None if the log has none.
        domain: their domains, or None if the log has none.
        loss: float64 [N], NaN where there is none, or None if the log has none.
    """

    step: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    document: pa.Array | None
    domain: pa.Array | None
    loss: npt.NDArray[np.float64] | None


class SamplerLogReader:
    """Reads a log of one or more files.

    Attributes:
        has_document, has_domain, has_loss: which columns it has, in all of its files.

    Raises:
        UsageError: the log does not exist, or lacks a column.
    """

    def __init__(self, spec: SamplerLogSpec, base: Path) -> None:
        self.spec = spec
        self.path = base / spec.path
        self.files = row_files(base, spec.path)
        self._types: dict[Path, dict[str, pa.DataType]] = {file: column_types(file) for file in self.files}
        for file, columns in self._types.items():
            for name in (spec.step, spec.tokens):
                if name not in columns:
                    raise UsageError(f"sampler log {file}: no column {name!r} (it has {', '.join(columns) or 'none'})")
        self.has_document, self.has_domain, self.has_loss = (
            all(name in columns for columns in self._types.values()) for name in (spec.document, spec.domain, spec.loss)
        )
        if not (self.has_document or self.has_domain):
            raise UsageError(
                f"sampler log {self.path}: it has neither a column {spec.document!r} nor {spec.domain!r}; name the "
                "column of ids or domains in log.document or log.domain"
            )

    def step_range(self) -> tuple[int, int]:
        """The first and the last step.

        Raises:
            UsageError: the log holds no row, or cannot be read.
        """
        low: int | None = None
        high: int | None = None
        for file in self.files:
            for smallest, largest in _step_ranges(file, self.spec.step, self._types[file]):
                low = smallest if low is None else min(low, smallest)
                high = largest if high is None else max(high, largest)
        if low is None or high is None:
            raise UsageError(f"sampler log {self.path}: it has no rows")
        return low, high

    def rows(self) -> Iterator[LogRows]:
        """All rows, in the order of the files.

        Raises:
            UsageError: a row lacks a step or tokens, or a file is damaged.
        """
        spec = self.spec
        columns = [spec.step, spec.tokens]
        columns += [spec.document] * self.has_document + [spec.domain] * self.has_domain + [spec.loss] * self.has_loss
        for file in self.files:
            for batch in record_batches(file, columns, self._types[file]):
                yield self._check(file, batch)

    def ids(self) -> Iterator[pa.Array]:
        """The ids of all rows as text."""
        for file in self.files:
            for batch in record_batches(file, [self.spec.document], self._types[file]):
                yield _text(batch.column(0), file, self.spec.document)

    def _check(self, file: Path, batch: pa.RecordBatch) -> LogRows:
        spec = self.spec
        step, tokens = (_integers(batch.column(name), file, name) for name in (spec.step, spec.tokens))
        if len(tokens) and tokens.min() < 0:
            raise UsageError(f"sampler log {file}: column {spec.tokens!r} has a negative number")
        loss = None
        if self.has_loss:
            loss = batch.column(spec.loss).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return LogRows(
            step,
            tokens,
            _text(batch.column(spec.document), file, spec.document) if self.has_document else None,
            _text(batch.column(spec.domain), file, spec.domain) if self.has_domain else None,
            loss,
        )


def id_keys(ids: pa.Array) -> npt.NDArray[np.uint64]:
    """The first 64 bits of the BLAKE2b-128 hash of every id, uint64 [N]; ids are text without nulls."""
    wide = ids.cast(pa.large_string())
    _, offsets, data = wide.buffers()
    starts = np.frombuffer(offsets, np.int64)[wide.offset : wide.offset + len(wide) + 1]
    text_bytes = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return hash_documents(text_bytes, starts)[0] if len(wide) else np.empty(0, np.uint64)


def _step_ranges(file: Path, name: str, types: dict[str, pa.DataType]) -> Iterator[tuple[int, int]]:
    if file.suffix == ".parquet" and (stated := _stated_range(file, name)) is not None:
        yield from stated
        return
    for batch in record_batches(file, [name], types):
        steps = _integers(batch.column(0), file, name)
        if len(steps):
            yield int(steps.min()), int(steps.max())


def _stated_range(file: Path, name: str) -> list[tuple[int, int]] | None:
    """Ranges of a column by row group, from the Parquet footer's statistics; None if a row group has none."""
    with usage_errors(file):
        footer = pq.read_metadata(file)
    column_index = footer.schema.names.index(name)
    ranges = []
    for group in range(footer.num_row_groups):
        if footer.row_group(group).num_rows == 0:
            continue
        statistics = footer.row_group(group).column(column_index).statistics
        if statistics is None or not statistics.has_min_max or not isinstance(statistics.min, int):
            return None
        ranges.append((statistics.min, statistics.max))
    return ranges


def _integers(column: pa.Array, file: Path, name: str) -> npt.NDArray[np.int64]:
    if column.null_count:
        raise UsageError(f"sampler log {file}: column {name!r} has rows without a value")
    try:
        return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False))
    except pa.ArrowException as error:
        raise UsageError(f"sampler log {file}: column {name!r} must hold whole numbers: {error}") from error


def _text(column: pa.Array, file: Path, name: str) -> pa.Array:
    if column.null_count:
        raise UsageError(f"sampler log {file}: column {name!r} has rows without a value")
    try:
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise UsageError(f"sampler log {file}: column {name!r} must hold text or whole numbers: {error}") from error
