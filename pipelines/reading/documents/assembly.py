"""From the columns of parsed rows to a `DocumentBatch`: filter, then the checks of the text, then the facets.

The order is the same in every format:

1. A row must parse (UTF-8, JSON, not too large); otherwise it is a dead letter, whatever the filter says of it.
2. The filter drops rows.
3. Rows whose text is missing or not text are dead letters.

A label (id, facet, cluster) never makes a dead letter: any value is written as text, see `facets`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.reading.documents.batches import DeadLetter, DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.documents.facets import (
    constant_labels,
    encode_labels,
    facet_of,
    keys_of,
    label_text,
)
from corpus_audit.pipelines.reading.documents.filters import apply_filter, check_filter
from corpus_audit.pipelines.reading.documents.path_patterns import CLUSTER, path_values, sources
from corpus_audit.schemas.run.dead_letters import DeadLetterReason
from corpus_audit.schemas.run.snapshot import Shard
from corpus_audit.schemas.spec.audit import ColumnSource, ConstantSource, PathSource, UrlHostSource

BATCH_BYTES = 8 * 2**20
"""Approximate bytes of text in a batch: the tokenizer is fastest at this size. A longer document is its own batch."""

EXCERPT_BYTES = 200
"""First bytes of a dead letter that ``limits.dead_letter_excerpts`` keeps."""


@dataclass(frozen=True, slots=True)
class Field:
    """The source of a facet's values: a column (of URLs, if ``hosts``), or one constant for the whole shard."""

    column: str | None
    hosts: bool = False
    constant: str = ""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields that a split's reader looks up; facets from the shard's path are constants already."""

    text: str
    id: str | None
    facets: dict[str, Field]
    cluster: Field | None
    filtered: tuple[str, ...]

    @classmethod
    def of(cls, shard: Shard, settings: ReadSettings) -> Fields:
        """The fields of a spec for one shard.

        Raises:
            UsageError: a filter or a path pattern is wrong.
            ShardError: the shard's path does not match a pattern.
        """
        check_filter(settings.filter)
        constants = path_values(shard, settings.document)
        fields: dict[str, Field] = {}
        for name, source in sources(settings.document).items():
            match source:
                case UrlHostSource():
                    fields[name] = Field(source.url_host, hosts=True)
                case ConstantSource():
                    fields[name] = Field(None, constant=source.constant)
                case PathSource():
                    fields[name] = Field(None, constant=constants[name])
                case ColumnSource():
                    fields[name] = Field(source.column)
                case _:
                    fields[name] = Field(source)
        cluster = fields.pop(CLUSTER, None)
        document = settings.document
        return cls(document.text, document.id, fields, cluster, tuple(clause.column for clause in settings.filter))

    @property
    def labels(self) -> tuple[str, ...]:
        """Columns whose values become labels: those of the id, the facets and the cluster; each once."""
        columns = [self.id, *(field.column for field in self.facets.values()), self.cluster and self.cluster.column]
        return tuple(dict.fromkeys(column for column in columns if column))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is looked up, each once, the text first."""
        return tuple(dict.fromkeys((self.text, *self.labels, *self.filtered)))


class Assembler:
    """Makes the batches of one split and updates its tally; callers parse the rows and count them in ``tally.rows``."""

    def __init__(self, fields: Fields, settings: ReadSettings, tally: SplitTally) -> None:
        self.fields = fields
        self._settings = settings
        self._tally = tally

    def reject(self, row: int, reason: DeadLetterReason, data: bytes) -> None:
        """Record a row as a dead letter; ``data`` is its line, or its text in columnar formats."""
        self.reject_digest(row, reason, hashlib.sha256(data).hexdigest(), len(data), data[:EXCERPT_BYTES])

    def reject_digest(self, row: int, reason: DeadLetterReason, sha256: str, size: int, head: bytes) -> None:
        """Record a dead letter whose bytes were too many to keep: by digest, size and first bytes."""
        excerpt = head.decode("utf-8", "replace") if self._settings.limits.dead_letter_excerpts else None
        self._tally.add_letter(DeadLetter(row, reason, sha256, size, excerpt))

    def assemble(
        self,
        rows: np.ndarray,
        columns: Mapping[str, pa.Array],
        clause_columns: Sequence[pa.Array],
        raw: Callable[[int], bytes],
        mistyped: np.ndarray | None = None,
    ) -> DocumentBatch | None:
        """Filter, check and encode parsed rows.

        Args:
            rows: int64 [R], numbers of the rows within the split.
            columns: the text as large_string, and the columns of the labels; [R] each.
            clause_columns: each filter clause's column, [R].
            raw: returns the bytes of the i-th row for a dead letter.
            mistyped: bool [R], rows whose text is not text, or whose label has a type that is not allowed.

        Returns:
            The documents among the rows, or None if there is none.
        """
        count = len(rows)
        keep = np.ones(count, dtype=bool)
        if self._settings.filter:
            keep, dropped = apply_filter(self._settings.filter, clause_columns, count)
            self._tally.filtered.update(dropped)
        text = columns[self.fields.text]
        if mistyped is not None and mistyped.any():
            keep = self._reject_where(keep, mistyped, DeadLetterReason.WRONG_TYPE, rows, raw)
        if text.null_count:
            missing = np.asarray(pc.is_null(text).to_numpy(zero_copy_only=False))
            keep = self._reject_where(keep, missing, DeadLetterReason.MISSING_TEXT, rows, raw)
        kept = int(keep.sum())
        if kept == 0:
            return None
        if kept < count:
            mask = pa.array(keep)
            columns = {name: column.filter(mask) for name, column in columns.items()}
            rows, text = rows[keep], columns[self.fields.text]
        self._tally.documents += kept
        fields = {*self.fields.facets.values(), *filter(None, [self.fields.cluster])}
        encoded = {field: _encoded(field, columns, kept) for field in fields}
        facets = {field: facet_of(encoded[field]) for field in set(self.fields.facets.values())}
        return DocumentBatch(
            rows=rows,
            text=text,
            ids=None if self.fields.id is None else label_text(columns[self.fields.id]),
            facets={name: facets[field] for name, field in self.fields.facets.items()},
            cluster=None if self.fields.cluster is None else keys_of(encoded[self.fields.cluster]),
        )

    def _reject_where(
        self,
        keep: np.ndarray,
        bad: np.ndarray,
        reason: DeadLetterReason,
        rows: np.ndarray,
        raw: Callable[[int], bytes],
    ) -> np.ndarray:
        for index in np.flatnonzero(keep & bad):
            self.reject(int(rows[index]), reason, raw(int(index)))
        remaining: np.ndarray = keep & ~bad
        return remaining


def _encoded(field: Field, columns: Mapping[str, pa.Array], rows: int) -> pa.DictionaryArray:
    if field.column is None:
        return constant_labels(field.constant, rows)
    return encode_labels(columns[field.column], field.hosts)
