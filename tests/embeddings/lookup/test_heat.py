"""Heat maps that are computed when they are needed: against those that a build stores, and read in both ways."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.lookup import heat
from corpus_audit.embeddings.lookup.heat import with_heat
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.units import parse_unit
from tests.embeddings.tiny_bert import WORDS

pytestmark = pytest.mark.slow

UNITS = ("mlp.1:7", "resid.2:3", "head.0:2", "dir.probe:1")


@pytest.mark.parametrize("unit", UNITS)
def test_computed_heat_maps_are_those_that_a_build_stores(encoder_indexes, unit, monkeypatch):
    stored, without = encoder_indexes
    expected = stored.lookup(unit)
    bare = without.lookup(unit)
    assert all(example.heat is None for example in bare)
    quick = with_heat(without, parse_unit(unit), bare, quick=True)
    assert all((example.heat is None) == unit.startswith("dir.") for example in quick)
    for example, other in zip(with_heat(without, parse_unit(unit), bare), expected, strict=True):
        assert (example.window, example.position) == (other.window, other.position)
        np.testing.assert_allclose(example.heat, other.heat, rtol=2e-3, atol=2e-3)
        assert example.heat[example.position] == np.float32(example.value) == example.heat[example.counted].max()
        assert other.heat[other.counted].max() <= np.float32(other.value)
    monkeypatch.setattr(heat, "_reader", lambda *_: pytest.fail("the model was read again"))
    again = with_heat(without, parse_unit(unit), bare)
    assert all(example.heat is not None for example in again)


def test_torch_and_numpy_read_the_same(encoder_indexes, monkeypatch, caplog):
    index = encoder_indexes[1]
    examples = index.lookup("mlp.1:11")
    mine = with_heat(index, parse_unit("mlp.1:11"), examples)
    (index.folder.parent / ".heat-maps" / index.folder.name / "mlp.1_11.parquet").write_bytes(b"damaged")
    monkeypatch.setattr(heat, "open_numpy_model", lambda *_: None)
    for example, other in zip(with_heat(index, parse_unit("mlp.1:11"), examples), mine, strict=True):
        np.testing.assert_allclose(example.heat, other.heat, rtol=0, atol=1e-5)
    assert "mlp.1_11.parquet is damaged; it is computed again" in caplog.text


def test_an_activation_that_does_not_come_out_again_is_said(encoder_indexes, monkeypatch):
    index = encoder_indexes[1]
    examples = index.lookup("mlp.1:12")
    monkeypatch.setattr(heat, "_reader", lambda *_: lambda ids: np.zeros(ids.shape, np.float32))
    with pytest.raises(StoreError, match="make the index again"):
        with_heat(index, parse_unit("mlp.1:12"), examples)


def test_the_unknown_token_counts(encoder_indexes):
    windows = encoder_indexes[0].windows
    row = windows["text"].to_pylist().index("what w1 unknown w2")
    assert windows["tokens"][row].as_py()[1] == 1 and windows["counted"][row].as_py() == [False, *[True] * 4, False]


def test_the_command_shows_tokens_and_their_activations(encoder_indexes, capsys):
    where = ["--index", str(encoder_indexes[1].folder), "--k", "2", "--json"]
    assert run_command(["lookup", "mlp.1:20", *where, "--no-heat"], Session()) == 0
    assert all(example["heat"] is None for example in json.loads(capsys.readouterr().out)["examples"])
    assert run_command(["lookup", "mlp.1:20", *where], Session()) == 0
    for example in json.loads(capsys.readouterr().out)["examples"]:
        assert len(example["heat"]) == len(example["token_ids"]) == len(example["token_texts"])
        assert example["token_texts"][0] is None and example["token_ids"][0] == 2 and not example["counted"][0]
        ids = dict(zip(example["token_texts"], example["token_ids"], strict=True))
        assert all(WORDS[number] in (text, "[UNK]", "[CLS]", "[SEP]") for text, number in ids.items())
        assert example["heat"][example["position"]] == pytest.approx(example["value"], rel=1e-6)
    assert run_command(["lookup", "dir.probe:0", *where, "--heat"], Session()) == 0
    assert all(example["heat"] for example in json.loads(capsys.readouterr().out)["examples"])
