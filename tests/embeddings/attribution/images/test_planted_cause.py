"""A network that learned a mark which one domain's images carry: attribution, occlusion and domains name it."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from corpus_audit.embeddings.attribution.images.compute import (  # noqa: E402
    ImageUnit,
    attribute_image,
    modules_of,
)
from corpus_audit.embeddings.attribution.images.names import ImageMethod  # noqa: E402
from corpus_audit.embeddings.attribution.images.regions import AttributedImage, by_domain, standing_out  # noqa: E402
from corpus_audit.embeddings.attribution.images.settings import ImageSettings  # noqa: E402
from corpus_audit.embeddings.build.build import build_index  # noqa: E402
from corpus_audit.embeddings.index.reader import open_index  # noqa: E402
from corpus_audit.runners.cli.main import run_command  # noqa: E402
from corpus_audit.runners.cli.shared.output import Session  # noqa: E402
from corpus_audit.schemas.spec.audit_file import load_audit  # noqa: E402
from tests.embeddings.attribution.images import planted  # noqa: E402
from tests.embeddings.attribution.images.planted import DOMAINS, MARK, draw, trained, without_mark  # noqa: E402

pytestmark = pytest.mark.slow

METHODS = (ImageMethod.INTEGRATED_GRADIENTS, ImageMethod.OCCLUSION, ImageMethod.SALIENCY)


@pytest.fixture(scope="module")
def with_mark():
    return trained(marked=True, epochs=10), draw(600, True, 1)


@pytest.fixture(scope="module")
def without():
    return trained(marked=False, epochs=4), draw(600, False, 1)


def attributed(network, image, method, checked=False):
    """The attribution of class 0's logit; the baseline is black, as the background is."""

    def logit(batch):
        return network(batch)[:, 0]

    unit = ImageUnit(logit, modules_of(network, logit, image) if checked else [], network, 0)
    settings = ImageSettings(method, patch=5, stride=2, grid=12)
    return attribute_image(unit, image, torch.zeros_like(image), settings, checked)


def strongest(network, images, rows, count):
    """Rows of the images with the highest logit of class 0, highest first."""
    logits = network(images)[:, 0]
    return sorted(rows, key=lambda row: -float(logits[row]))[:count]


def in_mark(values):
    y, x = np.unravel_index(int(values.argmax()), values.shape)
    return MARK.start <= y < MARK.stop and MARK.start <= x < MARK.stop


def peaks_in_mark(network, images, rows, method):
    return np.mean([in_mark(attributed(network, images[row], method).values) for row in rows])


def regions_of(network, images, domains, method=ImageMethod.INTEGRATED_GRADIENTS):
    """Regions by domain, of the strongest 12 images of each."""
    maps = []
    for domain in DOMAINS:
        rows = [row for row, name in enumerate(domains) if name == domain]
        for row in strongest(network, images, rows, 12):
            maps.append(AttributedImage(domain, str(row), attributed(network, images[row], method).values))
    return by_domain(maps)


def test_the_mark_is_what_the_network_goes_by(with_mark):
    network, (images, classes, domains) = with_mark
    rows = torch.arange(600)[classes == 0]
    assert (network(images[rows]).argmax(dim=1) == 0).all()
    assert (network(without_mark(images[rows])).argmax(dim=1) == 0).float().mean() < 0.05
    fall = (network(images[rows]) - network(without_mark(images[rows])))[:, 0]
    assert fall.min() > 2, "removing the mark drops the logit"
    top = strongest(network, images, range(600), 40)
    assert {domains[row] for row in top} == {"studio"}


@pytest.mark.parametrize("method", METHODS)
def test_attribution_lies_on_the_mark(with_mark, method):
    network, (images, _, _) = with_mark
    top = strongest(network, images, range(600), 60)
    assert peaks_in_mark(network, images, top, method) >= 0.95


@pytest.mark.parametrize("method", METHODS)
def test_without_the_mark_it_lies_elsewhere(without, method):
    network, (images, _, _) = without
    top = strongest(network, images, range(600), 40)
    assert peaks_in_mark(network, images, top, method) <= 0.05


