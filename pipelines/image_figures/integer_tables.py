"""The merged partials of image measures as published tables of integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.counting.table_columns import dictionary_column, hash_column, names_at
from corpus_audit.pipelines.image_measures import copies, kinds, sizes, thumbnails, totals
from corpus_audit.pipelines.measures.duplicates import HASHES, DuplicateTotals
from corpus_audit.pipelines.statistics.intervals.lengths import bucket_edges
from corpus_audit.pipelines.storage import count_tables
from corpus_audit.pipelines.storage.count_tables import CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.schemas.tables import image_tables
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

Reader = Callable[[str, str], PartialReader]
"""The partial that holds a table of a measure, such as `counting.profile.Profile.reader`."""


@dataclass(frozen=True, slots=True)
class ImageProfile:
    """The merged partials of the image measures, by ``reader``."""

    reader: Reader

    def totals(self) -> pa.Table:
        """Table IMAGE_TOTALS."""
        names, table = self._table("image_totals", "totals", totals.TOTALS)
        columns = table.columns
        wide = {
            f"sum_{unit}_squared": count_tables.wide_to_decimal(
                columns[f"{unit}_squared"], columns[f"{unit}_squared_high"]
            )
            for unit in ("pixels", "bytes")
        }
        plain = {name: columns[name] for name in ("images", "frames", "pixels", "bytes")}
        domain = names_at(names, columns["domain"])
        return pa.table({"domain": domain, **plain, **wide}, schema=image_tables.IMAGE_TOTALS)

    def cluster_groups(self) -> pa.Table:
        """Table IMAGE_CLUSTER_GROUPS; without rows where images are clusters."""
        names, table = self._table("image_totals", "groups", totals.GROUPS)
        columns = table.columns
        return pa.table(
            {
                "domain": names_at(names, columns["domain"]),
                "group": columns["group"].astype(np.int32),
                **{name: columns[name] for name in ("images", "pixels", "bytes")},
            },
            schema=image_tables.IMAGE_CLUSTER_GROUPS,
        )

    def sizes(self) -> pa.Table:
        """Table IMAGE_SIZES."""
        names, table = self._table("image_sizes", "histogram", sizes.SIZES)
        domain, number = count_tables.split_cells(table.columns["cell"])
        unit, bucket = sizes.split_size_number(number)
        edges = bucket_edges()
        rows = pa.table(
            {
                "domain": names_at(names, domain),
                "unit": names_at(sizes.SIZE_UNITS, unit),
                "low": edges[bucket],
                "high": edges[bucket + 1] - 1,
                "images": table.columns["images"],
            },
            schema=image_tables.IMAGE_SIZES,
        )
        return rows.sort_by([("domain", "ascending"), ("unit", "ascending"), ("low", "ascending")]).combine_chunks()

    def kinds(self) -> list[tuple[str, str, str, int]]:
        """(domain, property, value, images), in the order of the partial."""
        names, table = self._table("image_kinds", "kinds", kinds.KINDS)
        domain, number = count_tables.split_cells(table.columns["cell"])
        which, code = kinds.split_kind_number(number)
        rows = []
        for d, w, c, images in zip(*(a.tolist() for a in (domain, which, code, table.columns["images"])), strict=True):
            property_ = kinds.PROPERTIES[w]
            rows.append((names[d], property_, kinds.kind_name(property_, c), images))
        return rows

    def duplicate_totals(self, by: str) -> tuple[list[str], dict[str, np.ndarray]]:
        """Domains, (all) first, and int64 [1 + domains] each of images, distinct and across_images.

        ``by`` is bytes or pixels.
        """
        table, size = ("files", "bytes") if by == "bytes" else ("pictures", "pixels")
        reader = self.reader("image_copies", table)
        sums = DuplicateTotals(len(reader.names))
        spec = copies.FILES if by == "bytes" else copies.PICTURES
        for chunk in _whole_keys(reader.chunks(table, spec)):
            renamed = {name: chunk.columns[name] for name in ("high", "low", "domain")}
            sums.add(
                CountTable(HASHES, renamed | {"documents": chunk.columns["images"], "tokens": chunk.columns[size]})
            )
        columns = {
            "images": (int(sums.documents.sum()), sums.documents),
            "distinct": (sums.overall_distinct, sums.distinct),
            "across_images": (int(sums.across_documents.sum()), sums.across_documents),
        }
        whole = {name: np.concatenate(([overall], each)).astype(np.int64) for name, (overall, each) in columns.items()}
        return [ALL_DOMAINS, *reader.names], whole

    def files(self) -> Iterator[pa.Table]:
        """Table IMAGE_FILES, in pieces."""
        reader = self.reader("image_copies", "files")
        for chunk in reader.chunks("files", copies.FILES):
            yield pa.table(
                {
                    "hash": hash_column(chunk),
                    "domain": dictionary_column(reader.names, chunk.columns["domain"]),
                    "images": chunk.columns["images"],
                    "bytes": chunk.columns["bytes"],
                },
                schema=image_tables.IMAGE_FILES,
            )

    def pictures(self) -> Iterator[pa.Table]:
        """Table IMAGE_PICTURES, in pieces."""
        reader = self.reader("image_copies", "pictures")
        for chunk in reader.chunks("pictures", copies.PICTURES):
            columns = chunk.columns
            yield pa.table(
                {
                    "hash": hash_column(chunk),
                    "domain": dictionary_column(reader.names, columns["domain"]),
                    **{name: columns[name] for name in ("images", "pixels", "phash", "variance")},
                    "patch": columns["patch"].cast(pa.binary()).cast(pa.binary(192)),
                },
                schema=image_tables.IMAGE_PICTURES,
            )

    def distinct_pictures(self) -> int:
        """Rows of IMAGE_PICTURES."""
        return self.reader("image_copies", "pictures").rows("pictures")

    def thumbnails(self) -> pa.Table:
        """Table IMAGE_THUMBNAILS."""
        names, table = self._table("thumbnails", "thumbnails", thumbnails.THUMBNAILS)
        columns = table.columns
        return pa.table(
            {
                "domain": names_at(names, columns["domain"]),
                "hash": hash_column(table),
                **{name: columns[name] for name in ("images", "width", "height")},
                "thumbnail": columns["thumbnail"].cast(pa.binary()),
            },
            schema=image_tables.IMAGE_THUMBNAILS,
        )

    def _table(self, measure: str, table: str, spec: TableSpec) -> tuple[tuple[str, ...], CountTable]:
        reader = self.reader(measure, table)
        return reader.names, reader.table(table, spec)


def _whole_keys(chunks: Iterator[CountTable]) -> Iterator[CountTable]:
    """The same rows in pieces that never divide the rows of one hash."""
    pending: CountTable | None = None
    for chunk in chunks:
        if pending is not None:
            chunk = count_tables.concatenate([pending, chunk])
        high = chunk.columns["high"]
        last = int(np.searchsorted(high, high[-1], side="left"))
        pending = chunk.slice(last, len(chunk))
        if last:
            yield chunk.slice(0, last)
    if pending is not None:
        yield pending
