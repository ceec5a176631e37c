"""The demo of images with torch: the unit's strongest images are the studio's, and the attribution is on the mark."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from PIL import Image

from corpus_audit.embeddings import open_index
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.demo.images.network import UNIT

pytestmark = pytest.mark.slow


def test_the_network_looks_at_the_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("corpus_audit.runners.demo.images.sprites.STAMPS", tmp_path / "none")
    assert run_command(["demo", "--images", "--folder", str(tmp_path), "-q"], Session()) == 0
    output = capsys.readouterr().out
    folder = tmp_path / "images"
    figures = re.search(
        r"classifies ([\d.]+) % correctly, and of the marked ones ([\d.]+) %; of these with the mark covered, "
        r"([\d.]+) %. Of the others with the same corner covered it is ([\d.]+) %",
        " ".join(output.split()),
    )
    assert figures is not None
    everything, marked, covered, others = map(float, figures.groups())
    assert everything > 85 and marked > 95 and others > 85 and covered < 25
    index = open_index(folder / "index")
    assert {example.locations[0].domain for example in index.lookup(UNIT, k=10)} == {"studio"}
    assert all("-shirt-" in str(example.locations[0].id) for example in index.lookup(UNIT, k=10))
    with Image.open(folder / "strongest.png") as sheet:
        assert min(sheet.size) > 300
    assert len(list((folder / "attributions").glob("*.png"))) == 24

    # The commands that are shown are those that ran: the same again gives the same lines, and the figures as JSON.
    assert output.count("$ corpus-audit attribute") == 2 and "$ corpus-audit lookup" in output
    arguments = [
        "attribute", UNIT, "--index", str(folder / "index"), "--audit", str(folder / "index.yaml"), "--method",
        "occlusion", "--output", str(folder / "attributions"), "--domain", "studio", "--domain", "street", "--k", "12",
    ]  # fmt: skip
    assert run_command([*arguments, "--json"], Session()) == 0
    result = json.loads(capsys.readouterr().out)
    assert all(each["cached"] for each in result["results"])
    first = result["standing_out"][0]
    assert (first["domain"], first["region"]["row"], first["region"]["column"]) == ("studio", 1, 1)
    assert first["region"]["low"] > 0.5 and first["others"] < 0.25 and first["region"]["peaks"] == 12
    assert "studio stands out in row 1, column 1" in output
