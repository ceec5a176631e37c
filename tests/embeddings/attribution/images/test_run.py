"""Attributions of image files: results are stored with their provenance and read again; pictures are drawn."""

import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("safetensors")

from corpus_audit.embeddings.attribution.images import drawing  # noqa: E402
from corpus_audit.embeddings.attribution.images.names import ImageBaseline, ImageMethod  # noqa: E402
from corpus_audit.embeddings.attribution.images.results import read_result  # noqa: E402
from corpus_audit.embeddings.attribution.images.run import Attributor, read_bytes  # noqa: E402
from corpus_audit.embeddings.attribution.images.settings import ImageSettings  # noqa: E402
from corpus_audit.embeddings.images.model import load_image_model  # noqa: E402
from corpus_audit.embeddings.images.reading import read_maps  # noqa: E402
from corpus_audit.runners.terminal.images.attribution import image_attribution_lines  # noqa: E402
from corpus_audit.schemas.errors import StoreError, UsageError  # noqa: E402

MODEL = "tests.embeddings.attribution.images.small_networks:parts"


def attribute_file(model, unit, image, output, settings=None, checked=True, **options):
    return Attributor(load_image_model(model), unit, output, settings, **options).attribute(
        image.name, read_bytes(image), checked
    )


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a photo.png")
    return tmp_path / "a photo.png"


def test_a_logit_is_attributed_and_the_result_is_read_again(photo, tmp_path):
    said = []
    first = attribute_file(MODEL, "logit:1", photo, tmp_path / "out", say=said.append)
    attribution, provenance = first.stored.attribution, first.stored.provenance
    model = load_image_model(MODEL)
    inputs = model.preprocess(np.asarray(Image.open(photo)))
    assert attribution.value == pytest.approx(float(model.run(inputs[None])[0, 1]), abs=1e-6)
    assert attribution.converged and attribution.values.shape == (16, 16) and len(attribution.random_areas) == 20
    assert provenance["model"]["digest"] == model.digest and len(provenance["image"]["sha256"]) == 64
    assert (first.stored.image == model.preprocessing.cropped(np.asarray(Image.open(photo)))).all()
    assert first.stored.target["class_name"] == "ring" and first.stored.target["position"] is None
    assert said == [f"running {MODEL} to attribute logit:1 on a photo.png"] and not first.cached
    again = attribute_file(MODEL, "logit:1", photo, tmp_path / "out", say=said.append)
    assert again.cached and len(said) == 1 and again.files == first.files
    assert (again.stored.attribution.values == attribution.values).all()
    assert again.stored.provenance == provenance and again.stored.target == first.stored.target
    other = attribute_file(MODEL, "logit:1", photo, tmp_path / "out", baseline=ImageBaseline.BLACK)
    assert not other.cached and other.files[0] != first.files[0]


def test_a_channel_is_attributed_at_its_peak_within_its_receptive_field(photo, tmp_path):
    result = attribute_file(MODEL, "conv.convs.1:3", photo, tmp_path, ImageSettings(ImageMethod.DECONVOLUTION))
    model = load_image_model(MODEL)
    point = next(each for each in model.units.points if each.point.name == "convs.1")
    values = read_maps(model, model.preprocess(np.asarray(Image.open(photo)))[None], [point])[point][0, 3]
    y, x = result.stored.target["position"]
    assert result.stored.attribution.value == pytest.approx(float(values.max()), abs=1e-6) == float(values[y, x])
    left, top, right, bottom = result.stored.target["field"]
    outside = np.ones((16, 16), bool)
    outside[top:bottom, left:right] = False
    assert outside.any() and not result.stored.attribution.values[outside].any()
    assert result.stored.attribution.signal.shape == (3, 16, 16)
    with pytest.raises(UsageError, match="needs a layer before it"):
        attribute_file(MODEL, "conv.convs.1:3", photo, tmp_path, ImageSettings(ImageMethod.GRAD_CAM))
    layered = ImageSettings(ImageMethod.GRAD_CAM)
    result = attribute_file(MODEL, "conv.convs.1:3", photo, tmp_path, layered, layer="convs.0", checked=False)
    assert result.stored.attribution.values.shape == (16, 16) and result.stored.attribution.deletion is None


