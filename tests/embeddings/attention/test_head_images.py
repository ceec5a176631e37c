"""Heads of vision transformers on images, against the attentions that transformers returns; files; the command."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("safetensors")
from torch import nn  # noqa: E402

from corpus_audit.embeddings.attention.images.head_map import head_map  # noqa: E402
from corpus_audit.embeddings.images import model as image_model_module  # noqa: E402
from corpus_audit.embeddings.images.reading import read_maps  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.units import parse_point, parse_unit  # noqa: E402
from tests.embeddings.images.image_models import image_model  # noqa: E402
from tests.embeddings.images.test_image_index import picture  # noqa: E402
from tests.embeddings.images.test_vit_units import built, vision_transformer, vit_parts  # noqa: E402, F401


@pytest.mark.parametrize(("kind", "first"), [("ViT", 1), ("Dinov2WithRegisters", 5)])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_weights_are_those_of_transformers_and_parts_add_up(kind, first, implementation):
    rows = 4 if "Dino" in kind else 3
    model = image_model(vision_transformer(kind, implementation), (16 * rows, 64))
    inputs = torch.randn(3, 16 * rows, 64, generator=torch.Generator().manual_seed(1))
    model.module.set_attn_implementation("eager")
    with torch.no_grad():
        expected = model.module(inputs[None], output_attentions=True).attentions
    model.module.set_attn_implementation(implementation)
    point = model.units.of(parse_point("head.1"))
    with torch.no_grad():
        norms = read_maps(model, inputs[None], [point])[point][0, 1]
    for query, token in (("class", 0), ("2,1", first + 2 * 4 + 1)):
        shown = head_map(model, parse_unit("head.1:1"), inputs, query)
        row = expected[1][0, 1, token].numpy()
        np.testing.assert_allclose(shown.attention, row[first:].reshape(rows, 4), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(shown.others, row[:first], rtol=1e-4, atol=1e-6)
        assert max(shown.row_error, shown.error, shown.sum_error) < 1e-5
    assert shown.value == pytest.approx(float(norms[2, 1]), rel=1e-4) and shown.patch == (16, 32, 32, 48)
    peak = head_map(model, parse_unit("head.1:1"), inputs, "peak")
    assert peak.query == tuple(np.unravel_index(int(norms.argmax()), norms.shape))
    assert peak.value == pytest.approx(float(norms.max()), rel=1e-4)


class Mixed(nn.Module):
    """A block whose heads are mixed behind the softmax, or not, as ``mix`` says; no class token."""

    def __init__(self, mix):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 16, 16)
        self.block = nn.ModuleList([nn.ModuleDict({"qkv": nn.Linear(8, 24), "out": nn.Linear(8, 8)})])
        self.mix = mix

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        layers = self.block[0]
        q, k, v = layers["qkv"](x).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3)).softmax(-1)
        weights = weights.flip(1) if self.mix else weights
        return x + layers["out"]((weights @ v).transpose(1, 2).flatten(2))


def test_what_cannot_be_read_is_refused():
    inputs, unit = torch.randn(3, 48, 64), parse_unit("head.0:1")
    with pytest.raises(UsageError, match="no class token"):
        head_map(image_model(Mixed(mix=False), (48, 64)), unit, inputs)
    assert head_map(image_model(Mixed(mix=False), (48, 64)), unit, inputs, "peak").sum_error < 1e-5
    with pytest.raises(UsageError, match="not applied in a way that is seen"):
        head_map(image_model(Mixed(mix=True), (48, 64)), unit, inputs, "peak")
    model = image_model(vision_transformer("ViT"), (48, 64))
    for name, query, reason in (
        ("head.2:0", "class", "blocks 0 to 1"),
        ("head.1:2", "class", "indices of head.1 end at 1"),
        ("mlp.1:2", "class", "no attention head"),
        ("head.1:1", "3,0", "is no query"),
    ):
        with pytest.raises(UsageError, match=reason):
            head_map(model, parse_unit(name), inputs, query)


def test_the_command_shows_a_head_on_a_file_and_on_the_examples_of_an_index(built, tmp_path, monkeypatch):  # noqa: F811
    from click.testing import CliRunner
    from safetensors import safe_open

    from corpus_audit.embeddings.index.reader import open_index
    from corpus_audit.runners.cli.main import cli

    monkeypatch.setattr(image_model_module, "vit_parts", vit_parts, raising=False)

    def invoke(*arguments):
        return CliRunner().invoke(cli, ["attention", "head.1:1", *map(str, arguments), "--output", str(tmp_path)])

    Image.fromarray(picture(3)).save(tmp_path / "a.png")
    model = "corpus_audit.embeddings.images.model:vit_parts"
    shown = invoke("--image", tmp_path / "a.png", "--model", model)
    assert shown.exit_code == 0, shown.output
    assert "Seen from the class token" in shown.output and "sum to 1 within" in shown.output
    (listed,) = json.loads(invoke("--image", tmp_path / "a.png", "--model", model, "--json").stdout)["results"]
    weights = np.array(listed["attention"])
    assert weights.shape == (4, 4) and weights.sum() + sum(listed["figures"]["others"]) == pytest.approx(1, abs=1e-5)
    with safe_open(listed["files"][0], framework="np") as file:
        np.testing.assert_array_equal(file.get_tensor("attention"), weights)
        assert json.loads(file.metadata()["corpus-audit"])["provenance"] == listed["provenance"]
    assert Image.open(listed["files"][1]).info["corpus-audit"]
    # Of examples: the head writes at its peak what the index holds.
    index = ("--index", built / "index")
    results = json.loads(invoke(*index, "--audit", built / "audit.yaml", "--k", "2", "--json").stdout)["results"]
    stored = open_index(built / "index").lookup("head.1:1", k=2)
    for result, example in zip(results, stored, strict=True):
        assert result["figures"]["value"] == pytest.approx(example.value, rel=1e-4)
        y, x = result["figures"]["query"]
        assert y * 4 + x == example.position and example.locations[0].id in result["provenance"]["image"]["name"]
    for arguments, reason in (
        (index, "--audit is needed"),
        ((*index, "--text", "a"), "language models"),
        (("--image", tmp_path / "a.png"), "--image needs --model"),
    ):
        refused = invoke(*arguments)
        assert isinstance(refused.exception, UsageError) and reason in str(refused.exception)
