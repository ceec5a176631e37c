"""From the columns of parsed rows to a `DocumentBatch`: filter, then the checks of the text, then the facets.

The order is the same in every format:

1. A row must parse (UTF-8, JSON, not too large); otherwise it is a dead letter, whatever the filter says of it.
2. The filter drops rows.
3. Rows whose text is missing or not text are dead letters. In an image corpus these are rows whose image is missing or
   cannot be decoded; a text that is missing there is a caption that is missing.

A label (id, facet, cluster) never makes a dead letter: any value is written as text, see `facets`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.images.decoding import ImageLimits, ImageRefused
from corpus_audit.pipelines.images.properties import ImageProperties, image_properties
from corpus_audit.pipelines.reading.documents.batches import (
    PRIMARY,
    DeadLetter,
    DocumentBatch,
    ReadSettings,
    SplitTally,
)
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

    text: str | None
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
        """Every column that is looked up, each once, the text first if there is one; without that of the images."""
        texts = () if self.text is None else (self.text,)
        return tuple(dict.fromkeys((*texts, *self.labels, *self.filtered)))


@dataclass(frozen=True, slots=True)
class RowImages:
    """The images of parsed rows, R of them.

    Attributes:
        values: pa.LargeBinaryArray [R], the images' files; null where a row has none.
        sizes: int64 [R], bytes of each row as its reader counts them.
        without: why a row has no image, where that is known better than that it is missing: position -> reason.
        names: the names of the images' files, [R]; None where they have none.
    """

    values: pa.LargeBinaryArray
    sizes: np.ndarray
    without: Mapping[int, DeadLetterReason]
    names: Sequence[str | None]


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
        images: RowImages | None = None,
    ) -> DocumentBatch | None:
        """Filter, check and encode parsed rows.

        Args:
            rows: int64 [R], numbers of the rows within the split.
            columns: the text as large_string, and the columns of the labels; [R] each.
            clause_columns: each filter clause's column, [R].
            raw: returns the bytes of the i-th row for a dead letter.
            mistyped: bool [R], rows whose text is not text, or whose label has a type that is not allowed.
            images: the rows' images, in an image corpus; a row without a text is then a document without a caption.

        Returns:
            The documents among the rows, or None if there is none.
        """
        count = len(rows)
        keep = np.ones(count, dtype=bool)
        if self._settings.filter:
            keep, dropped = apply_filter(self._settings.filter, clause_columns, count)
            self._tally.filtered.update(dropped)
        letter = _letters_of(raw, images)
        if mistyped is not None and mistyped.any():
            keep = self._reject_where(keep, mistyped, DeadLetterReason.WRONG_TYPE, rows, letter)
        text = pa.nulls(count, pa.large_string()) if self.fields.text is None else columns[self.fields.text]
        captioned: np.ndarray | None = None
        properties: ImageProperties | None = None
        if images is not None:
            captioned = np.asarray(pc.is_valid(text).to_numpy(zero_copy_only=False), dtype=bool)
            text = pc.fill_null(text, "")
            keep, properties = self._decode(images, keep, rows, letter, columns)
        elif text.null_count:
            missing = np.asarray(pc.is_null(text).to_numpy(zero_copy_only=False))
            keep = self._reject_where(keep, missing, DeadLetterReason.MISSING_TEXT, rows, letter)
        kept = int(keep.sum())
        if kept == 0:
            return None
        files = None if images is None else images.values
        if kept < count:
            mask = pa.array(keep)
            columns = {name: column.filter(mask) for name, column in columns.items()}
            rows, text = rows[keep], text.filter(mask)
            files = None if files is None else files.filter(mask)
            captioned = None if captioned is None else captioned[keep]
        self._tally.documents += kept
        if captioned is not None and self.fields.text is not None:
            self._tally.uncaptioned += int((~captioned).sum())
        fields = {*self.fields.facets.values(), *filter(None, [self.fields.cluster])}
        encoded = {field: _encoded(field, columns, kept) for field in fields}
        facets = {field: facet_of(encoded[field]) for field in set(self.fields.facets.values())}
        return DocumentBatch(
            rows=rows,
            text=text,
            ids=None if self.fields.id is None else label_text(columns[self.fields.id]),
            facets={name: facets[field] for name, field in self.fields.facets.items()},
            cluster=None if self.fields.cluster is None else keys_of(encoded[self.fields.cluster]),
            images=files,
            properties=properties,
            captioned=captioned,
        )

    def _decode(
        self,
        images: RowImages,
        keep: np.ndarray,
        rows: np.ndarray,
        letter: Callable[[int], _Letter],
        columns: Mapping[str, pa.Array],
    ) -> tuple[np.ndarray, ImageProperties | None]:
        """Which rows have an image that can be decoded, and what was measured of these images, in order.

        Where images are not described: which rows have an image.
        """
        reasons = dict(images.without)
        for index in np.flatnonzero(np.asarray(images.values.is_null())):
            reasons.setdefault(int(index), DeadLetterReason.MISSING_IMAGE)
        present = [int(index) for index in np.flatnonzero(keep) if int(index) not in reasons]
        properties: ImageProperties | None = None
        if self._settings.describe_images:
            properties, refused = self._described(images, present, columns)
            decoded = np.array([reason is None for reason in refused], dtype=bool)
            properties = properties if decoded.all() else properties.take(decoded)
            reasons |= {
                index: DeadLetterReason(refusal.reason.value)
                for index, refusal in zip(present, refused, strict=True)
                if refusal is not None
            }
        kept = keep.copy()
        for index in np.flatnonzero(keep):
            if int(index) in reasons:
                kept[index] = False
                self.reject_digest(int(rows[index]), reasons[int(index)], *letter(int(index)))
        return kept, properties

    def _described(
        self, images: RowImages, present: Sequence[int], columns: Mapping[str, pa.Array]
    ) -> tuple[ImageProperties, list[ImageRefused | None]]:
        """The properties of some rows' images, and why images were refused."""
        limits, domain = self._settings.images, self.fields.facets[PRIMARY]
        of_present = {name: columns[name].take(pa.array(present, pa.int64())) for name in filter(None, [domain.column])}
        return image_properties(
            [memoryview(images.values[index].as_buffer()) for index in present],
            ImageLimits(limits.max_bytes, limits.max_pixels, limits.max_frames),
            [images.names[index] for index in present],
            self._settings.thumbnails,
            np.asarray(facet_of(_encoded(domain, of_present, len(present))).indices),
        )

    def _reject_where(
        self,
        keep: np.ndarray,
        bad: np.ndarray,
        reason: DeadLetterReason,
        rows: np.ndarray,
        letter: Callable[[int], _Letter],
    ) -> np.ndarray:
        for index in np.flatnonzero(keep & bad):
            self.reject_digest(int(rows[index]), reason, *letter(int(index)))
        remaining: np.ndarray = keep & ~bad
        return remaining


_Letter = tuple[str, int, bytes]
"""SHA-256 of a row's bytes, or of its image where it has one; the row's size; its first bytes as text."""


def _letters_of(raw: Callable[[int], bytes], images: RowImages | None) -> Callable[[int], _Letter]:
    def letter(index: int) -> _Letter:
        data = raw(index)
        if images is None:
            return hashlib.sha256(data).hexdigest(), len(data), data[:EXCERPT_BYTES]
        image = images.values[index]
        digested = memoryview(image.as_buffer()) if image.is_valid else data
        return hashlib.sha256(digested).hexdigest(), int(images.sizes[index]), data[:EXCERPT_BYTES]

    return letter


def _encoded(field: Field, columns: Mapping[str, pa.Array], rows: int) -> pa.DictionaryArray:
    if field.column is None:
        return constant_labels(field.constant, rows)
    return encode_labels(columns[field.column], field.hosts)
