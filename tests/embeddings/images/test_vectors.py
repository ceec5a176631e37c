"""Pooled vectors of images: what the last layer reads, search by an image, and drift between two indexes."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")
import torch.nn.functional as F  # noqa: E402
from click.testing import CliRunner  # noqa: E402
from torch import nn  # noqa: E402

from corpus_audit.embeddings.build.build import build_index  # noqa: E402
from corpus_audit.embeddings.build.drift import vector_drift  # noqa: E402
from corpus_audit.embeddings.images import model as image_model_module  # noqa: E402
from corpus_audit.embeddings.images.pooled import find_pooled  # noqa: E402
from corpus_audit.embeddings.images.reading import run_reading  # noqa: E402
from corpus_audit.embeddings.index.reader import open_index  # noqa: E402
from corpus_audit.embeddings.lookup.search import WindowSearch  # noqa: E402
from corpus_audit.runners.cli.main import cli  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from tests.embeddings.images.image_models import (  # noqa: E402
    Dilated,
    Inception,
    SmallResNet,
    image_model,
    small_transformers,
)
from tests.embeddings.images.test_image_index import COUNT, picture, png, small_parts, write_audit, write_shard  # noqa: E402

COUNT_EACH = 104
"""Images of a snapshot: drift of vectors needs 100 on a side."""


class Squeezed(nn.Module):
    """Class maps averaged, as SqueezeNet: no layer reads a vector; and then a softmax."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x):
        return torch.softmax(F.relu(self.conv(x)).mean((2, 3)), 1)


class ConvolutionHead(nn.Module):
    """A convolution of one position as the last layer, after dropout."""

    def __init__(self):
        super().__init__()
        self.conv, self.dropout, self.head = nn.Conv2d(3, 6, 3), nn.Dropout(), nn.Conv2d(6, 4, 1)

    def forward(self, x):
        return self.head(self.dropout(F.adaptive_avg_pool2d(self.conv(x), 1))).flatten(1)


def last_input(model, inputs, layer):
    """What a layer reads in a plain pass, with a hook."""
    seen = []
    handle = layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach().clone()))
    with torch.inference_mode():
        model.module(inputs)
    handle.remove()
    return seen[0].flatten(1)


def pooled(model, inputs):
    point, vectors = find_pooled(model.trace), []
    with torch.inference_mode():
        run_reading(model, inputs, (), lambda *_: None, {point.key: lambda v: vectors.append(point.vectors(v).clone())})
    assert vectors[0].shape == (len(inputs), point.width)
    return vectors[0], point.read


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        (SmallResNet(), "fc"),
        (Inception(), "fc"),
        (ConvolutionHead(), "head"),
        (lambda: small_transformers("ResNet"), "classifier.1"),
        (lambda: small_transformers("ViT"), "classifier"),
    ],
)
def test_the_vector_is_what_the_last_layer_reads(module, layer):
    module = module if isinstance(module, nn.Module) else module()
    model = image_model(module, (64, 64))
    inputs = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    vectors, read = pooled(model, inputs)
    assert read == f"the input of {layer}"
    torch.testing.assert_close(vectors, last_input(model, inputs, model.module.get_submodule(layer)))


def test_models_without_a_last_layer_are_read_at_their_output():
    inputs = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    model = image_model(Dilated(), (64, 64))
    vectors, read = pooled(model, inputs)
    assert read == "the mean of the output over positions"
    torch.testing.assert_close(vectors, model.module(inputs).mean((2, 3)))
    model = image_model(Squeezed(), (64, 64))
    vectors, read = pooled(model, inputs)
    assert read == "the output"
    torch.testing.assert_close(vectors, model.module(inputs))


