"""Receptive fields against what a NaN in the input reaches, and against the crop alone."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from corpus_audit.embeddings.images.reading import read_maps  # noqa: E402
from corpus_audit.embeddings.images.receptive_fields import fields_of, input_box, receptive_field  # noqa: E402
from tests.embeddings.images.image_models import (  # noqa: E402
    Dilated,
    Inception,
    SmallResNet,
    SqueezeExcite,
    image_model,
    lite0,
    small_transformers,
)


def fields(model, point, axis):
    """By position along an axis of a point's map: first and last row or column of the input that is read, [n, 2]."""
    rows = []
    if point.tokens is not None:
        return np.array((lambda each: (each.rows, each.columns)[axis])(fields_of(model.trace, point)))
    for at in range((point.height, point.width)[axis]):
        spatial = [(0, point.height - 1), (0, point.width - 1)]
        spatial[axis] = (at, at)
        box = ((0, 0), (0, point.channels - 1), *spatial)[: 4 if str(point.point) != "logit" else 2]
        rows.append(input_box(model.trace, point.operation, box)[0][2 + axis])
    return np.array(rows)


def reached(model, axis, every=1, dtype=torch.float64, batch=32):
    """By point: which positions along an axis a NaN in every n-th row or column reaches, bool [rows, positions]."""
    points = model.units.points  # the trial pass comes first: it is one of float32
    model.module.to(dtype)  # of float64 there is no fast convolution that mixes neighbouring positions
    size = model.input_size[axis]
    parts = {point: [] for point in points}
    base = torch.randn(1, 3, *model.input_size, dtype=dtype)
    for start in range(0, size, batch * every):
        rows = range(start, min(start + batch * every, size), every)
        inputs = base.repeat(len(rows), 1, 1, 1)
        for b, at in enumerate(rows):
            inputs[b].select(1 + axis, at)[:] = torch.nan
        with torch.no_grad():
            for point, values in read_maps(model, inputs, points).items():
                values = values.reshape(len(rows), point.channels, point.height, point.width).isnan()
                parts[point].append(values.any(1).any(2 if axis == 0 else 1).numpy())
    model.module.float()
    return {point: np.concatenate(each) for point, each in parts.items()}


def mismatches(model, dense=True, every=1, **settings):
    """Comparisons, and those that differ: first and last input that reach a position, and those between if dense."""
    total = wrong = 0
    for axis in (0, 1):
        for point, nan in reached(model, axis, every, **settings).items():
            predicted = fields(model, point, axis)
            at = np.arange(len(nan))[:, None] * every
            expected = (at >= predicted[:, 0]) & (at <= predicted[:, 1])
            if not dense:  # inputs within the field that dilation or strides skip
                assert not (nan & ~expected).any()
                nan = (nan.cumsum(0) > 0) & (nan[::-1].cumsum(0)[::-1] > 0)
            total += nan.size
            wrong += int((nan != expected).sum())
    return total, wrong