def test_domains_name_where_the_mark_is_and_whose_it_is(with_mark, without):
    network, (images, _, domains) = with_mark
    regions = regions_of(network, images, domains)
    first = standing_out(regions)[0]
    assert first.domain == "studio" and (first.region.row, first.region.column) == (1, 1)
    assert first.region.peaks == 12 and first.region.low > 0.5 > 0.15 > first.others
    clean, (others, _, names) = without
    for found in standing_out(regions_of(clean, others, names)):
        assert (found.region.row, found.region.column) != (1, 1) and found.region.share < 0.5
    mark = regions_of(clean, others, names)[0].regions[0]
    assert mark.share < 0.03 and mark.peaks == 0


def test_an_index_names_the_domain_and_its_examples_the_mark(with_mark, tmp_path, monkeypatch, capsys):
    pytest.importorskip("PIL")
    network, (images, _, domains) = with_mark
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planted, "served", [network])
    audit = planted.write_corpus(tmp_path, images, domains)
    build_index(load_audit(audit))
    top = open_index(tmp_path / "index").lookup("logit:0", k=40)
    assert len(top) == 40 and {example.locations[0].domain for example in top} == {"studio"}
    where = ["--index", "index", "--audit", str(audit), "--baseline", "black", "--checked", "0"]
    by_name = [word for domain in DOMAINS for word in ("--domain", domain)]
    for method in ("integrated_gradients", "occlusion"):
        arguments = [
            "attribute",
            "logit:0",
            *by_name,
            "--k",
            "12",
            "--method",
            method,
            "--patch",
            "6",
            "--stride",
            "3",
            *where,
        ]
        assert run_command([*arguments, "--json"], Session()) == 0
        written = json.loads(capsys.readouterr().out)
        first = written["standing_out"][0]
        assert first["domain"] == "studio" and (first["region"]["row"], first["region"]["column"]) == (1, 1)
        assert first["region"]["low"] > 2 * first["others"] and first["region"]["peaks"] == 12
        assert [(each["domain"], each["images"]) for each in written["domains"]] == [(name, 12) for name in DOMAINS]
    assert run_command(arguments, Session()) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "studio: 12 examples of 12 documents" in text and "studio stands out in row 1, column 1" in text
    # One example: the picture is of the image that lookup names, and its activation that of the index.
    assert run_command(["attribute", "logit:0", "--example", "2", *where, "--json"], Session()) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["provenance"]["image"]["name"] == top[1].locations[0].id and one["domain"] == "studio"
    assert one["figures"]["value"] == pytest.approx(top[1].value, abs=1e-4)
    assert run_command(["attribute", "conv.network.convs.2:1", *where, "--json"], Session()) == 0
    assert json.loads(capsys.readouterr().out)["target"]["position"] is not None
    assert run_command(["prototype", "logit:0", "--index", "index", "--steps", "600", "--json"], Session()) == 0
    synthetic = json.loads(capsys.readouterr().out)
    assert synthetic["images"][0]["name"].endswith(" of studio") and synthetic["images"][0]["value"] == top[0].value
    assert synthetic["value"] > top[0].value, "above the best example of the index"
    for wrong, message in ((["--min"], "no --text or --min"), (["--example", "900"], "no such example")):
        assert run_command(["attribute", "logit:0", *wrong, *where], Session()) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    assert run_command(["attribute", "logit:0", "--index", "index"], Session()) == 2
    assert "--audit is needed" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr(planted, "served", [planted.trained(marked=False, epochs=0)])
    (tmp_path / "attributions").rename("before")
    assert run_command(["attribute", "logit:0", *where], Session()) == 2
    assert "the index holds" in " ".join(capsys.readouterr().err.split()), "other weights behind the same digest"


def test_the_checks_of_a_marked_image(with_mark):
    network, (images, _, _) = with_mark
    (row,) = strongest(network, images, range(600), 1)
    for method in (ImageMethod.INTEGRATED_GRADIENTS, ImageMethod.OCCLUSION):
        result = attributed(network, images[row], method, checked=True)
        assert result.deletion < min(result.random_areas) and result.insertion > max(result.random_areas)
    assert attributed(network, images[row], ImageMethod.INTEGRATED_GRADIENTS).converged
    cells = attributed(network, images[row], ImageMethod.CAM)
    assert cells.values.mean() + cells.bias == pytest.approx(cells.value, abs=1e-5)
    sensitive = attributed(network, images[row], ImageMethod.SALIENCY, checked=True)
    assert abs(sensitive.randomised_all) < 0.5
