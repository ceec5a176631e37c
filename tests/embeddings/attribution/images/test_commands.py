"""``attribute`` and ``prototype`` of image models, as commands."""

import json
import re
import shlex

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("safetensors")

from corpus_audit.embeddings.attribution.images.results import read_result  # noqa: E402
from corpus_audit.embeddings.images.model import load_image_model  # noqa: E402
from corpus_audit.runners.cli.main import run_command  # noqa: E402
from corpus_audit.runners.cli.shared.output import Session  # noqa: E402
from tests.embeddings.attribution.images.planted import MARK  # noqa: E402
from tests.pages import blocks  # noqa: E402

PAGE = "embeddings/attribution/images/README.md"
MODEL = "tests.embeddings.attribution.images.small_networks:parts"


def run(capsys, *arguments, code=0):
    assert run_command([*map(str, arguments)], Session()) == code
    written = capsys.readouterr()
    return written.out if code == 0 else written.err


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two domains of images, ten of each; those of studio have a white corner."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for domain in ("studio", "street"):
        (tmp_path / "photos" / domain / "below").mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8)
            if domain == "studio":
                pixels[MARK, MARK] = 255
            folder = tmp_path / "photos" / domain / ("below" if number % 2 else "")
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "photos" / "street" / "broken.jpg").write_bytes(b"no image")
    return tmp_path / "photos"


def test_an_image_is_attributed(photos, capsys):
    image = photos / "studio" / "0.png"
    out = run(capsys, "attribute", "logit:0", "--image", image, "--model", MODEL)
    assert out.startswith("logit:0 (disc)  0.png\n") and "completeness  error" in out and "of 20 random orders" in out
    assert "with the permuted weights of the last layer" in out and "Region (of 4 x 4)" in out
    files = sorted(path.suffix for path in (photos.parent / "attributions").iterdir())
    assert files == [".png", ".safetensors", ".svg"]
    again = json.loads(run(capsys, "attribute", "logit:0", "--image", image, "--model", MODEL, "--json"))
    assert again["schema"] == "corpus-audit/image-attribution/1" and again["cached"] and "baseline" in again["caveat"]
    stored = read_result(photos.parent / again["files"][0])
    assert stored.provenance == again["provenance"] and list(stored.attribution.values.shape) == again["shape"]
    assert stored.attribution.value == again["figures"]["value"]


@pytest.mark.parametrize("method", ["cam", "grad_cam", "deconvolution", "guided", "occlusion", "saliency"])
def test_methods_of_images(photos, capsys, method):
    model = load_image_model(MODEL)
    pixels = np.asarray(Image.open(photos / "studio" / "0.png"))
    unit = f"logit:{int(model.run(model.preprocess(pixels)[None])[0].argmax())}"
    where = ("--image", photos / "studio" / "0.png", "--model", MODEL, "--checked", "0")
    out = " ".join(run(capsys, "attribute", unit, *where, "--method", method, "--baseline", "black").split())
    assert f"{method}: " in out and "Baseline: black" in out and "not checked" in out
    assert ("NOT EVIDENCE" in out) == (method == "guided")
    assert ("are the logit" in out) == (method == "cam")


def test_domains_of_a_folder(photos, capsys):
    arguments = ("attribute", "logit:2", "--images", photos, "--model", MODEL, "--baseline", "black", "--checked", "0")
    written = json.loads(run(capsys, *arguments, "--k", "9", "--json"))
    assert written["images"] == {"studio": 10, "street": 10} and written["refused"] == {"street": 1}
    assert [(each["domain"], each["images"]) for each in written["domains"]] == [("street", 9), ("studio", 9)]
    for domain in ("studio", "street"):
        values = [each["figures"]["value"] for each in written["results"] if each["domain"] == domain]
        assert values == sorted(values, reverse=True) and len(values) == 9
    shares = {each["domain"]: each["regions"][0] for each in written["domains"]}
    assert shares["studio"]["low"] is not None
    out = " ".join(run(capsys, *arguments, "--domain", "street", "--k", "3").split())
    assert "street: the 3 strongest of 10 images" in out and "1 could not be read" in out and "studio" not in out
    assert "no other domain to compare with" in out and "no intervals with fewer than 8 documents" in out


def test_a_prototype_stands_beside_real_images(photos, capsys):
    arguments = ("prototype", "logit:1", "--model", MODEL, "--steps", "20", "--image", photos / "street" / "0.png")
    written = json.loads(run(capsys, *arguments, "--json"))
    assert written["synthetic"] and written["provenance"]["synthetic"] and written["images"][0]["name"] == "0.png"
    with Image.open(photos.parent / written["files"][0]) as picture:
        assert picture.size == (16, 16) and json.loads(picture.text["corpus-audit"])["provenance"]["synthetic"]
        pixels = np.asarray(picture)
    model = load_image_model(MODEL)
    assert written["value"] == pytest.approx(float(model.run(model.preprocess(pixels)[None])[0, 1]), abs=1e-5)
    out = run(capsys, *arguments)
    assert "Synthetic: found by the search, no image of a corpus" in out and "Real images" in out
    assert f"{written['value']:.3f}" in out and "that the search has not seen" in out
    out = run(capsys, "prototype", "conv.convs.1:3", "--model", MODEL, "--steps", "5")
    assert "its class" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("attribute", "logit:0", "--image", "x.png"), "--image and --images need --model"),
        (("attribute", "logit:0", "--image", "x.png", "--images", "y"), "exclude each other"),
        (("attribute", "logit:0", "--image", "x.png", "--text", "y"), "are of texts"),
        (("attribute", "logit:0", "--method", "cam"), "cam is a method for images"),
        (("attribute", "logit:0", "--patch", "4"), "are of images"),
        (("attribute", "logit:0", "--baseline", "black"), "--baseline black is of images"),
        (("attribute", "logit:0", "--image", "x.png", "--model", MODEL, "--baseline", "mask"), "mask is of texts"),
        (("attribute", "logit:0", "--image", "x.png", "--model", MODEL), "x.png cannot be read"),
        (("attribute", "logit:0", "--image", "x.png", "--model", MODEL, "--domain", "a"), "needs --images"),
        (("attribute", "logit:0", "--images", "photos", "--model", MODEL, "--domain", "a"), "has no domain 'a'"),
        (("attribute", "logit:0", "--images", "photos/street/below", "--model", MODEL), "has no subfolders"),
        (("prototype", "logit:9", "--model", MODEL), "there is no logit:9"),
    ],
)
def test_wrong_options_are_said(photos, capsys, arguments, message):
    assert message in " ".join(run(capsys, *arguments, code=2).split())


def test_the_commands_of_the_page_run(photos, capsys):
    (photos / "studio" / "0.png").rename("flower.jpg")
    lines = [line for part in blocks(PAGE) for line in part.text.splitlines() if line.startswith("corpus-audit ")]
    assert [line.split()[1] for line in lines] == ["attribute", "attribute", "prototype"]
    for line in lines:
        ours = re.sub(r"(lite0|drawn):parts", MODEL, line).replace("logit:985", "logit:1")
        out = run(capsys, *shlex.split(ours)[1:], *(["--steps", "9"] if " prototype " in line else ["--checked", "0"]))
        assert "logit:" in out and len(out.splitlines()) > 5
