"""Indexes of whole corpora: published, resumed and grown by a shard."""

import json
import pickle
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings import open_index  # noqa: E402
from corpus_audit.embeddings.build import build  # noqa: E402
from corpus_audit.embeddings.index.files import damaged_files  # noqa: E402
from corpus_audit.embeddings.lookup.search import WindowSearch  # noqa: E402
from corpus_audit.embeddings.scan import worker  # noqa: E402
from corpus_audit.embeddings.scan.encoder import open_encoder  # noqa: E402
from corpus_audit.runners.cli.main import run_command  # noqa: E402
from corpus_audit.runners.cli.shared.output import Session  # noqa: E402
from corpus_audit.runners.indexing.build import index_corpus, with_directions  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.spec.audit_file import load_audit  # noqa: E402
from tests.embeddings.build.library_corpus import AUDIT, audit, content, write_shard  # noqa: E402
from tests.embeddings.tiny import MIXTURES, write_tiny_mixture  # noqa: E402

pytestmark = pytest.mark.slow


def test_an_index_is_whole_and_says_where_examples_are(corpus):
    built = build.build_index(audit(corpus, heatmaps=True))
    assert (built.splits_scanned, built.splits_kept) == (3, 0)
    index = open_index(corpus / "index")
    assert not list(damaged_files(index.folder, index.facts)) and index.domains == ("early", "late")
    for unit in ("mlp.0:7", "resid.1:3"):
        for domain in (None, "late"):
            result = index.lookup(unit, domain=domain)
            assert result and [example.value for example in result] == sorted(
                (example.value for example in result), reverse=True
            )
            for example in result:
                (location,) = example.locations
                text = Path(sysconfig.get_path("stdlib"), location.id).read_text(encoding="utf-8")
                start, end = example.peak
                assert text[example.text_start + start : example.text_start + end] == example.text[start:end] != ""
                assert domain in (None, location.domain)
                if domain is None:
                    assert np.nanargmax(example.heat) == example.position
                    assert np.nanmax(example.heat[example.counted]) <= example.value
        # Heat maps are of the windows of the top list; other lists have those that they share with it.
        heat = {example.window: example.heat for example in index.lookup(unit, k=1000)}
        shared = [example for domain in index.domains for example in index.lookup(unit, domain=domain)]
        shared += index.lookup(unit, which="samples", k=1000)
        assert any(example.window in heat for example in shared)
        for example in shared:
            if example.window in heat:
                np.testing.assert_array_equal(example.heat, heat[example.window])
            else:
                assert example.heat is None
        assert all(example.heat is None for example in index.lookup(unit, which="minima"))
    assert sum(example.tokens for example in index.domain_rates("mlp.0:7")) == built.facts.counts["tokens"]


def test_a_killed_scan_goes_on_and_comes_to_the_same(corpus, monkeypatch):
    original = content(build.build_index(audit(corpus)).folder)
    shutil.rmtree(corpus / "runs", ignore_errors=True)
    shutil.rmtree(corpus / "index")
    real, calls = worker.write_partial, []

    def killed(location, partial):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(location)
        real(location, partial)

    monkeypatch.setattr(worker, "write_partial", killed)
    with pytest.raises(KeyboardInterrupt):
        build.build_index(audit(corpus))
    assert not (corpus / "index").exists()
    monkeypatch.undo()
    again = build.build_index(audit(corpus))
    assert (again.splits_scanned, again.splits_kept) == (2, 1) and content(again.folder) == original


def test_workers_of_the_engine_come_to_the_same(corpus):
    original = content(build.build_index(audit(corpus)).folder)
    for workers in (1, 2, 3):
        shutil.rmtree(corpus / "runs", ignore_errors=True)
        shutil.rmtree(corpus / "index")
        built = index_corpus(audit(corpus), workers)
        assert built.splits_scanned == 3 and content(built.folder) == original
    assert sorted(path.name for path in (corpus / "index").iterdir() if path.is_dir()) in (
        [built.folder.name],
        [".staging", built.folder.name],
    )