@pytest.fixture(scope="module")
def indexes(tmp_path_factory):
    """Two snapshots: in the later one half of the images are bright and have few colours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_model_module, "small_parts", small_parts, raising=False)
        folder = tmp_path_factory.mktemp("vectors")
        for name, first in (("before", 0), ("same", 1000), ("after", 3000)):
            (folder / name / "data").mkdir(parents=True)
            write_shard(folder / name / "data", "0.parquet", range(first, first + COUNT_EACH))
            if name == "after":
                shift(folder / name / "data" / "0.parquet")
            baseline = None if name == "before" else "../before/index"
            build_index(write_audit(folder / name, units=["conv.stem:*"], baseline=baseline))
        yield folder


def shift(path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    for number, row in enumerate(rows):
        row["image"] = {"bytes": png(255 - picture(3000 + number) // 6), "path": None}
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=6)


def test_neighbours_are_those_of_all_cosines(indexes, tmp_path):
    index, model = open_index(indexes / "before" / "index"), image_model_module.assemble(small_parts(), "small")
    inputs = torch.stack([model.preprocess(picture(number)) for number in range(COUNT_EACH)])
    vectors = last_input(model, inputs, model.module.fc).numpy().astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    search = WindowSearch(index)
    assert (
        search.windows == COUNT_EACH
        and search.width == vectors.shape[1]
        and search.vectors("mean").shape == vectors.shape
    )
    by_key = {search.location_of(row): search.vectors("mean")[row] for row in range(COUNT_EACH)}
    np.testing.assert_allclose([by_key[f"image-{i}"] for i in range(COUNT_EACH)], vectors, atol=1e-5)
    cosines = vectors @ vectors[7]
    expected = [f"image-{i}" for i in np.argsort(-cosines) if i != 7][:5]
    shown = invoke(indexes, "before", "image-7", "--k", "5")
    assert shown["query"] == {"kind": "document", "name": "image-7"} and shown["vectors"] == "the input of fc"
    assert [row["places"][0]["id"] for row in shown["examples"]] == expected
    np.testing.assert_allclose([row["value"] for row in shown["examples"]], np.sort(cosines)[::-1][1:6], atol=1e-5)
    (tmp_path / "a.png").write_bytes(png(picture(7)))
    near = invoke(indexes, "before", str(tmp_path / "a.png"), "--k", "6")["examples"]
    assert near[0]["places"][0]["id"] == "image-7" and near[0]["value"] == pytest.approx(1, abs=1e-5)
    assert [row["places"][0]["id"] for row in near[1:]] == expected
    assert {
        row["places"][0]["domain"] for row in invoke(indexes, "before", "image-7", "--domain", "b")["examples"]
    } == {"b"}


def invoke(folder, name, like, *more):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_model_module, "small_parts", small_parts, raising=False)
        arguments = ["search", "--like", like, "--index", str(folder / name / "index"), "--json", *more]
        return json.loads(CliRunner().invoke(cli, arguments, catch_exceptions=False).output)


def test_lines_fit_a_terminal_however_long_the_path_is(indexes, tmp_path, monkeypatch):
    monkeypatch.setattr(image_model_module, "small_parts", small_parts, raising=False)
    monkeypatch.chdir(tmp_path)
    path = Path("a-long-name-" * 8, "of_folders" * 3, "a.png")
    path.parent.mkdir(parents=True)
    path.write_bytes(png(picture(7)))
    arguments = ["search", "--like", str(path), "--index", str(indexes / "before" / "index"), "--k", "3"]
    lines = CliRunner().invoke(cli, arguments, catch_exceptions=False).output.splitlines()
    assert max(map(len, lines)) <= 80 and str(path) in "".join("".join(lines).split())
    assert "each with its cosine" in " ".join(lines) and sum("image-" in line for line in lines) == 3


def test_search_says_what_it_cannot_do(indexes, tmp_path):
    common = ["--index", str(indexes / "before" / "index")]
    for arguments, message in (
        (["dogs"], "reads no text"),
        (["--like", "absent.png"], "and there is no such file"),
    ):
        shown = CliRunner().invoke(cli, ["search", *arguments, *common])
        assert isinstance(shown.exception, UsageError) and message in str(shown.exception)
    (tmp_path / "b.png").write_bytes(b"no image")
    shown = CliRunner().invoke(cli, ["search", "--like", str(tmp_path / "b.png"), *common])
    assert isinstance(shown.exception, UsageError) and "cannot be used" in str(shown.exception)


def test_drift_of_vectors_and_units_is_seen_where_it_is(indexes):
    before, same, after = (open_index(indexes / name / "index") for name in ("before", "same", "after"))
    still, moved = vector_drift(before, same), vector_drift(before, after)
    assert still.p > 0.05 and moved.p <= 0.01 and moved.auc > 0.9
    tables = {name: (indexes / name / "index").rglob("embedding_drift.parquet") for name in ("same", "after")}
    assert all(len(list(each)) == 1 for each in tables.values())
    arguments = ["units", "--index", str(indexes / "after" / "index"), "--json", "--moved-from"]
    units = json.loads(CliRunner().invoke(cli, [*arguments, str(indexes / "before" / "index")]).output)
    assert units["of"] == 8 and units["count"] >= 4
    arguments[2] = str(indexes / "same" / "index")
    units = json.loads(CliRunner().invoke(cli, [*arguments, str(indexes / "before" / "index")]).output)
    assert units["count"] == 0


def test_one_image_in_two_has_a_vector_and_vectors_can_be_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(image_model_module, "small_parts", small_parts, raising=False)
    (tmp_path / "data").mkdir()
    write_shard(tmp_path / "data", "0.parquet", range(COUNT))
    half = build_index(write_audit(tmp_path, units=["logit:*"], vectors={"one_in": 2}))
    names = open_index(half.folder).array("vector.window")
    assert 5 < len(names) < COUNT - 5 and not (names % 2).any()
    none = build_index(write_audit(tmp_path, units=["logit:*"], vectors=None))
    assert none.facts.vectors is None and none.splits_scanned
    with pytest.raises(UsageError, match="without vectors"):
        WindowSearch(open_index(none.folder))
    with pytest.raises(UsageError, match=r"vectors\.block is for language models"):
        build_index(write_audit(tmp_path, vectors={"block": 3}))
