"""Blocks of images without text, and a small album of images with copies, near copies and odd kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from PIL import Image

from corpus_audit.pipelines.images.properties import ImageProperties, image_properties
from corpus_audit.pipelines.measures.base import Block, FacetColumn
from tests.pipelines.images.making import LIMITS, animated, encoded, smooth, with_orientation


@dataclass(frozen=True)
class Picture:
    """An image file of a domain, with the name that declares its format, and its cluster key."""

    data: bytes
    domain: str
    name: str = "a.png"
    cluster: str = ""


@cache
def album() -> tuple[Picture, ...]:
    """Some thirty images of three domains."""
    shots = [smooth(seed, 40 + 7 * seed, 30 + 5 * seed) for seed in range(8)]
    pictures = [
        Picture(encoded(shot), "web" if i % 2 else "studio", cluster=f"host{i % 3}") for i, shot in enumerate(shots)
    ]
    pictures += pictures[:3]  # the same files
    pictures += [
        Picture(encoded(shots[0], "BMP"), "studio", "a.bmp"),
        Picture(encoded(shots[1], "TIFF"), "scans", "a.tif"),
    ]
    pictures += [Picture(encoded(shot, "JPEG", quality=60), "scans", "a.jpg", "host9") for shot in shots[:4]]
    pictures += [
        Picture(encoded(shots[5], "JPEG"), "web", "wrong.png"),
        Picture(encoded(shots[6]), "web", "wrong.webp"),
    ]
    pictures += [
        Picture(with_orientation(shots[7], 6), "studio", "b.jpeg"),
        Picture(animated("GIF", 3), "web", "c.gif"),
    ]
    pictures += [Picture(encoded(np.full((20, 30, 3), grey, np.uint8)), "scans", "flat") for grey in (0, 255, 255)]
    pictures.append(Picture(encoded(Image.fromarray(shots[2]).convert("CMYK"), "JPEG"), "scans", "x.jpg"))
    return tuple(pictures)


@cache
def described() -> ImageProperties:
    """The properties of the album, a row a picture."""
    rows, reasons = image_properties([p.data for p in album()], LIMITS, [p.name for p in album()])
    assert reasons == [None] * len(album())
    return rows


def block_of(numbers: Sequence[int], clustered: bool = False) -> Block:
    """A block of pictures of the album, by number; their rows are their positions here."""
    selected = [album()[number] for number in numbers]
    return image_block(
        described().take(np.array(numbers, np.int64)),
        [picture.domain for picture in selected],
        [picture.cluster for picture in selected] if clustered else None,
    )


def image_block(images: ImageProperties, domains: Sequence[str], clusters: Sequence[str] | None = None) -> Block:
    """A block of images without captions."""
    count = len(images)
    names = tuple(sorted(set(domains), key=str.encode))
    codes = np.array([names.index(domain) for domain in domains], np.int64)
    zeros = np.zeros(count, np.int64)
    keys = None if clusters is None else [_hashed(cluster or f"alone {i}") for i, cluster in enumerate(clusters)]
    return Block(
        split=0,
        split_key=1,
        rows=np.arange(count),
        bytes=images.bytes,
        characters=zeros,
        words=zeros,
        tokens=zeros,
        high=images.byte_high,
        low=images.byte_low,
        first_minhash=np.zeros(count, np.uint32),
        sketches=np.zeros((count, 64), np.uint8),
        names=names,
        domains=codes,
        facets={"domain": FacetColumn(pa.array(names, pa.large_string()), codes)},
        clusters=None
        if keys is None
        else (np.array([k[0] for k in keys], np.uint64), np.array([k[1] for k in keys], np.uint64)),
        alone=None if clusters is None else np.array([not cluster for cluster in clusters], bool),
        ids=np.empty(0, np.uint32),
        offsets=np.zeros(count + 1, np.int64),
        document_ids=pa.array([b""] * count, pa.large_binary()),
        excerpts=None,
        vocabulary=1,
        images=images,
    )


def _hashed(key: str) -> tuple[int, int]:
    digest = blake2b(key.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
