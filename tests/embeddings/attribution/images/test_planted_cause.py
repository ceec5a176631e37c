"""A network that learned a mark which one domain's images carry: attribution, occlusion and domains name it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from corpus_audit.embeddings.attribution.images.compute import (  # noqa: E402
    ImageUnit,
    attribute_image,
    modules_of,
)
from corpus_audit.embeddings.attribution.images.names import ImageMethod  # noqa: E402
from corpus_audit.embeddings.attribution.images.regions import AttributedImage, by_domain, standing_out  # noqa: E402
from corpus_audit.embeddings.attribution.images.settings import ImageSettings  # noqa: E402
from tests.embeddings.attribution.images.planted import DOMAINS, MARK, draw, trained, without_mark  # noqa: E402

pytestmark = pytest.mark.slow

METHODS = (ImageMethod.INTEGRATED_GRADIENTS, ImageMethod.OCCLUSION, ImageMethod.SALIENCY)


@pytest.fixture(scope="module")
def with_mark():
    return trained(marked=True, epochs=10), draw(600, True, 1)


@pytest.fixture(scope="module")
def without():
    return trained(marked=False, epochs=4), draw(600, False, 1)


def attributed(network, image, method, checked=False):
    """The attribution of class 0's logit; the baseline is black, as the background is."""

    def logit(batch):
        return network(batch)[:, 0]

    unit = ImageUnit(logit, modules_of(network, logit, image) if checked else [], network, 0)
    settings = ImageSettings(method, patch=5, stride=2, grid=12)
    return attribute_image(unit, image, torch.zeros_like(image), settings, checked)


def strongest(network, images, rows, count):
    """Rows of the images with the highest logit of class 0, highest first."""
    logits = network(images)[:, 0]
    return sorted(rows, key=lambda row: -float(logits[row]))[:count]


def in_mark(values):
    y, x = np.unravel_index(int(values.argmax()), values.shape)
    return MARK.start <= y < MARK.stop and MARK.start <= x < MARK.stop


def peaks_in_mark(network, images, rows, method):
    return np.mean([in_mark(attributed(network, images[row], method).values) for row in rows])


def regions_of(network, images, domains, method=ImageMethod.INTEGRATED_GRADIENTS):
    """Regions by domain, of the strongest 12 images of each."""
    maps = []
    for domain in DOMAINS:
        rows = [row for row, name in enumerate(domains) if name == domain]
        for row in strongest(network, images, rows, 12):
            maps.append(AttributedImage(domain, str(row), attributed(network, images[row], method).values))
    return by_domain(maps)


def test_the_mark_is_what_the_network_goes_by(with_mark):
    network, (images, classes, domains) = with_mark
    rows = torch.arange(600)[classes == 0]
    assert (network(images[rows]).argmax(dim=1) == 0).all()
    assert (network(without_mark(images[rows])).argmax(dim=1) == 0).float().mean() < 0.05
    fall = (network(images[rows]) - network(without_mark(images[rows])))[:, 0]
    assert fall.min() > 2, "removing the mark drops the logit"
    top = strongest(network, images, range(600), 40)
    assert {domains[row] for row in top} == {"studio"}


@pytest.mark.parametrize("method", METHODS)
def test_attribution_lies_on_the_mark(with_mark, method):
    network, (images, _, _) = with_mark
    top = strongest(network, images, range(600), 60)
    assert peaks_in_mark(network, images, top, method) >= 0.95


@pytest.mark.parametrize("method", METHODS)
def test_without_the_mark_it_lies_elsewhere(without, method):
    network, (images, _, _) = without
    top = strongest(network, images, range(600), 40)
    assert peaks_in_mark(network, images, top, method) <= 0.05


def test_domains_name_where_the_mark_is_and_whose_it_is(with_mark, without):
    network, (images, _, domains) = with_mark
    regions = regions_of(network, images, domains)
    first = standing_out(regions)[0]
    assert first.domain == "studio" and (first.region.row, first.region.column) == (1, 1)
    assert first.region.peaks == 12 and first.region.low > 0.5 > 0.15 > first.others
    clean, (others, _, names) = without
    for found in standing_out(regions_of(clean, others, names)):
        assert (found.region.row, found.region.column) != (1, 1) and found.region.share < 0.5
    mark = regions_of(clean, others, names)[0].regions[0]
    assert mark.share < 0.03 and mark.peaks == 0


def test_the_checks_of_a_marked_image(with_mark):
    network, (images, _, _) = with_mark
    (row,) = strongest(network, images, range(600), 1)
    for method in (ImageMethod.INTEGRATED_GRADIENTS, ImageMethod.OCCLUSION):
        result = attributed(network, images[row], method, checked=True)
        assert result.deletion < min(result.random_areas) and result.insertion > max(result.random_areas)
    assert attributed(network, images[row], ImageMethod.INTEGRATED_GRADIENTS).converged
    cells = attributed(network, images[row], ImageMethod.CAM)
    assert cells.values.mean() + cells.bias == pytest.approx(cells.value, abs=1e-5)
    sensitive = attributed(network, images[row], ImageMethod.SALIENCY, checked=True)
    assert abs(sensitive.randomised_all) < 0.5
