"""Crops of a few units' strongest images, stored in an index of images so that a report shows them without the corpus.

The units are, of each of the `DOMAINS` domains with the most images, the one that is most certainly more active there
than elsewhere and is not listed yet; where these are fewer than `UNITS`, the units that fire on the fewest images (but
on `EXAMPLES` at least) follow.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.images.card import ImageCard
from corpus_audit.embeddings.images.lookups.crops import Crop, EffectiveField, read_crops
from corpus_audit.embeddings.images.lookups.effective_field import with_effective_fields
from corpus_audit.embeddings.images.model import ImageModel
from corpus_audit.embeddings.images.small_classifier import one_thread
from corpus_audit.embeddings.images.sources import ImageSource
from corpus_audit.embeddings.index.mapped_tables import document_name
from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.lookup.compare_units import firing, preferences
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.tables.embedding_tables import UNIT_CROPS
from corpus_audit.schemas.units import Unit

UNITS, DOMAINS, EXAMPLES = 6, 6, 9
"""Units, domains that select one, and images of a unit, at most."""

SIDE, LOSSLESS = 64, 32
"""Longer side of a stored crop at most, and up to which it is stored without loss, in pixels."""

_QUALITY = 85
_FRAME = (214, 39, 40)
"""Colour of a patch's frame, as on contact sheets in PNG."""


@dataclass(frozen=True)
class SelectedUnit:
    """A unit whose crops are stored.

    Attributes:
        unit: its address.
        fired: share of images on which it fires.
        domain: in which it is more active than elsewhere; None: it was selected as it fires on few images.
        mean, elsewhere: mean activations there and on all other images.
        low, high: 95 % bounds of the difference.
    """

    unit: Unit
    fired: float
    domain: str | None = None
    mean: float | None = None
    elsewhere: float | None = None
    low: float | None = None
    high: float | None = None


def unit_crops(index: Index, model: ImageModel, source: ImageSource, audit: AuditSpec) -> pa.Table:
    """Crops of the strongest images of selected units, in the schema UNIT_CROPS; at most `UNITS` x `EXAMPLES` rows.

    Where the exact field of a peak is the whole image, the crop is that of the effective field.

    Args:
        index: of the images.
        model: the index's model.
        source: reads the images of the index's corpus.
        audit: the audit.

    Raises:
        ShardError: a shard cannot be read.
    """
    card = ImageCard.from_json(index.facts.model)
    units = list(selected_units(index))
    listed = [(each, example) for each in units for example in index.lookup(each.unit, k=EXAMPLES)]
    shown: list[dict[str, Any]] = [{"reason": "its shard does not hold the image any more"}] * len(listed)
    wanted = [(each.unit, example) for each, example in listed]
    for number, crop in read_crops(index, wanted, source, audit):
        if isinstance(crop, Crop) and crop.whole:
            unit, example = wanted[number]
            with one_thread():  # as sums of gradients depend on the number of threads, which engines set differently
                (crop,) = with_effective_fields(index, unit, [example], [crop], model)
        shown[number] = {"reason": crop} if isinstance(crop, str) else crop_columns(crop)
    rows = [
        _unit_columns(card, each) | _example_columns(example) | columns
        for (each, example), columns in zip(listed, shown, strict=True)
    ]
    return pa.Table.from_pylist(rows, UNIT_CROPS)


def selected_units(index: Index) -> Iterator[SelectedUnit]:
    """The units whose crops are stored, at most `UNITS`."""
    names, listed = list(index.units()), set[int]()
    rows = np.arange(len(names))
    fired, images = firing(index, rows)
    documents = index.array("documents").tolist()
    largest = sorted(range(len(documents)), key=lambda d: (-documents[d], index.domains[d]))
    for d in largest[:DOMAINS] if len(documents) > 1 else ():
        compared = preferences(index, index.domains[d], rows)
        certain = compared.certain
        certain[list(listed)] = 0.0
        best = int(np.argmax(certain))
        if certain[best] > 0:
            listed.add(best)
            figures = (compared.second, compared.first, compared.difference.low, compared.difference.high)
            yield SelectedUnit(
                names[best], float(fired[best]), index.domains[d], *(float(each[best]) for each in figures)
            )
    least = min(EXAMPLES, images) / images
    few = [row for row in np.argsort(fired, kind="stable").tolist() if fired[row] >= least and row not in listed]
    for row in few[: UNITS - len(listed)]:
        yield SelectedUnit(names[row], float(fired[row]))


def crop_columns(crop: Crop) -> dict[str, Any]:
    """What the table says of a crop, with its picture; a patch is framed in its image."""
    from PIL import Image, ImageDraw

    pixels = crop.pixels if crop.is_patch else crop.cropped
    if 0 in pixels.shape:
        return {"reason": "its receptive field holds no pixel of the image"}
    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if scale < 1:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    if crop.is_patch:
        left, top, right, bottom = (round(each * scale) for each in crop.box)
        frame = left, top, max(left, right - 1), max(top, bottom - 1)
        ImageDraw.Draw(picture).rectangle(frame, outline=_FRAME)
    sink = io.BytesIO()
    if max(size) <= LOSSLESS:
        picture.save(sink, "PNG", optimize=True)
    else:
        picture.save(sink, "JPEG", quality=_QUALITY, subsampling=0)
    effective = crop.effective if crop.whole and isinstance(crop.effective, EffectiveField) else None
    kind = "patch" if crop.is_patch else "field" if not crop.whole else "image" if effective is None else "effective"
    return {
        "shows": kind,
        "share": None if effective is None else effective.share,
        "box": list(crop.shown_box),
        "width": picture.width,
        "height": picture.height,
        "crop": sink.getvalue(),
    }


def _unit_columns(card: ImageCard, each: SelectedUnit) -> dict[str, Any]:
    return asdict(each) | {"unit": str(each.unit), "label": card.label(each.unit)}


def _example_columns(example: Example) -> dict[str, Any]:
    origin = example.locations[0] if example.locations else None
    return {
        "rank": example.rank,
        "value": example.value,
        "image_domain": origin.domain if origin else None,
        "document": document_name(origin.id, origin.shard, origin.row) if origin else f"{example.window:016x}",
    }
