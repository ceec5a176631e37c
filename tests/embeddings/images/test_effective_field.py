"""Effective receptive fields: the convolution of a linear stack's kernels; boxes; what lookup shows of them."""

import io
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")
from click.testing import CliRunner  # noqa: E402
from torch import nn  # noqa: E402

from corpus_audit.embeddings.build.build import build_index  # noqa: E402
from corpus_audit.embeddings.images import model as image_model_module  # noqa: E402
from corpus_audit.embeddings.images.lookups.effective_field import holding_box, squared_gradient  # noqa: E402
from corpus_audit.embeddings.images.receptive_fields import receptive_field  # noqa: E402
from corpus_audit.runners.cli.main import cli  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.units import parse_point  # noqa: E402
from tests.embeddings.images.image_models import Inception, SmallResNet, SqueezeExcite, image_model  # noqa: E402
from tests.embeddings.images.test_image_index import picture, small_parts, write_audit, write_shard  # noqa: E402


def convolved(first, second):
    """The kernel of two convolutions in turn, [O, I, k + l - 1, ...], from [M, I, k, k] and [O, M, l, l]."""
    k, length = first.shape[2], second.shape[2]
    out = np.zeros((second.shape[0], first.shape[1], k + length - 1, k + length - 1))
    for y in range(length):
        for x in range(length):
            out[:, :, y : y + k, x : x + k] += np.einsum("om,mikl->oikl", second[:, :, y, x], first)
    return out


def test_the_gradient_of_a_linear_stack_is_the_convolution_of_its_kernels():
    stack = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 5, padding=2), nn.Conv2d(5, 2, 3, padding=1))
    model = image_model(stack, (24, 24))
    kernels = [layer.weight.double().numpy() for layer in stack]
    kernel = convolved(convolved(kernels[0], kernels[1]), kernels[2])
    point = model.units.of(parse_point("conv.2"))
    inputs = torch.randn(3, 24, 24, generator=torch.Generator().manual_seed(0))
    value, mass = squared_gradient(model, point, 1, 11 * 24 + 13, inputs)
    assert value == pytest.approx(float(model.module(inputs[None])[0, 1, 11, 13]), rel=1e-5)
    expected = np.zeros((24, 24))
    expected[11 - 4 : 11 + 5, 13 - 4 : 13 + 5] = (kernel[1] ** 2).sum(0)
    np.testing.assert_allclose(mass, expected, atol=1e-5 * expected.max())
    assert holding_box(mass)[0] == holding_box(expected)[0]


def brute_range(mass, share):
    """The shortest range that holds a share, of several the one that holds most, by trying all."""
    ranges = [(j - i, -mass[i:j].sum(), i, j) for i in range(len(mass)) for j in range(i + 1, len(mass) + 1)]
    return min(r for r in ranges if -r[1] >= share * mass.sum() * (1 - 1e-9))[2:]


@pytest.mark.parametrize("seed", range(5))
def test_the_box_is_the_shortest_in_either_direction_and_holds_the_share(seed):
    mass = np.random.default_rng(seed).exponential(size=(17, 23)) ** 4
    (left, top, right, bottom), share = holding_box(mass)
    assert (top, bottom) == brute_range(mass.sum(1), 0.975) and (left, right) == brute_range(mass.sum(0), 0.975)
    assert share == pytest.approx(mass[top:bottom, left:right].sum() / mass.sum()) and share >= 0.95


def test_a_single_pixel_is_its_own_box():
    mass = np.zeros((5, 6))
    mass[2, 4] = 3.0
    assert holding_box(mass) == ((4, 2, 5, 3), 1.0)


def test_a_saturated_activation_still_has_a_gradient():
    model = image_model(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(inplace=True)), (16, 16))
    point = model.units.of(parse_point("conv.0"))
    inputs = 40 * torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1))
    position = int(model.module(inputs[None])[0, 2].flatten().argmax())
    value, mass = squared_gradient(model, point, 2, position, inputs)
    y, x = divmod(position, 14)
    assert value == 6.0
    weights = model.module[0].weight[2].double().square().sum(0).numpy()
    np.testing.assert_allclose(mass[y : y + 3, x : x + 3], weights, rtol=1e-5)


@pytest.mark.parametrize(("module", "name"), [(SmallResNet(), "conv.blocks.1.conv2"), (Inception(), "conv.last")])
def test_the_effective_field_lies_within_the_exact_one(module, name):
    model = image_model(module, (64, 64))
    point = model.units.of(parse_point(name))
    inputs = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(2))
    for position in (0, point.width + 1, point.width * point.height - 1):
        exact = receptive_field(model.trace, point, 1, position)
        _, mass = squared_gradient(model, point, 1, position, inputs)
        outside = mass.copy()
        outside[exact.top : exact.bottom, exact.left : exact.right] = 0
        assert mass.any() and not outside.any()
        (left, top, right, bottom), _ = holding_box(mass)
        assert exact.left <= left and exact.top <= top and right <= exact.right and bottom <= exact.bottom


