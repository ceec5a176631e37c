"""Images in columns of Parquet and Arrow IPC: bytes, structs as `datasets.Image` stores them, rows without an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.reading.documents.batches import ReadSettings
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.spec.audit import DocumentSpec, FilterClause, ImagesSpec
from tests.pipelines.reading.image_shards import images_of, png, read_images

IMAGES = [png(seed) for seed in range(6)]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SETTINGS = ReadSettings(DocumentSpec(image="image", text="caption", id="id", domain="domain"))


def write(path: Path, images: pa.Array, captions: list[Any] | None = None) -> Path:
    count = len(images)
    names = [f"n{i}" for i in range(count)]
    captions = captions or [f"caption {i}" for i in range(count)]
    table = pa.table({"image": images, "caption": captions, "id": names, "domain": ["ab"[i % 2] for i in range(count)]})
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=2)
    else:
        with pa.ipc.new_file(path, table.schema) as sink:
            sink.write_table(table, max_chunksize=2)
    return path


def structs(values: list[bytes | None], paths: list[str | None] | None = None) -> pa.Array:
    paths = paths or [None] * len(values)
    return pa.array([{"bytes": v, "path": p} for v, p in zip(values, paths, strict=True)], STRUCT)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize("kind", ["binary", "large_binary", "struct", "dotted"])
def test_images_are_read(tmp_path: Path, name: str, kind: str) -> None:
    values = structs(IMAGES, [f"{i}.png" for i in range(6)])  # type: ignore[arg-type]
    if kind in ("binary", "large_binary"):
        values = pa.array(IMAGES, pa.type_for_alias(kind))
    settings = SETTINGS
    if kind == "dotted":
        settings = ReadSettings(SETTINGS.document.model_copy(update={"image": "image.bytes"}))
    documents = read_images(write(tmp_path / name, values), settings)
    assert images_of(documents) == IMAGES
    assert documents.texts == [f"caption {i}" for i in range(6)]
    assert documents.domains == ["a", "b"] * 3
    sizes = sum(len(image) + len(f"caption {i}") for i, image in enumerate(IMAGES))
    assert sum(tally.row_bytes for tally in documents.tallies) == sizes


def test_rows_without_an_image_are_dead_letters(tmp_path: Path) -> None:
    values = [IMAGES[0], None, None, b"", b"no image", IMAGES[5]]
    paths = [None, "elsewhere.png", None, None, "a.png", None]
    path = write(tmp_path / "a.parquet", structs(values, paths), ["x", "x", "x", "x", "x", None])
    documents = read_images(path, SETTINGS)
    assert images_of(documents) == [IMAGES[0], IMAGES[5]]
    assert documents.dead == {"image_not_stored": 1, "missing_image": 1, "image_empty": 1, "not_an_image": 1}
    assert documents.texts == ["x", ""]
    assert [flag for b in documents.batches for flag in b.captioned.tolist()] == [True, False]  # type: ignore[union-attr]


def test_limits_filters_and_bad_captions(tmp_path: Path) -> None:
    captions = pa.array([b"a", b"\xff", b"c", b"d", b"e", b"f"], pa.binary())
    large = [*IMAGES[:4], png(9, 64), IMAGES[5]]
    path = write(tmp_path / "a.parquet", pa.array(large, pa.binary()), captions)
    clause = FilterClause(name="b", column="domain", op="==", value="a")
    settings = ReadSettings(SETTINGS.document, (clause,), images=ImagesSpec(max_bytes=max(map(len, IMAGES))))
    documents = read_images(path, settings)
    assert documents.ids == ["n0", "n2"]
    assert documents.dead == {"invalid_utf8": 1, "image_too_large": 1}
    assert documents.filtered == {"b": 2}


def test_a_column_that_holds_no_bytes_is_an_error(tmp_path: Path) -> None:
    text = write(tmp_path / "a.parquet", pa.array(["a.png"]))
    with pytest.raises(ShardError, match="holds string, not bytes"):
        read_images(text, SETTINGS)
    struct = write(tmp_path / "b.parquet", pa.array([{"path": "a.png"}]))
    with pytest.raises(ShardError, match="without a field 'bytes'"):
        read_images(struct, SETTINGS)
    with pytest.raises(ShardError, match="has no column 'picture'"):
        read_images(struct, ReadSettings(DocumentSpec(image="picture")))


def test_images_without_captions(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", pa.array(IMAGES, pa.binary()))
    documents = read_images(path, ReadSettings(DocumentSpec(image="image")))
    assert documents.texts == [""] * 6 and images_of(documents) == IMAGES
    assert not any(flag for b in documents.batches for flag in b.captioned.tolist())  # type: ignore[union-attr]


def test_thumbnails_and_descriptions_are_made_only_where_they_are_wanted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", structs([*IMAGES[:4], b"no image", IMAGES[5]]))
    described = read_images(path, SETTINGS)
    without = read_images(path, replace(SETTINGS, thumbnails=False))
    for documents, made in ((described, True), (without, False)):
        properties = [batch.properties for batch in documents.batches]
        assert sum(len(each) for each in properties if each is not None) == 5
        assert {bool(t) for each in properties if each is not None for t in each.thumbnails.to_pylist()} == {made}
    raw = read_images(path, replace(SETTINGS, describe_images=False))
    assert all(batch.properties is None and batch.images is not None for batch in raw.batches)
    assert raw.ids == [f"n{i}" for i in range(6)] and described.ids == [f"n{i}" for i in (0, 1, 2, 3, 5)]
