"""``lookup`` in an index of images: what the options ask for, the contact sheet, and pictures in the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from corpus_audit.embeddings.images.lookups.contact_sheet import MARGIN, TILE
from corpus_audit.embeddings.images.lookups.crops import Crop, crops_of
from corpus_audit.pipelines.reading.snapshot.dates import fill_dates
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.runners.cli.shared.output import emit_json, width_on_stdout
from corpus_audit.runners.cli.shared.streams import is_terminal, note, write_out
from corpus_audit.runners.terminal.images.lookup import image_json, image_lines, unit_sheet
from corpus_audit.runners.terminal.pictures.detection import detect
from corpus_audit.runners.terminal.pictures.protocols import Protocol, picture_sequence
from corpus_audit.schemas.errors import UsageError, needs_extra
from corpus_audit.schemas.spec.audit_file import load_audit

if TYPE_CHECKING:
    from corpus_audit.embeddings.index.reader import Example, Index
    from corpus_audit.schemas.units import Unit

CELL = 8
"""Pixels of a character's width that are reckoned with; the environment does not say how many it has."""


@dataclass(frozen=True, slots=True)
class ImageLookup:
    """What a look-up in an index of images asks for.

    Attributes:
        audit: whose corpus holds the images; None: they are not shown.
        sheet: file of the contact sheet.
        effective: whether to compute effective fields; None: where the exact field is the whole image, and only if the
            model is there.
        pictures: auto, or a `Protocol`.
        model: as the audit names it, if it has moved since the index was made.
    """

    audit: Path | None
    sheet: Path | None
    effective: bool | None
    pictures: str
    model: str | None


def show_unit(index: Index, unit: Unit, examples: list[Example], options: ImageLookup, as_json: bool) -> None:
    """Print an image model's unit, write its contact sheet, and draw it in the terminal.

    Raises:
        UsageError: options contradict each other, or as `crops_of` and `open_image_model`.
    """
    named = options.pictures not in ("auto", Protocol.NONE)
    for name, given in (
        ("--sheet", options.sheet is not None),
        ("--effective", bool(options.effective)),
        ("--pictures", named),
    ):
        if given and options.audit is None:
            raise UsageError(f"{name} needs --audit: an index holds no images, and they are read from the corpus")
    if as_json and named:
        raise UsageError("--json and --pictures exclude each other")
    crops = None if options.audit is None else crops_of(index, unit, examples, fill_dates(load_audit(options.audit)))
    if crops is not None:
        crops = _with_effective(index, unit, examples, crops, options)
        if options.sheet is not None:
            atomic_write(options.sheet, unit_sheet(index, unit, examples, crops))
    if as_json:
        own = image_json(index, unit, examples, crops)
        sheet = options.sheet and str(options.sheet)
        emit_json("lookup", {"unit": str(unit), "index": str(index.folder), **own, "sheet": sheet})
        return
    width = width_on_stdout()
    for line in image_lines(index, unit, examples, crops, width):
        write_out(line)
    protocol = _protocol(options.pictures)
    if crops is not None and protocol is not Protocol.NONE and any(isinstance(crop, Crop) for crop in crops):
        columns = max(1, (width * CELL - MARGIN) // (TILE + MARGIN))
        write_out(picture_sequence(unit_sheet(index, unit, examples, crops, columns), protocol))
    if options.sheet is not None:
        write_out(f"contact sheet: {options.sheet}")


def _protocol(pictures: str) -> Protocol:
    return detect(os.environ, is_terminal(sys.stdout)) if pictures == "auto" else Protocol(pictures)


def _with_effective(
    index: Index, unit: Unit, examples: Sequence[Example], crops: list[Crop | str], options: ImageLookup
) -> list[Crop | str]:
    """The crops with effective fields, where these are wanted; without, and with a note, if nobody asked for them."""
    if options.effective is False:
        return crops
    if options.effective is None and not any(isinstance(crop, Crop) and crop.whole for crop in crops):
        return crops
    try:
        with needs_extra("embeddings"):
            from corpus_audit.embeddings.images.lookups.effective_field import with_effective_fields
            from corpus_audit.embeddings.images.lookups.indexed_model import open_image_model
        return with_effective_fields(index, unit, examples, crops, open_image_model(index, options.model))
    except UsageError as error:
        if options.effective:
            raise
        note(f"corpus-audit: no effective fields: {error}")
        return crops
