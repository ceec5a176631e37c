"""Contact sheets of an image model's units: crops of their strongest images, which the index stored."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa
from markupsafe import Markup

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import safe_text

SIDE = 88
"""Pixels up to which small crops are enlarged, by whole factors and without smoothing."""

NAME = 60
"""Characters of a name in a caption at most."""

_SHOWN = {
    "field": "Receptive field",
    "image": "Whole image, all of which the unit reads,",
    "effective": "Effective field",
    "patch": "Image with the patch framed,",
}


@dataclass(frozen=True)
class UnitCrop:
    """A crop of a contact sheet.

    Attributes:
        uri: holds the picture; empty without one.
        label: says what it is of; what stands for it.
        width, height: in which it is shown, in pixels; ``enlarged`` if that is more than it has.
        value, domain, document: of the image.
        remark: the share of the squared gradient in an effective field, or why there is no picture; may be empty.
    """

    uri: Markup
    label: str
    width: int
    height: int
    enlarged: bool
    value: str
    domain: str
    document: str
    remark: str


@dataclass(frozen=True)
class UnitSheet:
    """A unit with its contact sheet.

    Attributes:
        unit: its address; ``label``: class of a logit, or empty.
        domain: in which it is more active than elsewhere; None: it was selected as it fires on few images.
        mean, elsewhere, low, high: mean activations there and elsewhere, 95 % bounds of their difference; None without
            a domain.
        fired: share of images on which it fires.
        crops: of the strongest images, best first.
        domains: (domain, how many of the crops are of it), the most first.
        shows: kinds of crops that are among them.
    """

    unit: str
    label: str
    domain: str | None
    mean: float | None
    elsewhere: float | None
    low: float | None
    high: float | None
    fired: float
    crops: tuple[UnitCrop, ...]
    domains: tuple[tuple[str, int], ...]
    shows: frozenset[str]


def load_sheets(crops: pa.Table) -> tuple[UnitSheet, ...]:
    """The contact sheets of the table ``unit_crops``."""
    return tuple(_sheet(list(rows)) for _, rows in groupby(crops.to_pylist(), key=lambda row: row["unit"]))


def pictures(sheets: Sequence[UnitSheet]) -> bool:
    """Whether there is a picture in any of them."""
    return any(crop.uri for sheet in sheets for crop in sheet.crops)


def _sheet(rows: list[dict[str, Any]]) -> UnitSheet:
    first = rows[0]
    of_domain = Counter(row["image_domain"] for row in rows if row["image_domain"] is not None)
    ranked = sorted(of_domain.items(), key=lambda each: (-each[1], each[0]))
    return UnitSheet(
        unit=first["unit"],
        label=first["label"] or "",
        **{name: first[name] for name in ("domain", "mean", "elsewhere", "low", "high", "fired")},
        crops=tuple(_crops(rows)),
        domains=tuple(ranked),
        shows=frozenset(row["shows"] for row in rows if row["shows"]),
    )


def _crops(rows: list[dict[str, Any]]) -> Iterator[UnitCrop]:
    for row in rows:
        domain, document = (safe_text(row[name] or numbers.NONE, NAME) for name in ("image_domain", "document"))
        value, remark = f"{row['value']:.3f}".replace("-", numbers.MINUS), ""
        if row["crop"] is None:
            remark, what, width, height = f"no picture: {row['reason']}", "No picture", 0, 0
        else:
            what, width, height = _SHOWN[row["shows"]], row["width"], row["height"]
            if row["share"] is not None:
                remark = f"{numbers.percent(row['share'])} of the squared gradient"
        factor = max(1, SIDE // max(width, height, 1))
        label = f"{what} of image {document} of the domain {domain}, activation {value}"
        size = width * factor, height * factor
        yield UnitCrop(_uri(row["crop"]), label, *size, factor > 1, value, domain, document, remark)


def _uri(picture: bytes | None) -> Markup:
    if picture is None:
        return Markup("")
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return Markup(f"data:image/{kind};base64," + base64.b64encode(picture).decode())
