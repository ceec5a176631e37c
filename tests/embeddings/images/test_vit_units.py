"""Units of vision transformers by patch, against hooks written by the names of their modules; scan, index, refusals."""

import io
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")
from torch import nn  # noqa: E402

from corpus_audit.embeddings.build.build import build_index  # noqa: E402
from corpus_audit.embeddings.images import model as image_model_module  # noqa: E402
from corpus_audit.embeddings.images.model import ImageParts, assemble  # noqa: E402
from corpus_audit.embeddings.images.preprocessing import Preprocessing  # noqa: E402
from corpus_audit.embeddings.images.reading import read_maps  # noqa: E402
from corpus_audit.embeddings.images.receptive_fields import receptive_field  # noqa: E402
from corpus_audit.embeddings.index.reader import open_index  # noqa: E402
from corpus_audit.schemas.units import parse_point  # noqa: E402
from tests.embeddings.images.full_sort import Corpus, brute_force, check_lists, selection_of  # noqa: E402
from tests.embeddings.images.image_models import image_model, seeded, small_transformers  # noqa: E402
from tests.embeddings.images.test_image_index import picture, write_audit, write_shard  # noqa: E402

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
BLOCKS = ("mlp.*:*", "resid.*:*", "head.*:*")


def vision_transformer(kind, implementation="sdpa", **settings):
    """A small random classifier of transformers for images of 48 x 64 pixels (Dinov2: 64 x 64) in patches of 16."""
    config = getattr(transformers, f"{kind}Config")(
        **SMALL, image_size=64 if "Dino" in kind else (48, 64), patch_size=16, num_labels=5, **settings
    )
    config._attn_implementation = implementation
    return getattr(transformers, f"{kind}ForImageClassification")(config)


NAMES = {
    "ViT": ("vit.layers.{}", "attention.o_proj", "mlp.fc2", ""),
    "DeiT": ("deit.layers.{}", "attention.o_proj", "mlp.fc2", ""),
    "Dinov2WithRegisters": (
        "dinov2_with_registers.encoder.layer.{}",
        "attention.o_proj",
        "mlp.fc2",
        "layer_scale1.lambda1",
    ),
}
"""By architecture: its blocks, attention's and MLP's last linear map within them, and the factors after the first."""


def by_hooks(kind, module, inputs, first, rows):
    """Neurons, stream and norms of heads of every block at the patches, [images, units, rows, 4], by modules' names."""
    block_name, out, down, scale = NAMES[kind]
    found, handles = {}, []
    for number in range(2):
        block = module.get_submodule(block_name.format(number))

        def keep(name, value):
            patches = value[:, first : first + 4 * rows]
            found[name] = patches.transpose(1, 2).reshape(len(value), -1, rows, 4).detach().clone()

        def heads(layer, arguments, number=number, block=block):
            z = arguments[0].double().unflatten(-1, (2, 8))
            weight = layer.weight.double().unflatten(1, (2, 8))
            if scale:
                weight = weight * block.get_parameter(scale).double()[:, None, None]
            keep(f"head.{number}", torch.einsum("bthd,ohd->btho", z, weight).norm(dim=-1))

        def stream(_module, _arguments, output, number=number):
            keep(f"resid.{number}", output[0] if isinstance(output, tuple) else output)

        def neurons(_module, arguments, number=number):
            keep(f"mlp.{number}", arguments[0])

        handles += [
            block.get_submodule(out).register_forward_pre_hook(heads),
            block.get_submodule(down).register_forward_pre_hook(neurons),
            block.register_forward_hook(stream),
        ]
    with torch.no_grad():
        module(inputs)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize(
    ("kind", "implementation", "first"),
    [("ViT", "sdpa", 1), ("ViT", "eager", 1), ("DeiT", "sdpa", 2), ("Dinov2WithRegisters", "sdpa", 5)],
)
def test_units_equal_hooks_by_name(kind, implementation, first):
    rows = 4 if "Dino" in kind else 3
    model = image_model(vision_transformer(kind, implementation), (16 * rows, 64))
    assert model.units.refused == ()
    inputs = torch.randn(3, 3, 16 * rows, 64)
    expected = by_hooks(kind, model.module, inputs, first, rows)
    points = [point for point in model.units.points if point.tokens is not None]
    assert {str(point.point) for point in points} == set(expected) and len(points) == 6
    with torch.no_grad():
        maps = read_maps(model, inputs, points)
    for point, values in maps.items():
        wanted = expected[str(point.point)]
        assert values.shape == wanted.shape == (3, point.channels, rows, 4)
        if point.point.kind == "head":
            torch.testing.assert_close(values.double(), wanted, rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(values, wanted)
    grid = points[0].tokens.grid
    assert (grid.first, grid.tokens) == (first, 4 * rows + first)
    assert grid.rows == tuple((16 * y, 16 * y + 15) for y in range(rows)) and grid.columns[3] == (48, 63)


def test_behind_an_attention_a_patch_reads_the_whole_image():
    model = image_model(vision_transformer("ViT"), (48, 64))
    field = receptive_field(model.trace, model.units.of(parse_point("mlp.0")), 3, 7)
    assert field.whole and field.box == (0, 0, 64, 48) and "layers.0.attention" in field.reasons[0]


def test_lists_of_units_by_patch_equal_a_full_sort():
    model = image_model(small_transformers("ViT"), (64, 64))
    corpus, selection = Corpus(model, 60), selection_of(model, BLOCKS)
    assert selection.rows == 2 * (16 + 32 + 2)
    state = corpus.scan(selection, range(60), 8)
    check_lists(corpus, state, *brute_force(corpus, selection, 8))
    assert state.windows.sum() == 60


class Awkward(nn.Module):
    """Blocks of torch's own encoder layer, and behind them half as many tokens."""

    def __init__(self, merged):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 16, 16)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.merged = merged
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = self.blocks[0](x)
        x = self.blocks[1](x[:, ::2] if self.merged else x)
        return self.head(x.mean(1))


