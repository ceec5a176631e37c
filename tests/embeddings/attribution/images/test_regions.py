"""Shares of regions by domain: closed forms, intervals, and where one domain stands out."""

import numpy as np
import pytest

from corpus_audit.embeddings.attribution.images.regions import AttributedImage, by_domain, standing_out
from corpus_audit.pipelines.statistics.intervals.ratios import ratio_estimates


def images(domain, count, corner, seed=0):
    """Positive noise of 8 by 8 pixels with a further mass in the first of 4 by 4 regions."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        values = rng.random((8, 8))
        values[:2, :2] += corner
        yield AttributedImage(domain, f"{domain}{number}", values)


def test_shares_are_ratios_of_sums_over_documents():
    made = list(images("a", 12, 5.0))
    (domain,) = by_domain(made)
    first = np.array([image.values[:2, :2].sum() for image in made])
    whole = np.array([image.values.sum() for image in made])
    (expected,) = ratio_estimates(first[:, None], whole)
    assert (domain.images, domain.documents) == (12, 12) and len(domain.regions) == 16
    region = domain.regions[0]
    assert (region.row, region.column, region.area, region.peaks) == (1, 1, 1 / 16, 12)
    assert region.share == pytest.approx(expected.value) and region.low == pytest.approx(expected.low)
    assert sum(each.share for each in domain.regions) == pytest.approx(1)
    assert domain.largest is region and region.low < region.share < region.high


def test_what_lowers_the_activation_is_left_out_and_few_documents_have_no_interval():
    values = -np.ones((4, 4))
    values[0, 0] = values[3, 3] = 1
    (domain,) = by_domain([AttributedImage("a", "same", values)] * 20)
    assert (domain.images, domain.documents) == (20, 1)
    assert domain.regions[0].share == domain.regions[15].share == 0.5 and domain.regions[0].low is None
    (nothing,) = by_domain([AttributedImage("a", "x", -values * 0)])
    assert all(region.share is None for region in nothing.regions)


def test_the_cells_of_a_feature_map_are_spread_over_the_regions():
    (domain,) = by_domain([AttributedImage("a", "x", np.array([[1.0, 0.0], [0.0, 0.0]]))])
    assert [n for n, region in enumerate(domain.regions) if region.share] == [0, 1, 4, 5]
    (uneven,) = by_domain([AttributedImage("a", "x", np.ones((7, 7)))])
    assert [region.area for region in uneven.regions] == [1 / 16] * 16


def test_a_domain_stands_out_where_its_interval_is_above_all_others():
    marked, *plain = list(images("a", 12, 5.0)), list(images("b", 12, 0.0, 1)), list(images("c", 12, 0.0, 2))
    (found,) = standing_out(by_domain([*marked, *plain[0], *plain[1]]))
    assert (found.domain, found.region.row, found.region.column) == ("a", 1, 1) and found.others < found.region.low
    assert standing_out(by_domain(marked)) == []
    assert standing_out(by_domain([*plain[0], *plain[1]])) == []
    both = [*marked, *images("b", 12, 5.0, 3)]
    assert standing_out(by_domain(both)) == []
    assert standing_out(by_domain([*marked, *list(images("b", 3, 0.0))])) == [], "three documents have no interval"
