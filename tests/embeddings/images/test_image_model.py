"""Image models from folders and functions; preprocessing against the Pillow image processors of transformers."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from corpus_audit.embeddings.images import model as image_model_module  # noqa: E402
from corpus_audit.embeddings.images.model import ImageParts, is_image_model, load_image_model  # noqa: E402
from corpus_audit.embeddings.images.preprocessing import Preprocessing, read_preprocessor  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from tests.embeddings.images.image_models import SmallResNet, lite0, small_transformers  # noqa: E402

CONFIGS = [
    {"image_processor_type": "ViTImageProcessor", "size": {"height": 64, "width": 48}},
    {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 56}, "crop_pct": 0.875},
    {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}, "image_mean": [0.1, 0.2, 0.3]},
    {"image_processor_type": "MobileNetV2ImageProcessor"},
    {
        "image_processor_type": "MobileNetV2ImageProcessor",
        "size": {"shortest_edge": 40},
        "crop_size": {"height": 51, "width": 60},
        "resample": 3,
        "rescale_factor": 0.0078125,
    },
]


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3))
    return np.kron(coarse, np.ones((4, 4, 1)))[:height, :width].astype(np.uint8)


@pytest.mark.parametrize("config", CONFIGS)
def test_preprocessing_equals_that_of_transformers(config):
    transformers = pytest.importorskip("transformers")
    kind = config["image_processor_type"]
    processor = getattr(transformers, f"{kind}Pil")(**{k: v for k, v in config.items() if k != "image_processor_type"})
    stored = json.loads(json.dumps(processor.to_dict(), default=str)) | {"image_processor_type": kind}
    for preprocessing in (read_preprocessor(config | {"image_mean": processor.image_mean}), read_preprocessor(stored)):
        for size in ((97, 130), (130, 97), (64, 64), (301, 77)):
            pixels = picture(*size)
            expected = processor(pixels, return_tensors="np")["pixel_values"][0]
            inputs = preprocessing(pixels).numpy()
            assert inputs.shape == expected.shape[-3:]
            np.testing.assert_allclose(inputs, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image_processor_type": "SamImageProcessor"}, "SamImageProcessor is not applied"),
        ({}, "without a name"),
        ({"image_processor_type": "ViTImageProcessor", "do_flip_channel_order": True}, "do_flip_channel_order"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 3}}, "longest_edge"),
        ({"image_processor_type": "ViTImageProcessor", "image_mean": [0.5]}, "only RGB"),
    ],
)
def test_what_a_processor_config_asks_and_is_not_applied_is_refused(config, message):
    with pytest.raises(UsageError, match=message):
        read_preprocessor(config)


def test_boxes_of_the_input_lead_back_to_the_image():
    preprocessing = Preprocessing(shortest_edge=50, crop=(40, 40))
    geometry = preprocessing.geometry(100, 200)  # resized to 50 x 100, the crop begins at row 5, column 30
    assert geometry.to_image(0, 0, 40, 40) == (60, 10, 140, 90)
    assert geometry.to_image(3, 0, 4, 1) == (66, 10, 68, 12)
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[40:60, 90:110] = 255  # a square whose image in the input is found again
    rows, columns = np.nonzero(preprocessing.cropped(pixels)[..., 0] > 127)
    left, top, right, bottom = geometry.to_image(
        int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
    )
    assert (left, top, right, bottom) == (90, 40, 110, 60)
    assert Preprocessing(shortest_edge=30, crop=(40, 40)).geometry(60, 60).to_image(0, 0, 40, 40) == (0, 0, 60, 60)


def test_a_folder_loads_and_gives_the_logits_of_transformers(tmp_path):
    module = small_transformers("ResNet")
    module.config.id2label = {i: f"class {i}" for i in range(5)}
    module.save_pretrained(tmp_path)
    assert not is_image_model(str(tmp_path), tmp_path)
    config = {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 56, "crop_pct": 0.875}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config), encoding="utf-8")
    model = load_image_model(".", tmp_path)
    assert is_image_model(".", tmp_path) and model.input_size == (56, 56) and model.class_names[4] == "class 4"
    inputs = model.preprocess(picture(80, 90))[None]
    with torch.no_grad():
        torch.testing.assert_close(model.run(inputs), module(inputs).logits)
    digest = model.digest
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config | {"size": 64}), encoding="utf-8")
    assert load_image_model(".", tmp_path).digest != digest
    weights = tmp_path / "model.safetensors"
    weights.rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match="is a pickle"):
        load_image_model(".", tmp_path)


def test_a_folder_that_lacks_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    small_transformers("ConvNext").save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CONFIGS[1]), encoding="utf-8")
    weights = load_file(tmp_path / "model.safetensors")
    save_file({k: v for k, v in weights.items() if k != "classifier.bias"}, tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match=r"lacks 1 of the weights .* classifier\.bias"):
        load_image_model(".", tmp_path)


def made_parts():
    return ImageParts(SmallResNet(), Preprocessing(resize=(32, 32)), "made", ("a", "b", "c", "d", "e"))


def test_a_function_gives_a_model_and_nothing_else_passes(monkeypatch, tmp_path):
    monkeypatch.setattr(image_model_module, "made_parts", made_parts, raising=False)
    monkeypatch.setattr(image_model_module, "no_parts", lambda: 3, raising=False)
    name = "corpus_audit.embeddings.images.model"
    model = load_image_model(f"{name}:made_parts", tmp_path)
    assert model.class_names == ("a", "b", "c", "d", "e") and is_image_model(f"{name}:made_parts", tmp_path)
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    with pytest.raises(UsageError, match="int, not ImageParts"):
        load_image_model(f"{name}:no_parts", tmp_path)
    for wrong in (f"{name}:absent", "no_such_module:f", "absent/folder", "entry-point:absent"):
        with pytest.raises(UsageError, match=r"cannot be imported|no image model|no entry point"):
            load_image_model(wrong, tmp_path)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_pixels_of_another_shape_are_refused(wrong):
    model = image_model_module.assemble(made_parts(), "made")
    with pytest.raises(UsageError, match="an image is uint8"):
        model.preprocess(wrong)


@pytest.mark.slow
def test_lite0_recognises_a_flower_and_a_building():
    """The packaged weights and this preprocessing give sensible classes (ImageNet numbers)."""
    datasets = pytest.importorskip("sklearn.datasets")
    model, tops = lite0(), {}
    for name in ("china", "flower"):
        pixels = datasets.load_sample_image(f"{name}.jpg")
        with torch.no_grad():
            tops[name] = model.run(model.preprocess(pixels)[None])[0].topk(5).indices.tolist()
    assert {663, 832, 698, 497} & set(tops["china"])  # monastery, stupa, palace, church
    assert {985, 308, 309, 723, 946, 738} & set(tops["flower"])  # daisy, fly, bee, pinwheel, cardoon, pot
