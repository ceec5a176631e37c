"""Units written for other tools and read back in their formats; explanations read; tables for notebooks."""

import gzip
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings import examples_table
from corpus_audit.embeddings.index.stored_results import results_folder
from corpus_audit.embeddings.lookup import corpus_pass
from corpus_audit.embeddings.lookup.compare_units import select_rows
from corpus_audit.embeddings.lookup.corpus_pass import corpus_values
from corpus_audit.embeddings.lookup.explanations import explanations_of, import_explanations
from corpus_audit.embeddings.lookup.export import export
from corpus_audit.embeddings.lookup.heat import with_heat
from corpus_audit.embeddings.unit_reading import unit_reader
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import parse_unit

pytestmark = pytest.mark.slow


def lines(path):
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def test_neuronpedia(encoder_indexes, tmp_path, capsys):
    index = encoder_indexes[1]
    where = ["--index", str(index.folder), "--format", "neuronpedia"]
    assert run_command(["index", "export", "mlp.1:0-2", str(tmp_path / "out"), *where], Session()) == 0
    assert "3 units written" in capsys.readouterr().out
    features, activations = (
        lines(tmp_path / "out" / name / "batch-0.jsonl.gz") for name in ("features", "activations")
    )
    assert [(row["layer"], row["index"]) for row in features] == [("1-mlp", 0), ("1-mlp", 1), ("1-mlp", 2)]
    for number in range(3):
        examples = with_heat(index, parse_unit(f"mlp.1:{number}"), index.lookup(f"mlp.1:{number}"))
        rows = [row for row in activations if row["index"] == number]
        assert len(rows) == len(examples) and features[number]["maxActApprox"] == examples[0].value
        for row, example in zip(rows, examples, strict=True):
            assert len(row["tokens"]) == len(row["values"]) == len(example.tokens) - 2
            at = row["maxValueTokenIndex"]
            assert row["values"][at] == pytest.approx(example.value, rel=1e-5)
            assert row["tokens"][at] == example.text[slice(*example.peak)]
            assert row["dataIndex"] == example.locations[0].id and row["dataSource"] == example.locations[0].domain
    assert run_command(["index", "export", "mlp.1:0", str(tmp_path / "out"), *where], Session()) == 2


def test_delphi(encoder_indexes, tmp_path):
    from safetensors.numpy import load_file

    index = encoder_indexes[1]
    where = ["--index", str(index.folder), "--format", "delphi"]
    assert run_command(["index", "export", "mlp.1:3-5", str(tmp_path / "out"), *where], Session()) == 0
    stored = load_file(tmp_path / "out" / "mlp.1" / "3_5.safetensors")
    result = corpus_values(index, [parse_unit(f"mlp.1:{n}") for n in (3, 4, 5)], 10**6)
    assert stored["tokens"].shape == (len(result.windows), result.windows.lengths.max())
    window, position, unit = stored["locations"].T.astype(np.int64)
    at = result.windows.offsets[window] + position
    np.testing.assert_allclose(stored["activations"], result.values[at, unit], rtol=1e-3, atol=1e-4)
    assert (stored["tokens"][window, position] == result.windows.tokens[at]).all()
    assert len(at) == (np.abs(result.values) > 1e-5).sum()


@pytest.mark.parametrize("form", ["delphi", "neuronpedia"])
def test_the_model_is_loaded_once_whatever_computes_it(encoder_indexes, tmp_path, monkeypatch, form):
    index = encoder_indexes[1]
    rows = select_rows(index, "mlp.1:30-33")
    expected = {}
    for unit in (parse_unit(f"mlp.1:{number}") for number in range(30, 34)):
        expected[unit.index] = [example.heat for example in with_heat(index, unit, index.lookup(unit))]
        (results_folder(index.folder, "heat-maps") / f"mlp.1_{unit.index}.parquet").unlink()
    monkeypatch.setattr(corpus_pass, "open_numpy_model", lambda *_: None)
    loads = []
    real = unit_reader.open_model
    monkeypatch.setattr(unit_reader, "open_model", lambda *some, **more: loads.append(1) or real(*some, **more))
    assert export(index, rows, tmp_path / "out", form, 10) == 4
    assert len(loads) == 1
    if form == "neuronpedia":
        activations = lines(tmp_path / "out" / "activations" / "batch-0.jsonl.gz")
        for number, heats in expected.items():
            values = [row["values"] for row in activations if row["index"] == number]
            for mine, heat in zip(values, heats, strict=True):
                np.testing.assert_allclose(mine, heat[1:-1], rtol=0, atol=1e-5)


