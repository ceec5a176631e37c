"""Shards of images on disk, and what the readers make of them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from corpus_audit.pipelines.reading.documents.batches import ReadSettings
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.formats.splits import SPLIT_BYTES, plan_shard
from corpus_audit.pipelines.reading.snapshot.conventions import format_of
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat
from corpus_audit.schemas.spec.audit import DocumentSpec
from tests.pipelines.reading.shard_files import Documents, read_plan

SETTINGS = ReadSettings(DocumentSpec(image="image", text="txt", id="__key__", domain="source"))
FOLDER_SETTINGS = ReadSettings(DocumentSpec(image="image", text="caption", id="file_name", domain="source"))


def png(seed: int, side: int = 8) -> bytes:
    """A small image of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def tar(
    members: Iterable[tuple[str | tarfile.TarInfo, bytes]], format_: int = tarfile.USTAR_FORMAT, pad: bool = False
) -> bytes:
    """An archive of named contents; without ``pad`` it ends with its two blocks of zeros."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=format_) as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.type == tarfile.REGTYPE:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data) if info.type == tarfile.REGTYPE else None)
        end = archive.offset
    return sink.getvalue() if pad else sink.getvalue()[: end + 1024]


def image_shard(path: Path) -> Shard:
    """The shard that a listing of an image corpus would make of an archive or a folder."""
    name = f"{path}/" if path.is_dir() else str(path)
    stat = filesystems.stat_file(name)
    format_ = ShardFormat.IMAGE_FOLDER if path.is_dir() else format_of(name, images=True)
    assert format_ is not None
    return Shard(name, f"{path.name}/" if path.is_dir() else path.name, format_, stat.size, stat.stamp)


def read_images(path: Path, settings: ReadSettings = SETTINGS, split_bytes: int = SPLIT_BYTES) -> Documents:
    """Plan and read a shard; raises `ShardError` where either fails."""
    shard = image_shard(path)
    planned = plan_shard(shard, None, lambda count: None, split_bytes)
    if planned.error is not None:
        raise ShardError(shard, planned.error)
    return read_plan(planned, settings)


def images_of(documents: Documents) -> Sequence[bytes]:
    """The images of all documents, in order."""
    values: list[bytes] = []
    for batch in documents.batches:
        assert batch.images is not None and batch.properties is not None and batch.captioned is not None
        assert len(batch.properties) == len(batch.captioned) == len(batch.images) == len(batch)
        values += batch.images.to_pylist()
    return values
