"""Attributes a unit on its strongest images of a folder whose subfolders are domains, and sums regions by domain."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from corpus_audit.embeddings.attribution.images.model_unit import as_input, highest
from corpus_audit.embeddings.attribution.images.regions import (
    AttributedImage,
    DomainRegions,
    StandsOut,
    by_domain,
    standing_out,
)
from corpus_audit.embeddings.attribution.images.run import LIMITS, Attributor, ImageResult, read_bytes
from corpus_audit.pipelines.images.decoding import ImageRefused, decode_image
from corpus_audit.schemas.errors import UsageError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_BATCH = 16


@dataclass(frozen=True)
class RankedImage:
    """An image of a domain and the unit's activation on it."""

    domain: str
    path: Path
    value: float


@dataclass(frozen=True)
class FolderAttribution:
    """The strongest images of some domains, attributed.

    Attributes:
        ranked: domain by domain, strongest first.
        results: their attributions.
        domains: shares of regions by domain; standing_out: where one domain stands out.
        images: images of each domain that were run.
        refused: images of each domain that could not be used.
    """

    ranked: list[RankedImage]
    results: list[ImageResult]
    domains: list[DomainRegions]
    standing_out: list[StandsOut]
    images: Counter[str]
    refused: Counter[str]


def attribute_folder(
    attributor: Attributor,
    folder: Path,
    domains: Sequence[str] = (),
    k: int = 20,
    checked: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> FolderAttribution:
    """Attribute a unit on its strongest images of each domain.

    Args:
        attributor: the unit and the method.
        folder: its subfolders are domains; images lie in them at any depth.
        domains: the subfolders that count; none: all.
        k: images of each domain.
        checked: of how many, the strongest of all first, deletion, insertion and randomisation are computed.
        say: is called with a line when images are run, and when they are attributed.

    Raises:
        UsageError: there is no such domain, or no image that can be used.
    """
    images: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    selected = _domains(folder, domains)
    say(f"running {attributor.model.name} on the images of {', '.join(selected)}")
    ranked = [each for domain in selected for each in _strongest(attributor, folder, domain, k, images, refused)]
    if not ranked:
        raise UsageError(f"{folder} holds no image that can be used in {', '.join(selected)}")
    say(f"attributing {attributor.unit} on {len(ranked):,} of {sum(images.values()):,} images")
    first = {id(each) for each in sorted(ranked, key=lambda each: -each.value)[:checked]}
    results = [attributor.attribute(each.path.name, read_bytes(each.path), id(each) in first) for each in ranked]
    maps = [
        AttributedImage(each.domain, str(each.path), result.stored.attribution.values)
        for each, result in zip(ranked, results, strict=True)
    ]
    together = by_domain(maps)
    return FolderAttribution(ranked, results, together, standing_out(together), images, refused)


def _domains(folder: Path, domains: Sequence[str]) -> list[str]:
    known = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not known:
        raise UsageError(f"{folder} has no subfolders: each is a domain, and holds its images")
    unknown = [domain for domain in domains if domain not in known]
    if unknown:
        raise UsageError(f"{folder} has no domain {unknown[0]!r}; it has {', '.join(known)}")
    return list(dict.fromkeys(domains)) or known


def _strongest(
    attributor: Attributor, folder: Path, domain: str, k: int, images: Counter[str], refused: Counter[str]
) -> list[RankedImage]:
    """At most k images of a domain with the highest activation, highest first; ties by path."""
    function = highest(attributor.model, attributor.unit)
    paths = sorted(path for path in (folder / domain).rglob("*") if path.suffix.lower() in SUFFIXES)
    best: list[tuple[float, int]] = []
    numbers: list[int] = []
    batch: list[torch.Tensor] = []

    def run() -> None:
        if batch:
            with torch.no_grad():
                values = function(torch.stack(batch)).double().cpu().numpy()
            best.extend((float(value), -number) for value, number in zip(values, numbers, strict=True))
            best[:] = heapq.nlargest(k, best)
        batch.clear()
        numbers.clear()

    for number, pixels in _decoded(paths):
        if pixels is None:
            refused[domain] += 1
            continue
        images[domain] += 1
        numbers.append(number)
        batch.append(as_input(attributor.model, pixels))
        if len(batch) == _BATCH:
            run()
    run()
    return [RankedImage(domain, paths[-number], value) for value, number in best]


def _decoded(paths: Sequence[Path]) -> Iterator[tuple[int, np.ndarray | None]]:
    """Pixels of images by number; None for one that cannot be used."""
    for number, path in enumerate(paths):
        try:
            yield number, decode_image(read_bytes(path), LIMITS).pixels
        except (ImageRefused, UsageError):
            yield number, None
