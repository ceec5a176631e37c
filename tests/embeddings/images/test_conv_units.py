"""Units are what the model computes: against plain hooks and hand-written forward passes."""

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from corpus_audit.embeddings.images.reading import read_maps, run_with_maps  # noqa: E402
from corpus_audit.schemas.errors import AuditError, UsageError  # noqa: E402
from corpus_audit.schemas.units import Kind, parse_point  # noqa: E402
from tests.embeddings.images.image_models import (  # noqa: E402
    Inception,
    SmallResNet,
    SqueezeExcite,
    image_model,
    small_transformers,
)


def named(maps):
    return {str(point.point): values for point, values in maps.items()}


def test_units_of_a_residual_network_are_read_after_norm_and_activation_but_before_the_addition():
    model = image_model(SmallResNet())
    inputs = torch.randn(3, 3, 32, 32)
    maps = named(read_maps(model, inputs, model.units.points))
    net = model.module
    after = {str(each.point): each.after for each in model.units.points}
    stem = F.relu(net.norm(net.stem(inputs)))
    torch.testing.assert_close(maps["conv.stem"], stem)
    assert after["conv.stem"] == ("convolution", "native_batch_norm", "relu")
    block, x = net.blocks[0], F.max_pool2d(stem, 3, 2, 1)
    first = F.relu(block.bn1(block.conv1(x)))
    torch.testing.assert_close(maps["conv.blocks.0.conv1"], first)
    torch.testing.assert_close(maps["conv.blocks.0.conv2"], block.bn2(block.conv2(first)))  # `+=` comes later
    assert after["conv.blocks.0.conv2"] == ("convolution", "native_batch_norm")
    assert after["conv.blocks.1.shortcut"] == ("convolution",)
    torch.testing.assert_close(maps["logit"], net(inputs))
    assert model.units.refused == ()


def test_functional_activations_count_and_clamps_too():
    model = image_model(Inception())
    after = {str(each.point): each.after[1:] for each in model.units.points}
    assert after == {
        "conv.stem": ("hardtanh",),
        "conv.one": (),
        "conv.wide.0": ("relu",),
        "conv.wide.2": ("relu",),
        "conv.pooled": ("gelu",),
        "conv.last": ("clamp",),
        "logit": (),
    }
    inputs = torch.randn(2, 3, 32, 32)
    maps = named(read_maps(model, inputs, model.units.points))
    torch.testing.assert_close(maps["conv.stem"], F.relu6(model.module.stem(F.pad(inputs, (0, 1, 1, 2)))))


def test_values_are_part_of_the_graph():
    model = image_model(SmallResNet())
    inputs = torch.randn(1, 3, 32, 32, requires_grad=True)
    maps, output = run_with_maps(model, inputs, model.units.points)
    torch.testing.assert_close(output, model.run(inputs), rtol=0, atol=0)
    values = named(maps)
    (gradient,) = torch.autograd.grad(values["conv.blocks.1.conv1"].sum(), inputs, retain_graph=True)
    assert gradient.abs().sum() > 0
    # Global average pool and linear: the gradient of a logit is its weight over the number of positions.
    (gradient,) = torch.autograd.grad(output[0, 2], maps[model.units.of(parse_point("conv.blocks.2.conv2"))])
    reached = values["conv.blocks.2.conv2"] + values["conv.blocks.2.shortcut"] > 0
    weight = model.module.fc.weight[2][:, None, None] / reached[0, 0].numel()
    torch.testing.assert_close(gradient, torch.where(reached, weight, 0))


@pytest.mark.parametrize(("kind", "convolutions"), [("ResNet", 11), ("MobileNetV2", 52), ("ConvNext", 8), ("ViT", 1)])
def test_every_convolution_of_transformers_models_has_units(kind, convolutions):
    module = small_transformers(kind)
    model = image_model(module, (64, 64))
    assert sum(isinstance(part, nn.Conv2d) for part in module.modules()) == convolutions
    assert sum(point.tokens is None for point in model.units.points) == convolutions + 1
    assert model.units.refused == ()
    maps = read_maps(model, torch.randn(2, 3, 64, 64), model.units.points)
    assert all(values.shape[:2] == (2, point.channels) for point, values in maps.items())


class Awkward(nn.Module):
    """Convolutions that have no address, or that are no maps."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Conv2d(3, 3, 3, padding=1)
        self.weight = nn.Parameter(torch.randn(2, 3, 1, 1))
        self.line = nn.Conv1d(2, 2, 3)
        self.add_module("a b", nn.Conv2d(3, 2, 1))

    def forward(self, x):
        x = self.twice(F.relu(self.twice(x)))
        y = F.conv2d(x, self.weight) + getattr(self, "a b")(x)
        return torch.softmax(self.line(y.flatten(2)).mean(2), -1)


def test_what_has_no_units_is_listed_with_the_reason():
    units = image_model(Awkward()).units
    reasons = {(each.kind, each.name): each.reason for each in units.refused}
    assert reasons == {
        (Kind.CONV, "twice"): "the module computes 2 convolutions in a pass, and an address names one",
        (Kind.CONV, ""): "the convolution is computed by the model itself, not by a module with a name",
        (Kind.CONV, "line"): "its output has 3 dimensions, not [images, channels, height, width]",
        (Kind.CONV, "a b"): "the module's name 'a b' does not fit into an address (letters, digits, '_', '-' and '.')",
    }
    assert [str(each.point) for each in units.points] == ["logit"]
    assert units.of(parse_point("logit")).channels == 2


def test_logits_are_read_before_a_softmax():
    model = image_model(Awkward())
    inputs = torch.randn(2, 3, 32, 32)
    maps = named(read_maps(model, inputs, model.units.points))
    torch.testing.assert_close(torch.softmax(maps["logit"], -1), model.run(inputs))
    assert (maps["logit"] < 0).any()


def test_inference_mode_outside_changes_nothing():
    with torch.inference_mode():
        within = image_model(SmallResNet()).units
    assert within == image_model(SmallResNet()).units


def test_a_model_without_logits_says_so():
    (refused,) = image_model(SqueezeExcite()).units.refused
    assert refused.kind is Kind.LOGIT and "[2, 4, 30, 30]" in refused.reason


class Wavering(nn.Module):
    """Takes another way when it runs again."""

    def __init__(self, way):
        super().__init__()
        self.conv, self.way, self.runs = nn.Conv2d(3, 4, 3), way, 0

    def forward(self, x):
        self.runs += 1
        x = x if self.runs == 1 else self.way(x)
        return F.relu(self.conv(x)) if self.runs == 1 else torch.tanh(self.conv(x))


@pytest.mark.parametrize("way", [lambda x: x, lambda x: F.relu(x[..., 1:])])
def test_another_way_than_in_the_trial_pass_is_an_error(way):
    model = image_model(Wavering(way))
    with pytest.raises(AuditError, match=r"conv\.conv"):
        read_maps(model, torch.randn(1, 3, 32, 32), model.units.points)


def test_a_model_that_does_not_run_on_its_input_size_is_refused():
    model = image_model(nn.Conv2d(3, 4, 9), (8, 8))
    with pytest.raises(UsageError, match="does not run"):
        _ = model.units
