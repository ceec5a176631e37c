"""The images in a column of a columnar shard: bytes, or structs of bytes and a path as `datasets.Image` stores them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.reading.documents.assembly import RowImages
from corpus_audit.pipelines.reading.documents.schema_fields import resolve_field
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.run.dead_letters import DeadLetterReason
from corpus_audit.schemas.run.snapshot import Shard

_BYTES, _PATH = "bytes", "path"


class ImageColumn:
    """The column of images of one shard.

    Attributes:
        parts: the components of its path.
    """

    def __init__(self, shard: Shard, schema: pa.Schema, path: str, limit: int) -> None:
        self.parts = resolve_field(shard, schema, path)
        self._limit = limit
        type_ = schema.field(self.parts[0]).type
        for part in self.parts[1:]:
            type_ = type_.field(part).type
        self._is_struct = pa.types.is_struct(type_)
        if self._is_struct and type_.get_field_index(_BYTES) < 0:
            raise ShardError(shard, f"its column of images {path!r} has the type {type_}, without a field {_BYTES!r}")
        self._has_path = self._is_struct and type_.get_field_index(_PATH) >= 0
        stored = type_.field(_BYTES).type if self._is_struct else type_
        types = pa.types
        if not (
            types.is_binary(stored)
            or types.is_large_binary(stored)
            or types.is_binary_view(stored)
            or types.is_null(stored)
        ):
            raise ShardError(shard, f"its column of images {path!r} holds {stored}, not bytes")

    def of(self, column: pa.Array) -> ImageValues:
        """The images of a batch; ``column`` is that of the images."""
        paths: pa.Array = pa.nulls(len(column), pa.large_string())
        if self._is_struct:
            if self._has_path:
                paths = pc.struct_field(column, _PATH).cast(pa.large_binary())
            column = pc.struct_field(column, _BYTES)
        return ImageValues(column.cast(pa.large_binary()), paths, self._limit)


@dataclass(frozen=True, slots=True)
class ImageValues:
    """Images of some rows, R of them: large_binary [R], null where the row stores none, and the paths beside them."""

    values: pa.LargeBinaryArray
    paths: pa.Array
    limit: int

    @property
    def lengths(self) -> np.ndarray:
        """Bytes of each image, int64 [R]; 0 where there is none."""
        return np.asarray(pc.fill_null(pc.binary_length(self.values), 0)).astype(np.int64)

    @property
    def too_large(self) -> dict[int, DeadLetterReason]:
        """Rows whose image is longer than the limit."""
        return dict.fromkeys(map(int, np.flatnonzero(self.lengths > self.limit)), DeadLetterReason.IMAGE_TOO_LARGE)

    def slice(self, start: int, stop: int) -> ImageValues:
        """Those of the rows ``[start, stop)``."""
        size = stop - start
        return ImageValues(self.values.slice(start, size), self.paths.slice(start, size), self.limit)

    def filter(self, keep: np.ndarray) -> ImageValues:
        """Those of the rows for which ``keep``, bool [R], is true."""
        mask = pa.array(keep)
        return ImageValues(self.values.filter(mask), self.paths.filter(mask), self.limit)

    def sha256(self, index: int, otherwise: bytes) -> str:
        """SHA-256 of an image's bytes, in hex, or of other bytes where the row has no image."""
        image = self.values[index]
        return hashlib.sha256(memoryview(image.as_buffer()) if image.is_valid else otherwise).hexdigest()

    def of_rows(self, sizes: np.ndarray) -> RowImages:
        """The images as rows of ``sizes`` bytes, int64 [R]; a row with a path alone says so."""
        only_path = np.asarray(pc.and_(pc.is_null(self.values), pc.is_valid(self.paths)))
        names: Sequence[str | None] = [
            None if path is None else path.decode("utf-8", "replace") if isinstance(path, bytes) else path
            for path in self.paths.to_pylist()
        ]
        reasons = dict.fromkeys(map(int, np.flatnonzero(only_path)), DeadLetterReason.IMAGE_NOT_STORED)
        return RowImages(self.values, sizes, reasons, names)
