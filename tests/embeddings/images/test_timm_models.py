"""Models of timm from local files: inputs and logits equal timm's own; what is refused."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from corpus_audit.embeddings.images.model import is_image_model, load_image_model  # noqa: E402
from corpus_audit.embeddings.images.preprocessing import Preprocessing  # noqa: E402
from corpus_audit.embeddings.images.timm_models.loading import steps_of  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from tests.embeddings.images.test_image_index import picture  # noqa: E402

SETTINGS = {
    "input_size": (3, 32, 32),
    "interpolation": "bicubic",
    "crop_pct": 0.9,
    "crop_mode": "center",
    "mean": (0.5, 0.4, 0.3),
    "std": (0.2, 0.25, 0.3),
}


def test_inputs_are_divided_and_cropped_as_torchvision_does():
    steps = Preprocessing(**steps_of(SETTINGS | {"crop_pct": 1.0}))
    for width in (35, 37, 39):  # halves: 1.5, 2.5 and 3.5 of the columns beside the middle
        pixels = np.random.default_rng(width).integers(0, 256, (32, width, 3), dtype=np.uint8)
        left = {35: 2, 37: 2, 39: 4}[width]
        expected = pixels[:, left : left + 32].astype(np.float32) / np.float32(255)
        expected = (expected - np.float32((0.5, 0.4, 0.3))) / np.float32((0.2, 0.25, 0.3))
        np.testing.assert_array_equal(steps(pixels).numpy(), expected.transpose(2, 0, 1))
        assert steps.geometry(32, width).left == left
    assert Preprocessing(**steps_of(SETTINGS)).shortest_edge == 35
    assert Preprocessing(**steps_of(SETTINGS | {"crop_mode": "squash"})).resize == (35, 35)
    assert steps.digest != Preprocessing(**steps_of(SETTINGS)).digest


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"crop_mode": "border"}, "crop_mode = 'border'"),
        ({"input_size": (3, 32, 48)}, "32 x 48"),
        ({"input_size": (1, 32, 32)}, "1 channels"),
        ({"interpolation": "random"}, "interpolation = 'random'"),
        ({"crop_border_pixels": 3}, "crop_border_pixels = 3"),
        ({"crop_pct": 1.2}, "crop_pct = 1.2"),
    ],
)
def test_preprocessing_that_is_not_applied_is_refused(changed, message):
    with pytest.raises(UsageError, match=message):
        steps_of(SETTINGS | changed)


def test_names_of_timm_are_told_from_others(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18"}), encoding="utf-8")
    assert is_image_model(".", tmp_path) and is_image_model("timm:resnet18:a.safetensors", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "x", "model_type": "vit"}), encoding="utf-8")
    assert not is_image_model(".", tmp_path)


@pytest.fixture
def timm(monkeypatch):
    """The package, with a network that refuses."""
    module = pytest.importorskip("timm")
    import socket

    def refuse(*_):
        raise AssertionError("nothing is downloaded")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return module


@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet", "test_convnext"])
def test_inputs_and_logits_are_those_of_timm(timm, architecture, tmp_path):
    torch.manual_seed(0)
    module = timm.create_model(architecture, pretrained=False, num_classes=7).eval()
    timm.models.save_for_hf(module, tmp_path / "folder", safe_serialization=True)
    model = load_image_model("folder", tmp_path)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(module), is_training=False)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        pixels = picture(seed) if seed < 2 else rng.integers(0, 256, (*rng.integers(150, 300, 2), 3), dtype=np.uint8)
        inputs = transform(Image.fromarray(pixels))
        assert torch.equal(model.preprocess(pixels), inputs)
        with torch.no_grad():
            assert torch.equal(model.run(inputs[None]), module(inputs[None]))
    kinds = {point.point.kind for point in model.units.points}
    assert kinds == ({"conv", "logit"} | ({"mlp", "resid", "head"} if architecture == "test_vit" else set()))


def test_weights_by_architecture_and_what_is_refused(timm, tmp_path):
    from safetensors.torch import save_file

    module = timm.create_model("test_vit", pretrained=False)
    state = module.state_dict()
    save_file(state, tmp_path / "w.safetensors")
    model = load_image_model("timm:test_vit:w.safetensors", tmp_path)
    inputs = torch.randn(1, 3, *model.input_size)
    with torch.no_grad():
        assert torch.equal(model.run(inputs), module.eval()(inputs))
    save_file({key: value for key, value in state.items() if key != "norm.bias"}, tmp_path / "less.safetensors")
    torch.save(state, tmp_path / "w.pth")
    for name, message in (
        ("timm:test_vit:less.safetensors", r"lacks 1 weights, such as norm\.bias"),
        ("timm:test_vit:absent.safetensors", "there is no file of weights"),
        ("timm:test_vit:w.pth", "only safetensors"),
        ("timm:test_vit", "write timm:ARCHITECTURE:FILE"),
        ("timm:no_such_net:w.safetensors", "cannot make it"),
        ("timm:test_resnet:w.safetensors", "lacks"),
    ):
        with pytest.raises(UsageError, match=message):
            load_image_model(name, tmp_path)


def test_without_timm_the_extra_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"corpus-audit\[timm\]"):
        load_image_model("timm:resnet18:w.safetensors", tmp_path)