class Block(nn.Module):
    """A block whose attention torch computes in one call."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16))

    def forward(self, x):
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(x)


def test_what_is_not_offered_is_told_with_the_reason():
    model = image_model(Awkward(merged=False), (64, 64))
    offered = {str(point.point): point.channels for point in model.units.points if point.tokens is not None}
    assert offered == {"resid.0": 16, "resid.1": 16, "mlp.0": 24, "mlp.1": 24}
    assert [(each.kind, each.reason) for each in model.units.refused] == [
        ("head", "torch computes the whole attention in one call, whose heads are not seen (MultiheadAttention)")
    ]
    reasons = {each.reason for each in image_model(Awkward(merged=True), (64, 64)).units.refused}
    assert reasons == {"the number or the width of its tokens changes in the pass (2 shapes)"}


def vit_parts():
    preprocessing = Preprocessing(resize=(64, 64), mean=(0.5,) * 3, std=(0.25,) * 3)
    return ImageParts(seeded(small_transformers("ViT")), preprocessing, "small ViT", tuple("abcde"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patches")
    (folder / "data").mkdir()
    write_shard(folder / "data", "0.parquet", range(18))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_model_module, "vit_parts", vit_parts, raising=False)
        model = "corpus_audit.embeddings.images.model:vit_parts"
        build_index(write_audit(folder, model=model, units=["mlp.1:*", "head.*:*", "logit:*"]))
    return folder


def test_an_index_of_patches_and_its_lookup(built):
    from click.testing import CliRunner

    from corpus_audit.runners.cli.main import cli

    index, model = open_index(built / "index"), assemble(vit_parts(), "small")
    (point,) = [each for each in model.units.points if str(each.point) == "mlp.1"]
    peaks = []
    for number in range(18):
        with torch.inference_mode():
            inputs = model.preprocess(picture(number))[None].repeat(8, 1, 1, 1)  # as many as a batch of the scan
            peaks.append(read_maps(model, inputs, [point])[point][0, 5].flatten())
    best = sorted(range(18), key=lambda i: -float(peaks[i].max()))[:3]
    examples = index.lookup("mlp.1:5", k=3)
    assert [each.value for each in examples] == [float(peaks[i].max()) for i in best]
    assert [each.position for each in examples] == [int(peaks[i].argmax()) for i in best]
    assert [each.locations[0].id for each in examples] == [f"image-{i}" for i in best]

    arguments = ["lookup", "mlp.1:5", "--index", str(built / "index"), "--k", "3", "--audit", str(built / "audit.yaml")]
    sheet = built / "sheet.png"
    shown = CliRunner().invoke(cli, [*arguments, "--sheet", str(sheet)])
    assert shown.exit_code == 0, shown.output
    y, x = divmod(examples[0].position, 4)
    patch = [16 * x, 16 * y, 16 * x + 16, 16 * y + 16]
    assert "patch {},{} to {},{} of the input 64 x 64".format(*patch) in shown.output
    assert "read after gelu; maps of 4 x 4" in shown.output
    first = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).output)["examples"][0]
    assert first["patch"] == patch and first["field"] == [0, 0, 64, 64]
    pixels = picture(best[0])
    height, width = pixels.shape[:2]
    left, top, _, bottom = first["image_box"]
    assert abs(left - patch[0] * width / 64) <= 1 and abs(bottom - patch[3] * height / 64) <= 1
    # The sheet has the whole image, and the patch has a frame.
    tile = np.asarray(Image.open(io.BytesIO(sheet.read_bytes())).convert("RGB"))[34:194, 10:170]
    scale = 160 // max(height, width)
    corner = (160 - height * scale) // 2, (160 - width * scale) // 2
    assert tuple(tile[corner[0] + top * scale, corner[1] + left * scale]) == (214, 39, 40)
    np.testing.assert_array_equal(tile[corner[0], corner[1]], pixels[0, 0] if (top, left) != (0, 0) else (214, 39, 40))