def test_another_process_loads_the_model_for_itself(corpus):
    """What a worker of a cluster does: it gets the worker and a task, and nothing else of this process."""
    loaded = audit(corpus)
    sent = []

    def elsewhere(worker, tasks, at_once):
        (corpus / "sent.pickle").write_bytes(pickle.dumps((worker, tasks)))
        code = "import pickle, sys; worker, tasks = pickle.load(open(sys.argv[1], 'rb')); "
        code += "[worker.run_task(task) for task in tasks]"
        subprocess.run([sys.executable, "-c", code, str(corpus / "sent.pickle")], check=True, timeout=300)
        sent.extend(tasks)

    built = build.build_index(loaded, elsewhere, 2)
    assert len(sent) == built.splits_scanned == 3
    shutil.rmtree(corpus / "runs", ignore_errors=True)
    here = build.build_index(audit(corpus, output="here"))
    example, other = content(built.folder), content(here.folder)
    assert [name for name in example if example[name] != other[name]] == []


def test_vectors_are_those_of_the_model(corpus):
    built = build.build_index(audit(corpus, vectors={"block": 0}))
    index = open_index(built.folder)
    search = WindowSearch(index)
    assert (search.block, search.windows) == (0, built.facts.counts["windows"])
    from transformers import AutoModel

    model = AutoModel.from_pretrained(corpus / "model").eval()
    table = index.windows
    for row in (0, 7, len(table) - 1):
        ids = torch.tensor([table["tokens"][row].as_py()])
        counted = torch.tensor(table["counted"][row].as_py())
        with torch.inference_mode():
            stream = model(ids, output_hidden_states=True).hidden_states[1][0][counted].double()
        at = int(np.searchsorted(index.array("vector.window"), table["window"][row].as_py()))
        mean, norms = stream.mean(dim=0), stream.norm(dim=1)
        np.testing.assert_allclose(index.array("vector.mean")[at], mean / mean.norm(), atol=1e-5)
        np.testing.assert_allclose(index.array("vector.peak")[at], stream[norms.argmax()] / norms.max(), atol=1e-5)
        np.testing.assert_allclose(index.array("vector.norm")[at], [mean.norm(), norms.max()], rtol=1e-5)


def test_one_window_in_some_has_vectors(corpus):
    every = open_index(build.build_index(audit(corpus, output="every")).folder)
    some = open_index(build.build_index(audit(corpus, vectors={"one_in": 3})).folder)
    names = every.array("vector.window")
    assert some.array("vector.window").tolist() == names[names % 3 == 0].tolist()
    np.testing.assert_array_equal(some.array("vector.mean"), every.array("vector.mean")[names % 3 == 0])
    none = open_index(build.build_index(audit(corpus, vectors=None, output="none")).folder)
    with pytest.raises(UsageError, match="without vectors"):
        WindowSearch(none)
    assert none.lookup("mlp.0:7")[0].value == every.lookup("mlp.0:7")[0].value


def test_a_text_of_the_corpus_finds_itself(corpus):
    index = open_index(build.build_index(audit(corpus)).folder)
    row = 5
    text = index.windows["text"][row].as_py()
    with open_encoder(index.facts, index.folder) as encoder:
        query = encoder.means([text, ""])
    assert not query[1].any()
    best = WindowSearch(index).nearest(query[0], 1)[0]
    assert best.value > 0.99 and best.text == text
    (corpus / "other").mkdir()
    shutil.copytree(corpus / "model", corpus / "other" / "model")
    config = json.loads((corpus / "other" / "model" / "config.json").read_text())
    (corpus / "other" / "model" / "config.json").write_text(json.dumps(config | {"layer_norm_epsilon": 1e-3}))
    with (
        pytest.raises(UsageError, match="not the model of the index"),
        open_encoder(index.facts, index.folder, str(corpus / "other" / "model")),
    ):
        pass


