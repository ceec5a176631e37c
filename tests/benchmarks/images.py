"""What an audit of images costs: processor time an image, over decoding the same images with Pillow alone.

``python -m tests.benchmarks.images [--images N] [--rounds N] [--out FILE]``

Photograph-like JPEGs of 640 x 427 pixels, drawn here, in a tar archive, without captions. Both are measured by slope,
as the difference between N images and a quarter of them, so that imports, the engine's start and the report cancel; in
turn, in processes of their own, with one worker. Reading, hashes of bytes and pixels, decoding, perceptual hashes,
thumbnails and counting are in it. Exits 1 over `LIMIT`.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.measuring import Measured, measure, middle

LIMIT = 3.0
SIZE = 640, 427

BARE = """
import io, sys, tarfile
from PIL import Image
with tarfile.open(sys.argv[1]) as archive:
    for member in archive:
        Image.open(io.BytesIO(archive.extractfile(member).read())).convert("RGB").load()
"""


def write_images(folder: Path, count: int) -> Path:
    """An archive of ``count`` JPEGs: blobs of colour with fine grain, about 60 kB each."""
    random = np.random.default_rng(count)
    path = folder / f"{count}.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(count):
            blobs = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(SIZE, 3)
            grain = random.integers(-12, 13, (SIZE[1], SIZE[0], 1))
            pixels = np.clip(np.asarray(blobs).astype(np.int64) + grain, 0, 255).astype(np.uint8)
            sink = io.BytesIO()
            Image.fromarray(pixels).save(sink, "JPEG", quality=88)
            info = tarfile.TarInfo(f"{number:06}.jpg")
            info.size = len(sink.getvalue())
            archive.addfile(info, io.BytesIO(sink.getvalue()))
    return path


def bare(archive: Path) -> Measured:
    """Decoding an archive's images with `tarfile` and Pillow."""
    return measure([sys.executable, "-c", BARE, str(archive)])


def audit(archive: Path) -> Measured:
    """An audit of an archive, with an empty store."""
    with tempfile.TemporaryDirectory() as output:
        spec = {"name": "images", "snapshot": {"paths": [str(archive)]}, "document": {"image": "image"}}
        path = Path(output, "audit.yaml")
        path.write_text(json.dumps(spec), encoding="utf-8")
        command = [sys.executable, "-m", "corpus_audit.runners.cli.main", "run", str(path), "--quiet", "--workers", "1"]
        return measure(command)


def main() -> int:
    """Measure, print and compare with the limit; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--images", type=int, default=1_200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sizes = (options.images // 4, options.images)
        archives = [write_images(Path(name), size) for size in sizes]
        audit(archives[0])  # compiles kernels
        pairs: list[tuple[float, float]] = []
        peak = 0
        for _ in range(options.rounds):
            bares, audits = [[way(archive) for archive in archives] for way in (bare, audit)]
            peak = max(peak, *(run.peak_bytes for run in audits))
            slopes = [
                (large.cpu_seconds - small.cpu_seconds) / (sizes[1] - sizes[0]) for small, large in (bares, audits)
            ]
            pairs.append((slopes[0], slopes[1]))
    decoding, whole = (middle([pair[i] for pair in pairs]) for i in (0, 1))
    ratio = middle([audited / alone for alone, audited in pairs])
    print(f"decoding {1e3 * decoding:.2f} ms an image, audit {1e3 * whole:.2f} ms: {ratio:.2f} times (limit {LIMIT})")
    print(f"peak memory of the audit of {sizes[1]:,} images: {peak / 1e6:,.0f} MB")
    if options.out:
        options.out.write_text(
            json.dumps({"decoding": decoding, "audit": whole, "ratio": ratio, "peak": peak}), encoding="utf-8"
        )
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
