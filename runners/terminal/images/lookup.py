"""What ``lookup`` prints of an image model's unit: its strongest images, their fields, and the unit by domain."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.embeddings.images.card import ImageCard
from corpus_audit.embeddings.images.lookups.contact_sheet import Tile, contact_sheet
from corpus_audit.embeddings.images.lookups.crops import Crop, EffectiveField
from corpus_audit.embeddings.index.bins import histogram_edges
from corpus_audit.embeddings.index.files import facts_text
from corpus_audit.embeddings.index.mapped_tables import document_name
from corpus_audit.embeddings.index.reader import DomainRate, Example, Index
from corpus_audit.schemas.units import Unit

DOMAINS = 6
"""Domains that are named."""


def image_lines(
    index: Index, unit: Unit, examples: Sequence[Example], crops: Sequence[Crop | str] | None, width: int
) -> Iterator[str]:
    """Lines for a terminal; everything from the corpus made safe. ``crops``: None where no audit was given."""
    card = ImageCard.from_json(index.facts.model)
    yield fit(f"{named(card, unit)}  {safe_text(facts_text(index.facts))}", width).rstrip()
    yield f"snapshot {index.facts.snapshot[:12]}  index {index.folder.name}"
    fields = card.fields[str(unit.point)]
    yield fit(
        f"read after {', '.join(fields.after)}; maps of {len(fields.columns)} x {len(fields.rows)}", width
    ).rstrip()
    if fields.patch_rows:
        yield "a map over patches; each reads the whole image, through attention"
    elif fields.reasons:
        yield from textwrap.wrap(f"every position reads the whole image: {', '.join(fields.reasons)}", width)
    yield ""
    if not examples:
        yield "No example: no image is listed there."
    for number, example in enumerate(examples):
        yield from _example(card, unit, example, None if crops is None else crops[number], width)
    yield ""
    yield from _rates(index.domain_rates(unit), width)


def _example(card: ImageCard, unit: Unit, example: Example, crop: Crop | str | None, width: int) -> Iterator[str]:
    origin = example.locations[0] if example.locations else None
    domain = safe_text(origin.domain) if origin else numbers.NONE
    name = safe_text(document_name(origin.id, origin.shard, origin.row)) if origin else f"{example.window:016x}"
    more = f" and {len(example.locations) - 1} more" if len(example.locations) > 1 else ""
    yield fit(f"{example.value:8.3f}  {fit(domain, 24).rstrip()}  {name}{more}", width).rstrip()
    fields = card.fields[str(unit.point)]
    y, x = divmod(example.position, len(fields.columns))
    (rows, columns), patch = card.input_size, fields.patch(example.position)
    what = "field" if patch is None else "patch"
    box = _box(patch or fields.box(example.position))
    yield fit(f"          position {x}, {y}; {what} {box} of the input {columns} x {rows}", width).rstrip()
    if isinstance(crop, Crop):
        height, across = crop.pixels.shape[:2]
        yield fit(f"          {_box(crop.box)} of the image {across} x {height}", width).rstrip()
        if isinstance(crop.effective, EffectiveField):
            share = f"{numbers.percent(crop.effective.share)} of the squared gradient"
            yield fit(f"          effective field {_box(crop.effective.box)}, {share};", width).rstrip()
            yield fit(f"          {_box(crop.effective.image_box)} of the image", width).rstrip()
        elif crop.effective is not None:
            yield fit(f"          no effective field: {crop.effective}", width).rstrip()
    elif crop is not None:
        yield fit(f"          no image: {safe_text(crop)}", width).rstrip()


def _box(box: tuple[int, int, int, int]) -> str:
    left, top, right, bottom = box
    return f"{left},{top} to {right},{bottom}"


def _rates(rates: Sequence[DomainRate], width: int) -> Iterator[str]:
    yield f"{'Domain':16} {'images':>7} {'mean':>8} {'95 % interval':18} {'fires, %':>8} 95 % interval"
    for rate in rates[:DOMAINS]:
        mean = rate.mean_interval
        reach = numbers.NONE if mean is None else f"[{mean[0]:.4f}, {mean[1]:.4f}]"
        share = numbers.interval(*(rate.rate_interval or (None, None)))
        means = f"{fit(safe_text(rate.domain), 16)} {rate.tokens:>7,} {rate.mean:8.4f} {reach:18}"
        yield fit(f"{means} {numbers.percent_figure(rate.rate):>8} {share}", width).rstrip()
    if len(rates) > DOMAINS:
        yield f"and {len(rates) - DOMAINS} more of a lower mean"
    yield "(mean: of an image's highest activation; fires: share of images in which that is"
    yield f"above 0; {numbers.NONE}: too few images for an interval)"


def named(card: ImageCard, unit: Unit) -> str:
    """A unit's address, with the name of a logit's class."""
    label = card.label(unit)
    return str(unit) if label is None else f"{unit} ({safe_text(label)})"


def image_json(
    index: Index, unit: Unit, examples: Sequence[Example], crops: Sequence[Crop | str] | None
) -> dict[str, Any]:
    """What the index holds of a unit, as plain values by name."""
    card = ImageCard.from_json(index.facts.model)
    fields = card.fields[str(unit.point)]
    rows = []
    for number, example in enumerate(examples):
        y, x = divmod(example.position, len(fields.columns))
        crop = None if crops is None else crops[number]
        rows.append(
            {
                "rank": example.rank, "value": example.value, "image": f"{example.window:016x}",
                "position": example.position, "y": y, "x": x, "field": list(fields.box(example.position)),
                "patch": fields.patch(example.position),
                "image_box": list(crop.box) if isinstance(crop, Crop) else None,
                "problem": crop if isinstance(crop, str) else None,
                "effective_field": _effective_json(crop),
                "places": [asdict(location) for location in example.locations],
            }
        )  # fmt: skip
    rates = [
        {
            "domain": rate.domain, "images": rate.tokens, "rate": rate.rate, "rate_interval": rate.rate_interval,
            "mean": rate.mean, "mean_interval": rate.mean_interval,
        }
        for rate in index.domain_rates(unit)
    ]  # fmt: skip
    histogram = {"edges": histogram_edges().tolist(), "images": index.histogram(unit).tolist()}
    return {
        "label": card.label(unit), "examples": rows, "domains": rates, "histogram": histogram,
        "reads": {"after": list(fields.after), "height": len(fields.rows), "width": len(fields.columns),
                  "input": list(card.input_size), "whole": list(fields.reasons)},
    }  # fmt: skip


def _effective_json(crop: Crop | str | None) -> dict[str, Any] | None:
    if not isinstance(crop, Crop) or crop.effective is None:
        return None
    if isinstance(crop.effective, str):
        return {"problem": crop.effective}
    field = crop.effective
    return {"field": list(field.box), "image_box": list(field.image_box), "share": field.share}


def unit_sheet(
    index: Index, unit: Unit, examples: Sequence[Example], crops: Sequence[Crop | str], columns: int = 5
) -> bytes:
    """A contact sheet of a unit's crops as PNG.

    Where a field is the whole image, the effective one if that is known, else the image; elsewhere an effective field
    is framed, and so is a patch.
    """
    tiles = []
    for example, crop in zip(examples, crops, strict=True):
        origin = example.locations[0] if example.locations else None
        lines: tuple[str, ...] = (
            f"{example.value:.3f}  {origin.domain if origin else ''}",
            document_name(origin.id, origin.shard, origin.row) if origin else f"{example.window:016x}",
        )
        if isinstance(crop, Crop):
            lines = (*lines, _shown(crop)) if crop.effective is not None else lines
            tiles.append(Tile(crop.pixels if crop.is_patch else crop.cropped, lines, _frame(crop)))
        else:
            tiles.append(Tile(None, (*lines, crop)))
    title = (
        f"{named(ImageCard.from_json(index.facts.model), unit)}  {facts_text(index.facts)}  {index.facts.snapshot[:12]}"
    )
    return contact_sheet(title, tiles, columns)


def _shown(crop: Crop) -> str:
    """What a tile with an effective field shows."""
    if isinstance(crop.effective, str):
        return "no effective field"
    return "effective field" if crop.whole else "frame: effective field"


def _frame(crop: Crop) -> tuple[int, int, int, int] | None:
    """The frame of a patch within its image, or of an effective field within the crop of the exact one; none where the
    effective field is the crop."""
    if crop.is_patch:
        return crop.box
    if crop.whole or not isinstance(crop.effective, EffectiveField):
        return None
    left, top, _, _ = crop.box
    x0, y0, x1, y1 = crop.effective.image_box
    return x0 - left, y0 - top, x1 - left, y1 - top
