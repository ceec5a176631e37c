"""Deconvolution and guided backpropagation: by hand, on activations of every kind, in the receptive field, refusals."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from corpus_audit.embeddings.attribution.images.methods.rules import deconvolution, guided  # noqa: E402
from corpus_audit.embeddings.attribution.methods.target import ScalarTarget  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from tests.embeddings.attribution.images.small_networks import (  # noqa: E402
    deconvolved_by_hand,
    image,
    pooled,
    unit,
)

KINDS = ("module", "functional", "shared", "clamp", "relu6")


def target_of(function, picture):
    return ScalarTarget(function, picture, torch.zeros_like(picture), (0,))


def strongest(network, picture):
    features = network.features(picture[None])[0]
    return np.unravel_index(int(features.argmax()), features.shape)


def plain_gradient(function, picture):
    leaf = picture[None].clone().requires_grad_(True)
    return torch.autograd.grad(function(leaf)[0], leaf)[0][0]


@pytest.mark.parametrize("kind", KINDS)
def test_deconvolution_is_the_network_of_zeiler_and_fergus(kind):
    network, picture = pooled(kind), image()
    at = strongest(network, picture)
    signal = deconvolution(target_of(unit(network, *at), picture))
    expected = deconvolved_by_hand(pooled("module"), picture, *at)  # no activation is above 6
    assert float(signal.abs().max()) > 0.05
    assert float((signal - expected).abs().max()) <= 1e-6 * float(expected.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_no_rectifier_is_left_out(kind):
    network, picture = pooled(kind), image()
    function = unit(network, *strongest(network, picture))
    gradient = plain_gradient(function, picture)
    target = target_of(function, picture)
    for signal in (deconvolution(target) / target.value, guided(target)):
        assert float((signal - gradient).abs().max()) > 0.1 * float(gradient.abs().max())
        assert float((signal - gradient).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", ["functional", "relu6"])
def test_captum_returns_the_plain_gradient_there(kind):
    attr = pytest.importorskip("captum.attr", reason="captum (extra: oracle) is not installed")

    class Probe(nn.Module):
        def __init__(self, network, at):
            super().__init__()
            self.network, self.at = network, at

        def forward(self, batch):
            return unit(self.network, *self.at)(batch)

    for name in (kind, "module"):
        network, picture = pooled(name), image()
        at = strongest(network, picture)
        gradient = plain_gradient(unit(network, *at), picture)
        target = target_of(unit(network, *at), picture)
        theirs = attr.Deconvolution(Probe(network, at)).attribute(picture[None].clone().requires_grad_(True))[0]
        same = torch.equal(theirs.detach(), gradient)
        assert same == (name != "module")
        if not same:  # where it is right, it is the oracle
            assert torch.allclose(theirs * target.value, deconvolution(target), atol=1e-6)
            theirs = attr.GuidedBackprop(Probe(network, at)).attribute(picture[None].clone().requires_grad_(True))[0]
            assert torch.allclose(theirs, guided(target), atol=1e-6)


def test_of_positive_weights_gradient_deconvolution_and_guided_are_the_same():
    network, picture = pooled("functional"), image()
    for parameter in network.parameters():
        parameter.abs_()
    function = unit(network, 2, 1, 2)
    target = target_of(function, picture)
    gradient = plain_gradient(function, picture)
    assert float(gradient.abs().max()) > 0.1
    assert torch.allclose(deconvolution(target) / target.value, gradient, rtol=1e-5, atol=0)
    assert torch.equal(guided(target), gradient)


def test_the_signal_stays_in_the_receptive_field():
    network, picture = pooled("relu6"), image(size=24)
    features = network.features(picture[None])[0]
    channel = int(features[:, 3, 3].argmax())
    # Three 3x3 convolutions and two 2x2 poolings: 18 pixels a side, of cell 3 from pixel 5 to 22.
    for signal in (
        deconvolution(target_of(unit(network, channel, 3, 3), picture)),
        guided(target_of(unit(network, channel, 3, 3), picture)),
    ):
        ys, xs = np.nonzero(signal.abs().sum(dim=0).numpy())
        assert ys.min() >= 5 and xs.min() >= 5 and ys.max() <= 22 and xs.max() <= 22 and len(ys) > 20


@pytest.mark.parametrize(("kind", "name"), [("silu", "SiLU"), ("gelu", "GELU")])
@pytest.mark.parametrize("method", [deconvolution, guided])
def test_other_activations_are_refused_with_the_reason(kind, name, method):
    network, picture = pooled(kind), image()
    with pytest.raises(UsageError, match=rf"also computes {name} .*: use integrated_gradients or occlusion"):
        method(target_of(unit(network, *strongest(network, picture)), picture))


def test_what_is_no_linear_map_of_the_image_is_refused():
    network, picture = pooled(), image()

    def gated(batch):
        features = network.features(batch)
        return (features * features.mean(dim=(2, 3), keepdim=True))[:, 0, 0, 0] + 1

    with pytest.raises(UsageError, match="a product of two activations"):
        deconvolution(target_of(gated, picture))
    with pytest.raises(UsageError, match="a softmax"):
        deconvolution(target_of(lambda batch: network(batch).softmax(dim=1)[:, 0], picture))
    with pytest.raises(UsageError, match=r"something else \(PowBackward0\)"):
        guided(target_of(lambda batch: (batch**2).sum(dim=(1, 2, 3)), picture))
    with pytest.raises(UsageError, match="does not depend on the image"):
        guided(target_of(lambda batch: torch.ones(len(batch), requires_grad=True) * 2, picture))
    with pytest.raises(UsageError, match=r"it is -1, not above 0"):
        deconvolution(target_of(lambda batch: batch.sum(dim=(1, 2, 3)) * 0 - 1, picture))
    network.norms[1].train()
    with pytest.raises(UsageError, match="in training mode"):
        guided(target_of(unit(network, 0, 0, 0), picture))


def test_a_clamp_from_elsewhere_is_no_rectifier():
    picture = image()
    with pytest.raises(UsageError, match=r"ClampMinBackward0|ClampBackward1"):
        guided(target_of(lambda batch: batch.clamp(min=-1).sum(dim=(1, 2, 3)), picture))
    with pytest.raises(UsageError, match="HardtanhBackward0"):
        guided(target_of(lambda batch: nn.functional.hardtanh(batch).sum(dim=(1, 2, 3)), picture))