MODELS = {
    "residual, max pool": (lambda: SmallResNet(), (40, 48), True),
    "branches, padding on one side": (lambda: Inception(), (37, 41), False),
    "dilation": (lambda: Dilated(), (33, 40), False),
    "squeeze and excitation": (lambda: SqueezeExcite(), (17, 21), True),
    "ResNet of transformers": (lambda: small_transformers("ResNet"), (64, 64), True),
    "MobileNetV2 of transformers": (lambda: small_transformers("MobileNetV2"), (64, 64), True),
    "ConvNeXt of transformers": (lambda: small_transformers("ConvNext"), (64, 64), True),
    "ViT of transformers": (lambda: small_transformers("ViT"), (64, 64), True),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_nan_reaches_exactly_what_is_predicted(name):
    build, size, dense = MODELS[name]
    model = image_model(build(), size)
    total, wrong = mismatches(model, dense)
    assert total > 500 and wrong == 0


@pytest.mark.slow
def test_a_nan_reaches_exactly_what_is_predicted_in_lite0():
    model = lite0(trained=False)
    total, wrong = mismatches(model, every=7, dtype=torch.float32)
    assert total > 50_000 and wrong == 0
    sizes = {}
    for block in (5, 10):
        point = next(p for p in model.units.points if str(p.point) == f"conv._blocks.{block}._project_conv")
        middle = (point.height // 2) * point.width + point.width // 2
        field = receptive_field(model.trace, point, 0, middle)
        sizes[block] = field.right - field.left
    assert sizes[5] == 83 and sizes[10] == 224  # 339 before it is cut off at the image


def test_channels_of_groups_read_their_own_branch():
    """A grouped convolution over concatenated branches: each channel's field is its branch's."""

    class Grouped(nn.Module):
        def __init__(self):
            super().__init__()
            self.narrow, self.wide = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 5, padding=2)
            self.last = nn.Conv2d(4, 4, 3, padding=1, groups=2)

        def forward(self, x):
            return self.last(torch.cat([self.narrow(x), self.wide(x)], 1))

    model = image_model(Grouped(), (20, 20))
    point = next(p for p in model.units.points if str(p.point) == "conv.last")
    boxes = [receptive_field(model.trace, point, channel, 10 * 20 + 7).box for channel in range(4)]
    assert boxes == [(6, 9, 9, 12)] * 2 + [(4, 7, 11, 14)] * 2


class Unpadded(nn.Module):
    """No padding, two branches of different fields, and a stride."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5, 2)
        self.norm = nn.BatchNorm2d(6)
        self.a, self.b = nn.Conv2d(6, 4, 3), nn.Conv2d(6, 4, 1)
        self.last = nn.Conv2d(4, 5, 3, 2)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        return torch.relu(self.last(self.a(x) * self.b(x)[..., 1:-1, 1:-1]))


def test_the_crop_alone_gives_the_units_value():
    model = image_model(Unpadded(), (61, 70))
    inputs = torch.randn(1, 3, 61, 70)
    points = [point for point in model.units.points if str(point.point).startswith("conv.")]
    maps = read_maps(model, inputs, points)
    checked = 0
    for point in points:
        for position in range(0, point.height * point.width, 17):
            field = receptive_field(model.trace, point, 1, position)
            crop = inputs[..., field.top : field.bottom, field.left : field.right]
            # The same convolutions by hand, as a model of another size is another trace.
            alone = _values(model.module, crop)[str(point.point)]
            y, x = divmod(position, point.width)
            assert alone.shape[2:] == (1, 1)
            torch.testing.assert_close(alone[0, 1, 0, 0], maps[point][0, 1, y, x])
            checked += 1
    assert checked > 150


def _values(net, x):
    first = torch.relu(net.norm(net.first(x)))
    values = {"conv.first": first, "conv.b": net.b(first)}
    if min(first.shape[2:]) >= 3:
        values["conv.a"] = net.a(first)
        product = values["conv.a"] * net.b(first)[..., 1:-1, 1:-1]
        if min(product.shape[2:]) >= 3:
            values["conv.last"] = torch.relu(net.last(product))
    return values


def test_what_reads_the_whole_map_is_named():
    model = image_model(SqueezeExcite(), (17, 21))
    by_name = {str(point.point): point for point in model.units.points}
    field = receptive_field(model.trace, by_name["conv.after"], 0, 0)
    assert field.whole and field.box == (0, 0, 21, 17) and field.reasons == ("mean in the model",)
    field = receptive_field(model.trace, by_name["conv.before"], 0, 0)
    assert field.box == (0, 0, 2, 2) and not field.whole and field.reasons == ()
    logit = image_model(SmallResNet(), (40, 48))
    point = next(p for p in logit.units.points if str(p.point) == "logit")
    assert receptive_field(logit.trace, point, 3, 0).whole


def test_an_operation_that_is_not_known_is_taken_to_read_everything_and_named():
    class Rolled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

        def forward(self, x):
            return self.last(torch.roll(self.conv(x), 3, -1))

    model = image_model(Rolled(), (20, 20))
    field = receptive_field(model.trace, model.units.points[1], 0, 0)
    assert field.whole and "not known" in field.reasons[0] and "roll" in field.reasons[0]


def test_work_in_place_on_a_part_of_a_map_is_not_trusted():
    class Partial(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

        def forward(self, x):
            x = self.conv(x)
            x[:, :2] += x[:, 2:].flip(-1)
            return self.last(x)

    model = image_model(Partial(), (20, 20))
    assert receptive_field(model.trace, model.units.points[1], 0, 0).whole
    total, wrong = mismatches(model, dense=False)
    assert total and wrong >= 0  # wider than what is reached, and never narrower


@pytest.mark.parametrize(("channel", "position"), [(8, 0), (0, 20 * 24), (-1, 0)])
def test_what_is_no_position_is_an_error(channel, position):
    model = image_model(SmallResNet(), (40, 48))
    with pytest.raises(IndexError):
        receptive_field(model.trace, model.units.points[0], channel, position)
