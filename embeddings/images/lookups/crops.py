"""Crops of a unit's examples: the receptive field of the peak, or its patch, in pixels; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from corpus_audit.embeddings.images.card import ImageCard
from corpus_audit.embeddings.images.sources import ImageSource, SplitRow, decoded
from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.pipelines.images.decoding import ImageRefused
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.spec.audit_file import LoadedAudit
from corpus_audit.schemas.units import Unit

Box = tuple[int, int, int, int]
"""Left, top, right and bottom, both of these excluded."""


@dataclass(frozen=True, slots=True)
class EffectiveField:
    """The part of an image that counts most for a peak (`effective_field.py`).

    Attributes:
        box: in the model's input; image_box: in the pixels of the image.
        share: of the squared gradient, that the box holds.
    """

    box: Box
    image_box: Box
    share: float


@dataclass(frozen=True, eq=False)
class Crop:
    """The image of an example, and the part of it that the unit's peak is computed from.

    Attributes:
        pixels: uint8 [H, W, 3], the image.
        box: of the receptive field, in its pixels; of a unit of a vision transformer, whose field is the whole image,
            that of the patch.
        is_patch: whether it is a patch.
        whole: whether the receptive field is the whole input of the model.
        effective: the effective field, if it was computed; or why there is none, as a clause.
    """

    pixels: np.ndarray
    box: Box
    is_patch: bool = False
    whole: bool = False
    effective: EffectiveField | str | None = None

    @property
    def shown_box(self) -> Box:
        """The box of the receptive field; where that is the whole input, of the effective one if it is known."""
        if self.whole and isinstance(self.effective, EffectiveField):
            return self.effective.image_box
        return self.box

    @property
    def cropped(self) -> np.ndarray:
        """The pixels within `shown_box`."""
        left, top, right, bottom = self.shown_box
        return self.pixels[top:bottom, left:right]


def crops_of(index: Index, unit: Unit, examples: Sequence[Example], loaded: LoadedAudit) -> list[Crop | str]:
    """The crop of every example, or why there is none, as a clause.

    Raises:
        UsageError: the audit is of no images.
        ShardError: a shard cannot be read.
    """
    crops: list[Crop | str] = ["the corpus of this audit does not hold it any more"] * len(examples)
    wanted = [(unit, example) for example in examples]
    for number, crop in read_crops(index, wanted, ImageSource.of_audit(loaded), loaded.spec):
        crops[number] = crop
    return crops


def read_crops(
    index: Index, wanted: Sequence[tuple[Unit, Example]], source: ImageSource, audit: AuditSpec
) -> Iterator[tuple[int, Crop | str]]:
    """Position in ``wanted`` and crop, or why there is none, of every example whose image is still in the corpus.

    They come in the order of the shards, each split read once, so that one image at a time is in memory.

    Raises:
        ShardError: a shard cannot be read.
    """
    card = ImageCard.from_json(index.facts.model)
    where: dict[SplitRow, list[int]] = {}
    for number, (_, example) in enumerate(wanted):
        for location in example.locations[:1]:
            where.setdefault((location.shard, location.split, location.row), []).append(number)
    for row, image in source.read(where):
        for number in where[row]:
            unit, example = wanted[number]
            if index.document_of(example) == image.key:
                yield number, _crop(card, unit, example, image.data, audit)


def _crop(card: ImageCard, unit: Unit, example: Example, data: bytes, audit: AuditSpec) -> Crop | str:
    try:
        pixels = decoded(data, audit)
    except ImageRefused as error:  # the limits of this audit are lower than those of the scan
        return str(error)
    fields = card.fields[str(unit.point)]
    patch = fields.patch(example.position)
    geometry = card.preprocessing.geometry(*pixels.shape[:2])
    if patch is not None:
        return Crop(pixels, geometry.to_image(*patch), is_patch=True)
    box = fields.box(example.position)
    height, width = card.input_size
    return Crop(pixels, geometry.to_image(*box), whole=box == (0, 0, width, height))
