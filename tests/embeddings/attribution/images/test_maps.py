"""CAM and Grad-CAM: the identities between them and the logit, and heads for which they are not defined."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from corpus_audit.embeddings.attribution.images.methods.maps import cam, grad_cam  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from tests.embeddings.attribution.images.small_networks import Pooled, image, pooled, unit  # noqa: E402


class Convolved(Pooled):
    """Adaptive pooling and a 1x1 convolution, as in fully convolutional classifiers."""

    def forward(self, x):
        weight, bias = self.head.weight[:, :, None, None], self.head.bias
        return F.conv2d(F.adaptive_avg_pool2d(self.features(x), 1), weight, bias).flatten(1)


class Flattened(Pooled):
    """A linear map of all cells: no CAM."""

    def forward(self, x):
        return F.linear(self.features(x).flatten(1), torch.ones(3, 10 * 16))


class TwoLayers(Pooled):
    """A hidden layer between the mean and the logits: no CAM."""

    def forward(self, x):
        return F.relu(super().forward(x)) @ torch.ones(4, 4)


@pytest.mark.parametrize("kind", ["module", "functional", "shared", "silu"])
def test_cam_is_grad_cam_times_positions_and_its_mean_is_the_logit(kind):
    network, picture = pooled(kind), image()
    logits = network(picture[None])[0]
    for index in range(4):
        of_weights = cam(network, picture, index)
        of_gradients = grad_cam(lambda batch, index=index: network(batch)[:, index], picture)
        assert of_weights.values.shape == (4, 4) and np.abs(of_weights.values).max() > 0.05
        assert np.allclose(of_weights.values, 16 * of_gradients.values, atol=6e-6)
        assert of_weights.values.mean() + of_weights.bias == pytest.approx(float(logits[index]), abs=2e-6)
        assert of_weights.value == of_gradients.value == float(logits[index])
    assert (of_weights.values < 0).any() or of_weights.values.min() > 0, "signed"


def test_a_1x1_convolution_of_the_mean_is_a_linear_head_too():
    torch.manual_seed(0)
    network, picture = Convolved().eval().requires_grad_(False), image()
    result = cam(network, picture, 1)
    assert result.values.mean() + result.bias == pytest.approx(float(network(picture[None])[0, 1]), abs=2e-6)


@pytest.mark.parametrize("kind", [Flattened, TwoLayers])
def test_other_heads_have_no_cam_and_the_reason_is_given(kind):
    torch.manual_seed(0)
    network, picture = kind().eval().requires_grad_(False), image()
    with pytest.raises(UsageError, match="linear map of the spatial mean of a feature map, and this model's are not"):
        cam(network, picture, 0)
    assert grad_cam(lambda batch: network(batch)[:, 0], picture).values.shape == (4, 4), "Grad-CAM is defined"


def test_grad_cam_of_a_layer():
    network, picture = pooled(), image()

    def logit(batch):
        return network(batch)[:, 2]

    seen = []
    hook = network.norms[1].register_forward_hook(lambda _m, _i, result: seen.append(result.detach()))
    result = grad_cam(logit, picture, network.norms[1])
    hook.remove()
    assert result.values.shape == (8, 8) and len(network.norms[1]._forward_hooks) == 0
    leaf = seen[0].clone().requires_grad_(True)
    tail = F.relu(network.norms[2](network.convs[2](F.max_pool2d(F.relu(leaf), 2)))).mean(dim=(2, 3))
    (gradient,) = torch.autograd.grad(network.head(tail)[0, 2], leaf)
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * leaf).sum(dim=1)[0].detach().numpy()
    assert np.allclose(result.values, expected, atol=1e-6)


def test_what_depends_on_no_feature_map_is_refused():
    network, picture = pooled(), image()
    with pytest.raises(UsageError, match=r"there are none$"):
        grad_cam(lambda batch: batch.sum(dim=(1, 2, 3)), picture)
    with pytest.raises(UsageError, match="there are none at this layer"):
        grad_cam(lambda batch: network(batch)[:, 0], picture, nn.Identity())
    assert grad_cam(unit(network, 0, 1, 1), picture).values.shape == (4, 4)