def test_a_gate_over_the_whole_image_counts_little():
    model = image_model(SqueezeExcite(), (32, 32))
    point = model.units.of(parse_point("conv.after"))
    assert receptive_field(model.trace, point, 0, 15 * 30 + 15).whole
    inputs = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(2))
    _, mass = squared_gradient(model, point, 0, 15 * 30 + 15, inputs)
    (left, top, right, bottom), share = holding_box(mass)
    assert (mass > 0).all() and 0.95 <= share < 1
    assert 12 <= left < right <= 22 and 12 <= top < bottom <= 22


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_model_module, "small_parts", small_parts, raising=False)
        folder = tmp_path_factory.mktemp("effective")
        (folder / "data").mkdir()
        write_shard(folder / "data", "0.parquet", range(12))
        build_index(write_audit(folder, units=["conv.blocks.2.conv2:*", "conv.stem:*"]))
        yield folder


def lookup(folder, unit, *more):
    arguments = ["lookup", unit, "--index", folder / "index", "--audit", folder / "audit.yaml", "--k", "3", *more]
    return CliRunner().invoke(cli, list(map(str, arguments)))


def test_lookup_shows_effective_fields_where_the_exact_one_is_the_whole_image(built):
    shown = lookup(built, "conv.blocks.2.conv2:3", "--json", "--sheet", built / "whole.png")
    assert shown.exit_code == 0, shown.output
    model = image_model_module.load_image_model("corpus_audit.embeddings.images.model:small_parts")
    point = model.units.of(parse_point("conv.blocks.2.conv2"))
    rows = json.loads(shown.stdout)["examples"]
    for row in rows:
        pixels = picture(int(row["places"][0]["id"].removeprefix("image-")))
        _, mass = squared_gradient(model, point, 3, row["position"], model.preprocess(pixels))
        box, share = holding_box(mass)
        effective = row["effective_field"]
        assert row["field"] == [0, 0, 32, 32] and tuple(effective["field"]) == box
        assert effective["share"] == pytest.approx(share) and share >= 0.95
        geometry = model.preprocessing.geometry(*pixels.shape[:2])
        assert tuple(effective["image_box"]) == geometry.to_image(*box)
    left, top, right, bottom = rows[0]["effective_field"]["image_box"]
    crop = picture(int(rows[0]["places"][0]["id"].removeprefix("image-")))[top:bottom, left:right]
    drawn = np.asarray(Image.open(io.BytesIO((built / "whole.png").read_bytes())).convert("RGB"))
    tile, scale = drawn[34 : 34 + 160, 10 : 10 + 160], 160 // max(crop.shape[:2])
    y, x = ((160 - scale * size) // 2 for size in crop.shape[:2])
    np.testing.assert_array_equal(
        tile[y : y + scale * crop.shape[0] : scale, x : x + scale * crop.shape[1] : scale], crop
    )
    text = lookup(built, "conv.blocks.2.conv2:3").output
    assert text.count("effective field ") == 3 and text.count("% of the squared gradient") == 3


def test_effective_fields_are_computed_for_narrow_units_only_if_asked_for(built, monkeypatch):
    plain = json.loads(lookup(built, "conv.stem:1", "--json").stdout)["examples"]
    assert [row["effective_field"] for row in plain] == [None] * 3
    shown = json.loads(lookup(built, "conv.stem:1", "--json", "--effective").stdout)["examples"]
    for row in shown:
        (x0, y0, x1, y1), (left, top, right, bottom) = row["field"], row["effective_field"]["field"]
        assert x0 <= left < right <= x1 and y0 <= top < bottom <= y1
    assert all(
        row["effective_field"] is None
        for row in json.loads(lookup(built, "conv.blocks.2.conv2:3", "--json", "--no-effective").stdout)["examples"]
    )
    monkeypatch.setattr(image_model_module, "small_parts", lambda: small_parts().__class__(
        torch.nn.Conv2d(3, 2, 3), small_parts().preprocessing, "another"))  # fmt: skip
    without = lookup(built, "conv.blocks.2.conv2:3")
    assert (
        without.exit_code == 0 and "no effective fields" in without.output and "effective field " not in without.stdout
    )
    with_error = lookup(built, "conv.blocks.2.conv2:3", "--effective")
    assert isinstance(with_error.exception, UsageError) and "digest" in str(with_error.exception)


def test_options_that_need_the_images_are_refused_without_them(built):
    for option in (["--effective"], ["--pictures", "sixel"], ["--sheet", str(built / "a.png")]):
        shown = CliRunner().invoke(cli, ["lookup", "conv.stem:1", "--index", str(built / "index"), *option])
        assert isinstance(shown.exception, UsageError) and f"{option[0]} needs --audit" in str(shown.exception)
