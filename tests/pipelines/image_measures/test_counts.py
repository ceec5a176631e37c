"""What the image measures count, against plain Python over the album."""

from __future__ import annotations

import io
from collections import Counter
from hashlib import blake2b

import numpy as np
from PIL import Image

from corpus_audit.pipelines.image_measures import copies, kinds, sizes, thumbnails, totals
from corpus_audit.pipelines.images.decoding import decode_image
from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.pipelines.statistics.intervals.lengths import bucket_edges
from corpus_audit.pipelines.storage import count_tables
from corpus_audit.pipelines.storage.count_tables import CountTable
from tests.pipelines.image_measures.making import album, block_of
from tests.pipelines.images.making import LIMITS

DECODED = [decode_image(picture.data, LIMITS) for picture in album()]


def counted(measure: Measure, table: str, clustered: bool = False) -> tuple[tuple[str, ...], CountTable]:
    numbers = [i for i, picture in enumerate(album()) if picture.cluster or not clustered]
    partial = measure.count(block_of(numbers, clustered))
    return partial.names, partial.tables[table]


def test_totals() -> None:
    names, table = counted(totals.ImageTotals(), "totals")
    for position, name in enumerate(names):
        images = [(p, d) for p, d in zip(album(), DECODED, strict=True) if p.domain == name]
        row = {column: int(values[position]) for column, values in table.columns.items()}
        assert row["images"] == len(images) and row["frames"] == sum(d.frames for _, d in images)
        assert row["pixels"] == sum(d.width * d.height for _, d in images)
        assert row["bytes"] == sum(len(p.data) for p, _ in images)
        squares = row["pixels_squared_high"] << 32 | row["pixels_squared"]
        assert squares == sum((d.width * d.height) ** 2 for _, d in images)
        assert row["bytes_squared_high"] << 32 | row["bytes_squared"] == sum(len(p.data) ** 2 for p, _ in images)


def test_cluster_groups_add_up_to_the_totals() -> None:
    assert len(counted(totals.ImageTotals(), "groups")[1]) == 0
    names, groups = counted(totals.ImageTotals(), "groups", clustered=True)
    _, whole = counted(totals.ImageTotals(), "totals", clustered=True)
    for column in ("images", "pixels", "bytes"):
        sums = np.bincount(groups.columns["domain"], groups.columns[column], len(names))
        assert sums.tolist() == whole.columns[column].tolist()
    hosts = {(picture.domain, picture.cluster) for picture in album() if picture.cluster}
    assert len(groups) == len(hosts)


def test_sizes() -> None:
    names, table = counted(sizes.ImageSizes(), "histogram")
    domain, number = count_tables.split_cells(table.columns["cell"])
    unit, bucket = sizes.split_size_number(number)
    edges = bucket_edges()
    expected: Counter[tuple[str, str, int]] = Counter()
    for picture, image in zip(album(), DECODED, strict=True):
        short, long = sorted((image.width, image.height))
        values = {
            "short_side": short,
            "pixels": short * long,
            "aspect": 1000 * long // short,
            "bytes_per_pixel": 1000 * len(picture.data) // (short * long),
        }
        for name, value in values.items():
            expected[picture.domain, name, int(edges[edges <= value][-1])] += 1
    rows = zip(domain, unit, bucket, table.columns["images"], strict=True)
    assert {(names[d], sizes.SIZE_UNITS[u], int(edges[b])): n for d, u, b, n in rows} == expected


