"""Projections of another block, by a unit's activation and by snapshot; the command."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.build import layer_vectors, projection, window_groups
from corpus_audit.embeddings.build.layer_vectors import block_means
from corpus_audit.embeddings.build.projection import stored_projection
from corpus_audit.embeddings.build.window_groups import new_windows, window_peaks
from corpus_audit.embeddings.lookup.corpus_pass import corpus_values
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import parse_unit

pytestmark = pytest.mark.slow

MOST = 25


def test_vectors_of_any_block(encoder_indexes, monkeypatch):
    index = encoder_indexes[1]
    stored = index.facts.vectors["block"]
    np.testing.assert_allclose(block_means(index, MOST, stored), index.array("vector.mean")[:MOST], atol=1e-5)
    others = {block: block_means(index, MOST, block) for block in (0, 1)}
    with pytest.raises(UsageError, match="no block 3"):
        block_means(index, MOST, 3)
    monkeypatch.setattr(layer_vectors, "open_numpy_model", lambda *_: None)
    for block, means in others.items():
        np.testing.assert_allclose(block_means(index, MOST, block), means, atol=1e-5)
        assert np.linalg.norm(means - index.array("vector.mean")[:MOST], axis=1).min() > 0.05
    with pytest.raises(UsageError, match="3"):
        block_means(index, MOST, 3)


def test_projections_are_kept_by_block(encoder_indexes, monkeypatch):
    index = encoder_indexes[1]
    drawn = {block: stored_projection(index.folder, MOST, block) for block in (None, 0)}
    assert not drawn[None].equals(drawn[0]) and drawn[None]["window"].equals(drawn[0]["window"])
    monkeypatch.setattr(projection, "project", None)
    for block, table in drawn.items():
        again = stored_projection(index.folder, MOST, block)
        assert again.equals(table, check_metadata=True)
    path = index.folder.parent / ".projections" / f"{index.folder.name}-{MOST}-block-0.parquet"
    assert json.loads(pq.read_schema(path).metadata[b"provenance"])["block"] == 0


def test_peaks_of_windows_and_new_ones(encoder_indexes, monkeypatch):
    before, index = encoder_indexes
    unit = parse_unit("mlp.1:3")
    peaks = window_peaks(index, unit, MOST)
    values = corpus_values(index, [unit], MOST)
    for number in range(MOST):
        part = slice(*values.windows.offsets[number : number + 2])
        assert peaks[number] == values.values[part, 0][values.windows.counted[part]].max()
    top = index.lookup("mlp.1:3", k=1)[0]
    assert window_peaks(index, unit, 10**6).max() == pytest.approx(top.value, rel=1e-5)
    monkeypatch.setattr(window_groups, "corpus_values", None)
    np.testing.assert_array_equal(window_peaks(index, unit, MOST), peaks)
    assert not new_windows(before, index, MOST).any()
    real = before.array
    fewer = real("vector.window")[3:]
    monkeypatch.setattr(before, "array", lambda name: fewer if name == "vector.window" else real(name))
    assert np.flatnonzero(new_windows(before, index, MOST)).tolist() == [0, 1, 2]
    monkeypatch.setitem(before.facts.vectors, "one_in", 2)
    with pytest.raises(UsageError, match="which windows are new"):
        new_windows(before, index, MOST)


def test_the_command(encoder_indexes, tmp_path, capsys):
    before, index = encoder_indexes
    where = ["--index", str(index.folder), "--windows", str(MOST)]

    def run(file: Path, *more: str) -> int:
        return run_command(["index", "plot", str(file), *more, *where], Session())

    assert run(tmp_path / "a.svg", "--unit", "mlp.1:3", "--block", "0", "--json") == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["block"] == 0 and sum(group["windows"] for group in payload["groups"]) == MOST
    picture = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert picture.count("h0") == MOST + len(payload["groups"])  # and the key
    assert run(tmp_path / "b.html", "--new-since", str(before.folder)) == 0
    assert "25  in both snapshots" in capsys.readouterr().out
    assert run(tmp_path / "c.html") == 0
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "Windows by domain" in page and page.count("<figure>") == 2 and "<script" not in page
    for file, more in (("d.png", []), ("d.svg", []), ("d.html", ["--unit", "mlp.1:3", "--new-since", "x"])):
        assert run(tmp_path / file, *more) == 2
    assert run(tmp_path / "d.html", "--unit", "mlp.1:999") == 2
