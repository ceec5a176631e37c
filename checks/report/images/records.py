"""What the section on images shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

Property = Literal["format", "mode", "orientation", "frames", "flat", "mislabelled"]
Unit = Literal["short_side", "pixels", "aspect", "bytes_per_pixel"]


@dataclass(frozen=True)
class Part:
    """A share with its bounds, None where there is none."""

    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Quantile:
    """A quantile of a size with its bounds, in the unit in which it is shown."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class DomainRow:
    """A domain, or all of them.

    Attributes:
        name: the domain; ``everything`` in the row of all.
        images, pixels, bytes: totals; ``shares`` of each in the corpus, in this order; empty in the row of all.
        sizes: unit -> quantiles at 5, 50 and 95 %.
        copies: shares of images that repeat a file and a picture of the domain, and whose picture another domain has.
        near: shares of images near a picture of the domain, and of another one.
    """

    name: str
    everything: bool
    images: int
    pixels: int
    bytes: int
    shares: tuple[Part, ...]
    sizes: dict[Unit, tuple[Quantile, ...]]
    copies: tuple[Part, ...]
    near: tuple[Part, ...]


@dataclass(frozen=True)
class KindRow:
    """A value of a property of images, over the whole corpus."""

    property: Property
    value: str
    images: int
    part: Part


@dataclass(frozen=True)
class Picture:
    """A thumbnail: ``uri`` holds it, ``label`` says what it is of."""

    uri: Markup
    label: str
    caption: str


@dataclass(frozen=True)
class Sheet:
    """Thumbnails of a domain, and how many distinct pictures it has."""

    domain: str
    pictures: tuple[Picture, ...]
    distinct: int


@dataclass(frozen=True)
class SizeChange:
    """A size of images then and now: medians, log2 of their ratio with bounds, and adjusted p of the largest gap."""

    baseline: str
    unit: Unit
    before: float | None
    now: float | None
    change: float | None
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True)
class KindChange:
    """A kind of images whose share changed: shares then and now, the difference with bounds, its adjusted p."""

    baseline: str
    property: Property
    value: str
    before: float
    now: float
    difference: float
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True)
class BenchmarkRow:
    """A benchmark of images: items, those that could not be decoded, exact copies and near ones in the corpus.

    ``copies``: (kind of copy, whether all must be found, planted, found) of its planted copies.
    """

    name: str
    items: int
    refused: int
    exact: int
    near: int
    part: Part
    copies: tuple[tuple[str, bool, int, int], ...]

    @property
    def failed(self) -> bool:
        """Whether the search missed a copy that it must find."""
        return any(required and detected < planted for _, required, planted, detected in self.copies)


@dataclass(frozen=True)
class ImagesView:
    """What the section shows.

    Attributes:
        rows: all domains together, then those with the most images.
        hidden: further domains.
        kinds: of the whole corpus; flat and mislabelled images are among them.
        bits, distance: thresholds of near duplicates; ``chance`` that random pairs pass the first.
        near_reason: why near duplicates have no shares, or empty.
        benchmarks: benchmarks of images that were looked for.
        sheets: contact sheets of the domains with the most images.
        sizes_then, kinds_then: against each baseline; empty without one.
    """

    rows: tuple[DomainRow, ...]
    hidden: int
    kinds: tuple[KindRow, ...]
    bits: int
    distance: int
    chance: float | None
    near_reason: str
    benchmarks: tuple[BenchmarkRow, ...]
    sheets: tuple[Sheet, ...]
    sizes_then: tuple[SizeChange, ...]
    kinds_then: tuple[KindChange, ...]

    @property
    def everything(self) -> DomainRow:
        """The row of all domains."""
        return self.rows[0]