def test_directions_are_added_to_a_scan(corpus):
    vector = np.zeros(48, np.float32)
    vector[3] = 2.0
    np.save(corpus / "probe.npy", vector)
    loaded = with_directions(audit(corpus), [f"{corpus}/probe.npy:1"])
    index = open_index(build.build_index(loaded).folder)
    probe, dimension = index.lookup("dir.probe:0"), index.lookup("resid.1:3")
    assert [example.window for example in probe] == [example.window for example in dimension]
    np.testing.assert_allclose(
        [example.value for example in probe], [2 * example.value for example in dimension], rtol=1e-5
    )
    for wrong in ("probe.npy", f"{corpus}/none.npy:1", f"{corpus}/probe.npy:x"):
        with pytest.raises(UsageError, match="--directions"):
            with_directions(loaded, [wrong])
    with pytest.raises(UsageError, match="same name"):
        with_directions(loaded, [f"{corpus}/probe.npy:0"])
    with pytest.raises(UsageError, match="block 9"):
        build.build_index(with_directions(audit(corpus), [f"{corpus}/probe.npy:9"]))


@pytest.mark.parametrize("name", MIXTURES)
def test_load_of_experts(corpus, bpe, name, capsys):
    shutil.rmtree(corpus / "model")
    write_tiny_mixture(corpus / "model", bpe, name)
    built = build.build_index(audit(corpus, units=["expert.*:*"]))
    assert run_command(["units", "--experts", "--json", "--index", str(built.folder)], Session()) == 0
    payload = json.loads(capsys.readouterr().out)
    experts_per_token = MIXTURES[name]["num_experts_per_tok"]
    assert payload["tokens"] == built.facts.counts["tokens"] > 0 and payload["layers"]
    assert sum(example["routed"] for example in payload["experts"]) == experts_per_token * payload["tokens"] * len(
        payload["layers"]
    )
    for layer in (*payload["layers"], *(example for part in payload["domains"] for example in part["layers"])):
        value, (low, high) = layer["largest_over_mean"]["value"], layer["largest_over_mean"]["interval"]
        assert layer["chosen"] == experts_per_token and 1 <= low < value < high <= layer["experts"] / experts_per_token
    assert [part["domain"] for part in payload["domains"]] == ["early", "late"]
    assert sum(part["documents"] for part in payload["domains"]) == payload["documents"]


