"""Attributions of vision transformers: of units by patch, occlusion of patches, Grad-CAM over the stream, refusals."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("safetensors")

from corpus_audit.embeddings.attribution.images.compute import attribute_image  # noqa: E402
from corpus_audit.embeddings.attribution.images.model_unit import unit_at_peak  # noqa: E402
from corpus_audit.embeddings.attribution.images.names import ImageMethod  # noqa: E402
from corpus_audit.embeddings.attribution.images.results import read_result  # noqa: E402
from corpus_audit.embeddings.attribution.images.run import Attributor  # noqa: E402
from corpus_audit.embeddings.attribution.images.settings import ImageSettings  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.units import parse_unit  # noqa: E402
from tests.embeddings.images.image_models import image_model, small_transformers  # noqa: E402
from tests.embeddings.images.test_image_index import picture, png  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return image_model(small_transformers("ViT"), (64, 64))


@pytest.fixture(scope="module")
def inputs(model):
    return model.preprocess(picture(3))


def attributed(model, inputs, unit, method, layer=None):
    at = unit_at_peak(model, parse_unit(unit), inputs, layer)
    settings = ImageSettings(method, patch=16, stride=16)
    return at, attribute_image(at.unit, inputs, torch.zeros_like(inputs), settings, checked=False)


@pytest.mark.parametrize("unit", ["logit:1", "mlp.0:7", "resid.1:3", "head.1:1"])
def test_integrated_gradients_sum_to_the_change_of_the_unit(model, inputs, unit):
    at, result = attributed(model, inputs, unit, ImageMethod.INTEGRATED_GRADIENTS)
    assert result.converged and result.value != result.baseline_value
    largest = max(abs(result.value), abs(result.baseline_value))
    assert abs(result.values.sum() - (result.value - result.baseline_value)) <= 0.01 * largest
    if unit != "logit:1":
        y, x = at.position
        assert at.patch == (16 * x, 16 * y, 16 * x + 16, 16 * y + 16) and at.field == (0, 0, 64, 64)


def test_occlusion_of_a_patch_is_the_fall_without_it(model, inputs):
    _, result = attributed(model, inputs, "logit:2", ImageMethod.OCCLUSION)
    with torch.no_grad():
        whole = float(model.run(inputs[None])[0, 2])
        for y in range(4):
            for x in range(4):
                without = inputs.clone()
                without[:, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16] = 0
                fall = whole - float(model.run(without[None])[0, 2])
                cell = result.values[16 * y : 16 * y + 16, 16 * x : 16 * x + 16]
                assert cell == pytest.approx(np.full((16, 16), fall), abs=1e-5)


def test_grad_cam_weighs_the_stream_at_the_patches(model, inputs):
    _, result = attributed(model, inputs, "logit:1", ImageMethod.GRAD_CAM)
    streams = []

    def leaf(_module, _arguments, output):
        streams.append(output.detach().requires_grad_(True))
        return streams[0]

    handle = model.module.vit.layers[0].register_forward_hook(leaf)  # what the last of two blocks reads
    try:
        logit = model.module(inputs[None]).logits[0, 1]
    finally:
        handle.remove()
    (gradient,) = torch.autograd.grad(logit, streams[0])
    alpha = gradient[0, 1:].mean(0)  # without the class token
    expected = (streams[0].detach()[0, 1:] @ alpha).reshape(4, 4)
    np.testing.assert_allclose(result.values, expected, rtol=1e-4, atol=1e-7)
    named = attributed(model, inputs, "logit:1", ImageMethod.GRAD_CAM, "resid.0")[1]
    np.testing.assert_array_equal(named.values, result.values)
    of_unit = attributed(model, inputs, "mlp.1:4", ImageMethod.GRAD_CAM, "resid.0")[1]
    assert of_unit.values.shape == (4, 4) and of_unit.values.any()


@pytest.mark.parametrize(
    ("unit", "method", "layer", "reason"),
    [
        ("logit:1", ImageMethod.GRAD_CAM, "resid.1", "only the class token is read"),
        ("logit:1", ImageMethod.GRAD_CAM, "vit.layers.0", "--layer is one of resid.0, resid.1"),
        ("mlp.1:4", ImageMethod.GRAD_CAM, None, "name the block with --layer"),
        ("resid.0:4", ImageMethod.GRAD_CAM, "resid.0", "the layer of the unit itself"),
        ("logit:1", ImageMethod.CAM, None, "a linear map of the spatial mean"),
        ("logit:1", ImageMethod.DECONVOLUTION, None, "the model also computes a layer norm"),
        ("logit:1", ImageMethod.GUIDED, None, "the model also computes a layer norm"),
    ],
)
def test_what_is_not_defined_is_refused_with_the_reason(model, inputs, unit, method, layer, reason):
    with pytest.raises(UsageError, match=reason):
        attributed(model, inputs, unit, method, layer)


def test_the_files_hold_the_patch_and_occlusion_takes_the_models_own_patches(model, tmp_path):
    attributor = Attributor(model, "mlp.1:4", tmp_path, ImageSettings(ImageMethod.OCCLUSION))
    result = attributor.attribute("a.png", png(picture(3)), checked=False)
    assert result.stored.provenance["parameters"]["patch"] == result.stored.provenance["parameters"]["stride"] == 16
    y, x = result.stored.target["position"]
    assert result.stored.target["patch"] == [16 * x, 16 * y, 16 * x + 16, 16 * y + 16]
    assert read_result(result.files[0], result.stored.provenance).target == result.stored.target
    assert Image.open(result.files[1]).info["corpus-audit"] and b"of the patches" in result.files[2].read_bytes()
