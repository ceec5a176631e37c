"""Images of a benchmark, and planted copies of them that a search must find."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpus_audit.pipelines.images.containers import ImageFormat, declared_format
from corpus_audit.pipelines.images.decoding import ImageLimits, ImageRefused, decode_image, pillow
from corpus_audit.pipelines.images.properties import ImageProperties, image_properties
from corpus_audit.schemas.errors import UsageError

CANARIES = 100
"""Items at most of which each kind of copy is planted: those of lowest hash, the same in every run."""

_BATCH = 64  # files in memory at once


@dataclass(frozen=True, slots=True)
class BenchmarkImages:
    """The images of a benchmark, N of them.

    Attributes:
        name: of the benchmark.
        items: N paths below the folder, sorted.
        images: their properties, N rows, without thumbnails.
        refused: (path, why) of images that cannot be decoded: nobody can search for them.
        other_files: files that are no images by their names.
    """

    name: str
    items: tuple[str, ...]
    images: ImageProperties
    refused: tuple[tuple[str, str], ...]
    other_files: int


@dataclass(frozen=True, slots=True)
class CopyKind:
    """A way to copy an image: ``required``, the search must find every one; else how many it finds is told."""

    name: str
    about: str
    required: bool
    make: Callable[[Any], bytes]


def _saved(image: Any, format_: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, format_, **options)
    return target.getvalue()


def _cropped(image: Any) -> bytes:
    side, top = round(image.width * 0.02), round(image.height * 0.02)
    return _saved(image.crop((side, top, image.width - side, image.height - top)), "PNG")


def _half(image: Any) -> bytes:
    size = max(1, image.width // 2), max(1, image.height // 2)
    return _saved(image.resize(size, pillow().Resampling.LANCZOS), "PNG")


COPY_KINDS = (
    CopyKind("rewritten", "the same pixels, written again without loss", True, lambda image: _saved(image, "PNG")),
    CopyKind("jpeg", "a JPEG of quality 30", False, lambda image: _saved(image, "JPEG", quality=30)),
    CopyKind("half", "half as wide and high", False, _half),
    CopyKind("cropped", "2 % cut off every side", False, _cropped),
    CopyKind(
        "mirrored",
        "left and right exchanged; perceptual hashes do not find it",
        False,
        lambda image: _saved(image.transpose(pillow().Transpose.FLIP_LEFT_RIGHT), "PNG"),
    ),
)


def benchmark_files(name: str, folder: Path) -> tuple[list[Path], int]:
    """The files of a benchmark that are images by their names, sorted, and how many others there are.

    Raises:
        UsageError: there is no folder, or no such file below it.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    named = [path for path in files if declared_format(path.name) is not ImageFormat.NONE]
    if not named:
        what = "there is no image file below" if folder.is_dir() else "there is no folder"
        raise UsageError(f"images.benchmarks: {name}: {what} {folder}")
    return named, len(files) - len(named)


def benchmark_digest(name: str, folder: Path) -> str:
    """SHA-256 of the names and bytes of a benchmark's image files, in hex.

    Raises:
        UsageError: as `benchmark_files`.
    """
    digest = hashlib.sha256()
    for path in benchmark_files(name, folder)[0]:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def read_benchmark(name: str, folder: Path, limits: ImageLimits) -> BenchmarkImages:
    """Read every image below a folder.

    Raises:
        UsageError: there is no folder, or no image in it that can be decoded.
    """
    named, others = benchmark_files(name, folder)
    parts, items, refused = [ImageProperties.zeros(0)], [], []
    for start in range(0, len(named), _BATCH):
        batch = named[start : start + _BATCH]
        rows, reasons = image_properties([path.read_bytes() for path in batch], limits, thumbnails=False)
        kept = np.array([reason is None for reason in reasons], bool)
        parts.append(rows.take(kept))
        for path, reason in zip(batch, reasons, strict=True):
            item = path.relative_to(folder).as_posix()
            if reason is None:
                items.append(item)
            else:
                refused.append((item, str(reason)))
    if not items:
        raise UsageError(f"images.benchmarks: {name}: no image below {folder} can be decoded")
    return BenchmarkImages(name, tuple(items), ImageProperties.joined(parts), tuple(refused), others)


def planted_copies(
    benchmark: BenchmarkImages, folder: Path, limits: ImageLimits
) -> Iterator[tuple[CopyKind, np.ndarray, ImageProperties]]:
    """For each kind of copy, of which items copies were made, int64 [K], and the copies' properties, K rows.

    Of at most `CANARIES` items that are not flat: those of lowest hash of the pixels. Copies are of the item's RGB
    pixels, so that a copy without loss has the same picture as the item only where the item is RGB too; of others it
    must be near.
    """
    order = np.lexsort((benchmark.images.pixel_low, benchmark.images.pixel_high))
    selected = order[~benchmark.images.flat[order]][:CANARIES]
    for kind in COPY_KINDS:
        copies, of = [], []
        for position in selected.tolist():
            data = (folder / benchmark.items[position]).read_bytes()
            try:
                image = pillow().fromarray(decode_image(data, limits).pixels)
            except ImageRefused:
                continue  # it changed since it was read
            copies.append(kind.make(image))
            of.append(position)
        rows, reasons = image_properties(copies, limits, thumbnails=False)
        made = np.array([reason is None for reason in reasons], bool)
        yield kind, np.array(of, np.int64)[made], rows.take(made)