def test_what_is_said_of_the_snapshot_reaches_the_run_and_its_report(corpus):
    """An index with a baseline and benchmarks, then an audit of the same snapshot: tables, metrics, page."""
    from corpus_audit.pipelines.progress.board import Board
    from corpus_audit.runners.audit.run import run_audit

    shutil.move(corpus / "data" / "part-2.jsonl", corpus / "part-2.jsonl")
    before = open_index(build.build_index(audit(corpus, output="before")).folder)
    shutil.move(corpus / "part-2.jsonl", corpus / "data" / "part-2.jsonl")
    rows = [row["text"] for row in before.windows.to_pylist() if row["number"] == 0][:20]
    (corpus / "held.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in rows))
    more = {"benchmarks": [{"name": "held", "paths": ["held.jsonl"]}], "contamination": {"rules": ["gpt3"]}}
    spec = AUDIT | more | {"embedding": AUDIT["embedding"] | {"baseline": "before"}}
    (corpus / "audit.yaml").write_text(json.dumps(spec))
    loaded = load_audit(corpus / "audit.yaml")
    built = build.build_index(loaded)
    assert {"drift", "benchmarks"} <= set(built.seconds) and "projection" not in built.seconds
    assert not list(damaged_files(built.folder, built.facts))
    outcome = run_audit(loaded, workers=2, board=Board())
    metrics = pq.read_table(outcome.run_dir / "tables" / "metrics.parquet").to_pylist()
    result = {(row["metric"], row["slice"]): row for row in metrics}
    share = result["semantic_share", "benchmark=held"]
    assert share["n"] == len(rows) and share["value"] > 0.8 and share["low"] > 0.5
    assert result["embedding_drift_auc", "all"]["value"] is None  # too few documents are not shared
    assert 0 <= result["units_moved_share", "all"]["value"] < 0.2
    facts = json.loads((outcome.run_dir / "run.json").read_text())
    assert facts["embedding"]["index"] == built.folder.name
    page = (outcome.run_dir / "report.html").read_text()
    assert "The corpus as a model sees it" in page and "projection-all" in page and "held" in page


def test_shards_one_by_one_come_to_the_same(corpus):
    original = content(build.build_index(audit(corpus)).folder)
    shutil.rmtree(corpus / "index")
    shutil.rmtree(corpus / "runs", ignore_errors=True)
    shutil.move(corpus / "data", corpus / "all")
    (corpus / "data").mkdir()
    for number in (2, 0, 1):
        shutil.copy(corpus / "all" / f"part-{number}.jsonl", corpus / "data")
        shutil.rmtree(corpus / "index", ignore_errors=True)
        built = build.build_index(audit(corpus))
        assert built.splits_scanned == 1
    assert content(built.folder) == original


def test_a_shard_that_is_there_twice_has_examples_once_and_counts_twice(corpus):
    once = build.build_index(audit(corpus))
    shutil.rmtree(corpus / "index")
    shutil.copy(corpus / "data" / "part-0.jsonl", corpus / "data" / "part-3.jsonl")
    twice = build.build_index(audit(corpus))
    assert twice.splits_scanned == 0
    index = open_index(twice.folder)
    assert twice.facts.counts["documents"] > once.facts.counts["documents"]
    result = index.lookup("mlp.1:5")
    assert len({example.window for example in result}) == len(result)
    assert any(len(example.locations) == 2 for unit in range(20) for example in index.lookup(f"mlp.1:{unit}"))


@pytest.mark.parametrize(
    ("rows", "tokens"),
    [
        ([{"id": "one", "text": "x", "kind": "a"}, {"id": "two", "text": "hello there world", "kind": "b"}], 1),
        ([{"id": "long", "text": "word and sentence. " * 60_000, "kind": "a"}], 100_000),
        ([{"id": "empty", "text": "", "kind": "a"}, {"id": "two", "text": "hello there world", "kind": "b"}], 1),
    ],
)
def test_documents_of_any_length(corpus, rows, tokens):
    shutil.rmtree(corpus / "data")
    (corpus / "data").mkdir()
    write_shard(corpus, 0, rows)
    built = build.build_index(audit(corpus, units=["mlp.0:0-3"], heatmaps=False))
    assert built.facts.counts["tokens"] >= tokens
    assert open_index(built.folder).lookup("mlp.0:1")


def test_the_commands(corpus, capsys, monkeypatch):
    monkeypatch.chdir(corpus)
    audit(corpus)
    assert run_command(["index", "audit.yaml", "-q"], Session()) == 0
    out = capsys.readouterr().out
    assert out.startswith("library: 432 units of model over ") and "3 splits scanned, 0 reused" in out
    assert run_command(["index", "verify"], Session()) == 0
    assert run_command(["lookup", "resid.1:3", "--k", "2"], Session()) == 0
    assert run_command(["index", "none.yaml"], Session()) == 2
    (corpus / "audit.yaml").write_text(json.dumps({name: AUDIT[name] for name in AUDIT if name != "embedding"}))
    assert run_command(["index", "audit.yaml"], Session()) == 2
    assert "no embedding section" in capsys.readouterr().err


def test_a_bfloat16_scan_ends_in_lists_of_float32(corpus, capsys):
    build.build_index(audit(corpus, heatmaps=True))
    exact = open_index((corpus / "index").rename(corpus / "exact"))
    assert exact.facts.verified["complete"] is None and exact.facts.verified["largest"] < 1e-5
    assert run_command(["index", str(corpus / "audit.yaml"), "-q", "--set", "embedding.dtype=bfloat16"], Session()) == 0
    assert "% of top lists are complete by that margin" in capsys.readouterr().out
    index = open_index(corpus / "index")
    verified = index.facts.verified
    assert not list(damaged_files(index.folder, index.facts))
    assert verified["windows"] > 100 and 1e-4 < verified["largest"] < 0.1 and verified["complete"] > 0.5
    same = total = 0
    for unit in [f"mlp.{b}:{i}" for b in (0, 1) for i in range(0, 192, 5)]:
        mine, reference = (example.lookup(unit, k=5) for example in (index, exact))
        values = {(each.window, each.position): each.value for each in reference}
        for each in mine:
            if (known := values.get((each.window, each.position))) is not None:
                assert each.value == pytest.approx(known, rel=1e-4, abs=1e-5)
                assert each.heat[each.position] == pytest.approx(each.value, rel=2e-3)
                same += 1
            total += 1
    assert same > 0.98 * total > 300
    assert index.facts.scan != exact.facts.scan and len(index.lookup("mlp.0:7", k=50)) == 5
