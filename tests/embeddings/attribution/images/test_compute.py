"""Attributions of images through one call: identities of each method, and the checks that come with them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from corpus_audit.embeddings.attribution.images.compute import (  # noqa: E402
    ImageUnit,
    attribute_image,
    modules_of,
)
from corpus_audit.embeddings.attribution.images.methods.patches import grid_cells, over_pixels, patch_masks  # noqa: E402
from corpus_audit.embeddings.attribution.images.names import FACTS, ImageMethod  # noqa: E402
from corpus_audit.embeddings.attribution.images.settings import ImageSettings  # noqa: E402
from corpus_audit.embeddings.attribution.methods.faithfulness import faithfulness  # noqa: E402
from corpus_audit.embeddings.attribution.methods.occlusion import effects, occlusion  # noqa: E402
from corpus_audit.embeddings.attribution.methods.target import ScalarTarget  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from tests.embeddings.attribution.images.small_networks import image, pooled, unit  # noqa: E402

BLACK = torch.zeros(3, 16, 16)


def logit(network, index=1):
    def function(batch):
        return network(batch)[:, index]

    return ImageUnit(function, modules_of(network, function, image()), network, index)


def test_integrated_gradients_are_complete_or_it_is_said_that_they_are_not():
    made = logit(pooled())
    result = attribute_image(made, image(), BLACK, ImageSettings(), checked=False)
    assert result.converged and result.completeness_error <= 1e-2 and result.values.shape == (16, 16)
    total = result.value - result.baseline_value
    assert abs(result.values.sum() - total) <= 1e-2 * max(abs(result.value), abs(result.baseline_value))
    strict = ImageSettings(tolerance=1e-9, most_steps=32)
    assert attribute_image(made, image(), BLACK, strict, checked=False).converged is False


def test_a_patch_outside_of_the_field_has_no_effect_and_one_of_the_whole_image_has_all():
    network, picture = pooled(), image(size=32)
    target = ScalarTarget(unit(network, int(network.features(picture[None])[0, :, 2, 2].argmax()), 2, 2), picture,
                          torch.zeros_like(picture), (0,))  # fmt: skip
    masks = np.zeros((3, 32, 32), bool)
    masks[0, 19:], masks[1, :, 19:], masks[2] = True, True, True  # the field of cell 2 ends with pixel 18
    fall = effects(target, masks)
    assert np.abs(fall[:2]).max() <= 1e-6 < abs(fall[2])
    assert fall[2] == pytest.approx(target.value - target.baseline_value, abs=1e-6)
    inside = np.zeros((1, 32, 32), bool)
    inside[0, 16:] = True
    assert abs(effects(target, inside)[0]) > 1e-4


def test_patches_cover_every_pixel_and_occlusion_is_the_mean_over_them():
    masks = patch_masks((10, 7), 4, 3)
    assert masks.shape == (3 * 2, 10, 7) and masks.any(axis=0).all() and (masks.sum(axis=(1, 2)) == 16).all()
    assert len(patch_masks((224, 224), 32, 16)) == 169
    assert patch_masks((5, 5), 9, 4).tolist() == [[[True] * 5] * 5]
    network, picture = pooled(), image()
    target = ScalarTarget(logit(network).function, picture, BLACK, (0,))
    masks = patch_masks((16, 16), 6, 3)
    fall = effects(target, masks)
    expected = [fall[masks[:, y, x]].mean() for y in range(16) for x in range(16)]
    assert np.allclose(occlusion(target, masks).ravel(), expected, atol=1e-9)


@pytest.mark.parametrize("method", list(ImageMethod))
def test_every_method_has_its_checks(method):
    network = pooled("relu6")
    made = logit(network, int(network(image()[None])[0].argmax()))
    before = [parameter.clone() for parameter in network.parameters()]
    settings = ImageSettings(method, patch=6, stride=3, grid=4)
    result = attribute_image(made, image(), BLACK, settings)
    assert len(result.random_areas) == 20 and result.deletion is not None and result.insertion is not None
    assert -1 <= result.randomised_last <= 1 and -1 <= result.randomised_all < 0.95
    assert np.isfinite(result.values).all() and result.values.any()
    assert (method is ImageMethod.SALIENCY) == bool((result.values >= 0).all()) or "cam" in method
    assert (result.signal is not None) == (method in (ImageMethod.DECONVOLUTION, ImageMethod.GUIDED))
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert result == result and FACTS[method].evidence == (method is not ImageMethod.GUIDED)


def test_cam_is_of_logits():
    network = pooled()
    of_channel = ImageUnit(unit(network, 0, 1, 1), [network.convs[0]])
    with pytest.raises(UsageError, match="cam explains logits"):
        attribute_image(of_channel, image(), BLACK, ImageSettings(ImageMethod.CAM))


def test_modules_are_those_that_run_the_last_first():
    network = pooled()
    made = logit(network)
    assert made.modules[0] is network.head and made.modules[-1] is network.convs[0] and len(made.modules) == 7
    upto = modules_of(network, lambda batch: network.norms[0](network.convs[0](batch))[:, 0, 0, 0], image())
    assert upto == [network.norms[0], network.convs[0]]
    assert not network.head._forward_hooks


def test_cells_are_deleted_as_wholes():
    weights = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    picture = torch.ones(1, 8, 8)
    target = ScalarTarget(lambda batch: (batch * weights).sum(dim=(1, 2, 3)), picture, torch.zeros(1, 8, 8), (0,))
    cells = grid_cells((8, 8), 4)
    assert cells[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3] and cells.max() == 15
    assert grid_cells((2, 3), 9).tolist() == [[0, 1, 2], [3, 4, 5]]
    areas = faithfulness(target, weights[0].double().numpy(), 0, steps=16, cells=cells)
    sums = np.bincount(cells.ravel(), weights.numpy().ravel())
    curve = 1 - np.concatenate([[0], np.cumsum(np.sort(sums)[::-1])]) / sums.sum()
    assert areas.deletion == pytest.approx(np.trapezoid(curve, np.linspace(0, 1, 17)), abs=1e-5)
    assert areas.deletion < areas.random[0] and areas.insertion > areas.random[-1]


def test_values_of_cells_are_spread_over_the_image():
    values = np.arange(4.0).reshape(2, 2)
    assert over_pixels(values, (4, 6))[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert over_pixels(values, (2, 2)) is values