def test_parquet_and_tables(encoder_indexes, tmp_path):
    index = encoder_indexes[1]
    where = ["--index", str(index.folder), "--format", "parquet"]
    assert run_command(["index", "export", "mlp.1:*", str(tmp_path / "out"), *where], Session()) == 0
    records = pq.read_table(tmp_path / "out" / "records.parquet").to_pylist()
    mine = [row for row in records if (row["point"], row["unit"], row["list"]) == ("mlp.1", 4, "top")]
    assert [(row["value"], row["window"], row["position"]) for row in mine] == [
        (example.value, example.window, example.position) for example in index.lookup("mlp.1:4")
    ]
    assert len({row["context"] for row in mine}) == len(mine)
    minima = [row["value"] for row in records if (row["point"], row["unit"], row["list"]) == ("mlp.1", 4, "minimum")]
    assert minima == [example.value for example in index.lookup("mlp.1:4", which="minima")]
    assert {row["list"] for row in records} == {"top", "domain", "minimum", "sample"}
    rates = pq.read_table(tmp_path / "out" / "unit_domains.parquet").to_pylist()
    known = {rate.domain: rate for rate in index.domain_rates("mlp.1:4")}
    for row in rates:
        if (row["point"], row["unit"]) == ("mlp.1", 4) and row["domain"] in known:
            assert (
                row["mean"] == pytest.approx(known[row["domain"]].mean) and row["fired"] == known[row["domain"]].fired
            )
    examples = with_heat(index, parse_unit("mlp.1:4"), index.lookup("mlp.1:4"))
    table = examples_table(examples)
    assert table["value"].to_pylist() == [example.value for example in examples]
    assert table["token"].to_pylist() == [example.text[slice(*example.peak)] for example in examples]
    assert table["heat"].to_pylist()[0] == pytest.approx(examples[0].heat.tolist())
    assert examples_table([]).num_rows == 0


def test_explanations(encoder_indexes, tmp_path, capsys):
    index = encoder_indexes[1]
    rows = [{"layer": "1-mlp", "index": 7, "description": "words", "explanationModelName": "a model"},
            {"layer": "9-mlp", "index": 7, "description": "of another model"}]  # fmt: skip
    file = tmp_path / "explanations.jsonl.gz"
    file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    for _ in range(2):  # again: nothing is there twice
        assert run_command(["index", "annotate", str(file), "--index", str(index.folder)], Session()) == 0
        assert "1 unit of the index; 1 of other units left out" in capsys.readouterr().out
    folder = tmp_path / "delphi"
    folder.mkdir()
    (folder / "layers.1.mlp_latent7.txt").write_text('"numbers"')
    with pytest.raises(UsageError, match="--point"):
        import_explanations(index, folder)
    assert import_explanations(index, folder, "mlp.1") == (1, 0)
    assert [(each.text, each.model) for each in explanations_of(index, "mlp.1:7")] == [
        ("words", "a model"),
        ("numbers", None),
    ]
    assert run_command(["lookup", "mlp.1:7", "--index", str(index.folder), "--k", "1"], Session()) == 0
    assert "said to be: words" in capsys.readouterr().out
    assert run_command(["lookup", "mlp.1:7", "--index", str(index.folder), "--json", "--no-heat"], Session()) == 0
    assert json.loads(capsys.readouterr().out)["explanations"][0]["text"] == "words"
    (tmp_path / "bad.jsonl").write_text('{"index": 1}\n')
    with pytest.raises(UsageError, match="line 1"):
        import_explanations(index, tmp_path / "bad.jsonl")
    with pytest.raises(UsageError, match="no explanations"):
        import_explanations(index, tmp_path)