def test_kinds() -> None:
    names, table = counted(kinds.ImageKinds(), "kinds")
    domain, number = count_tables.split_cells(table.columns["cell"])
    which, code = kinds.split_kind_number(number)
    rows = zip(domain, which, code, table.columns["images"], strict=True)
    got = {(names[d], kinds.PROPERTIES[w], kinds.kind_name(kinds.PROPERTIES[w], int(c))): n for d, w, c, n in rows}
    for name in kinds.PROPERTIES:
        assert sum(n for (_, property_, _), n in got.items() if property_ == name) == len(album())
    expected = Counter((p.domain, d.format) for p, d in zip(album(), DECODED, strict=True))
    assert {(d, v): n for (d, p, v), n in got.items() if p == "format"} == expected
    assert got["scans", "mode", "CMYK"] == 1 and got["web", "mode", "P"] == 1
    assert got["studio", "orientation", "6"] == 1 and got["web", "frames", "2 to 10"] == 1
    assert got["scans", "flat", "yes"] == 3
    assert got["web", "mislabelled", "JPEG named PNG"] == got["web", "mislabelled", "PNG named WEBP"] == 1
    assert got["scans", "mislabelled", "no"] == sum(p.domain == "scans" for p in album())


def test_names_of_kinds() -> None:
    pairs = [("orientation", 0), ("frames", 0), ("frames", 3), ("flat", 0), ("format", 3), ("mode", 0)]
    names = [kinds.kind_name(*pair) for pair in pairs]
    assert names == ["unknown", "1", "more than 100", "no", "WEBP", "other"]
    assert np.searchsorted([1, 10, 100], [1, 2, 10, 11, 100, 101]).tolist() == [0, 1, 1, 2, 2, 3]


def test_copies_of_files_and_of_pictures() -> None:
    names, files = counted(copies.ImageCopies(), "files")
    expected = Counter((p.domain, int.from_bytes(blake2b(p.data, digest_size=16).digest(), "big")) for p in album())
    rows = zip(*(files.columns[c].tolist() for c in ("domain", "high", "low", "images", "bytes")), strict=True)
    got = {(names[d], high << 64 | low): (n, size) for d, high, low, n, size in rows}
    assert {key: n for key, (n, _) in got.items()} == expected
    sizes_ = {int.from_bytes(blake2b(p.data, digest_size=16).digest(), "big"): len(p.data) for p in album()}
    assert all(size == sizes_[digest] for (_, digest), (_, size) in got.items())

    names, pictures = counted(copies.ImageCopies(), "pictures")
    shapes = Counter(
        (p.domain, d.height, d.width, d.mode, d.pixels.tobytes()) for p, d in zip(album(), DECODED, strict=True)
    )
    assert sorted(pictures.columns["images"].tolist()) == sorted(shapes.values())
    assert len(pictures) < len(files)  # a BMP and a TIFF of pictures that are there as PNG
    patches = copies.rows_from_bytes(pictures.columns["patch"], 192)
    assert patches.shape == (len(pictures), 192)
    block = block_of(range(len(album())))
    assert block.images is not None
    by_hash = {int(h): i for i, h in enumerate(block.images.pixel_high)}
    for row, high in enumerate(pictures.columns["high"].tolist()):
        source = by_hash[high]
        assert (patches[row] == block.images.patches[source]).all()
        assert pictures.columns["phash"][row] == block.images.phash[source]
        assert pictures.columns["variance"][row] == block.images.variance[source]


def test_thumbnails_are_those_of_lowest_hash() -> None:
    names, table = counted(thumbnails.Thumbnails(), "thumbnails")
    block = block_of(range(len(album())))
    images = block.images
    assert images is not None
    for position, name in enumerate(names):
        mine = np.flatnonzero(block.domains == position)
        hashes = sorted({(int(images.pixel_high[i]), int(images.pixel_low[i])) for i in mine})[: thumbnails.KEPT]
        rows = np.flatnonzero(table.columns["domain"] == position)
        got = [(int(table.columns["high"][r]), int(table.columns["low"][r])) for r in rows]
        assert got == hashes, name
    for row in range(len(table)):
        with Image.open(io.BytesIO(table.columns["thumbnail"][row].as_py())) as small:
            assert small.size == (table.columns["width"][row], table.columns["height"][row])
    assert int(table.columns["images"].sum()) == len(album())
