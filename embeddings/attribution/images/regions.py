"""In which regions of their images the attribution of a domain lies, with intervals, and where one domain stands out.

The share of a region is the attribution above 0 in it, over that of the whole image, summed over the images of a
domain: a ratio of sums over documents (`pipelines/statistics/intervals/ratios.py`). As for text, the images are those
of a unit's strongest examples, no sample of the domain: an interval says how much a share depends on which of them are
in the list. Regions are cells of a grid over what the model sees of an image (its crop).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from corpus_audit.embeddings.attribution.images.methods.patches import grid_cells, over_pixels
from corpus_audit.pipelines.statistics.intervals.ratios import RatioEstimate, ratio_estimates

ROWS = 4
"""Rows and columns of the grid."""


@dataclass(frozen=True, slots=True)
class AttributedImage:
    """An attribution of one image.

    Attributes:
        domain: of its document; document: what identifies that.
        values: float64 [h, w], of pixels or cells.
    """

    domain: str
    document: str
    values: np.ndarray


@dataclass(frozen=True, slots=True)
class Region:
    """A cell of the grid in the images of a domain.

    Attributes:
        row, column: from 1 on, from the top left.
        area: its share of the image.
        share: of the attribution above 0; low, high: 95 % interval. None where nothing is above 0, or with fewer
            than 8 documents (by the effective number: one with much of the attribution counts for few).
        peaks: images whose largest value is in it.
    """

    row: int
    column: int
    area: float
    share: float | None
    low: float | None
    high: float | None
    peaks: int


@dataclass(frozen=True, slots=True)
class DomainRegions:
    """The images of a domain together; regions by rows."""

    domain: str
    images: int
    documents: int
    regions: list[Region]

    @property
    def largest(self) -> Region:
        """The region with the largest share; of equal ones the first."""
        return max(self.regions, key=lambda region: region.share or 0.0)


@dataclass(frozen=True, slots=True)
class StandsOut:
    """A region on which one domain's attribution lies and no other's.

    Attributes:
        domain: the domain; region: in its images.
        others: the largest upper bound of the same region in another domain.
    """

    domain: str
    region: Region
    others: float


def by_domain(images: Sequence[AttributedImage], rows: int = ROWS) -> list[DomainRegions]:
    """Shares of regions by domain, in the order in which domains come; images may have different sizes."""
    domains = dict.fromkeys(image.domain for image in images)
    return [_domain(domain, [image for image in images if image.domain == domain], rows) for domain in domains]


def standing_out(domains: Sequence[DomainRegions]) -> list[StandsOut]:
    """Regions whose interval in one domain is above their area and above their interval in every other domain.

    Intervals of 95 % that do not overlap are a stricter demand than a test of the difference at 5 %; over all regions
    and domains none is made stricter still. Largest shares first. None if there is one domain.
    """
    result = []
    for each in domains:
        for number, region in enumerate(each.regions):
            bounds = [other.regions[number].high for other in domains if other is not each]
            known = [bound for bound in bounds if bound is not None]
            if not bounds or len(known) < len(bounds) or region.low is None:
                continue
            if region.low > max(max(known), region.area):
                result.append(StandsOut(each.domain, region, max(known)))
    return sorted(result, key=lambda entry: -(entry.region.share or 0.0))


def _domain(domain: str, images: Sequence[AttributedImage], rows: int) -> DomainRegions:
    documents = {document: number for number, document in enumerate(dict.fromkeys(i.document for i in images))}
    mass = np.zeros((len(documents), rows * rows))
    peaks = np.zeros(rows * rows, np.int64)
    area = np.zeros(rows * rows)
    for image in images:
        height, width = (-(-size // rows) * rows for size in image.values.shape)  # as many pixels in every region
        values = over_pixels(image.values, (height, width))
        cells = grid_cells((height, width), rows).ravel()
        mass[documents[image.document]] += np.bincount(cells, np.maximum(values, 0).ravel(), rows * rows)
        peaks[cells[int(values.argmax())]] += 1
        area += np.bincount(cells, minlength=rows * rows) / cells.size / len(images)
    shares: list[RatioEstimate] = ratio_estimates(mass, mass.sum(axis=1), bounds=(0.0, 1.0))
    regions = [
        Region(n // rows + 1, n % rows + 1, float(area[n]), share.value, share.low, share.high, int(peaks[n]))
        for n, share in enumerate(shares)
    ]
    return DomainRegions(domain, len(images), len(documents), regions)