def test_a_saturated_unit_has_no_gradient_and_that_is_said(photo, tmp_path):
    model = load_image_model(MODEL)
    settings = ImageSettings(ImageMethod.SALIENCY)
    with torch.no_grad():
        model.module.norms[0].weight.mul_(100)  # the channel reaches the 6 of its ReLU6
    result = Attributor(model, "conv.convs.0:0", tmp_path, settings).attribute("x.png", read_bytes(photo), False)
    assert result.stored.attribution.value == 6 and not result.stored.attribution.values.any()
    lines = " ".join(image_attribution_lines(result.stored, 80))
    assert "Nothing of the attribution is above 0. It is 0 everywhere" in lines and "saturated (a ReLU6 at 6)" in lines


def test_what_cannot_be_used_is_refused_with_the_reason(photo, tmp_path):
    with pytest.raises(UsageError, match=r"there is no logit:4: indices of logit end at 3"):
        attribute_file(MODEL, "logit:4", photo, tmp_path)
    with pytest.raises(UsageError, match=r"there is no conv\.nothing"):
        attribute_file(MODEL, "conv.nothing:0", photo, tmp_path)
    with pytest.raises(UsageError, match="has no module 'nothing'"):
        attribute_file(MODEL, "logit:0", photo, tmp_path, layer="nothing")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        attribute_file(MODEL, "logit:0", tmp_path / "none.png", tmp_path)
    cut = tmp_path / "cut.png"
    cut.write_bytes(photo.read_bytes()[:-900])
    with pytest.raises(UsageError, match=r"cut\.png cannot be used: .*image_truncated"):
        attribute_file(MODEL, "logit:0", cut, tmp_path)


def test_a_damaged_file_is_computed_again(photo, tmp_path, caplog):
    first = attribute_file(MODEL, "logit:0", photo, tmp_path, ImageSettings(ImageMethod.SALIENCY), checked=False)
    data = bytearray(first.files[0].read_bytes())
    first.files[0].write_bytes(bytes(data[: len(data) // 2]))
    with pytest.raises(StoreError, match="is damaged"):
        read_result(first.files[0])
    again = attribute_file(MODEL, "logit:0", photo, tmp_path, ImageSettings(ImageMethod.SALIENCY), checked=False)
    assert not again.cached and "is damaged" in caplog.text and "computed again" in caplog.text
    assert first.files[0].read_bytes() == bytes(data)
    with pytest.raises(StoreError, match="of something else"):
        read_result(first.files[0], {"other": 1})


def test_pictures_show_signs_by_colour_and_carry_the_provenance(photo, tmp_path):
    result = attribute_file(MODEL, "logit:1", photo, tmp_path, checked=False)
    with Image.open(result.files[1]) as picture:
        assert json.loads(picture.text["corpus-audit"]) == result.stored.provenance
        assert picture.size == (2 * 320 + 48, 320 + 48 + 18 * 5)
        panel = np.asarray(picture.convert("RGB"))[16:336, 352:672].reshape(16, 20, 16, 20, 3)
    assert (panel == panel[:, :1, :, :1]).all(), "every pixel of the input is a square"
    values = result.stored.attribution.values
    colours = panel[:, 0, :, 0].astype(int)
    highest, lowest = (np.unravel_index(pick(values), values.shape) for pick in (np.argmax, np.argmin))
    assert tuple(colours[highest]) == drawing.RAISES and tuple(colours[lowest]) == drawing.LOWERS
    root = ElementTree.fromstring(result.files[2].read_text())
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any("logit:1 (ring), integrated_gradients" in text for text in texts)
    assert json.loads(root.find("{http://www.w3.org/2000/svg}metadata").text) == result.stored.provenance
    assert len(list(root.iter("{http://www.w3.org/2000/svg}image"))) == 2


def test_drawing_of_odd_values_and_captions():
    image = np.full((3, 5, 3), 255, np.uint8)
    flat = drawing.Picture(image, np.zeros((3, 5)), True, ["<b>&\x1b[1m", "x" * 500], (0, 0, 5, 3))
    assert (drawing.overlay(flat) == 255).all() and drawing.full_scale(flat.values) == 0
    with Image.open(io.BytesIO(drawing.png(flat, "{}"))) as picture:
        assert picture.size[0] > 300
    root = ElementTree.fromstring(drawing.svg(flat, "<&>"))
    assert root.find("{http://www.w3.org/2000/svg}title").text == "<b>&�[1m"
    sparse = np.zeros((30, 30))
    sparse[4, 4] = 7
    assert drawing.full_scale(sparse) == 7, "a single value is not lost"
