"""Units on a text, units that fire together, tokens by mean activation: each against plain loops."""

import json
from collections import defaultdict

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.coactivation.related import related_units
from corpus_audit.embeddings.index.bins import histogram_edges
from corpus_audit.embeddings.lookup import corpus_pass, text_units
from corpus_audit.embeddings.lookup.compare_units import select_rows
from corpus_audit.embeddings.lookup.corpus_pass import corpus_values
from corpus_audit.embeddings.lookup.text_units import units_on_text
from corpus_audit.embeddings.lookup.token_means import token_means
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import parse_unit

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("way", ["numpy", "torch"])
def test_a_text_of_the_corpus_fires_what_the_corpus_says(encoder_indexes, way, monkeypatch):
    index = encoder_indexes[1]
    if way == "torch":
        monkeypatch.setattr(text_units, "open_numpy_model", lambda *_: None)
    rows = select_rows(index, "mlp.1:*")
    example = index.lookup("mlp.1:9", k=1)[0]
    assert example.number == 0
    found = {str(unit.unit): unit for unit in units_on_text(index, example.text, 1000, rows)}
    assert len(found) == len(rows) == 48
    unit = found["mlp.1:9"]
    assert unit.value == pytest.approx(example.value, rel=1e-5) and unit.share_of_highest == pytest.approx(1, rel=1e-5)
    assert (
        unit.rank in (0, 1)
        and (unit.start, unit.end) == example.peak
        and unit.token == example.text[slice(*example.peak)]
    )
    histogram = index.histogram("mlp.1:9")
    own = int(np.searchsorted(histogram_edges(), unit.value, side="right"))
    assert unit.tail == pytest.approx(histogram[own:].sum() / histogram.sum()) and unit.tokens == histogram.sum()
    tails = [unit.tail for unit in units_on_text(index, example.text, 20, rows)]
    assert tails == sorted(tails)
    with pytest.raises(UsageError, match="no token"):
        units_on_text(index, "", 5, rows)


def test_all_units_of_an_index_with_directions(encoder_indexes):
    found = units_on_text(encoder_indexes[1], "w1 w2 w3", 1000)
    assert len(found) == 48 + 32 + 4 + 2 and all(np.isfinite(unit.value) for unit in found)


def test_units_that_fire_together_by_hand(encoder_indexes):
    index = encoder_indexes[1]
    units = list(index.units())
    mine = {(example.window, example.position) for example in index.lookup("mlp.1:5", k=100)}
    found = {str(unit.unit): unit for unit in related_units(index, "mlp.1:5", 1000)}
    assert "mlp.1:5" not in found
    for unit in units[:60]:
        theirs = {(example.window, example.position) for example in index.lookup(unit, k=100)}
        windows = len({window for window, _ in mine} & {window for window, _ in theirs})
        if str(unit) != "mlp.1:5":
            assert (found[str(unit)].windows if str(unit) in found else 0) == windows
            if windows:
                assert found[str(unit)].positions == len(mine & theirs) and found[str(unit)].examples == len(mine)
    ordered = [unit.positions for unit in related_units(index, "mlp.1:5", 10)]
    assert ordered == sorted(ordered, reverse=True)


def test_means_of_tokens_and_ngrams_by_hand(encoder_indexes, monkeypatch):
    index = encoder_indexes[1]
    units = [parse_unit("mlp.1:3"), parse_unit("resid.2:1")]
    result = corpus_values(index, units, 10**6)
    assert result.of_corpus == 1.0
    monkeypatch.setattr(corpus_pass, "open_numpy_model", lambda *_: None)
    np.testing.assert_allclose(corpus_values(index, units, 10**6).values, result.values, rtol=0, atol=1e-5)
    windows = result.windows
    for n in (1, 2):
        by_hand = defaultdict(list)
        for w in range(len(windows)):
            part = range(int(windows.offsets[w]), int(windows.offsets[w + 1]))
            for at in part[n:]:
                if windows.counted[at] and all(windows.starts[at - back] >= 0 for back in range(n)):
                    by_hand[tuple(windows.tokens[at - n + 1 : at + 1].tolist())].append(float(result.values[at, 0]))
        expected = {ids: each for ids, each in by_hand.items() if len(each) >= 2}
        found = token_means(index, result, 0, n, 10**6, least=2)
        assert {mean.ids for mean in found} == set(expected) and found
        for mean in found:
            assert mean.mean == pytest.approx(np.mean(expected[mean.ids])) and mean.count == len(expected[mean.ids])
            assert mean.highest == pytest.approx(max(expected[mean.ids])) and len(mean.text.split()) == n
        assert [mean.mean for mean in found] == sorted((mean.mean for mean in found), reverse=True)
    assert 0 < corpus_values(index, units, 5).of_corpus < 1


def test_the_commands(encoder_indexes, capsys):
    where = ["--index", str(encoder_indexes[1].folder), "--k", "4"]
    for arguments, kind in ((["--fires-on", "w1 w2"], "text"), (["--with", "mlp.1:5"], "together")):
        assert run_command(["units", "mlp.1:*", *arguments, *where, "--json"], Session()) == 0
        payload = json.loads(capsys.readouterr().out)
        assert payload["kind"] == kind and payload["of"] == 48 and 0 < len(payload["units"]) <= 4
        assert run_command(["units", "mlp.1:*", *arguments, *where], Session()) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80 and payload["units"][0]["unit"] in lines[2]
    assert run_command(["lookup", "mlp.1:3", "--tokens", "--no-heat", *where, "--json"], Session()) == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["tokens"]["exact"] and len(payload["tokens"]["ngrams"]["1"]) == 4
    assert 0 < payload["density"]["share"] < 1 and not payload["density"]["dead"]
    assert run_command(["lookup", "mlp.1:3", "--tokens", "--windows", "9", *where], Session()) == 0
    assert "of windows, by hash: estimates" in capsys.readouterr().out
    assert run_command(["lookup", "mlp.1:3", "--logits", *where], Session()) == 2
    assert run_command(["units", "--model", "x", "--dead", *where], Session()) == 2
